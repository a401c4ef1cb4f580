"""Diagnosis of a text that is not a strict JSON document: the mistake and its position.

Owns the slow walk through a text that :func:`libcni.jsontext.decode.parse` did not take. Source: RFC 8259.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from libcni.jsontext.scan import DocumentError, error_at, scan, scan_string, skip_space

if TYPE_CHECKING:
    from libcni.jsontext.scan import Path

__all__ = ["diagnose"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


def diagnose(text: str, error: Exception) -> DocumentError:
    """Return the error for ``text``, on which the C scanner gave up: the position and the reason."""
    if isinstance(error, json.JSONDecodeError):
        return _syntax_error(text, error)
    if isinstance(error, StopIteration):
        return error_at(text, error.value, "invalid JSON: expected a value")
    try:
        _walk(text, skip_space(text, 0), ())
    except DocumentError as found:
        return found
    return DocumentError(f"invalid JSON: {error}")


def _syntax_error(text: str, error: json.JSONDecodeError) -> DocumentError:
    # Python 3.13 and later point at a trailing comma, those before at what follows it, where there should be a value.
    if not error.msg.startswith("Illegal trailing comma"):
        return DocumentError(f"invalid JSON: {error.msg}", line=error.lineno, column=error.colno)
    offset = skip_space(text, error.pos + 1)
    is_object = text[offset : offset + 1] == "}"
    expected = "Expecting property name enclosed in double quotes" if is_object else "expected a value"
    return error_at(text, offset, f"invalid JSON: {expected}")


def _walk(text: str, position: int, path: Path) -> int:
    """Find the duplicate key or forbidden number in a text, and return the end of the value at ``position``."""
    if text[position] == "{":
        return _walk_object(text, position, path)
    if text[position] == "[":
        return _walk_array(text, position, path)
    if text[position] in "-0123456789NI":
        return _walk_number(text, position, path)
    return int(scan(text, position)[1])


def _walk_object(text: str, start: int, path: Path) -> int:
    seen: set[str] = set()
    position = skip_space(text, start + 1)
    while text[position] != "}":
        if text[position] == ",":
            position = skip_space(text, position + 1)
        key_at = position
        key, position = scan_string(text, position + 1)
        if key in seen:
            raise error_at(text, key_at, f"duplicate key {key!r}", path=(*path, key), kind="duplicate")
        seen.add(key)
        position = skip_space(text, _walk(text, skip_space(text, skip_space(text, position) + 1), (*path, key)))
    return position + 1


def _walk_array(text: str, start: int, path: Path) -> int:
    position = skip_space(text, start + 1)
    index = 0
    while text[position] != "]":
        if text[position] == ",":
            position = skip_space(text, position + 1)
        position = skip_space(text, _walk(text, position, (*path, index)))
        index += 1
    return position + 1


def _walk_number(text: str, position: int, path: Path) -> int:
    match = _NUMBER.match(text, position)
    if match is None:
        raise error_at(text, position, "NaN and Infinity are not JSON numbers", path=path, kind="number")
    try:
        return int(scan(text, position)[1])
    except ValueError:
        raise error_at(text, position, "number too large to represent", path=path, kind="number") from None
