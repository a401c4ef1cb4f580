"""Objects of a configuration as a schema describes them: the documented members, and what a Go program reads of them.

A plugin in Go takes ``null`` for an absent member, and finds a member whatever the case of its key. Source:
``encoding/json`` of Go, with which the known plugins read their configuration.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, is_array, is_object, object_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["EXACT_KEYS", "Described", "as_read", "together"]

_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONDITIONS = ("if", "then", "else")
EXACT_KEYS = frozenset({"cniVersion", "name", "type", "capabilities"})
"""Keys of a plugin that the runtime reads, which takes them in this case only."""


class Described:
    """The description of an object: a schema, its part for the object, and a name for the owner of the keys."""

    def __init__(self, root: Mapping[str, Any], part: Mapping[str, Any], owner: str) -> None:
        self.root = root
        self.part = _resolved(root, part)
        self.owner = owner

    @functools.cached_property
    def members(self) -> Mapping[str, Described]:
        """The description of each documented member, those of all branches together."""
        found: dict[str, Described] = {}
        for part in _parts(self.root, self.part):
            for key, member in object_of(part.get("properties")).items():
                if key not in found and is_object(member):
                    found[key] = Described(self.root, member, self.owner)
        return found

    @functools.cached_property
    def names_in_lower_case(self) -> frozenset[str]:
        """The documented members in lower case, as a plugin in Go compares them."""
        return frozenset([name.lower() for name in self.members])

    @functools.cached_property
    def items(self) -> Described:
        """The description of the items of an array."""
        return Described(self.root, object_of(self.part.get("items")), self.owner)

    @functools.cached_property
    def usual_values(self) -> Sequence[Any]:
        """The values that the plugin knows, where it goes on with another; empty where any may be right."""
        return array_of(self.part.get("x-cni-usual"))

    def takes_any_key(self) -> bool:
        """Return whether the object is a map, of which a schema cannot know the keys."""
        return "patternProperties" in self.part or bool(object_of(self.part.get("additionalProperties")))


def _parts(root: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    node = _resolved(root, node)
    yield node
    for name in _BRANCHES:
        for branch in array_of(node.get(name)):
            yield from _parts(root, object_of(branch))
    for name in _CONDITIONS:
        if is_object(node.get(name)):
            yield from _parts(root, object_of(node[name]))


def _resolved(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of a schema with the definition that it refers to merged in."""
    reference = node.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return node
    target = object_of(object_of(root.get("$defs")).get(reference.removeprefix("#/$defs/")))
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}


class _Together:
    """The descriptions of one object by several schemas, merged: its members and items, each with all of its own."""

    def __init__(self, described: tuple[Described, ...]) -> None:
        members: dict[str, list[Described]] = {}
        for one in described:
            for key, member in one.members.items():
                members.setdefault(key, []).append(member)
        self.members = {key: tuple(found) for key, found in members.items()}
        self.items = tuple([one.items for one in described])
        self.takes_any_key = any(one.takes_any_key() for one in described)
        # What a Go program keeps as a map has its keys as they are, and null in it is not absent.
        self.is_map = any(one.part.get("x-cni-exact") is True for one in described)


@functools.lru_cache(maxsize=4096)
def together(described: tuple[Described, ...]) -> _Together:
    """Return descriptions merged; a file of many plugins of one type has them merged once."""
    return _Together(described)


def as_read(value: object, described: tuple[Described, ...], *, as_it_is: str = "") -> object:
    """Return a value as a plugin in Go reads it: without members that are null, known keys in their documented case.

    :param as_it_is: a member of the object itself that is left as it is written.
    """
    if is_array(value):
        items = together(described).items
        return [as_read(item, items) for item in value]
    if not is_object(value):
        return value
    merged = together(described)
    known = merged.members
    read: dict[str, object] = {}
    for key, member in value.items():
        if member is None and not merged.is_map:
            continue
        name = key if key in known or merged.is_map else _documented(key, known, value)
        if (is_object(member) or is_array(member)) and name != as_it_is:
            below = known.get(name, ())
            read[name] = as_read(member, below) if below or not known else member
        else:
            read[name] = member
    return read


def _documented(key: str, known: Iterable[str], members: Mapping[str, Any]) -> str:
    lower = key.lower()
    return next(
        (name for name in known if name.lower() == lower and name not in members and name not in EXACT_KEYS), key
    )
