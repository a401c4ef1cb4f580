"""The code of each problem that a schema found, and its sentence, where the library has a better one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.errors import VersionError
from libcni.jsontext.frozen import array_of, object_of
from libcni.jsontext.scan import kind_of
from libcni.protocol.names import interface_name_problem, network_name_problem, plugin_type_problem
from libcni.protocol.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.jsontext.scan import Path
    from libcni.schema import SchemaProblem

__all__ = ["code_of", "sentence_of", "value_at"]

# By the last key of the path, for texts with a form of their own.
_BY_KEY = {"name": "CNI103", "cniVersion": "CNI104", "cniVersions": "CNI104", "type": "CNI109", "mtu": "CNI305"}
_SWITCHES = frozenset({"disableCheck", "disableGC", "loadOnlyInlinedPlugins"})

# By the format or definition that a text should follow.
_BY_SUBJECT = {
    "cni-ip": "CNI306",
    "cni-address": "CNI306",
    "cni-gateway": "CNI306",
    "cni-cidr": "CNI307",
    "cni-optional-cidr": "CNI307",
    "cni-optional-address": "CNI306",
    "cni-subnet": "CNI308",
    "cni-hardware-address": "CNI309",
    "cni-device-mac": "CNI309",
    "interfaceName": "CNI310",
    "version": "CNI104",
    "networkName": "CNI103",
}
_TEXT_RULES = frozenset({"pattern", "format", "minLength", "maxLength", "propertyNames"})
_NUMBER_RULES = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_BY_RULE = {"type": "CNI301", "required": "CNI302", "enum": "CNI303", "const": "CNI303"}
_CONFLICT_RULES = frozenset({"const", "enum", "not", "maxItems", "maxProperties", "oneOf"})


def code_of(problem: SchemaProblem) -> str:
    """Return the code of a finding for something that a schema rejects."""
    key = _last_key(problem.path)
    if problem.rule == "minItems" and problem.path == ("plugins",):
        return "CNI106"
    if problem.rule in {"required", "dependentRequired"}:
        return "CNI107" if problem.path == ("plugins",) and problem.is_conditional else "CNI302"
    if problem.is_conditional and problem.rule in _CONFLICT_RULES:
        return "CNI312"
    if problem.rule in _TEXT_RULES:
        return _code_of_text(problem, key)
    if problem.rule in _NUMBER_RULES:
        return "CNI305" if key == "mtu" else "CNI304"
    return "CNI312" if problem.rule == "not" else _BY_RULE.get(problem.rule, "CNI313")


def _code_of_text(problem: SchemaProblem, key: str) -> str:
    if problem.subject in _BY_SUBJECT:
        return _BY_SUBJECT[problem.subject]
    if key in _SWITCHES:
        return "CNI301"
    return _BY_KEY.get(key, "CNI311")


def _last_key(path: Path) -> str:
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _version_problem(text: str) -> str | None:
    try:
        parse_version(text)
    except VersionError as error:
        return error.msg
    return None


_RULES: dict[str, Callable[[str], str | None]] = {
    "CNI103": network_name_problem,
    "CNI104": _version_problem,
    "CNI109": plugin_type_problem,
    "CNI310": interface_name_problem,
}


def sentence_of(problem: SchemaProblem, code: str, value: object) -> str:
    """Return the problem in the words of the library's own rule, or else in the schema's."""
    if _last_key(problem.path) in _SWITCHES:
        return f"expected true or false, found {kind_of(value) if not isinstance(value, str) else repr(value)}"
    rule = _RULES.get(code)
    found = rule(value) if rule is not None and isinstance(value, str) else None
    return problem.message if found is None else found


def value_at(document: object, path: Path) -> object:
    """Return the value at a path, or ``None``."""
    for step in path:
        try:
            found: object = array_of(document)[step] if isinstance(step, int) else object_of(document)[step]
        except (KeyError, IndexError):
            return None
        document = found
    return document
