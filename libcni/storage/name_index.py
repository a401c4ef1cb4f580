"""An index of the file names in a folder by container: a folder of 10,000 files takes 10 ms to list and search.

What this process adds and removes is known at once. What other programs do is known when the folder is listed anew:
when its times have changed and this process has changed nothing, and else after a second. Go counterpart: none.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from libcni.storage.fork_safe_lock import ForkSafeLock

if TYPE_CHECKING:
    from libcni.storage.operations import OpenFolder

__all__ = ["NameIndex"]

_SEPARATORS = re.compile("[-@]")

LISTED_ANEW = 1.0
"""Seconds: so long a change by another program may stay unseen while this process changes the folder itself."""

_SETTLED = 100_000_000
"""Nanoseconds: a folder that was changed more recently may change again without its times telling so."""


class NameIndex:
    """The names in one folder, each under the parts that may belong to a container id. Threads may share it."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._names: set[str] = set()
        self._by_part: dict[str, set[str]] = {}
        self._is_changed_here = False
        self._listed = 0.0
        self._stamp: tuple[int, ...] | None = None

    def of_container(self, folder: OpenFolder, container_id: str) -> list[str]:
        """Return the names that may be of a container.

        :raises OSError: if the folder cannot be read.
        """
        with self._lock.lock:
            if not self._is_fresh(folder):
                self._list(folder)
            sets = [self._by_part.get(part, set()) for part in _SEPARATORS.split(container_id)]
            candidates = min(sets, key=len)
            wanted = f"-{container_id}-", f"@{container_id}@"
            return [name for name in candidates if wanted[0] in name or wanted[1] in name]

    def note_added(self, name: str) -> None:
        """Note that this process has added a name."""
        with self._lock.lock:
            self._is_changed_here = True
            self._add(name)

    def note_removed(self, name: str) -> None:
        """Note that this process has removed a name."""
        with self._lock.lock:
            self._is_changed_here = True
            self._remove(name)

    def _is_fresh(self, folder: OpenFolder) -> bool:
        if self._stamp is None:
            return False
        if self._is_changed_here:
            return time.monotonic() - self._listed < LISTED_ANEW
        return self._stamp == _stamp(folder)

    def _list(self, folder: OpenFolder) -> None:
        self._listed = time.monotonic()
        stamp = _stamp(folder)
        names = set(folder.list())
        for name in self._names - names:
            self._remove(name)
        for name in names - self._names:
            self._add(name)
        self._is_changed_here = False
        self._stamp = stamp if time.time_ns() - stamp[-1] > _SETTLED else ()

    def _add(self, name: str) -> None:
        self._names.add(name)
        for part in _parts(name):
            self._by_part.setdefault(part, set()).add(name)

    def _remove(self, name: str) -> None:
        self._names.discard(name)
        for part in _parts(name):
            left = self._by_part.get(part, set())
            left.discard(name)
            if not left:
                self._by_part.pop(part, None)


def _parts(name: str) -> list[str]:
    """Return the parts of a name that may belong to a container id: it stands between a network and an interface."""
    return _SEPARATORS.split(name)[1:-1]


def _stamp(folder: OpenFolder) -> tuple[int, ...]:
    status = os.fstat(folder.descriptor)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns
