"""A small cache of decoded files, valid while a file's bytes are unchanged.

A process reads what it has stored itself again with the next verb: to compare the bytes takes a microsecond, to decode
and check them fifty; a DEL calls a third fewer functions for it. Go counterpart: none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from libcni.storage.fork_safe_lock import ForkSafeLock

__all__ = ["Recent"]

T = TypeVar("T")

LIMIT = 256
"""Files that are kept; some kilobytes each, and more than a node has containers."""


class Recent(Generic[T]):
    """The decoded forms of the last files, by name. Threads may share it.

    >>> lengths = Recent()
    >>> lengths.keep("a", b"text", 4)
    >>> lengths.get("a", b"text"), lengths.get("a", b"another"), lengths.get("b", b"text")
    (4, None, None)
    >>> lengths.forget("a")
    >>> lengths.get("a", b"text") is None
    True
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[bytes, T]] = OrderedDict()
        self._turn = ForkSafeLock()

    def get(self, name: str, text: bytes) -> T | None:
        """Return the decoded form of the file of this name, if its bytes are these."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and kept[0] == text else None

    def keep(self, name: str, text: bytes, value: T) -> None:
        """Keep the decoded form of a file in place of its earlier one, or of the oldest of all."""
        with self._turn.lock:
            self._kept[name] = text, value
            self._kept.move_to_end(name)
            if len(self._kept) > LIMIT:
                self._kept.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget the file of this name."""
        with self._turn.lock:
            self._kept.pop(name, None)
