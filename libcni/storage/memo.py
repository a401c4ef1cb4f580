"""A small cache of decoded files, valid while the files are unchanged.

A file is the same while its inode, its size and both of its times are: the kernel sets the second of
them, which no program can set back. Go counterpart: none.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.storage.operations import OpenFolder

__all__ = ["Listing", "Stamp", "stamp_of"]

T = TypeVar("T")

LIMIT = 16384
"""Files of which something is kept; some kilobytes each."""


Stamp: TypeAlias = tuple[int, int, int, int]
"""The identity of a file's content: inode, size in bytes, times of modification and of change in nanoseconds."""


def stamp_of(name: str, folder: OpenFolder) -> Stamp | None:
    """Return the stamp of a file, or ``None`` when it cannot be had."""
    try:
        status = os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


class Listing(Generic[T]):
    """The decoded files of one folder. Threads may share it."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Stamp, T]] = {}

    def get(self, name: str, folder: OpenFolder) -> T | None:
        """Return what was read from a file, if it is the same one still."""
        kept = self._kept.get(name)
        return kept[1] if kept is not None and kept[0] == stamp_of(name, folder) else None

    def keep(self, name: str, stamp: Stamp, value: T) -> None:
        """Keep what was read from a file that had this stamp before."""
        if len(self._kept) < LIMIT:
            self._kept[name] = stamp, value

    def forget_others(self, names: Iterable[str]) -> None:
        """Forget the files that are no longer there."""
        gone = self._kept.keys() - names
        for name in gone:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Forget one file."""
        self._kept.pop(name, None)
