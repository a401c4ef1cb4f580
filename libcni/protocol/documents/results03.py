"""Results of 0.3.0, 0.3.1 and 0.4.0 as models.

Go counterpart: ``pkg/types/040``. Source: SPEC 0.4.0, "Result".
"""

from __future__ import annotations

from typing import Literal

from libcni.protocol.documents.base import DNSDocument, Document
from libcni.protocol.documents.field_types import Version03
from libcni.protocol.documents.results10 import InterfaceDocument, IPDocument, RouteDocument

__all__ = ["IPDocument03", "ResultDocument03"]


class IPDocument03(IPDocument):
    """An address of 0.3.0 to 0.4.0."""

    version: Literal["4", "6"] | None = None
    """Family of the address."""


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
