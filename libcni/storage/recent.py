"""What was made of texts that were read lately, for as long as they are the same.

A runtime reads what it stored itself again with the next verb: to compare it takes a microsecond, to decode and check
it fifty. Go counterpart: none.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from libcni.storage.fork_safe_lock import ForkSafeLock

__all__ = ["Recent"]

T = TypeVar("T")

LIMIT = 256
"""Names of which something is kept; some kilobytes each, and more than a node has containers."""


class Recent(Generic[T]):
    """The last things that were made of texts, by the names of these. Threads may share it.

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
        """Return what was made of the text with this name, if it was the same one."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and kept[0] == text else None

    def keep(self, name: str, text: bytes, value: T) -> None:
        """Keep what was made of a text, in place of what was made of the one before, or of the oldest of all."""
        with self._turn.lock:
            self._kept[name] = text, value
            self._kept.move_to_end(name)
            if len(self._kept) > LIMIT:
                self._kept.popitem(last=False)

    def forget(self, name: str) -> None:
        """Forget what was made of the text with this name."""
        with self._turn.lock:
            self._kept.pop(name, None)
