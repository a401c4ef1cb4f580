"""Network and plugin configurations from text, and from each other.

Nothing here touches a file. Go counterpart: ``libcni/conf.go``. Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.config.effective import encode_plugins
from libcni.config.fields import error_at, read_network, read_plugin
from libcni.config.model import NetworkConfigList, PluginConfig
from libcni.errors import ConfigError
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import dump, join_object
from libcni.jsontext.scan import DocumentError, format_path, object_spans, skip_space, split_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path as FilePath

    from libcni.config.fields import PluginFields

__all__ = [
    "append_plugins",
    "conf_list_from_conf",
    "inject_conf",
    "parse_network",
    "parse_network_or_plugin",
    "parse_plugin",
    "with_plugins",
]


def parse_network(data: bytes | str, source: FilePath | None = None) -> NetworkConfigList:
    """Decode a network configuration list.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    fields = read_network(data, source)._asdict()
    fields["plugins"] = [_plugin(plugin) for plugin in fields["plugins"]]
    return NetworkConfigList(**fields, source=source, is_effective=True)


def parse_plugin(data: bytes | str, source: FilePath | None = None) -> PluginConfig:
    """Decode the configuration of a single plugin.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    return _plugin(read_plugin(data, source))


def parse_network_or_plugin(text: str, *, default_name: str = "", source: FilePath | None = None) -> NetworkConfigList:
    """Decode a network configuration list, or the configuration of a single plugin as a network.

    :param default_name: for a configuration without a name.
    :raises ConfigError: as :func:`parse_network` and :func:`parse_plugin`, and if there is no name.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    try:
        document = parse_object(text)
    except DocumentError as error:
        place = format_path(error.path)
        raise ConfigError(error.msg, source=source, field=place, line=error.line, column=error.column) from None
    if default_name and document.get("name") in (None, ""):
        text = _named(text, default_name)
    if "plugins" in document:
        return parse_network(text, source)
    return conf_list_from_conf(parse_plugin(text, source), source)


def _named(text: str, name: str) -> str:
    """Return a document with a name, and the rest where it was: lines and columns of its mistakes stay right."""
    end = 0
    for key, _, begin, end in object_spans(text, skip_space(text, 0)):
        if key == "name":
            return text[:begin] + dump(name) + text[end:]
    separator = "," if end else ""
    return f'{text.rstrip()[:-1]}{separator}"name":{dump(name)}}}'


def _plugin(fields: PluginFields) -> PluginConfig:
    return PluginConfig(**fields._asdict(), is_effective=True)


def append_plugins(network: NetworkConfigList, dropped_in: Sequence[PluginConfig]) -> NetworkConfigList:
    """Return the network with more plugins at its end, in the list and in the document."""
    return with_plugins(network, [*network.plugins, *dropped_in]) if dropped_in else network


def with_plugins(network: NetworkConfigList, plugins: Sequence[PluginConfig]) -> NetworkConfigList:
    """Return the network with other plugins, in the list and in the document."""
    members = split_object(decode_text(network.raw))
    members["plugins"] = encode_plugins([plugin.raw for plugin in plugins])
    return NetworkConfigList(
        name=network.name,
        cni_version=network.cni_version,
        plugins=plugins,
        raw=join_object(members.items()).encode(),
        disable_check=network.disable_check,
        disable_gc=network.disable_gc,
        load_only_inlined_plugins=network.load_only_inlined_plugins,
        source=network.source,
        is_effective=True,
    )


def conf_list_from_conf(plugin_config: PluginConfig, source: FilePath | None = None) -> NetworkConfigList:
    """Return a network with that one plugin.

    :raises ConfigError: if the plugin configuration has no name.
    """
    if not plugin_config.name:
        raise error_at(decode_text(plugin_config.raw), ("name",), "is required", source=source)
    version = plugin_config.version
    text = decode_text(plugin_config.raw).strip()
    members = [("cniVersion", dump(version)), ("name", dump(plugin_config.name)), ("plugins", f"[{text}]")]
    return NetworkConfigList(
        name=plugin_config.name,
        cni_version=version,
        plugins=(plugin_config,),
        raw=join_object(members).encode(),
        source=source,
        is_effective=True,
    )


def inject_conf(plugin_config: PluginConfig, values: Mapping[str, Any]) -> PluginConfig:
    """Return a new configuration with members set; the original is untouched.

    :param values: JSON values by key; a key that is there already gets the new value.
    :raises ConfigError: if a key is empty, or a value makes the configuration invalid.
    """
    if "" in values:
        raise ConfigError("an injected key must not be empty")
    members = dict(plugin_config.members)
    try:
        members.update((key, dump(value)) for key, value in values.items())
    except DocumentError as error:
        raise ConfigError(f"injected value is {error.msg}") from None
    return parse_plugin(join_object(members.items()))
