"""The current snapshot of a configuration directory, and those who wait for the next one."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.networks.snapshot import read_snapshot
from libcni.storage.fork_safe_lock import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike

    from libcni.invoke.runner import Runner
    from libcni.networks.snapshot import Snapshot

__all__ = ["SnapshotFeed"]


class _Waiters:
    """Those who wait for a change in one process."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.listeners: set[Callable[[], None]] = set()


class SnapshotFeed:
    """The current snapshot: read under a lock, swapped in one step; a reader of it needs no lock.

    A forked child has the snapshot of the fork, and can read the directory itself.

    :param pinned: name of the default network, ``None`` for the first.
    """

    def __init__(
        self, conf_dir: str | PathLike[str], runner: Runner, bin_dirs: Sequence[str], *, pinned: str | None
    ) -> None:
        self._directory = Path(conf_dir).absolute()
        self._find: Callable[[str], str] = lambda plugin: runner.find(plugin, bin_dirs)
        self._pinned = pinned
        self._reading = ForkSafeLock()
        self._waiters_of = {os.getpid(): _Waiters()}
        self._current: Snapshot | None = None
        self._is_closed = False

    @property
    def directory(self) -> Path:
        """The configuration directory, absolute: the program may change its own."""
        return self._directory

    @property
    def _waiters(self) -> _Waiters:
        """Those of this process: in a forked child the lock may be held by a thread that does not exist there."""
        pid = os.getpid()
        return self._waiters_of.get(pid) or self._waiters_of.setdefault(pid, _Waiters())

    @property
    def current(self) -> Snapshot:
        """The last snapshot; the directory is read when there is none yet."""
        return self._current or self.reload()

    def reload(self) -> Snapshot:
        """Read the directory, and tell who waits when something differs."""
        with self._reading.lock:
            previous = self._current
            found = read_snapshot(self._directory, self._find, pinned=self._pinned, previous=previous)
            self._current = found
        if found is not previous:
            self._tell()
        return found

    def _tell(self) -> None:
        waiters = self._waiters
        with waiters.changed:
            waiters.changed.notify_all()
            listeners = tuple(waiters.listeners)
        for listener in listeners:
            listener()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call a function after each change, from whatever thread has read it."""
        waiters = self._waiters
        with waiters.changed:
            waiters.listeners.add(listener)

    def unlisten(self, listener: Callable[[], None]) -> None:
        """Call it no more."""
        waiters = self._waiters
        with waiters.changed:
            waiters.listeners.discard(listener)

    def wait(self, seen: Snapshot | None, timeout: float | None) -> Snapshot | None:
        """Wait for another snapshot than ``seen``; return ``None`` when that is closed, or the time is over."""
        changed = self._waiters.changed
        with changed:
            is_there = changed.wait_for(lambda: self._is_closed or self._current is not seen, timeout)
            return self._current if is_there and not self._is_closed else None

    @property
    def is_closed(self) -> bool:
        """Whether there will be no other snapshot."""
        return self._is_closed

    def reopen(self) -> None:
        """Let there be snapshots again."""
        self._is_closed = False

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._is_closed = True
        self._tell()
