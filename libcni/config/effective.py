"""Effective documents, which agree with the fields of a configuration: a later DEL works from the stored document.

Owns the way from changed fields, as after :func:`dataclasses.replace`, to a document. Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.config.fields import read_network, read_plugin
from libcni.errors import ConfigError
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import dump, join_object
from libcni.jsontext.scan import DocumentError, split_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.config.fields import NetworkFields, PluginFields

__all__ = ["effective_network", "effective_plugin", "encode_plugins"]


def effective_network(fields: NetworkFields) -> bytes:
    """Return the document of a network, rebuilt if it disagrees with the other fields."""
    return fields.raw if _says_network(fields) else _document_of(fields)


def effective_plugin(fields: PluginFields) -> bytes:
    """Return the document of a plugin, rebuilt if it disagrees with the other fields."""
    return fields.raw if _says_plugin(fields) else _document_of_plugin(fields)


def encode_plugins(documents: Iterable[bytes]) -> str:
    """Return the documents of plugins as one array."""
    return "[" + ",".join([decode_text(raw).strip() for raw in documents]) + "]"


def _says_network(fields: NetworkFields) -> bool:
    """Return whether the document of a network says the same as its fields."""
    if len(fields.plugins) == 1 and fields.raw == fields.plugins[0].raw:
        plugin = fields.plugins[0]  # in the format of a single plugin
        return (fields.name, fields.cni_version) == (plugin.name, plugin.version)
    try:
        return read_network(fields.raw).is_same(fields)
    except ConfigError:
        return False


def _says_plugin(fields: PluginFields) -> bool:
    try:
        said = read_plugin(fields.raw)
    except ConfigError:
        return False
    return said._replace(raw=b"") == fields._replace(raw=b"")


def _other_members(raw: bytes) -> dict[str, str]:
    """Return the members for a rebuilt document, which keeps those that the library does not know."""
    try:
        _ = parse_object(raw)
        return {key: text for key, text in split_object(decode_text(raw)).items() if key != "cniVersions"}
    except DocumentError:
        return {}


def _document_of_plugin(fields: PluginFields) -> bytes:
    own: dict[str, object] = {"type": fields.type, "name": fields.name, "cniVersion": fields.cni_version}
    own["capabilities"] = fields.capabilities
    others = {key: text for key, text in _other_members(fields.raw).items() if key not in own}
    return join_object({**{key: dump(value) for key, value in own.items() if value}, **others}.items()).encode()


def _document_of(fields: NetworkFields) -> bytes:
    """Rebuild the document of a network."""
    members = _other_members(fields.raw)
    members = {} if "type" in members else members
    members |= {
        "cniVersion": dump(fields.cni_version),
        "name": dump(fields.name),
        "disableCheck": dump(fields.disable_check),
        "disableGC": dump(fields.disable_gc),
        "loadOnlyInlinedPlugins": dump(fields.load_only_inlined_plugins),
        "plugins": encode_plugins([plugin.raw for plugin in fields.plugins]),
    }
    return join_object(members.items()).encode()
