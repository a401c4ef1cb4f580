"""Configurations of networks and plugins as models.

Go counterpart: ``pkg/types`` (``NetConf``, ``NetConfList``). Source: SPEC 1.1.0, section 1.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, model_validator

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import TRUE_PATTERN, Name, PluginType, Switch, Version
from libcni.protocol.documents.field_validators import inlined_plugins

__all__ = ["IPAMDocument", "NetworkDocument", "PluginDocument"]


class IPAMDocument(Document):
    """Address management section of a plugin configuration; all but ``type`` belongs to the IPAM plugin."""

    type: str | None = None
    """File name of the IPAM plugin."""


class PluginDocument(Document):
    """Configuration of one plugin (SPEC 1.1.0, section 1, "Plugin configuration objects")."""

    cniVersion: Version | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification; in a list, the list's counts."""
    cniVersions: list[Version] | None = None  # noqa: N815 -- the member's name on the wire
    """Versions of the specification that the configuration fits."""
    name: str | None = None
    """Network name; in a list, the list's counts."""
    type: PluginType
    """File name of the plugin."""
    capabilities: dict[str, bool | None] | None = None
    """Capabilities of the plugin that the runtime may use."""
    args: dict[str, Any] | None = None
    """Optional arguments, which plugins may ignore."""
    ipam: IPAMDocument | None = None
    """Address management, for plugins that delegate it."""
    dns: DNSDocument | None = None
    """Name resolution settings of the network."""


def _require_plugins(schema: dict[str, Any]) -> None:
    """State in the schema that ``loadOnlyInlinedPlugins`` needs ``plugins``."""
    inlined_only = {"anyOf": [{"const": True}, {"type": "string", "pattern": TRUE_PATTERN}]}
    schema["if"] = {"properties": {"loadOnlyInlinedPlugins": inlined_only}, "required": ["loadOnlyInlinedPlugins"]}
    schema["then"] = {"required": ["plugins"]}


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out the value that stands for absent: Go refuses ``null`` here, so that is none."""
    schema.pop("default")


class NetworkDocument(Document):
    """Network configuration list (SPEC 1.1.0, section 1, "Configuration format")."""

    model_config = ConfigDict(json_schema_extra=_require_plugins)

    cniVersion: Version = Field(default="", json_schema_extra=_without_default)  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the configuration follows."""
    cniVersions: list[Version] = Field(default=[], json_schema_extra=_without_default)  # noqa: N815 -- the member's name on the wire
    """Versions of the specification that the configuration fits; the runtime takes the highest it supports."""
    name: Name
    """Network name, unique on the host."""
    disableCheck: Switch = False  # noqa: N815 -- the member's name on the wire
    """Whether CHECK must not be called."""
    disableGC: Switch = False  # noqa: N815 -- the member's name on the wire
    """Whether GC must not be called."""
    loadOnlyInlinedPlugins: Switch = False  # noqa: N815 -- the member's name on the wire
    """Whether plugins are taken from ``plugins`` only, and none from the network's directory."""
    plugins: Annotated[list[PluginDocument], Field(min_length=1)] = Field(default=[])
    """Plugins in the order of ADD."""

    @model_validator(mode="after")
    def _inlined_plugins_are_there(self) -> Self:
        return inlined_plugins(self)
