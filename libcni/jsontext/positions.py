"""The positions of the parts of a document in its text, for messages.

A text is looked at once for each object or array on the way to what is asked for, however often that is: a file with
thousands of findings has them all found in the time of one. Source: RFC 8259.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from libcni.jsontext.scan import array_spans, object_spans, scan, scan_string, skip_space

if TYPE_CHECKING:
    from libcni.jsontext.scan import Path

__all__ = ["Positions", "locate"]


class _Part(NamedTuple):
    """Offsets of a part of an object or an array: of its key, or of the part itself, and of its value."""

    key: int
    value: int


class Positions:
    """The places of one text, which must have passed :func:`libcni.jsontext.decode.parse`.

    >>> Positions('{"plugins": [{}, 7]}').of(("plugins", 1))
    (1, 18)
    >>> Positions('{"plugins": [{"mtu": 7}]}').of_key(("plugins", 0, "mtu"))
    (1, 15)
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self._starts = [0]
        for line in self.lines:
            self._starts.append(self._starts[-1] + len(line) + 1)
        self._parts: dict[int, dict[str | int, _Part]] = {}

    def of(self, path: Path) -> tuple[int, int]:
        """Return line and column, from 1, of the value at ``path``; of the nearest parent when it is absent."""
        return self._place(self._find(path)[0].value)

    def of_key(self, path: Path) -> tuple[int, int]:
        """Return line and column of the key at the end of ``path``; of the value when that cannot be told."""
        part, is_found = self._find(path)
        return self._place(part.key if is_found else part.value)

    def span_of(self, path: Path) -> tuple[int, int]:
        """Return the offsets of the value at ``path``, which must be there."""
        start = self._find(path)[0].value
        return start, scan(self.text, start)[1]

    def span_of_key(self, path: Path) -> tuple[int, int]:
        """Return the offsets of the key at the end of ``path``, which must be there, with its quotes."""
        start = self._find(path)[0].key
        return start, scan_string(self.text, start + 1)[1]

    def _find(self, path: Path) -> tuple[_Part, bool]:
        start = skip_space(self.text, 0)
        part = _Part(start, start)
        for step in path:
            found = self._parts_of(part.value).get(step)
            if found is None:
                return part, False
            part = found
        return part, True

    def _parts_of(self, start: int) -> dict[str | int, _Part]:
        parts = self._parts.get(start)
        if parts is None:
            parts = self._parts[start] = {}
            if self.text[start] == "{":
                parts |= {key: _Part(key_at, value_at) for key, key_at, value_at, _ in object_spans(self.text, start)}
            elif self.text[start] == "[":
                parts |= {index: _Part(at, at) for index, at, _ in array_spans(self.text, start)}
        return parts

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


def locate(text: str, path: Path) -> tuple[int, int]:
    """Return line and column of one value, as :meth:`Positions.of`."""
    return Positions(text).of(path)
