"""The documents of the protocol as models: one definition for validation and for the published JSON Schemas.

Owns what a valid configuration, result, error, version information and cache file look like on the wire, for every
version of the specification. Unknown members are allowed everywhere, as the specification has it. Importing this module
builds on pydantic and costs tens of milliseconds, so ``import libcni`` does not. Go counterpart: the structs of
``pkg/types``. Source: SPEC 1.1.0, sections 1 and 5, and the same of the older versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from libcni.document import kind_of
from libcni.scalars import (
    CIDR,
    TRUE_PATTERN,
    Base64,
    Gateway,
    Name,
    PluginType,
    Switch,
    UInt32,
    Version,
    Version01,
    Version03,
    Version10,
    Version11,
)

if TYPE_CHECKING:
    from libcni.document import Path

__all__ = [
    "CacheDocument",
    "DNSDocument",
    "Document",
    "ErrorDocument",
    "IPAMDocument",
    "IPDocument",
    "IPDocument01",
    "IPDocument03",
    "InterfaceDocument",
    "InterfaceDocument11",
    "ListResultDocument",
    "NetworkDocument",
    "PluginDocument",
    "Problem",
    "ResultDocument01",
    "ResultDocument03",
    "ResultDocument10",
    "ResultDocument11",
    "RouteDocument",
    "RouteDocument11",
    "VersionDocument",
    "first_problem",
]

CACHE_KIND = "cniCacheV1"


class Document(BaseModel):
    """What all documents share: exact types, no change after decoding, unknown members kept in ``model_extra``."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="allow",
        defer_build=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


class DNSDocument(Document):
    """Name resolution settings (SPEC 1.1.0, section 5, ``dns``)."""

    nameservers: list[str] | None = None
    """Addresses of name servers, in order of preference."""
    domain: str | None = None
    """The local domain for short host names."""
    search: list[str] | None = None
    """Search domains, in order of preference."""
    options: list[str] | None = None
    """Options for the resolver."""


class RouteDocument(Document):
    """A route, as all versions before 1.1.0 know it."""

    dst: CIDR
    """Destination in CIDR notation."""
    gw: Gateway = None
    """Address of the next hop; absent: the gateway of the network."""


class RouteDocument11(RouteDocument):
    """A route of 1.1.0."""

    mtu: UInt32 | None = None
    """Path MTU in bytes."""
    advmss: UInt32 | None = None
    """Maximal segment size to advertise, in bytes."""
    priority: UInt32 | None = None
    """Metric; lower is preferred."""
    table: UInt32 | None = None
    """Routing table."""
    scope: UInt32 | None = None
    """Scope of the destinations: 0 global, 253 link, 254 host."""


class InterfaceDocument(Document):
    """An interface, as the versions before 1.1.0 know it."""

    name: str
    """Name of the interface."""
    mac: str | None = None
    """Hardware address."""
    sandbox: str | None = None
    """Path of the network namespace, or hypervisor identifier; absent or empty on the host."""


class InterfaceDocument11(InterfaceDocument):
    """An interface of 1.1.0."""

    mtu: UInt32 | None = None
    """MTU in bytes."""
    socketPath: str | None = None  # noqa: N815 -- the member's name on the wire
    """Absolute path of a socket of this interface."""
    pciID: str | None = None  # noqa: N815 -- the member's name on the wire
    """Platform identifier of the PCI device behind this interface."""


class IPDocument(Document):
    """An address of 1.0.0 and later."""

    address: CIDR
    """Address with prefix length, in CIDR notation."""
    gateway: Gateway = None
    """Default gateway of the subnet, if there is one."""
    interface: UInt32 | None = None
    """Index into ``interfaces`` of the interface that has the address."""


class IPDocument03(IPDocument):
    """An address of 0.3.0 to 0.4.0."""

    version: Literal["4", "6"] | None = None
    """Family of the address."""


class IPDocument01(Document):
    """The addresses of one family in 0.1.0 and 0.2.0."""

    ip: CIDR
    """Address with prefix length, in CIDR notation."""
    gateway: Gateway = None
    """Default gateway of the subnet, if there is one."""
    routes: list[RouteDocument] | None = None
    """Routes of this family."""


