"""The catalog of plugins: their schemas, the keys and capabilities in them, and those that a user adds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni import schema
from libcni.config.load import read_conf
from libcni.errors import ConfigError, InvalidParameterError
from libcni.jsontext.decode import parse_object
from libcni.jsontext.frozen import array_of, object_of
from libcni.jsontext.scan import DocumentError
from libcni.protocol.capabilities import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike

__all__ = ["Catalog", "PluginSchema", "catalog_of", "member_schemas", "resolved"]

_PREFIX = "plugins/"


class PluginSchema:
    """The schema of one plugin, and what its annotations say."""

    def __init__(self, plugin_type: str, document: Mapping[str, Any]) -> None:
        self.type = plugin_type
        self.document = document
        self.is_ipam = document.get("x-cni-kind") == "ipam"
        self.is_chained_only = document.get("x-cni-chained-only") is True
        self.capabilities = frozenset(map(str, array_of(document.get("x-cni-capabilities"))))

    @functools.cached_property
    def checker(self) -> schema.Checker:
        """The checker of the schema."""
        return schema.Checker(self.document)


class Catalog:
    """The schemas of plugins by type; one of a user stands before the library's own of the same type."""

    def __init__(self, added: Mapping[str, PluginSchema] | None = None) -> None:
        self._schemas = {**_own_schemas(), **(added or {})}
        self.types = sorted(self._schemas)

    def find(self, plugin_type: object, *, is_ipam: bool) -> PluginSchema | None:
        """Return the schema of a plugin, or ``None`` when it is not known, or is a plugin of the other kind."""
        found = self.any(plugin_type)
        return found if found is not None and found.is_ipam == is_ipam else None

    def any(self, plugin_type: object) -> PluginSchema | None:
        """Return the schema of a plugin of whichever kind, or ``None``."""
        return self._schemas.get(plugin_type) if isinstance(plugin_type, str) else None

    @functools.cached_property
    def capabilities(self) -> frozenset[str]:
        """Every capability that the conventions or a plugin know."""
        return frozenset(CAPABILITIES).union(*(known.capabilities for known in self._schemas.values()))


@functools.cache
def _own_schemas() -> dict[str, PluginSchema]:
    names = [name.removeprefix(_PREFIX) for name in schema.names() if name.startswith(_PREFIX)]
    return {name: PluginSchema(name, schema.load(_PREFIX + name)) for name in names}


def catalog_of(schema_dirs: Iterable[str | PathLike[str]]) -> Catalog:
    """Return the catalog with the schemas ``<plugin type>.json`` of the directories added; the first directory wins.

    :raises InvalidParameterError: if a directory cannot be read, or a file in it is not a JSON Schema.
    """
    added: dict[str, PluginSchema] = {}
    for directory in schema_dirs:
        for plugin_type, document in _read_schemas(Path(directory)):
            added.setdefault(plugin_type, PluginSchema(plugin_type, document))
    return Catalog(added)


def _read_schemas(directory: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        paths = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError as error:
        raise InvalidParameterError("schema_dirs", str(directory), f"cannot be read: {error.strerror}") from None
    for path in paths:
        try:
            document = parse_object(read_conf(path))
            schema.Checker(document)
        except (DocumentError, ConfigError, InvalidParameterError, OSError) as error:
            raise InvalidParameterError("schema_dirs", str(path), f"is not a JSON Schema: {error}") from None
        yield path.stem, document


_BRANCHES = ("allOf", "anyOf", "oneOf")
_CONDITIONS = ("if", "then", "else")


def member_schemas(root: Mapping[str, Any], node: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the schemas of the documented members of an object, those of all branches together."""
    found: dict[str, Mapping[str, Any]] = {}
    for part in _parts(root, node):
        for key, member in object_of(part.get("properties")).items():
            found.setdefault(key, resolved(root, object_of(member)))
    return found


def _parts(root: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    node = resolved(root, node)
    yield node
    for name in _BRANCHES:
        for branch in array_of(node.get(name)):
            yield from _parts(root, object_of(branch))
    for name in _CONDITIONS:
        if name in node:
            yield from _parts(root, object_of(node[name]))


def resolved(root: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of a schema with the definition that it refers to merged in."""
    reference = node.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/$defs/"):
        return node
    target = object_of(object_of(root.get("$defs")).get(reference.removeprefix("#/$defs/")))
    return {**target, **{key: value for key, value in node.items() if key != "$ref"}}
