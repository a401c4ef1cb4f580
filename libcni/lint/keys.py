"""Keys that a schema does not know: misspelt, in the wrong case, reserved, or unknown.

Plugins ignore a key that they do not know, so a typing error shows in no result.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.config.request import RESERVED_PREFIX
from libcni.jsontext.frozen import is_array, is_object, object_of
from libcni.lint.described import together
from libcni.protocol.capability_names import ARGUMENT_MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from libcni.jsontext.scan import Path
    from libcni.lint.described import Described
    from libcni.lint.findings import Source

__all__ = [
    "MISSPELT",
    "check_keys",
    "check_list_keys",
    "check_misplaced",
    "check_reserved",
    "check_type_key",
    "is_comment",
    "similar",
]

_OTHERS_LIST_KEYS = frozenset({"args", "nerdctlID", "nerdctlLabels"})
"""Keys beside ``plugins`` that podman and nerdctl write for themselves."""
LIST_KEYS = ("cniVersion", "cniVersions", "name", "disableCheck", "disableGC", "loadOnlyInlinedPlugins", "plugins")

_RUNTIME_KEYS = {"prevResult": "CNI206", "runtimeConfig": "CNI207"}
_OWN_CHECKS = frozenset({"args", "capabilities", "ipam", "prevResult", "runtimeConfig"})
"""Members whose content is no plugin's own, or is checked elsewhere."""
_COMMENTS = ("_", "#", "/", "$", "x-")
"""Prefixes of the keys of comments, and of editors."""

_PLUGIN_KEYS = frozenset({"ipam", "capabilities", "runtimeConfig", "delegate", "delegates", "mtu", "bridge"})
"""Keys that are a plugin's, and stand beside ``plugins`` by mistake."""
_IPAM_KEYS = frozenset({"subnet", "ranges", "rangeStart", "rangeEnd", "gateway", "routes", "addresses", "range"})
"""Keys that are an IPAM plugin's, and stand beside ``plugins`` by mistake."""
_VLAN_HINT = "name an interface of the VLAN as 'master', such as eth0.100, or use the plugin 'vlan' or 'bridge'"
_OPPOSITES = (
    *(("enable", "disable"), ("allow", "deny"), ("include", "exclude"), ("inbound", "outbound"), ("ingress", "egress")),
    *(("start", "end"), ("min", "max"), ("first", "last"), ("v4", "v6"), ("read", "write"), ("rx", "tx")),
)
"""Words that are alike and mean the contrary of each other."""
_SYNONYMS = (
    frozenset({"master", "device", "interface", "iface", "parent", "dev", "nic", "uplink"}),
    frozenset({"subnet", "range", "cidr", "network", "pool"}),
)
"""Words that plugins have for the same."""
_SURE = 0.8
"""Similarity from which on a key is taken for a misspelt one."""
MISSPELT = 0.75
"""The same where it is known that a key is missing."""
_LIKELY = 0.6
_LISTED = 12


def similar(word: str, known: Iterable[str], cutoff: float = _LIKELY) -> str:
    """Return the known word that is most like ``word``, or ``""``.

    >>> similar("isDefaultGatway", ["isGateway", "isDefaultGateway"])
    'isDefaultGateway'
    """
    by_form = {_form(name): name for name in known}
    found = difflib.get_close_matches(_form(word), by_form, n=1, cutoff=cutoff)
    return by_form[found[0]] if found else ""


def _are_opposites(one: str, other: str) -> bool:
    """Return whether two words differ in nothing but a pair such as enable and disable: each is meant as it stands."""
    one, other = _form(one), _form(other)
    return any(
        one.replace(first, second, 1) == other or other.replace(first, second, 1) == one
        for first, second in _OPPOSITES
        if first in one or first in other
    )


def _synonym(word: str, known: Iterable[str]) -> str:
    group = next((words for words in _SYNONYMS if word.lower() in words), frozenset[str]())
    return next((name for name in known if name in group), "")


