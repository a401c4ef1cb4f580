"""Documents that say what the fields of a configuration say: what is stored is what a later DEL works from.

Owns the way from changed fields, as after :func:`dataclasses.replace`, to a document. Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.config import encode_plugins, parse_network, parse_plugin
from libcni.document import DocumentError, decode_text, dump, join_object, parse_object, split_object
from libcni.errors import ConfigError

if TYPE_CHECKING:
    from libcni.config import NetworkConfigList, PluginConfig

__all__ = ["effective_network", "effective_plugin"]


def effective_network(network: NetworkConfigList) -> bytes:
    """Return the document of a network, written anew when it says something else than the other fields."""
    return network.raw if _says_network(network) else _document_of(network)


def effective_plugin(plugin: PluginConfig) -> bytes:
    """Return the document of a plugin, written anew when it says something else than the other fields."""
    return plugin.raw if _says_plugin(plugin) else _document_of_plugin(plugin)


def _says_network(network: NetworkConfigList) -> bool:
    """Say whether the document of a network says the same as its fields."""
    if len(network.plugins) == 1 and network.raw == network.plugins[0].raw:
        plugin = network.plugins[0]  # in the format of a single plugin
        return (network.name, network.cni_version) == (plugin.name, plugin.version)
    try:
        return parse_network(network.raw) == network
    except ConfigError:
        return False


def _says_plugin(plugin: PluginConfig) -> bool:
    try:
        parsed = parse_plugin(plugin.raw)
    except ConfigError:
        return False
    return (parsed.capabilities, parsed.fields_in_common) == (plugin.capabilities, plugin.fields_in_common)


def _other_members(raw: bytes) -> dict[str, str]:
    """Return the members of a document that is written anew: those that only others know stay."""
    try:
        _ = parse_object(raw)
        return {key: text for key, text in split_object(decode_text(raw)).items() if key != "cniVersions"}
    except DocumentError:
        return {}


def _document_of_plugin(plugin: PluginConfig) -> bytes:
    own: dict[str, object] = {"type": plugin.type, "name": plugin.name, "cniVersion": plugin.cni_version}
    own["capabilities"] = plugin.capabilities
    others = {key: text for key, text in _other_members(plugin.raw).items() if key not in own}
    return join_object({**{key: dump(value) for key, value in own.items() if value}, **others}.items()).encode()


def _document_of(network: NetworkConfigList) -> bytes:
    """Write the document of a network anew."""
    members = _other_members(network.raw)
    members = {} if "type" in members else members
    members |= {
        "cniVersion": dump(network.cni_version),
        "name": dump(network.name),
        "disableCheck": dump(network.disable_check),
        "disableGC": dump(network.disable_gc),
        "loadOnlyInlinedPlugins": dump(network.load_only_inlined_plugins),
        "plugins": encode_plugins(network.plugins),
    }
    return join_object(members.items()).encode()
