"""The parts that reading JSON is made of: the C scanner, places in a text, and members as they were written.

A number or an unknown member goes on to a plugin exactly as it came: what was written is kept as text beside what it
means. Go counterpart: ``json.RawMessage``. Source: RFC 8259.
"""

from __future__ import annotations

import json
import math
import re
from json import decoder
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "DocumentError",
    "JSONObject",
    "Path",
    "array_spans",
    "error_at",
    "find_member",
    "format_path",
    "kind_of",
    "object_spans",
    "place_of",
    "scan",
    "scan_string",
    "skip_space",
    "split_array",
    "split_object",
]

JSONObject: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str | int, ...]

_SPACES = frozenset(" \t\n\r")
_SPACE = re.compile(r"[ \t\n\r]*")
_PLAIN_KEY = re.compile(r"[A-Za-z_][\w\-./]*")


class DocumentError(ValueError):
    """A text is not a strict JSON document; ``path`` leads to the place, ``line`` and ``column`` count from 1.

    ``kind`` says what sort of mistake it is: ``"syntax"``, ``"encoding"``, ``"duplicate"``, ``"number"``,
    ``"placeholder"`` or ``"comma"`` (before a closing bracket); ``hint`` what to do, where that is known.
    """

    def __init__(
        self,
        msg: str,
        *,
        path: Path = (),
        line: int | None = None,
        column: int | None = None,
        kind: str = "syntax",
        hint: str = "",
    ) -> None:
        super().__init__(msg)
        self.hint = hint
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


_KINDS = ((bool, "a boolean"), ((int, float), "a number"), (str, "a string"), (list, "an array"), (dict, "an object"))


def kind_of(value: object) -> str:
    """Name the JSON type of a decoded value, for messages.

    >>> kind_of([]), kind_of(None), kind_of(True)
    ('an array', 'null', 'a boolean')
    """
    return next((name for kinds, name in _KINDS if isinstance(value, kinds)), "null")


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


def place_of(text: str, offset: int | None) -> tuple[int, int]:
    """Return the line and the column of an offset, or of the end of a text, both counted from 1."""
    before = text if offset is None else text[:offset]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def error_at(text: str, offset: int, msg: str, *, path: Path = (), kind: str = "syntax") -> DocumentError:
    """Return the error for a mistake at a place of a text."""
    line, column = place_of(text, offset)
    return DocumentError(msg, path=path, line=line, column=column, kind=kind)