def _form(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


@dataclass(frozen=True, slots=True)
class _Known:
    """The surroundings of an unknown key: the known keys, those not yet used, and the code for a wrong case."""

    keys: Sequence[str]
    free: Sequence[str]
    owner: str
    case_code: str
    is_all: bool = True


def check_list_keys(source: Source, document: Mapping[str, Any]) -> None:
    """Check the keys beside ``plugins``."""
    known = _Known(LIST_KEYS, [key for key in LIST_KEYS if key not in document], "network configuration list", "CNI202")
    for key in document:
        if key in _IPAM_KEYS:
            message = f"{key!r} belongs into the 'ipam' of a plugin, and has no effect beside 'plugins'"
            source.report("CNI208", (key,), message, hint="move it into 'ipam'", at_key=True)
        elif key in _PLUGIN_KEYS:
            message = f"{key!r} belongs to a plugin, and has no effect beside 'plugins'"
            source.report("CNI204", (key,), message, hint="move it into the plugin that it is meant for", at_key=True)
        elif key not in LIST_KEYS and key not in _OTHERS_LIST_KEYS and not is_comment(key):
            _report(source, (key,), known)


def check_reserved(source: Source, path: Path, plugin: Mapping[str, Any]) -> None:
    """Check a plugin object for keys that only the runtime may insert."""
    declared = object_of(plugin.get("capabilities"))
    for name in object_of(plugin.get("runtimeConfig")):
        if declared.get(name) is not True:
            message = f"{name!r} is the argument of a capability that the plugin does not declare"
            hint = f'add "capabilities": {{"{name}": true}}; the runtime then passes the argument'
            source.report("CNI209", (*path, "runtimeConfig", name), message, hint=hint, at_key=True)
    for key in plugin:
        if key.startswith(RESERVED_PREFIX):
            message = f"keys that begin with {RESERVED_PREFIX!r} belong to the runtime"
            source.report("CNI205", (*path, key), message, hint="remove it", at_key=True)
        elif key in _RUNTIME_KEYS:
            message = "is inserted by the runtime"
            source.report(_RUNTIME_KEYS[key], (*path, key), message, hint="remove it", at_key=True)


def check_type_key(source: Source, path: Path, members: Mapping[str, Any]) -> None:
    """Check an object without ``type``, to which no schema applies, for a key that may be a misspelt ``type``."""
    meant = similar("type", members, MISSPELT) if "type" not in members else ""
    if meant:
        code = "CNI203" if meant.lower() == "type" else "CNI201"
        message = f"{meant!r} is not a key of an IPAM configuration, and without a type no IPAM plugin runs"
        source.report(code, (*path, meant), message, hint="did you mean 'type'?", at_key=True)


def check_misplaced(
    source: Source, path: Path, members: Mapping[str, Any], *, known: Described, ipam: Described
) -> frozenset[str]:
    """Report keys of the IPAM configuration that stand beside ``ipam``, and return them."""
    own = known.names_in_lower_case
    found = {key for key in members if key in ipam.members and key.lower() not in own and not is_comment(key)}
    for key in sorted(found):
        message = f"{key!r} belongs into 'ipam': the {known.owner} ignores it here"
        source.report("CNI208", (*path, key), message, hint="move it into 'ipam'", at_key=True)
    return frozenset(found)


def check_keys(
    source: Source,
    path: Path,
    value: object,
    *,
    described: tuple[Described, ...],
    besides: frozenset[str] = frozenset(),
) -> None:
    """Check the keys of an object, and of what is in it, against all that describes it together.

    :param besides: keys that are checked elsewhere.
    """
    if is_array(value):
        items = together(described).items
        for index, item in enumerate(value):
            check_keys(source, (*path, index), item, described=items)
    elif is_object(value) and value:
        merged = together(described)
        if merged.members and not merged.takes_any_key:
            members = {key: member for key, member in value.items() if key not in besides} if besides else value
            _check_object(source, path, members, known=merged.members)


def _check_object(
    source: Source, path: Path, members: Mapping[str, Any], *, known: Mapping[str, tuple[Described, ...]]
) -> None:
    unknown: list[str] = []
    for key, member in members.items():
        described = known.get(key)
        if described is not None:
            _check_member(source, (*path, key), member, described=described)
        elif not is_comment(key):
            unknown.append(key)
    if unknown:
        owner = next(iter(known.values()))[0].owner
        free = [key for key in known if key not in members]
        keys = _Known(list(known), free, owner, "CNI203", is_all=not _is_of_own_type(path, known))
        for key in unknown:
            _report(source, (*path, key), keys)


def _check_member(source: Source, path: Path, member: object, *, described: tuple[Described, ...]) -> None:
    if not member:
        return
    if isinstance(member, str):
        if usual := described[0].usual_values:
            _check_usual(source, path, member, usual=usual)
    elif (is_object(member) or is_array(member)) and path[-1] not in _OWN_CHECKS:
        check_keys(source, path, member, described=described)


def _check_usual(source: Source, path: Path, text: str, *, usual: Sequence[Any]) -> None:
    if text.lower() not in {str(value).lower() for value in usual}:
        listed = ", ".join(map(repr, usual))
        message = f"the plugin does not know {text!r}, and goes on without it"
        source.report("CNI335", path, message, hint=f"it knows {listed}")


def _is_of_own_type(path: Path, known: Iterable[str]) -> bool:
    """Return whether an object inside a plugin has a type of its own, so that a schema knows only some of its keys."""
    inside = bool(path) and path[-2:-1] != ("plugins",) and path[-1] != "ipam"
    return inside and any(key.lower() == "type" for key in known)


def is_comment(key: str) -> bool:
    """Return whether a key is a comment, an editor's, or reserved for the runtime."""
    return key.startswith((*_COMMENTS, RESERVED_PREFIX))


def _report(source: Source, path: Path, known: _Known) -> None:
    key = str(path[-1])
    other_case = next((name for name in known.keys if name.lower() == key.lower()), "")
    if other_case:
        hint = f"did you mean {other_case!r}?"
        source.report(known.case_code, path, f"{key!r} is written in the wrong case", hint=hint, at_key=True)
    elif (meant := similar(key, known.free, _SURE)) and not _are_opposites(key, meant):
        hint = f"did you mean {meant!r}?"
        source.report("CNI201", path, f"{key!r} is not a key of the {known.owner}", hint=hint, at_key=True)
    elif known.is_all and key == "vlan":
        source.report("CNI204", path, f"{key!r} is not a key of the {known.owner}", hint=_VLAN_HINT, at_key=True)
    elif known.is_all and key in ARGUMENT_MODELS:
        message = f"{key!r} is the argument of a capability, and is ignored here"
        hint = f'the runtime passes it to a plugin with "capabilities": {{"{key}": true}}'
        source.report("CNI209", path, message, hint=hint, at_key=True)
    elif known.is_all:
        meant = _synonym(key, known.free) or similar(key, known.free)
        listed = ", ".join(known.keys[:_LISTED]) + (", …" if len(known.keys) > _LISTED else "")
        hint = f"did you mean {meant!r}?" if meant else f"documented are {listed}"
        source.report("CNI204", path, f"{key!r} is not a documented key of the {known.owner}", hint=hint, at_key=True)
