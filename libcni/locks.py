"""Locks that hold across threads, tasks and processes that share a cache directory, and die with their holder.

A lock is a file under ``<cache_dir>/locks`` with ``flock(2)`` on it. Nothing here waits: an operation tries, sleeps
through its runner, and tries again. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering": no two operations at once on
one container.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from libcni.errors import CacheError
from libcni.storage import FILE_MODE

if TYPE_CHECKING:
    from libcni.storage import Folder

__all__ = ["HeldLock", "Locks", "container_lock", "network_lock"]

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_PID_SIZE = 16


def container_lock(container_id: str) -> str:
    """Return the name of the lock for all operations on one container."""
    return f"container@{container_id}"


def network_lock(network: str) -> str:
    """Return the name of the lock that operations on a network share, and its garbage collection has alone."""
    return f"network@{network}"


class HeldLock:
    """A lock that this thread or task has; it ends with :meth:`release`."""

    def __init__(self, descriptor: int, folder: Folder, name: str) -> None:
        self._descriptor = descriptor
        self._folder = folder
        self._name = name

    def release(self) -> None:
        """Give the lock up. An exclusive lock's file goes with it; it is unlinked while it is still locked."""
        if self._name:
            with contextlib.suppress(OSError):
                self._folder.remove(self._name)
        os.close(self._descriptor)


class Locks:
    """The locks of one cache directory."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def try_lock(self, name: str, *, shared: bool = False) -> HeldLock | None:
        """Take a lock if it is free now, or return ``None``.

        On a full or read-only disk, where no file can be made, the folder itself is locked: coarser, and never missing.

        :raises CacheError: if the folder of the locks cannot be used.
        """
        try:
            try:
                with self.folder.opened(create=True) as folder:
                    return self._try(_open(name, folder), name, folder, shared=shared)
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                descriptor = os.open(self.folder.cache_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                return self._try((descriptor, ""), name, descriptor, shared=shared)
        except OSError as error:
            raise CacheError(self.folder.path(name), f"cannot be locked: {error.strerror or error}") from error

    def _try(self, opened: tuple[int, str], name: str, folder: int, *, shared: bool) -> HeldLock | None:
        descriptor, file_name = opened
        if not _try_flock(descriptor, shared=shared) or (file_name and not _is_current(descriptor, name, folder)):
            os.close(descriptor)
            return None
        if shared or not file_name:
            return HeldLock(descriptor, self.folder, "")
        with contextlib.suppress(OSError):
            os.pwrite(descriptor, str(os.getpid()).ljust(_PID_SIZE).encode(), 0)
        return HeldLock(descriptor, self.folder, file_name)

    def holder(self, name: str) -> int | None:
        """Return the process id of who has the lock alone, as far as it is known."""
        try:
            text = (self.folder.read(name) or b"").decode("ascii", "replace").strip()
        except (OSError, CacheError):
            return None
        return int(text) if text.isdigit() else None

    def sweep(self) -> list[str]:
        """Remove the files of locks that nobody holds, and return their names."""
        swept: list[str] = []
        for name in self.folder.names():
            held = self.try_lock(name)
            if held is not None:
                held.release()
                swept.append(name)
        return swept


def _open(name: str, folder: int) -> tuple[int, str]:
    """Open the file of a lock; without room for one, the folder in its place (then the name is empty)."""
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(name, flags, FILE_MODE, dir_fd=folder), name
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder), ""


def _try_flock(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(descriptor: int, name: str, folder: int) -> bool:
    """Say whether a locked file still has its name: its last holder may have removed it before we locked it."""
    try:
        named = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)
