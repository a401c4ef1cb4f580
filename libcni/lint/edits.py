"""Edits that mend what is unambiguous: keys in another case, flat ranges, host bits of a subnet or an IPv4 route.

An edit replaces a span of the text; everything else of the file stays byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import array_of, is_array, is_object, object_of
from libcni.lint.described import EXACT_KEYS, together
from libcni.lint.keys import LIST_KEYS
from libcni.lint.options import ROUTING, destination_of
from libcni.lint.ranges import blocks_of
from libcni.protocol.addresses import parse_cidr

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcni.jsontext.scan import Path
    from libcni.lint.described import Described
    from libcni.lint.findings import Source
    from libcni.lint.placed import PlacedPlugin

__all__ = ["Edit", "applied", "edits_of_list", "edits_of_plugin"]


@dataclass(frozen=True, slots=True)
class Edit:
    """A span of a text, by its offsets, and what takes its place."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Iterable[Edit]) -> str:
    """Return a text with edits made; of two that overlap the first is made.

    >>> applied("a b c", [Edit(0, 1, "x"), Edit(4, 5, "z")])
    'x b z'
    """
    parts: list[str] = []
    position = 0
    for edit in sorted(set(edits), key=lambda edit: (edit.start, edit.end)):
        if edit.start >= position:
            parts += [text[position : edit.start], edit.text]
            position = edit.end
    return "".join([*parts, text[position:]])


def edits_of_list(source: Source, document: Mapping[str, Any]) -> list[Edit]:
    """Return the edits of the keys beside ``plugins``."""
    return [edit for key in document for edit in _case(source, (key,), document, known=LIST_KEYS)]


def edits_of_plugin(plugin: PlacedPlugin) -> list[Edit]:
    """Return the edits of one plugin and its IPAM configuration."""
    found: list[Edit] = []
    if plugin.known is not None:
        found += _keys(plugin.source, plugin.path, plugin.written, described=(plugin.known.described,))
    if plugin.ipam_known is not None:
        path = (*plugin.path, "ipam")
        written = object_of(plugin.written.get("ipam"))
        found += _keys(plugin.source, path, written, described=(plugin.ipam_known.described,))
        if plugin.ipam_known.type == "host-local":
            found += _flat_ranges(plugin.source, path, written)
            found += _host_bits(plugin.source, path, written)
        if plugin.type in ROUTING:
            found += _route_bits(plugin.source, (*path, "routes"), written.get("routes"))
    return found


def _keys(source: Source, path: Path, value: object, *, described: tuple[Described, ...]) -> list[Edit]:
    """Return the edits of keys that differ from a documented one in their case only."""
    if is_array(value):
        items = together(described).items
        return [
            edit for index, item in enumerate(value) for edit in _keys(source, (*path, index), item, described=items)
        ]
    if not is_object(value):
        return []
    members = together(described).members
    known = set(members) - (set(EXACT_KEYS) if path[-2:-1] == ("plugins",) else set())
    found: list[Edit] = []
    for key, member in value.items():
        found += _case(source, (*path, key), value, known=known)
        below = members.get(key, ()) if key != "ipam" else ()
        found += _keys(source, (*path, key), member, described=below) if below else []
    return found


def _case(source: Source, path: Path, members: Mapping[str, Any], *, known: Iterable[str]) -> list[Edit]:
    key = str(path[-1])
    lower = key.lower()
    spelt = [name for name in known if name.lower() == lower]
    # Two that differ in case only are two keys of the plugin, or the right one stands beside it.
    if len(spelt) != 1 or spelt[0] == key or spelt[0] in members:
        return []
    start, end = source.span_of_key(path)
    return [Edit(start, end, dump(spelt[0]))]


def _flat_ranges(source: Source, path: Path, ipam: Mapping[str, Any]) -> list[Edit]:
    """Return the edits that put each range into a set of its own, where that can be the only meaning."""
    ranges = array_of(ipam.get("ranges"))
    if not ranges or not all(is_object(item) for item in ranges):
        return []
    families = [_family(object_of(item)) for item in ranges]
    if len(set(families)) != len(families) or 0 in families:
        return []
    spans = [source.span_of((*path, "ranges", index)) for index in range(len(ranges))]
    return [edit for start, end in spans for edit in (Edit(start, start, "["), Edit(end, end, "]"))]


def _family(members: Mapping[str, Any]) -> int:
    subnet = next((value for key, value in members.items() if key.lower() == "subnet"), None)
    try:
        return parse_cidr(subnet).version if isinstance(subnet, str) else 0
    except ValueError:
        return 0


def _host_bits(source: Source, path: Path, ipam: Mapping[str, Any]) -> list[Edit]:
    found: list[Edit] = []
    for block in blocks_of(ipam, path):
        start, end = source.span_of(block.path_of(block.keys.subnet))
        if parse_cidr(source.text[start + 1 : end - 1]).ip != block.subnet.network_address:
            found.append(Edit(start, end, dump(str(block.subnet))))
    return found


def _route_bits(source: Source, path: Path, routes: object) -> list[Edit]:
    found: list[Edit] = []
    for index, route in enumerate(array_of(routes)):
        destination = destination_of(route)
        if destination is not None and destination.ip != destination.network.network_address:
            start, end = source.span_of((*path, index, "dst"))
            found.append(Edit(start, end, dump(str(destination.network))))
    return found
