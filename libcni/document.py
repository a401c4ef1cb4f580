"""Strict JSON in and out: exact text, no duplicate keys, no NaN, and the position of every mistake.

A document is decoded once by the C scanner of the standard library. What was written is kept as text beside what it
means, so that a number or an unknown member goes on to a plugin exactly as it came. Only a document that fails is
walked again, slowly, to say where. Go counterpart: ``encoding/json``, which is laxer. Source: RFC 8259; SPEC 1.1.0,
section 1.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import re
from json import decoder
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from libcni.frozen import is_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "DocumentError",
    "JSONObject",
    "Path",
    "array_spans",
    "canonical",
    "decode_text",
    "dump",
    "encode_base64",
    "error_at",
    "find_member",
    "format_path",
    "join_object",
    "kind_of",
    "object_spans",
    "parse",
    "parse_object",
    "scan",
    "scan_string",
    "skip_space",
    "split_array",
    "split_object",
]

JSONObject: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH = 200
"""Nested arrays and objects; far more than any plugin uses, and far from the interpreter's recursion limit."""

_SPACES = frozenset(" \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")
_BRACKET_OR_STRING = re.compile(r'[\[{\]}]|"(?:[^"\\]|\\.)*"', re.DOTALL)
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w\-./]*")


class DocumentError(ValueError):
    """A text is not a strict JSON document; ``path`` leads to the place, ``line`` and ``column`` count from 1.

    ``kind`` says what sort of mistake it is: ``"syntax"``, ``"encoding"``, ``"duplicate"`` or ``"number"``.
    """

    def __init__(
        self,
        msg: str,
        *,
        path: Path = (),
        line: int | None = None,
        column: int | None = None,
        kind: str = "syntax",
    ) -> None:
        super().__init__(msg)
        self.kind = kind
        self.msg = msg
        self.path = path
        self.line = line
        self.column = column

    def __str__(self) -> str:
        return self.msg if self.line is None else f"line {self.line}, column {self.column}: {self.msg}"


class _DuplicateKeyError(ValueError):
    pass


class _ForbiddenNumberError(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> JSONObject:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _DuplicateKeyError
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _ForbiddenNumberError
    return number


def _constant(_name: str) -> NoReturn:
    raise _ForbiddenNumberError


# typeshed leaves out the two functions that the decoder of the standard library is made of.
_strings: Any = decoder
_values: Any = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_constant)
scan_string: Callable[[str, int], tuple[str, int]] = _strings.scanstring
"""Decodes the string whose first quotation mark is before an offset, and returns it with the offset behind it."""

scan: Callable[[str, int], tuple[Any, int]] = _values.scan_once
"""Decodes the value at an offset, and returns it with the offset behind it."""


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
    if text.startswith("\ufeff"):
        raise DocumentError(
            "begins with a byte order mark, which JSON does not allow", line=1, column=1, kind="encoding"
        )
    return text


def _encoding_error(data: bytes | str, error: UnicodeError) -> DocumentError:
    start = error.start if isinstance(error, UnicodeDecodeError | UnicodeEncodeError) else 0
    before = data[:start] if isinstance(data, str) else bytes(data[:start]).decode("utf-8", "replace")
    line, column = _position(before, None)
    return DocumentError(f"invalid UTF-8 (offset {start})", line=line, column=column, kind="encoding")


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
        from libcni.diagnosis import diagnose  # noqa: PLC0415 -- which is built on this module, and rarely wanted

        raise diagnose(text, error) from None
    end = skip_space(text, end)
    if end != len(text):
        raise error_at(text, end, "unexpected data after the end of the document")
    return value


def parse_object(data: bytes | str) -> JSONObject:
    """Decode a strict JSON document that must be an object.

    :raises DocumentError: as :func:`parse`, and if it is something else than an object.
    """
    value = parse(data)
    if not is_object(value):
        text = decode_text(data)
        raise error_at(text, skip_space(text, 0), f"expected a JSON object, found {kind_of(value)}")
    return value


_KINDS = ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "an array"), (dict, "an object"))


def kind_of(value: object) -> str:
    """Name the JSON type of a decoded value, for messages.

    >>> kind_of([]), kind_of(None), kind_of(True)
    ('an array', 'null', 'a boolean')
    """
    return next((name for kinds, name in _KINDS if isinstance(value, kinds)), "null")


