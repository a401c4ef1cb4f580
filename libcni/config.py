"""Network configurations: parse them, choose the version, and build the request that goes to a plugin.

A configuration keeps the text it was read from. A request is put together from the members of that text, so that a
number or a member that only the plugin knows arrives exactly as it was written. Nothing here touches a file. Go
counterpart: ``libcni/conf.go`` and the request part of ``libcni/api.go``. Source: SPEC 1.1.0, section 1, and section 3,
"Deriving request configuration from plugin configuration".
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic_core import ValidationError

from libcni.document import (
    DocumentError,
    canonical,
    decode_text,
    dump,
    format_path,
    join_object,
    parse_object,
    split_array,
    split_object,
)
from libcni.errors import ConfigError, IncompatibleConfigError, MalformedVersionError
from libcni.frozen import freeze
from libcni.identifiers import network_name_problem
from libcni.positions import locate
from libcni.protocol.problems import first_problem
from libcni.protocol.validation import validated
from libcni.values import MALFORMED_VERSION
from libcni.versions import FIRST_VERSION, SUPPORTED_VERSIONS, newest_supported

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path as FilePath

    from libcni.attachment import GCAttachment
    from libcni.document import JSONObject, Path
    from libcni.protocol.configuration import NetworkDocument, PluginDocument

__all__ = [
    "NetworkConfigList",
    "PluginConfig",
    "PluginConfigs",
    "append_plugins",
    "conf_list_from_conf",
    "encode_plugins",
    "inject_conf",
    "parse_network",
    "parse_plugin",
]

RESERVED_PREFIX = "cni.dev/"
"""Keys that begin so are the runtime's (SPEC 1.1.0, section 1, "Reserved keys")."""

_VALID_ATTACHMENTS = ("cni.dev/valid-attachments", "cni.dev/attachments")
"""Where GC finds what to keep; the second is what an earlier text of the specification said, and plugins read."""

_RUNTIME_CONFIG = "runtimeConfig"

_OWNED_BY_RUNTIME = frozenset({"name", "cniVersion", "capabilities", "prevResult"})


