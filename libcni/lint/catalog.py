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
from libcni.lint.described import Described
from libcni.protocol.capability_names import ARGUMENT_MODELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from os import PathLike

__all__ = ["Catalog", "PluginSchema", "catalog_of"]

_PREFIX = "plugins/"


class PluginSchema:
    """The schema of one plugin, and what its annotations say."""

    def __init__(self, name: str, document: Mapping[str, Any]) -> None:
        self.type = str(document.get("x-cni-type", name))
        self.document = document
        self.is_ipam = document.get("x-cni-kind") == "ipam"
        self.is_open = document.get("x-cni-open") is True
        """Whether the plugin has options that no document lists."""
        self.completes_ipam = document.get("x-cni-completes-ipam") is True
        """Whether the plugin itself puts ranges into the IPAM configuration."""
        self.is_chained_only = document.get("x-cni-chained-only") is True
        self.since = str(document.get("x-cni-since", ""))
        """The first version of the specification that the plugin takes, where it is not the first of all."""
        self.capabilities = frozenset(map(str, array_of(document.get("x-cni-capabilities"))))
        self.delegates: Mapping[str, Mapping[str, Any]] = object_of(document.get("x-cni-delegates"))
        """Members that are configurations of other plugins, and what the plugin itself puts into them."""
        self.default_ipam = str(document.get("x-cni-ipam-default", ""))
        """The IPAM plugin that runs when the configuration names none; ``""`` when none does."""

    @functools.cached_property
    def described(self) -> Described:
        """The documented members."""
        kind = "IPAM plugin" if self.is_ipam else "plugin"
        return Described(self.document, self.document, f"{self.type} {kind}")

    @functools.cached_property
    def checker(self) -> schema.Checker:
        """The checker of the schema."""
        return schema.Checker(self.document)


class Catalog:
    """The schemas of plugins by type; one of a user stands before the library's own of the same type."""

    def __init__(self, added: Mapping[str, PluginSchema] | None = None) -> None:
        self._schemas = {(known.type, known.is_ipam): known for known in (*_own_schemas(), *(added or {}).values())}
        self.types = sorted({plugin_type for plugin_type, _ in self._schemas})

    def find(self, plugin_type: object, *, is_ipam: bool) -> PluginSchema | None:
        """Return the schema of a plugin, or ``None`` when it is not known, or is a plugin of the other kind."""
        return self._schemas.get((plugin_type, is_ipam)) if isinstance(plugin_type, str) else None

    def any(self, plugin_type: object) -> PluginSchema | None:
        """Return the schema of a plugin of whichever kind, or ``None``."""
        return self.find(plugin_type, is_ipam=False) or self.find(plugin_type, is_ipam=True)

    @functools.cached_property
    def capabilities(self) -> frozenset[str]:
        """Every capability that the conventions or a plugin know."""
        return frozenset(ARGUMENT_MODELS).union(*(known.capabilities for known in self._schemas.values()))


@functools.cache
def _own_schemas() -> tuple[PluginSchema, ...]:
    names = [name.removeprefix(_PREFIX) for name in schema.names() if name.startswith(_PREFIX)]
    return tuple([PluginSchema(name, schema.load(_PREFIX + name)) for name in names])


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
