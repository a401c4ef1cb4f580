"""The log of a plugin: the tail that errors quote, and the lines that are passed on as they come.

Owns :class:`StderrLog`, which holds a bounded part of a stream of any length. No I/O. Go counterpart: the ``Stderr``
writer of ``invoke.RawExec``, which passes bytes on. Source: SPEC 1.1.0, section 2: stderr is for logging.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["LINE_LIMIT", "StderrLog", "split_line"]

LINE_LIMIT = 64 * 1024
"""Bytes: a longer line is passed on in pieces of at most that many."""

_CONTINUATION_MASK, _CONTINUATION = 0b1100_0000, 0b1000_0000


def split_line(line: bytes, limit: int = LINE_LIMIT) -> Iterator[bytes]:
    r"""Cut a line into pieces of at most ``limit`` bytes, not inside a UTF-8 sequence.

    :param limit: in bytes, at least 4, the longest sequence of UTF-8.

    >>> list(split_line("naïve".encode(), 4))
    [b'na\xc3\xaf', b've']
    >>> list(split_line(b""))
    [b'']
    """
    while len(line) > limit:
        cut = limit
        while cut > limit - 3 and line[cut] & _CONTINUATION_MASK == _CONTINUATION:
            cut -= 1
        yield line[:cut]
        line = line[cut:]
    yield line


class StderrLog:
    r"""Keep the last ``limit`` bytes of a stream and hand each line to ``on_line``.

    Lines are decoded as UTF-8, with replacement characters for what is none, and come without their line end. An
    ``on_line`` that raises is not called again.

    >>> lines = []
    >>> log = StderrLog(8, lines.append)
    >>> log.feed(b"one\ntw")
    >>> log.feed(b"o\nthree")
    >>> log.flush()
    >>> lines, log.tail
    (['one', 'two', 'three'], b'wo\nthree')
    """

    __slots__ = ("_kept", "_limit", "_on_line", "_unfinished")

    def __init__(self, limit: int, on_line: Callable[[str], None] | None = None) -> None:
        self._limit = limit
        self._on_line = on_line
        self._kept = bytearray()
        self._unfinished = bytearray()

    @property
    def tail(self) -> bytes:
        """The last ``limit`` bytes of everything that was fed."""
        return bytes(self._kept[-self._limit :])

    def feed(self, data: bytes) -> None:
        """Take the next part of the stream. What ``on_line`` raises passes through."""
        self._kept += data
        if len(self._kept) > 2 * self._limit:  # cutting at every part would copy the tail each time
            del self._kept[: -self._limit]
        if self._on_line is not None:
            self._pass_on(data)

    def flush(self) -> None:
        """Pass on the last line although nothing ended it. What ``on_line`` raises passes through."""
        if self._unfinished:
            line = bytes(self._unfinished)
            self._unfinished.clear()
            self._emit(line)

    def _pass_on(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._unfinished) + lines[0]
            self._unfinished.clear()
        self._unfinished += rest
        for line in lines:
            self._emit(line.removesuffix(b"\r"))
        if len(self._unfinished) > LINE_LIMIT:
            *pieces, last = split_line(bytes(self._unfinished))
            self._unfinished[:] = last
            for piece in pieces:
                self._emit(piece)

    def _emit(self, line: bytes) -> None:
        for piece in split_line(line):
            on_line = self._on_line
            if on_line is None:
                return
            self._on_line = None
            on_line(piece.decode(errors="replace"))
            self._on_line = on_line
