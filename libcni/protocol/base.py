"""What the models of all documents share, and what they say about a document that they reject.

Importing it builds on pydantic and costs tens of milliseconds, so ``import libcni`` does not. Source: SPEC 1.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ConfigDict

from libcni.document import kind_of

if TYPE_CHECKING:
    from pydantic import ValidationError

    from libcni.document import Path

__all__ = ["NO_PLUGINS", "DNSDocument", "Document", "Problem", "first_problem"]


NO_PLUGINS = "no_plugins"
"""The kind of mistake of a list that needs plugins and has none."""

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
}


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
    return Problem(("plugins",) if kind == NO_PLUGINS else path, message, kind)
