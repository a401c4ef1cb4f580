"""The pairs of ``CNI_ARGS``: their text, and their check.

Go counterpart: ``RuntimeConf.Args`` and ``types.LoadArgs``. Source: SPEC 1.1.0, section 2, "Parameters".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from libcni.errors import InvalidParameterError
from libcni.protocol.names import is_encodable, is_text

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["check_pairs", "format_args", "parse_args"]


def check_pairs(parameter: str, items: Iterable[object]) -> tuple[tuple[str, str], ...]:
    """Check that every item is a pair of texts, and return the pairs.

    :raises InvalidParameterError: if one is not: a text of two letters can be unpacked like a pair, and means another.

    >>> check_pairs("args", [("A", "1"), ["B", "2"]])
    (('A', '1'), ('B', '2'))
    """
    pairs: list[tuple[str, str]] = []
    for item in items:
        if not _is_pair(item):
            # It may be a secret: the message says which one it is and not what.
            raise InvalidParameterError(parameter, f"item {len(pairs) + 1}", "is not a pair of texts")
        first, second = item
        pairs.append((first, second))
    return tuple(pairs)


def _is_pair(item: object) -> TypeGuard[Sequence[str]]:
    return _is_sequence(item) and len(item) == 2 and all(map(is_text, item))  # noqa: PLR2004 -- a pair


def _is_sequence(item: object) -> TypeGuard[Sequence[object]]:
    return isinstance(item, Sequence) and not isinstance(item, str)


def format_args(args: Iterable[tuple[str, str]]) -> str:
    """Return the value of ``CNI_ARGS`` for the pairs, in their order.

    :raises InvalidParameterError: if a pair could be read as something else than was meant.

    >>> format_args([("IgnoreUnknown", "1"), ("IP", "10.0.0.7")])
    'IgnoreUnknown=1;IP=10.0.0.7'
    """
    parts: list[str] = []
    for key, value in args:
        # The value may be a secret: the message names the key only.
        problem = _pair_problem(key, value)
        if problem is not None:
            raise InvalidParameterError("args", key, problem)
        parts.append(f"{key}={value}")
    return ";".join(parts)


def parse_args(text: str, *, parameter: str = "args") -> tuple[tuple[str, str], ...]:
    """Return the pairs in a ``CNI_ARGS`` value; an empty text has none.

    :param parameter: name of the value for the error.
    :raises InvalidParameterError: if a part has no ``=`` or an empty key.

    >>> parse_args("A=1;B=x=y")
    (('A', '1'), ('B', 'x=y'))
    """
    if not text:
        return ()
    pairs: list[tuple[str, str]] = []
    for part in text.split(";"):
        key, separator, value = part.partition("=")
        if not separator or not key:
            # A part without a key may be the end of a secret: the message says which one it is and not what.
            raise InvalidParameterError(parameter, f"part {len(pairs) + 1}", "is not KEY=VALUE")
        pairs.append((key, value))
    return tuple(pairs)


def _pair_problem(key: str, value: str) -> str | None:
    if not key:
        return "a key must not be empty"
    if "=" in key:
        return "a key must not contain '='"
    if ";" in key or ";" in value:
        return "a key or value must not contain ';', which separates pairs"
    if not is_encodable(key + value):
        return "a key or value must not contain a NUL character or half of a surrogate pair"
    return None
