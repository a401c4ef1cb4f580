"""Results of 1.1.0 as models.

Go counterpart: ``pkg/types/100``. Source: SPEC 1.1.0, section 5, "Success".
"""

from __future__ import annotations

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import UInt32, Version11
from libcni.protocol.documents.results10 import InterfaceDocument, IPDocument, RouteDocument

__all__ = ["InterfaceDocument11", "ResultDocument11", "RouteDocument11"]


class InterfaceDocument11(InterfaceDocument):
    """An interface of 1.1.0."""

    mtu: UInt32 | None = None
    """MTU in bytes."""
    socketPath: str | None = None  # noqa: N815 -- the member's name on the wire
    """Absolute path of a socket of this interface."""
    pciID: str | None = None  # noqa: N815 -- the member's name on the wire
    """Platform identifier of the PCI device behind this interface."""


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