def dump(value: Any) -> str:
    """Encode a JSON value compactly, as ASCII.

    :raises DocumentError: if it holds something that JSON has no form for.

    >>> dump({"a": [1, 2.0, None]})
    '{"a":[1,2.0,null]}'
    """
    if isinstance(value, str):
        return _encode_text(value)
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"not a JSON value: {error}") from None


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_encode_text = json.encoder.encode_basestring_ascii


@functools.lru_cache(64)
def encode_base64(data: bytes) -> str:
    """Encode bytes as text: the configuration of a network, which is stored with each of its attachments."""
    return base64.b64encode(data).decode()


def canonical(value: Any) -> str:
    """Encode a JSON value so that equal documents give equal texts, whatever the order of their members.

    >>> canonical({"b": 1, "a": True})
    '{"a":true,"b":1}'
    """
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def join_object(members: Iterable[tuple[str, str]]) -> str:
    """Return the text of an object whose members are given as key and encoded value.

    >>> join_object([("a", "1.0"), ("b", "[]")])
    '{"a":1.0,"b":[]}'
    """
    return "{" + ",".join([f"{_encode_text(key)}:{text}" for key, text in members]) + "}"


def split_object(text: str, start: int = 0) -> dict[str, str]:
    """Return the members of the object that begins at ``start``, each as it was written.

    ``text`` must have passed :func:`parse`.

    >>> split_object('{"a": 1.0, "b" : [ ]}')
    {'a': '1.0', 'b': '[ ]'}
    """
    return {key: text[begin:end] for key, _, begin, end in object_spans(text, skip_space(text, start))}


def find_member(text: str, key: str) -> str:
    """Return one member of the object that a text is, as it was written, and ``""`` when there is none.

    ``text`` must have passed :func:`parse`.

    >>> find_member('{"a": 1.0, "b" : [ ]}', "b")
    '[ ]'
    """
    return next((text[begin:end] for name, _, begin, end in object_spans(text, skip_space(text, 0)) if name == key), "")


def split_array(text: str, start: int = 0) -> list[str]:
    """Return the items of the array that begins at ``start``, each as it was written.

    ``text`` must have passed :func:`parse`.

    >>> split_array('[1.50, {}]')
    ['1.50', '{}']
    """
    return [text[begin:end] for _, begin, end in array_spans(text, skip_space(text, start))]


def object_spans(text: str, start: int) -> Iterator[tuple[str, int, int, int]]:
    """Go through the members of the object at an offset: key, and the offsets of key, value and its end."""
    position = skip_space(text, start + 1)
    while text[position] != "}":
        if text[position] == ",":
            position = skip_space(text, position + 1)
        key_at = position
        key, position = scan_string(text, position + 1)
        begin = skip_space(text, skip_space(text, position) + 1)
        _, end = scan(text, begin)
        yield key, key_at, begin, end
        position = skip_space(text, end)


def array_spans(text: str, start: int) -> Iterator[tuple[int, int, int]]:
    """Go through the items of the array at an offset: index, and the offsets of the item and its end."""
    position = skip_space(text, start + 1)
    index = 0
    while text[position] != "]":
        if text[position] == ",":
            position = skip_space(text, position + 1)
        _, end = scan(text, position)
        yield index, position, end
        index += 1
        position = skip_space(text, end)


def format_path(path: Path) -> str:
    """Write a path the way it is read in a message.

    >>> format_path(("plugins", 1, "ipam", "a b"))
    "plugins[1].ipam['a b']"
    """
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step!r}]"
    return text


def skip_space(text: str, position: int) -> int:
    """Return where the white space at a position ends."""
    if text[position : position + 1] not in _SPACES:  # what the library wrote itself has none
        return position
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _position(text: str, offset: int | None) -> tuple[int, int]:
    before = text if offset is None else text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def error_at(text: str, offset: int, msg: str, *, path: Path = (), kind: str = "syntax") -> DocumentError:
    """Return the error for a mistake at a place of a text."""
    line, column = _position(text, offset)
    return DocumentError(msg, path=path, line=line, column=column, kind=kind)


def _check_depth(text: str) -> None:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(text):
        bracket = match.group()[0]
        depth += 1 if bracket in "[{" else -1 if bracket in "]}" else 0
        if depth > MAX_DEPTH:
            raise error_at(text, match.start(), f"more than {MAX_DEPTH} nested values")
