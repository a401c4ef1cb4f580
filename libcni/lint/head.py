"""The head of a configuration: its name, its versions, its switches, and that there are plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.errors import VersionError
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import array_of, object_of
from libcni.lint.keys import MISSPELT, similar
from libcni.lint.problems import code_of, sentence_of, value_at
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.names import network_name_problem
from libcni.protocol.versions import (
    FIRST_VERSION,
    SUPPORTED_VERSIONS,
    is_at_least,
    newest_supported,
    parse_version,
    unsupported_message,
)
from libcni.schema.check import checker_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcni.jsontext.scan import Path
    from libcni.lint.findings import Source
    from libcni.schema import SchemaProblem

__all__ = ["add_problems", "check_form", "check_member_versions", "check_single", "check_versions"]

_MODELS = {"network": "NetworkDocument", "plugin": "PluginDocument"}
LISTS_ONLY_SINCE = "1.0.0"
"""Version from which on the specification has no files with a single plugin."""


def check_form(source: Source, name: str) -> None:
    """Check a document against the schema ``network`` or ``plugin``."""
    try:
        # Twenty times as fast as jsonschema, and of the same verdict.
        validated(_MODELS[name], source.document)
    except ValidationError:
        add_problems(source, (), source.document, problems=checker_of(name).problems(source.document))


def add_problems(source: Source, path: Path, value: object, *, problems: Sequence[SchemaProblem]) -> None:
    """Add a finding for each field in which a schema rejects the value at ``path``."""
    seen: set[Path] = set()
    # A text that breaks both a pattern and the format beside it is explained by the format.
    for problem in sorted(problems, key=lambda problem: problem.rule != "format"):
        if problem.path not in seen:
            seen.add(problem.path)
            code = code_of(problem)
            sentence = sentence_of(problem, code, value_at(value, problem.path))
            source.report(code, (*path, *problem.path), sentence, hint=_hint(problem, value, code))


def _hint(problem: SchemaProblem, value: object, code: str) -> str:
    """Return a hint at the key that may be meant for one that is missing, or at the form of a value."""
    if code == "CNI104" or (problem.rule == "type" and problem.path == ("cniVersion",)):
        return _version_hint(value_at(value, problem.path))
    if problem.rule == "dependentRequired":
        return "the two go together"
    if problem.rule == "type" and problem.path[-2:-1] == ("ranges",):
        return 'each set of ranges is a list of its own: "ranges": [[{"subnet": "…"}]]'
    if problem.rule != "required" or not problem.path:
        return ""
    return _meant(str(problem.path[-1]), object_of(value_at(value, problem.path[:-1])))


def _version_hint(value: object) -> str:
    """Return a hint at the version of the specification that may be meant, such as 1.0.0 for v1.0 or for a number."""
    text = str(value).strip().lower().removeprefix("v")
    meant = next((version for version in reversed(SUPPORTED_VERSIONS) if version in {text, f"{text}.0"}), "")
    return f'did you mean "{meant}"?' if meant else ""


def _meant(missing: str, members: Mapping[str, Any]) -> str:
    found = similar(missing, members, MISSPELT)
    return f"{found!r} is there: did you mean {missing!r}?" if found else ""


def check_versions(source: Source, document: Mapping[str, Any], suggested: Callable[[], str]) -> str:
    """Check the versions that a configuration names.

    :param suggested: gives a hint at a version, for a configuration that names none.
    :returns: the one that a runtime takes; empty when none can be used.
    """
    single, several = document.get("cniVersion"), array_of(document.get("cniVersions"))
    named = [version for version in (single, *several) if isinstance(version, str) and version]
    if not named and ("cniVersion" not in document or document["cniVersion"] == ""):
        message = f"names no version of the specification: runtimes assume {FIRST_VERSION}"
        source.report("CNI112", ("cniVersion",), message, hint=suggested())
        return FIRST_VERSION
    if not named:
        return ""
    if any(not _is_version(version) for version in named):
        return ""
    chosen = newest_supported(named)
    if chosen is None:
        source.report("CNI105", ("cniVersion" if single else "cniVersions",), unsupported_message(named))
        return ""
    if single and several and single not in several:
        message = f"cniVersion {single!r} is not one of cniVersions ({', '.join(map(dump, several))})"
        source.report("CNI108", ("cniVersion",), message, hint="a runtime takes the highest of all of them")
    return chosen


def _is_version(text: str) -> bool:
    try:
        parse_version(text)
    except VersionError:
        return False
    return True


def check_single(source: Source, document: Mapping[str, Any], version: str) -> None:
    """Check the members that a file with a single plugin must have, and a plugin of a list need not."""
    if "name" not in document:
        source.report("CNI302", ("name",), "is required", hint=_meant("name", document))
    elif isinstance(document["name"], str) and (problem := network_name_problem(document["name"])):
        source.report("CNI103", ("name",), problem)
    if version and is_at_least(version, LISTS_ONLY_SINCE):
        hint = "move the plugin into 'plugins' of a .conflist file"
        source.report("CNI110", ("cniVersion",), f"version {version} of the specification has lists only", hint=hint)


def check_member_versions(source: Source, path: Path, plugin: Mapping[str, Any], *, version: str) -> None:
    """Check that a plugin of a list does not name another version than the list."""
    own = plugin.get("cniVersion")
    if isinstance(own, str) and own and version and own != version:
        message = f"the plugin names version {own!r}, and the list is of version {version!r}, which counts"
        source.report("CNI108", (*path, "cniVersion"), message, hint="remove it")
