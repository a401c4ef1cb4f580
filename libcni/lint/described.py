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

__all__ = ["EXACT_KEYS", "Described", "as_read"]

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
    def items(self) -> Described:
        """The description of the items of an array."""
        return Described(self.root, object_of(self.part.get("items")), self.owner)

    @property
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


def as_read(value: object, described: Sequence[Described]) -> object:
    """Return a value as a plugin in Go reads it: without members that are null, known keys in their documented case."""
    if is_array(value):
        items = [one.items for one in described]
        return [as_read(item, items) for item in array_of(value)]
    if not is_object(value):
        return value
    known = described[0].members.keys() if len(described) == 1 else {key for one in described for key in one.members}
    # What a Go program keeps as a map has its keys as they are, and null in it is not absent.
    is_map = any(one.part.get("x-cni-exact") is True for one in described)
    read: dict[str, object] = {}
    for key, member in object_of(value).items():
        if member is None and not is_map:
            continue
        name = key if key in known or is_map else _documented(key, known, object_of(value))
        if is_object(member) or is_array(member):
            below = [one.members[name] for one in described if name in one.members]
            read[name] = as_read(member, below) if below or not known else member
        else:
            read[name] = member
    return read


def _documented(key: str, known: Iterable[str], members: Mapping[str, Any]) -> str:
    lower = key.lower()
    return next(
        (name for name in known if name.lower() == lower and name not in members and name not in EXACT_KEYS), key
    )
