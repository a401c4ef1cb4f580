"""The base of the models of all documents.

Importing it builds on pydantic and costs tens of milliseconds, so ``import libcni`` does not. Source: SPEC 1.1.0.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["DNSDocument", "Document"]


class Document(BaseModel):
    """Base of all documents: exact types, no change after decoding, unknown members kept in ``model_extra``."""

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
