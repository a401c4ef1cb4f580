"""The abbreviated results of IPAM plugins, which know of no interface, as models.

Go counterpart: none of its own; IPAM plugins print an ordinary result. Source: SPEC 1.1.0, section 5, "Delegated
plugins (IPAM)".
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import CIDR, Gateway, Version03, Version10, Version11
from libcni.protocol.documents.results01 import ResultDocument01
from libcni.protocol.documents.results10 import RouteDocument
from libcni.protocol.documents.results11 import RouteDocument11

__all__ = [
    "IPAMIPDocument",
    "IPAMIPDocument03",
    "IPAMResultDocument01",
    "IPAMResultDocument03",
    "IPAMResultDocument10",
    "IPAMResultDocument11",
]

NoInterfaces = Annotated[list[Any], Field(max_length=0)] | None


class IPAMIPDocument(Document):
    """An address of 1.0.0 and later as an IPAM plugin gives it: of no interface yet."""

    address: CIDR
    """Address with prefix length, in CIDR notation."""
    gateway: Gateway = None
    """Default gateway of the subnet, if there is one."""
    interface: None = None
    """Left out: the plugin that called knows the interface."""


class IPAMIPDocument03(IPAMIPDocument):
    """An address of 0.3.0 to 0.4.0 as an IPAM plugin gives it: of no interface yet."""

    version: Literal["4", "6"] | None = None
    """Family of the address."""


class IPAMResultDocument01(ResultDocument01):
    """Result of an IPAM plugin in versions 0.1.0 and 0.2.0; the same as of any plugin (SPEC 0.2.0, "IP Allocation")."""


class IPAMResultDocument03(Document):
    """Abbreviated result of an IPAM plugin in versions 0.3.0, 0.3.1 and 0.4.0 (SPEC 0.4.0, "IP Allocation")."""

    cniVersion: Version03 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: NoInterfaces = None
    """Left out: the plugin that called fills it in."""
    ips: list[IPAMIPDocument03] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument] | None = None
    """Every route that is to be made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


class IPAMResultDocument10(Document):
    """Abbreviated result of an IPAM plugin in version 1.0.0 (SPEC 1.0.0, section 5, "Delegated plugins (IPAM)")."""

    cniVersion: Version10 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: NoInterfaces = None
    """Left out: the plugin that called fills it in."""
    ips: list[IPAMIPDocument] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument] | None = None
    """Every route that is to be made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""


class IPAMResultDocument11(Document):
    """Abbreviated result of an IPAM plugin in version 1.1.0 (SPEC 1.1.0, section 5, "Delegated plugins (IPAM)")."""

    cniVersion: Version11 | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    interfaces: NoInterfaces = None
    """Left out: the plugin that called fills it in."""
    ips: list[IPAMIPDocument] | None = None
    """Every address that was assigned."""
    routes: list[RouteDocument11] | None = None
    """Every route that is to be made."""
    dns: DNSDocument | None = None
    """Name resolution settings."""
