"""Results of 0.1.0 and 0.2.0 as models.

Go counterpart: ``pkg/types/020``. Source: SPEC 0.2.0, "Result".
"""

from __future__ import annotations

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import CIDR, Gateway, Version01
from libcni.protocol.documents.results10 import RouteDocument

__all__ = ["IPDocument01", "ResultDocument01"]


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
