"""Capability arguments and ``args.cni`` as models: what runtimes and plugins agreed on beside the specification.

A runtime passes the argument of a capability in ``runtimeConfig``, to the plugins that declare it. There is no one Go
counterpart: each plugin decodes its own. Source: CONVENTIONS.md, "Dynamic Plugin specific fields" and "args in network
config".
"""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel, WithJsonSchema

from libcni.protocol import addresses
from libcni.protocol.capability_names import ARGUMENT_MODELS
from libcni.protocol.documents import field_validators as values
from libcni.protocol.documents.base import Document
from libcni.protocol.documents.field_types import CIDR_PATTERN, GATEWAY_PATTERN
from libcni.protocol.documents.field_validators import END, GUID_PATTERN, PROTOCOL_PATTERN

__all__ = [
    "CAPABILITIES",
    "AliasesArgument",
    "ArgsDocument",
    "Argument",
    "BandwidthArgument",
    "CgroupPathArgument",
    "DNSArgument",
    "DeviceIDArgument",
    "IPRange",
    "IPRangesArgument",
    "IPsArgument",
    "InfinibandGUIDArgument",
    "Label",
    "MACArgument",
    "PortMapping",
    "PortMappingsArgument",
]

T = TypeVar("T")

IP_PATTERN = f"^{addresses.IP}{END}"
IP_OR_CIDR_PATTERN = f"^{addresses.IP_OR_CIDR}{END}"
MAC_PATTERN = f"^{addresses.HARDWARE_ADDRESS}{END}"
PORT_MAX = 65535
BURST_MAX = 2**35 - 8
"""Bits; the kernel counts a burst in bytes, with 32 bits."""


Address = Annotated[
    str,
    AfterValidator(values.address),
    WithJsonSchema({"type": "string", "pattern": IP_PATTERN, "format": "cni-ip"}),
]
AddressOrCIDR = Annotated[
    str,
    AfterValidator(values.address_or_cidr),
    WithJsonSchema({"type": "string", "pattern": IP_OR_CIDR_PATTERN, "format": "cni-address"}),
]
Subnet = Annotated[
    str,
    AfterValidator(values.subnet),
    WithJsonSchema({"type": "string", "pattern": CIDR_PATTERN, "format": "cni-subnet"}),
]
MAC = Annotated[
    str,
    AfterValidator(values.hardware_address),
    WithJsonSchema({"type": "string", "pattern": MAC_PATTERN, "format": "cni-hardware-address"}),
]
GUID = Annotated[
    str,
    AfterValidator(values.guid),
    WithJsonSchema({"type": "string", "pattern": GUID_PATTERN}),
]
TransportProtocol = Annotated[
    str,
    AfterValidator(values.transport_protocol),
    WithJsonSchema({"type": "string", "pattern": PROTOCOL_PATTERN}),
]
NonEmpty = Annotated[str, Field(min_length=1)]
HostAddress = Annotated[
    str,
    AfterValidator(values.host_address),
    WithJsonSchema({"type": "string", "pattern": GATEWAY_PATTERN, "format": "cni-gateway"}),
]


class Argument(RootModel[T]):
    """Base of all capability arguments: exact types, and no change after decoding."""

    model_config = ConfigDict(strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


class PortMapping(Document):
    """One port of the host, and the port of the container that it leads to."""

    hostPort: Annotated[int, Field(ge=0, le=PORT_MAX)]  # noqa: N815 -- the member's name on the wire
    """Port on the host; 0 leaves the mapping out."""
    containerPort: Annotated[int, Field(ge=1, le=PORT_MAX)]  # noqa: N815 -- the member's name on the wire
    """Port in the container."""
    protocol: TransportProtocol | None = None
    """Transport protocol: tcp, udp or sctp."""
    hostIP: HostAddress | None = None  # noqa: N815 -- the member's name on the wire
    """Address of the host to listen on; absent or empty: all of them."""


class PortMappingsArgument(Argument[list[PortMapping]]):
    """Ports of the host that lead to ports of the container (CONVENTIONS.md, capability ``portMappings``)."""


class IPRange(Document):
    """A block of addresses and the part of it to give out, as ``ranges`` of host-local has it."""

    subnet: Subnet
    """Block to allocate from."""
    rangeStart: Address | None = None  # noqa: N815 -- the member's name on the wire
    """First address to give out."""
    rangeEnd: Address | None = None  # noqa: N815 -- the member's name on the wire
    """Last address to give out."""
    gateway: Address | None = None
    """Gateway of the block."""


class IPRangesArgument(Argument[list[list[IPRange]]]):
    """Address pools: one address is taken from each inner list (CONVENTIONS.md, capability ``ipRanges``)."""


class BandwidthArgument(Document):
    """Limits of the traffic (CONVENTIONS.md, capability ``bandwidth``)."""

    ingressRate: Annotated[int, Field(ge=0)] | None = None  # noqa: N815 -- the member's name on the wire
    """Rate into the container, in bits per second; 0 for no limit."""
    ingressBurst: Annotated[int, Field(ge=0, le=BURST_MAX)] | None = None  # noqa: N815 -- the member's name on the wire
    """Burst into the container, in bits."""
    egressRate: Annotated[int, Field(ge=0)] | None = None  # noqa: N815 -- the member's name on the wire
    """Rate out of the container, in bits per second; 0 for no limit."""
    egressBurst: Annotated[int, Field(ge=0, le=BURST_MAX)] | None = None  # noqa: N815 -- the member's name on the wire
    """Burst out of the container, in bits."""


class DNSArgument(Document):
    """Name resolution that the runtime chose (CONVENTIONS.md, capability ``dns``)."""

    servers: list[str] | None = None
    """Addresses of name servers."""
    searches: list[str] | None = None
    """Search domains."""
    options: list[str] | None = None
    """Options for the resolver."""


class IPsArgument(Argument[list[AddressOrCIDR]]):
    """Addresses to assign, with or without a prefix length (CONVENTIONS.md, capability ``ips``)."""


class MACArgument(Argument[MAC]):
    """Hardware address for the interface: six octets, or twenty of IP over InfiniBand (CONVENTIONS.md, ``mac``)."""


class InfinibandGUIDArgument(Argument[GUID]):
    """InfiniBand GUID of eight octets for the interface (CONVENTIONS.md, capability ``infinibandGUID``)."""


class DeviceIDArgument(Argument[NonEmpty]):
    """Identifier of a device, such as its PCI address (CONVENTIONS.md, capability ``deviceID``)."""


class AliasesArgument(Argument[list[NonEmpty]]):
    """Names that lead to the addresses of the interface (CONVENTIONS.md, capability ``aliases``)."""


class CgroupPathArgument(Argument[NonEmpty]):
    """Control group of the pod or container (CONVENTIONS.md, capability ``cgroupPath``)."""


class Label(Document):
    """A label of the container."""

    key: str
    """Name of the label."""
    value: str
    """Value of the label."""


class ArgsDocument(Document):
    """Arguments below ``args.cni``, which plugins may ignore (CONVENTIONS.md, "args in network config")."""

    labels: list[Label] | None = None
    """Labels of the container."""
    ips: list[AddressOrCIDR] | None = None
    """Addresses that the runtime asks for."""


CAPABILITIES: dict[str, type[BaseModel]] = {name: globals()[model] for name, model in ARGUMENT_MODELS.items()}
"""The model of each well-known capability's argument."""
