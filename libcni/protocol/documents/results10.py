"""Results of 1.0.0 as models, and what the other formats take over from them.

Go counterpart: ``pkg/types/100``. Source: SPEC 1.0.0, section 5, "Success".
"""

from __future__ import annotations

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import CIDR, Gateway, UInt32, Version10

__all__ = ["IPDocument", "InterfaceDocument", "ResultDocument10", "RouteDocument"]


class InterfaceDocument(Document):
    """An interface, as the versions before 1.1.0 know it."""

    name: str
    """Name of the interface."""
    mac: str | None = None
    """Hardware address."""
    sandbox: str | None = None
    """Path of the network namespace, or hypervisor identifier; absent or empty on the host."""


class RouteDocument(Document):
    """A route, as all versions before 1.1.0 know it."""

    dst: CIDR
    """Destination in CIDR notation."""
    gw: Gateway = None
    """Address of the next hop; absent: the gateway of the network."""


class IPDocument(Document):
    """An address of 1.0.0 and later."""

    address: CIDR
    """Address with prefix length, in CIDR notation."""
    gateway: Gateway = None
    """Default gateway of the subnet, if there is one."""
    interface: UInt32 | None = None
    """Index into ``interfaces`` of the interface that has the address."""


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
