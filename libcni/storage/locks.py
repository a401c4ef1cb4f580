"""Locks that hold across threads, tasks and processes that share a cache directory, and die with their holder.

One file, ``<cache_dir>/locks/all``, carries all locks: a lock is one byte of it, far out, at an offset that is a hash
of its name, in the range of its kind. So nothing is made or removed for a lock, and no name can be chosen that falls on
the lock of another kind. At the start of the file stands which process holds what. Nothing here waits: an operation
tries, sleeps through its runner, and tries again. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering": no two
operations at once on one container.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import weakref
from typing import TYPE_CHECKING

try:
    from _blake2 import blake2b  # the module hashlib takes 10 ms to import, for OpenSSL
except ImportError:  # an implementation of Python that has only the public one
    from hashlib import blake2b

from libcni.errors import CacheError
from libcni.linux import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, fcntl
from libcni.storage.byte_locks import is_byte_locked, lock_byte, unlock_bytes
from libcni.storage.open_file import NO_ROOM, check_own, open_own
from libcni.storage.operations import FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.storage.folder import Folder
    from libcni.storage.namespace import NetnsIdentity
    from libcni.storage.operations import OpenFolder

__all__ = ["HeldLock", "Locks", "container_lock", "interface_lock", "network_lock", "setup_lock"]

_FILE = "all"
_NETWORK = "network@"
_SETUP = "setup@"
_WANTED = "wanted@"

_RANGE_BITS = 60
"""Of the offsets of one kind of locks. With the kind in front they are below 2^63, the end of every file."""

_KINDS = {"container": 1, "network": 2, "wanted": 3, "interface": 4, "setup": 5}
"""The ranges; the first, in which the table of holders stands, has no locks."""

_ALL_KINDS = len(_KINDS) << _RANGE_BITS
"""Bytes of the ranges together."""

_HOLDER = struct.Struct("=QQ")
"""The note of who holds a lock: process id, offset of the lock."""

_MAKE_FILE = os.O_RDWR | os.O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC

_HOLDERS = 4096
"""Entries of the table. Two locks that share one overwrite each other, and then a holder is not known by name."""


def container_lock(container_id: str) -> str:
    """Return the name of the lock for all operations on one container."""
    return f"container@{container_id}"


def network_lock(network: str) -> str:
    """Return the name of the lock that operations on a network share, and its garbage collection has alone."""
    return f"{_NETWORK}{network}"


def interface_lock(namespace: NetnsIdentity, ifname: str) -> str:
    """Return the name of the lock for the ADD of an interface in a namespace."""
    return f"interface@{namespace.device}:{namespace.inode}@{ifname}"


def setup_lock(container_id: str) -> str:
    """Return the name of the lock for what consists of several operations on one container."""
    return f"{_SETUP}{container_id}"


class HeldLock:
    """One lock, or several of one operation, that this thread or task has; they end with :meth:`release`."""

    __slots__ = ("__weakref__", "_also", "_locks", "_on_folder", "opened")

    def __init__(self, locks: Locks, *, on_folder: bool = False) -> None:
        _held.add(self)
        self.opened: list[int] = []
        """The descriptor through which it is held; none when it is not."""
        self._locks = locks
        self._on_folder = on_folder
        self._also: HeldLock | None = None

    def also(self, name: str) -> HeldLock | None:
        """Take another lock alone, if it is free now, to be released with this one; else return ``None``.

        :raises CacheError: if it cannot be locked.
        """
        if self._on_folder:
            if self._also is not None:  # which holds off everything else already
                return self
            self._also = self._locks.try_lock(name)
            return self if self._also is not None else None
        try:
            return self if _lock_noted(self.opened[0], _offset(name)) else None
        except OSError as error:
            raise self._locks.error(error) from error

    def release(self) -> None:
        """Give everything up. Unlocked and not only closed: a forked child may have the descriptor as well."""
        # Without a call in between, after which the handler of a signal might raise.
        opened, self.opened = self.opened, []
        if not opened:
            return
        descriptor = opened[0]
        try:
            if self._also is not None:
                self._also.release()
            if self._on_folder:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
            else:
                unlock_bytes(descriptor)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """Close a forked child's copy without unlocking: the lock is the parent's, and ends with it."""
        opened, self.opened = self.opened, []
        for descriptor in opened:
            os.close(descriptor)

    def __del__(self) -> None:
        # A KeyboardInterrupt between taking a lock and the block that releases it: it goes with the last reference.
        self.release()


_held: weakref.WeakSet[HeldLock] = weakref.WeakSet()


def _abandon_all() -> None:
    for held in list(_held):
        held.abandon()


# A child that lives on would otherwise keep the locks of a parent that was killed.
if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is locked
    os.register_at_fork(after_in_child=_abandon_all)


class Locks:
    """The locks of one cache directory."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def try_lock(self, name: str, *, shared: bool = False) -> HeldLock | None:
        """Take a lock if it is free now, or return ``None``.

        On a full or read-only disk, where the file cannot be made, folders are locked: coarser, and never missing.

        :raises CacheError: if the folder of the locks cannot be used.
        """
        try:
            try:
                return self._lock_byte(name, _WANTED + name if shared else "", shared=shared)
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                return self._lock_folder(name, shared=shared)
        except OSError as error:
            raise self.error(error) from error

    def _lock_byte(self, name: str, wanted: str = "", *, shared: bool = False) -> HeldLock | None:
        """Lock one byte unless another open file has it, or has that of ``wanted`` alone."""
        held = HeldLock(self)
        folder = self.folder.open(create=True)
        descriptor = self._open(folder)
        held.opened.append(descriptor)
        is_wanted = bool(wanted) and is_byte_locked(descriptor, _offset(wanted))
        if not is_wanted and _lock_noted(descriptor, _offset(name), shared=shared):
            return held
        held.abandon()
        return None

    def _open(self, folder: OpenFolder) -> int:
        opened = open_own(_FILE, folder.descriptor)
        if opened is None:
            self._make(folder)
            opened = open_own(_FILE, folder.descriptor)
        if opened is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), _FILE)
        return opened[0]

    def error(self, error: OSError) -> CacheError:
        """Return the library's error for what the system says of a lock."""
        return CacheError(self.folder.path(_FILE), f"cannot be locked: {error.strerror or error}")

    def announce(self, name: str) -> HeldLock | None:
        """Hold off who would share a lock from now on, until this is released; ``None`` if it cannot be done.

        Without it, who wants a lock alone may wait for ever: those who share it come and go, and never all at once.
        """
        try:
            return self._lock_byte(_WANTED + name)
        except (OSError, CacheError):
            return None

    def _make(self, folder: OpenFolder) -> None:
        descriptor = os.open(_FILE, _MAKE_FILE, FILE_MODE, dir_fd=folder.descriptor)
        check_own(descriptor)
        try:
            os.fchmod(descriptor, FILE_MODE)  # whatever the umask is
        finally:
            os.close(descriptor)

    def _lock_folder(self, name: str, *, shared: bool) -> HeldLock | None:
        # Two folders, as an operation has two locks. What does not exist cannot be made, so all choose the same two.
        held = HeldLock(self, on_folder=True)
        if name.startswith(_SETUP):  # its operations lock the folders themselves, one after the other
            return held
        place = _nearest(self.folder.cache_dir)
        if name.startswith(_NETWORK):
            own = self.folder.path("")
            place = own if os.path.isdir(own) else os.path.dirname(place)  # noqa: PTH112, PTH120 -- text in, text out
        held.opened.append(os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        try:
            fcntl.flock(held.opened[0], (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            held.release()
            return None
        return held

    def holder(self, name: str) -> int | None:
        """Return the id of a process that has the lock, as far as that is known."""
        return self.holders([name]).get(name)

    def holders(self, names: Iterable[str]) -> dict[str, int | None]:
        """Return the locks that are held, of those with the given names, and the process of each where that is known.

        Of processes that share a lock it is one. Where no lock can be looked at, none is held.
        """
        try:
            opened = open_own(_FILE, self.folder.open().descriptor)
        except (OSError, CacheError):
            return {}
        if opened is None:
            return {}
        descriptor = opened[0]
        try:
            if not is_byte_locked(descriptor, 1 << _RANGE_BITS, shared=True, count=_ALL_KINDS):
                return {}
            held = [name for name in names if is_byte_locked(descriptor, _offset(name), shared=True)]
            return {name: _noted_holder(descriptor, _offset(name)) for name in held}
        finally:
            os.close(descriptor)


def _offset(name: str) -> int:
    """Return the offset of a lock, whose name begins with its kind."""
    kind = _KINDS[name.partition("@")[0]]
    digest = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return kind << _RANGE_BITS | digest >> 64 - _RANGE_BITS


def _noted_holder(descriptor: int, offset: int) -> int | None:
    entry = os.pread(descriptor, _HOLDER.size, _place(offset))
    pid, noted = _HOLDER.unpack(entry.ljust(_HOLDER.size, b"\0"))
    return pid if pid and noted == offset and os.path.exists(f"/proc/{pid}") else None  # noqa: PTH110 -- text in


def _place(offset: int) -> int:
    return offset % _HOLDERS * _HOLDER.size


def _lock_noted(descriptor: int, offset: int, *, shared: bool = False) -> bool:
    """Lock one byte if no other open file has it, note this process as its holder, and return whether it is locked."""
    if not lock_byte(descriptor, offset, shared=shared):
        return False
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, and its holder has no name
        os.pwrite(descriptor, _HOLDER.pack(os.getpid(), offset), _place(offset))
    return True


def _nearest(path: str) -> str:
    """Return a folder, or the nearest one above it that exists."""
    path = os.path.abspath(path)  # noqa: PTH100 -- text in, text out
    while not os.path.isdir(path):  # noqa: PTH112 -- text in
        path = os.path.dirname(path)  # noqa: PTH120 -- text in, text out
    return path
