"""The checked fields of a configuration document, from which the classes of a configuration are built.

Go counterpart: the structs that ``NetworkConfFromBytes`` decodes into. Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.errors import ConfigError, IncompatibleConfigError, MalformedVersionError
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import canonical, join_object
from libcni.jsontext.positions import locate
from libcni.jsontext.scan import DocumentError, format_path, split_array, split_object
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.documents.field_validators import MALFORMED_VERSION
from libcni.protocol.documents.problems import first_problem
from libcni.protocol.names import network_name_problem
from libcni.protocol.versions import FIRST_VERSION, newest_supported, unsupported_message

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from libcni.jsontext.scan import JSONObject, Path
    from libcni.protocol.documents.configuration import NetworkDocument, PluginDocument

__all__ = [
    "LIST_AS_PLUGIN",
    "PLUGIN_AS_LIST",
    "NetworkFields",
    "PluginFields",
    "error_at",
    "read_network",
    "read_plugin",
]


LIST_AS_PLUGIN = "is a list of plugins, and a .conf or .json file has a single one: rename it to .conflist"
PLUGIN_AS_LIST = "is the configuration of a single plugin, and a .conflist file has a list: rename it to .conf"


class PluginFields(NamedTuple):
    """The fields of a plugin configuration, and its document as it was written."""

    type: str
    name: str
    cni_version: str
    capabilities: Mapping[str, bool]
    raw: bytes

    @property
    def version(self) -> str:
        """The version of a request for this plugin on its own: the first one when none is given."""
        return self.cni_version or FIRST_VERSION

    def is_same(self, other: PluginFields) -> bool:
        """Return whether two configurations and their documents mean the same."""
        if (self.type, self.name, self.cni_version) != (other.type, other.name, other.cni_version):
            return False
        return self.raw == other.raw or canonical(parse_object(self.raw)) == canonical(parse_object(other.raw))


class NetworkFields(NamedTuple):
    """The fields of a network configuration list, and its document."""

    name: str
    cni_version: str
    plugins: tuple[PluginFields, ...]
    disable_check: bool
    disable_gc: bool
    load_only_inlined_plugins: bool
    raw: bytes

    def is_same(self, other: NetworkFields) -> bool:
        """Return whether two networks mean the same, whatever the documents of the lists say besides."""
        mine, theirs = self._replace(plugins=(), raw=b""), other._replace(plugins=(), raw=b"")
        if mine != theirs or len(self.plugins) != len(other.plugins):
            return False
        return all(one.is_same(another) for one, another in zip(self.plugins, other.plugins, strict=True))


def read_network(data: bytes | str, source: FilePath | None = None) -> NetworkFields:
    """Read a network configuration list.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    text, document = _decode(data, source)
    if "type" in document and "plugins" not in document and document.get("loadOnlyInlinedPlugins") is None:
        raise error_at(text, ("type",), PLUGIN_AS_LIST, source=source)
    model: NetworkDocument = _validated("NetworkDocument", text, document, source=source)
    raw_plugins = split_array(split_object(text)["plugins"]) if model.plugins else []
    return NetworkFields(
        name=model.name,
        cni_version=_choose_version(text, model, source),
        plugins=tuple([_plugin(item.encode(), each) for item, each in zip(raw_plugins, model.plugins, strict=True)]),
        disable_check=model.disableCheck,
        disable_gc=model.disableGC,
        load_only_inlined_plugins=model.loadOnlyInlinedPlugins,
        raw=(_without_type(text) if "type" in document else text).encode(),
    )


def _without_type(text: str) -> str:
    """Drop ``type``, which means nothing in a list: a stored document with it is read as a single plugin's."""
    members = split_object(text)
    del members["type"]
    return join_object(members.items())


def read_plugin(data: bytes | str, source: FilePath | None = None) -> PluginFields:
    """Read the configuration of a single plugin.

    :raises ConfigError: if it is not strict JSON, or a member has a value that is not allowed.
    :raises IncompatibleVersionError: if no version that it names is supported.
    """
    text, document = _decode(data, source)
    if "type" not in document and "plugins" in document:
        raise error_at(text, ("plugins",), LIST_AS_PLUGIN, source=source)
    model: PluginDocument = _validated("PluginDocument", text, document, source=source)
    if model.name:
        problem = network_name_problem(model.name)
        if problem is not None:
            raise error_at(text, ("name",), problem, source=source)
    version = _choose_version(text, model, source) if model.cniVersion or model.cniVersions else ""
    return _plugin(text.encode(), model, version)


def _plugin(raw: bytes, model: PluginDocument, version: str | None = None) -> PluginFields:
    return PluginFields(
        type=model.type,
        name=model.name or "",
        cni_version=(model.cniVersion or "") if version is None else version,
        capabilities={name: is_used is True for name, is_used in (model.capabilities or {}).items()},
        raw=raw,
    )


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
        raise error_at(text, problem.path, problem.message, source=source, kind=kind) from None


def _choose_version(text: str, model: NetworkDocument | PluginDocument, source: FilePath | None) -> str:
    """Take the highest supported version of all that the configuration names, together."""
    named = [version for version in (model.cniVersion, *(model.cniVersions or ())) if version]
    if not named:
        return FIRST_VERSION
    chosen = newest_supported(named)
    if chosen is None:
        message = unsupported_message(named)
        path = ("cniVersion",) if model.cniVersion else ("cniVersions",)
        raise error_at(text, path, message, source=source, kind=IncompatibleConfigError)
    return chosen


def error_at(
    text: str,
    path: Path,
    message: str,
    *,
    source: FilePath | None,
    kind: type[ConfigError] = ConfigError,
) -> ConfigError:
    """Return the error for the value at a path of a document, with its line and column."""
    line, column = locate(text, path)
    return kind(message, source=source, field=format_path(path), line=line, column=column)