@dataclass(frozen=True)
class PluginConfig:
    """Configuration of one plugin.

    ``name`` and ``cni_version`` are ``""`` when absent. ``raw`` is the JSON document as it was written, ``data`` the
    decoded object. Two of them are equal when their documents mean the same.

    :param is_effective: ``raw`` is known to say the same as the other fields; else it is brought in line with them.
    """

    type: str
    raw: bytes = field(repr=False, compare=False)
    name: str = ""
    cni_version: str = ""
    capabilities: Mapping[str, bool] = field(default_factory=dict[str, bool])
    is_effective: InitVar[bool] = field(default=False, kw_only=True)

    def __post_init__(self, is_effective: bool) -> None:
        object.__setattr__(self, "capabilities", freeze(dict(self.capabilities)))
        if not is_effective:
            from libcni.effective import effective_plugin  # noqa: PLC0415 -- built on this module, and rarely wanted

            object.__setattr__(self, "raw", effective_plugin(self))

    @cached_property
    def data(self) -> Mapping[str, Any]:
        """The whole decoded object, unknown keys included; immutable."""
        frozen: Mapping[str, Any] = freeze(parse_object(self.raw))
        return frozen

    @cached_property
    def members(self) -> Mapping[str, str]:
        """The members of the document, each value as it was written."""
        return split_object(decode_text(self.raw))

    @cached_property
    def _canonical(self) -> str:
        """The document in one form: to Python ``1``, ``1.0`` and ``true`` are equal, to a plugin they are not."""
        return canonical(parse_object(self.raw))

    @cached_property
    def _passed_on(self) -> tuple[tuple[str, str], ...]:
        """The members that a request takes over unchanged."""
        members = self.members.items()
        return tuple((k, v) for k, v in members if k not in _OWNED_BY_RUNTIME and not k.startswith(RESERVED_PREFIX))

    @cached_property
    def _starts(self) -> dict[tuple[str, str, bool], str]:
        """Requests up to what is inserted; a plugin is called with the same name and version again and again."""
        return {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PluginConfig):
            return NotImplemented
        if self.fields_in_common != other.fields_in_common:
            return False
        return self.raw == other.raw or self._canonical == other._canonical

    def __hash__(self) -> int:
        return hash(self.fields_in_common)

    @property
    def fields_in_common(self) -> tuple[str, str, str]:
        """What two equal configurations have in common beside their documents."""
        return self.type, self.name, self.cni_version

    @property
    def version(self) -> str:
        """The version of a request for this plugin on its own: the first one when none is given."""
        return self.cni_version or FIRST_VERSION

    @property
    def used_capabilities(self) -> frozenset[str]:
        """The capabilities that the runtime may use."""
        return frozenset(name for name, is_used in self.capabilities.items() if is_used)

    def request(self, name: str, version: str, **inserted: str) -> bytes:
        """Build the document for the plugin's stdin (SPEC 1.1.0, section 3).

        :param name: of the network.
        :param version: of the specification, for the whole list.
        :param inserted: encoded values of ``prevResult`` and ``runtimeConfig``, where there are any.
        """
        return self._request(name, version, inserted)

    def gc_request(self, name: str, version: str, keep: Iterable[GCAttachment]) -> bytes:
        """Build the document for a GC, which lists the attachments to keep."""
        entries = dump([{"containerID": item.container_id, "ifname": item.ifname} for item in keep])
        return self._request(name, version, dict.fromkeys(_VALID_ATTACHMENTS, entries))

    def _request(self, name: str, version: str, inserted: Mapping[str, str]) -> bytes:
        key = name, version, _RUNTIME_CONFIG in inserted
        start = self._starts.get(key)
        if start is None:
            members = [("cniVersion", dump(version)), ("name", dump(name))]
            members += [member for member in self._passed_on if member[0] not in inserted]
            start = self._starts[key] = join_object(members)[:-1]
        return "".join([start, *[f",{dump(member)}:{text}" for member, text in inserted.items()], "}"]).encode()

    def runtime_config(self, capability_args: Mapping[str, Any]) -> dict[str, str]:
        """Return the ``runtimeConfig`` member with the arguments that this plugin declares; empty without any."""
        if not capability_args:
            return {}
        wanted = self.used_capabilities
        values = {key: value for key, value in capability_args.items() if key in wanted}
        return {_RUNTIME_CONFIG: dump(values)} if values else {}


@dataclass(frozen=True)
class NetworkConfigList:
    """A network: a named list of plugins.

    ``cni_version`` is the version that was chosen. ``raw`` is the effective JSON document, drop-in plugins included: it
    is what a later DEL works from, so one that says something else than the other fields, as after
    :func:`dataclasses.replace`, is brought in line with them. ``source`` is the file it came from, which does not count
    in a comparison.

    :param is_effective: ``raw`` is known to say the same as the other fields.
    """

    name: str
    cni_version: str
    plugins: Sequence[PluginConfig]
    raw: bytes = field(repr=False, compare=False)
    disable_check: bool = False
    disable_gc: bool = False
    load_only_inlined_plugins: bool = False
    source: FilePath | None = field(default=None, compare=False)
    is_effective: InitVar[bool] = field(default=False, kw_only=True)

    def __post_init__(self, is_effective: bool) -> None:
        object.__setattr__(self, "plugins", tuple(self.plugins))
        if not is_effective:
            from libcni.effective import effective_network  # noqa: PLC0415 -- built on this module, and rarely wanted

            object.__setattr__(self, "raw", effective_network(self))


def encode_plugins(plugins: Iterable[PluginConfig]) -> str:
    """Return the documents of plugins as one array."""
    return "[" + ",".join([decode_text(plugin.raw).strip() for plugin in plugins]) + "]"


PluginConfigs = tuple[PluginConfig, ...]


