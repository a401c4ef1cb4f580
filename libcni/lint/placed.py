"""A plugin object of a configuration: its place, what is known about its type, and how the plugin reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import array_of, is_object, object_of
from libcni.lint.described import Described, as_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from libcni.jsontext.scan import Path
    from libcni.lint.catalog import Catalog, PluginSchema
    from libcni.lint.findings import Source

__all__ = ["PlacedPlugin", "describing_ipam", "plugin_at", "plugins_of"]


@dataclass(frozen=True, slots=True)
class PlacedPlugin:
    """A plugin object and its path in the document: as it was written, and as a plugin in Go reads it."""

    source: Source
    path: Path
    written: Mapping[str, Any]
    data: Mapping[str, Any]
    known: PluginSchema | None
    ipam_known: PluginSchema | None
    given: Mapping[str, Any]
    """Members that the plugin which calls this one puts in."""
    type: str
    """The type, or ``""``."""
    ipam: Mapping[str, Any]
    """The part that belongs to the IPAM plugin."""
    ipam_type: str
    """The type of the IPAM plugin, or ``""``."""


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def plugin_at(
    source: Source, path: Path, written: Mapping[str, Any], *, catalog: Catalog, given: Mapping[str, Any] | None = None
) -> PlacedPlugin:
    """Return the plugin object at a path, with what is known about its type."""
    if given is None:
        given = source.given if path in {(), ("plugins", 0)} else {}
    named = {**given, **written}
    known = catalog.find(named.get("type"), is_ipam=False)
    data = object_of(as_read(named, () if known is None else (known.described,), as_it_is="ipam"))
    ipam_type = object_of(data.get("ipam")).get("type") or ("" if known is None else known.default_ipam)
    ipam = catalog.find(ipam_type, is_ipam=True)
    if "ipam" in data:
        data["ipam"] = as_read(data["ipam"], describing_ipam(known, ipam))
    part = object_of(data.get("ipam"))
    own_type, part_type = _text(data.get("type")), _text(part.get("type"))
    return PlacedPlugin(source, path, written, data, known, ipam, given, own_type, part, part_type)


def plugins_of(source: Source, catalog: Catalog) -> Iterator[PlacedPlugin]:
    """Yield every plugin object of a list."""
    for index, plugin in enumerate(array_of(object_of(source.document).get("plugins"))):
        if is_object(plugin):
            yield plugin_at(source, ("plugins", index), plugin, catalog=catalog)


def describing_ipam(known: PluginSchema | None, ipam: PluginSchema | None) -> tuple[Described, ...]:
    """Return what describes an IPAM configuration: the schema of the IPAM plugin, and a part of the plugin's."""
    own = () if ipam is None else (ipam.described,)
    part = None if known is None else known.described.members.get("ipam")
    # Most schemas name only the type there, and leave the rest to the IPAM plugin.
    return own if part is None or (ipam is None and not set(part.members) > {"type"}) else (*own, part)