class ResultDocument01(Document):
    """Result of ADD in versions 0.1.0 and 0.2.0 (SPEC 0.2.0, "Result")."""

    cniVersion: Version01 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    ip4: IPDocument01 | None = None
    """IPv4 address, gateway and routes."""
    ip6: IPDocument01 | None = None
    """IPv6 address, gateway and routes."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


class ResultDocument03(Document):
    """Result of ADD in versions 0.3.0, 0.3.1 and 0.4.0; also ``prevResult`` (SPEC 0.4.0, "Result")."""

    cniVersion: Version03 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: list[InterfaceDocument] | None = None
    """Every interface that the attachment has, in the container and on the host."""
    ips: list[IPDocument03] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument] | None = None
    """Every route that was made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


class ResultDocument10(Document):
    """Result of ADD in version 1.0.0; also ``prevResult`` (SPEC 1.0.0, section 5, "Success")."""

    cniVersion: Version10 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: list[InterfaceDocument] | None = None
    """Every interface that the attachment has, in the container and on the host."""
    ips: list[IPDocument] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument] | None = None
    """Every route that was made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


class ResultDocument11(Document):
    """Result of ADD in version 1.1.0; also ``prevResult`` (SPEC 1.1.0, section 5, "Success")."""

    cniVersion: Version11 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: list[InterfaceDocument11] | None = None
    """Every interface that the attachment has, in the container and on the host."""
    ips: list[IPDocument] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument11] | None = None
    """Every route that was made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


ListResultDocument: TypeAlias = ResultDocument03 | ResultDocument10 | ResultDocument11


class ErrorDocument(Document):
    """What a plugin prints when it fails (SPEC 1.1.0, section 5, "Error")."""

    cniVersion: Version | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    code: UInt32
    """Error code: 1 to 99 are the specification's, 100 and above the plugin's."""
    msg: str
    """Short description."""
    details: str | None = None
    """Longer description."""


class VersionDocument(Document):
    """Answer to VERSION (SPEC 1.1.0, section 5, "Version")."""

    cniVersion: Version  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    supportedVersions: list[Version] | None = None  # noqa: N815 -- the member's name on the wire
    """Versions of the specification that the plugin supports."""


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
    capabilities: dict[str, bool] | None = None
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


class NetworkDocument(Document):
    """Network configuration list (SPEC 1.1.0, section 1, "Configuration format")."""

    model_config = ConfigDict(json_schema_extra=_require_plugins)

    cniVersion: Version | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the configuration follows."""
    cniVersions: list[Version] | None = None  # noqa: N815 -- the member's name on the wire
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
        if self.loadOnlyInlinedPlugins and not self.plugins:
            raise PydanticCustomError(_NO_PLUGINS, "loadOnlyInlinedPlugins needs inlined plugins, and there are none")
        return self


class CacheDocument(Document):
    """A file of ``<cache_dir>/results``, as Go libcni writes it too (SPEC 1.1.0, section 3, asks for one)."""

    kind: Literal["cniCacheV1"]
    """Format of the file."""
    containerId: str  # noqa: N815 -- the member's name on the wire
    """Container id of the ADD."""
    config: Base64
    """Effective configuration of the ADD."""
    ifName: str  # noqa: N815 -- the member's name on the wire
    """Interface name of the ADD."""
    networkName: str  # noqa: N815 -- the member's name on the wire
    """Name of the network."""
    netns: str | None = None
    """Path of the network namespace."""
    cniArgs: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = None  # noqa: N815 -- the member's name on the wire
    """Pairs of ``CNI_ARGS``."""
    capabilityArgs: dict[str, Any] | None = None  # noqa: N815 -- the member's name on the wire
    """Capability arguments of the ADD."""
    result: dict[str, Any] | None = None
    """Result of the ADD."""


_NO_PLUGINS = "no_plugins"

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
}


class Problem(NamedTuple):
    """What a model rejected: the path of the member, what is wrong with it, and the kind of mistake."""

    path: Path
    message: str
    kind: str


def first_problem(error: ValidationError) -> Problem:
    """Return the first thing that a model rejected."""
    found = error.errors(include_url=False, include_context=False)[0]
    kind, path = found["type"], tuple(found["loc"])
    if kind in _EXPECTED:
        message = f"expected {_EXPECTED[kind]}, found {kind_of(found['input'])}"
    elif kind == "missing":
        message = "is required"
    elif kind == "too_short" and not found["input"]:
        message = "must not be empty"
    else:
        message = found["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    # What concerns a whole document has no path of its own.
    return Problem(("plugins",) if kind == _NO_PLUGINS else path, message, kind)
