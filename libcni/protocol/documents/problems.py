"""The problems of a document that its model rejects.

Go counterpart: none. Source: SPEC 1.1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from libcni.jsontext.scan import kind_of
from libcni.protocol.documents.field_validators import NO_PLUGINS

if TYPE_CHECKING:
    from libcni.jsontext.scan import Path
    from libcni.protocol.documents.core import ValidationError

__all__ = ["Problem", "first_problem"]

_EXPECTED = {
    "string_type": "a string",
    "bool_type": "a boolean",
    "int_type": "an integer",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
}


class Problem(NamedTuple):
    """A problem that a model found: the path of the member, the message, and the kind of mistake."""

    path: Path
    message: str
    kind: str


def first_problem(error: ValidationError) -> Problem:
    """Return the first problem that a model found."""
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
