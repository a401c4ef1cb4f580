"""Strict JSON in: no duplicate keys, no NaN, and the position of every mistake.

A document is decoded once by the C scanner of the standard library. Only one that fails is walked again, slowly, to say
where. Go counterpart: ``encoding/json``, which is laxer. Source: RFC 8259; SPEC 1.1.0, section 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import is_object
from libcni.jsontext.scan import DocumentError, error_at, kind_of, place_of, scan, skip_space

if TYPE_CHECKING:
    from libcni.jsontext.scan import JSONObject

__all__ = ["decode_text", "parse", "parse_object"]

MAX_DEPTH = 200
"""Nested arrays and objects; far more than any plugin uses, and far from the interpreter's recursion limit."""

_HEAD = 4
"""Bytes that tell UTF-16 and UTF-32 from UTF-8."""
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_ZEROS = (b"\0\0\0",)
_SAVE = "save the file as UTF-8"

_TO_BRACKET = re.compile(r'(?:[^\[{\]}"]++|"(?:[^"\\]++|\\.)*+")*+([\[{\]}])', re.DOTALL)


def decode_text(data: bytes | str) -> str:
    """Return the text of a document.

    :raises DocumentError: if it is not UTF-8 or begins with a byte order mark.
    """
    try:
        text = data if isinstance(data, str) else bytes(data).decode("utf-8")
        # A str can hold half of a surrogate pair, which no file and no pipe can carry.
        _ = text.isascii() or text.encode("utf-8")
    except UnicodeError as error:
        raise _encoding_error(data, error) from None
    if "\0" in text[:2] and not isinstance(data, str):
        raise _encoding_error(data, UnicodeError())
    if text.startswith("\ufeff"):
        raise DocumentError(
            "begins with a byte order mark, which JSON does not allow",
            line=1,
            column=1,
            kind="encoding",
            hint="save the file as UTF-8 without a mark (BOM)",
        )
    return text


def _is_utf16(head: bytes) -> bool:
    """Return whether the first bytes of a text are of UTF-16: its mark, or a zero in every other byte."""
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in {head[:1], head[1:2]}


def _encoding_error(data: bytes | str, error: UnicodeError) -> DocumentError:
    if isinstance(data, bytes | bytearray | memoryview) and _is_utf16(bytes(data[:_HEAD])):
        name = "UTF-32" if bytes(data[:_HEAD]) in _UTF32 or data[:3] in _ZEROS else "UTF-16"
        return DocumentError(f"is {name}, and JSON is UTF-8", line=1, column=1, kind="encoding", hint=_SAVE)
    start = error.start if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else 0
    before = data[:start] if isinstance(data, str) else bytes(data[:start]).decode("utf-8", "replace")
    line, column = place_of(before, None)
    return DocumentError(f"invalid UTF-8 (offset {start})", line=line, column=column, kind="encoding", hint=_SAVE)


def parse(data: bytes | str) -> Any:
    """Decode a strict JSON document.

    :raises DocumentError: if it is not valid UTF-8 or JSON, has a duplicate key, NaN, Infinity, a number too large to
        represent, or more than :data:`MAX_DEPTH` nested values.

    >>> parse('{"mtu": 1500}')
    {'mtu': 1500}
    """
    text = decode_text(data)
    start = skip_space(text, 0)
    if start == len(text):
        raise DocumentError("is empty: expected a JSON document", line=1, column=1)
    if text.count("{") + text.count("[") > MAX_DEPTH:
        _check_depth(text)
    try:
        value, end = scan(text, start)
    except (StopIteration, ValueError, RecursionError) as error:
        raise _diagnosis(text, error) from None
    end = skip_space(text, end)
    if end != len(text):
        raise _diagnosis(text, ValueError("data after the end of the document"))
    return value


def _diagnosis(text: str, error: ValueError | RecursionError | StopIteration) -> DocumentError:
    from libcni.jsontext.diagnose import diagnose  # noqa: PLC0415 -- loaded when something is wrong

    return diagnose(text, error)


def parse_object(data: bytes | str) -> JSONObject:
    """Decode a strict JSON document that must be an object.

    :raises DocumentError: as :func:`parse`, and if it is something else than an object.
    """
    value = parse(data)
    if not is_object(value):
        text = decode_text(data)
        raise error_at(text, skip_space(text, 0), f"expected a JSON object, found {kind_of(value)}")
    return value


def _check_depth(text: str) -> None:
    depth = 0
    found = _TO_BRACKET.match(text)
    while found is not None:
        end = found.end()
        if text[end - 1] in "]}":
            depth -= 1
        else:
            depth += 1
            if depth > MAX_DEPTH:
                raise error_at(text, end - 1, f"more than {MAX_DEPTH} nested values")
        found = _TO_BRACKET.match(text, end)