def parse_network(data: bytes | str, source: FilePath | None = None) -> NetworkConfigList:
    """Decode a network configuration list.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    text, document = _decode(data, source)
    model: NetworkDocument = _validated("NetworkDocument", text, document, source=source)
    raw_plugins = split_array(split_object(text)["plugins"]) if model.plugins else []
    return NetworkConfigList(
        name=model.name,
        cni_version=_choose_version(text, model, source),
        plugins=[_plugin(item.encode(), plugin) for item, plugin in zip(raw_plugins, model.plugins, strict=True)],
        raw=(_without_type(text) if "type" in document else text).encode(),
        disable_check=model.disableCheck,
        disable_gc=model.disableGC,
        load_only_inlined_plugins=model.loadOnlyInlinedPlugins,
        source=source,
        is_effective=True,
    )


def _without_type(text: str) -> str:
    """Leave out a member that says nothing in a list: a stored document that has it is taken for that of one plugin."""
    members = split_object(text)
    del members["type"]
    return join_object(members.items())


def parse_plugin(data: bytes | str, source: FilePath | None = None) -> PluginConfig:
    """Decode the configuration of a single plugin.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    text, document = _decode(data, source)
    if "type" not in document and "plugins" in document:
        raise _error_at(
            text, ("plugins",), "is a list of plugins, where the configuration of one is expected", source=source
        )
    model: PluginDocument = _validated("PluginDocument", text, document, source=source)
    if model.name:
        problem = network_name_problem(model.name)
        if problem is not None:
            raise _error_at(text, ("name",), problem, source=source)
    version = _choose_version(text, model, source) if model.cniVersion or model.cniVersions else ""
    return _plugin(text.encode(), model, version)


def _plugin(raw: bytes, model: PluginDocument, version: str | None = None) -> PluginConfig:
    return PluginConfig(
        is_effective=True,
        type=model.type,
        raw=raw,
        name=model.name or "",
        cni_version=(model.cniVersion or "") if version is None else version,
        capabilities=model.capabilities or {},
    )


def append_plugins(network: NetworkConfigList, dropped_in: Sequence[PluginConfig]) -> NetworkConfigList:
    """Return the network with more plugins at its end, in the list and in the document."""
    if not dropped_in:
        return network
    plugins = [*network.plugins, *dropped_in]
    members = split_object(decode_text(network.raw))
    members["plugins"] = encode_plugins(plugins)
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
        raise _error_at(decode_text(plugin_config.raw), ("name",), "is required", source=source)
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


def _decode(data: bytes | str, source: FilePath | None) -> tuple[str, JSONObject]:
    try:
        text = decode_text(data)
        return text, parse_object(text)
    except DocumentError as error:
        field_path = format_path(error.path)
        raise ConfigError(error.msg, source=source, field=field_path, line=error.line, column=error.column) from None


def _validated(model: str, text: str, document: JSONObject, *, source: FilePath | None) -> Any:  # noqa: ANN401 -- the model
    try:
        return validated(model, document)
    except ValidationError as error:
        problem = first_problem(error)
        kind = MalformedVersionError if problem.kind == MALFORMED_VERSION else ConfigError
        raise _error_at(text, problem.path, problem.message, source=source, kind=kind) from None


def _choose_version(text: str, model: NetworkDocument | PluginDocument, source: FilePath | None) -> str:
    """Take the highest supported version of all that the configuration names, together."""
    named = [version for version in (model.cniVersion, *(model.cniVersions or ())) if version]
    if not named:
        return FIRST_VERSION
    chosen = newest_supported(named)
    if chosen is None:
        known = ", ".join(SUPPORTED_VERSIONS)
        message = f"no version of {', '.join(named)} is supported (known: {known})"
        path = ("cniVersion",) if model.cniVersion else ("cniVersions",)
        raise _error_at(text, path, message, source=source, kind=IncompatibleConfigError)
    return chosen


def _error_at(
    text: str,
    path: Path,
    message: str,
    *,
    source: FilePath | None,
    kind: type[ConfigError] = ConfigError,
) -> ConfigError:
    line, column = locate(text, path)
    return kind(message, source=source, field=format_path(path), line=line, column=column)
