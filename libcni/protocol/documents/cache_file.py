"""The file of a stored attachment as a model.

Go counterpart: ``cachedInfo`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from libcni.protocol.cache_keys import CacheKind
from libcni.protocol.documents.base import Document
from libcni.protocol.documents.field_types import Base64

__all__ = ["CacheDocument"]


class CacheDocument(Document):
    """A file of ``<cache_dir>/results``, as Go libcni writes it too (SPEC 1.1.0, section 3, asks for one)."""

    kind: CacheKind
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
