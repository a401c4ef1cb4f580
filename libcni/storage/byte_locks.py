"""Locks on single bytes of a file, which need not exist: the kernel's open file description locks.

They belong to the open file, not to the process: threads that open it each for themselves exclude each other too, and
a process that dies holds none. Go counterpart: none. Source: ``fcntl(2)``, ``F_OFD_SETLK``.
"""

from __future__ import annotations

import errno
import os
import struct

from libcni.linux import fcntl

__all__ = ["is_byte_locked", "lock_byte", "unlock_bytes"]

_F_OFD_GETLK: int = fcntl.F_OFD_GETLK

_FLOCK = struct.Struct("hhqqi")
"""``struct flock``: type, whence, start, length, pid."""

_UNLOCK_ALL = _FLOCK.pack(fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


def lock_byte(descriptor: int, offset: int, *, shared: bool = False) -> bool:
    """Lock one byte unless another open file has it, and return whether it is locked.

    :raises OSError: if the file system has no locks.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(fcntl.F_RDLCK if shared else fcntl.F_WRLCK, offset))
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def unlock_bytes(descriptor: int) -> None:
    """Unlock all. To close the file is not enough: a forked child may have it open as well.

    :raises OSError: if the file system has no locks.
    """
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _UNLOCK_ALL)


def is_byte_locked(descriptor: int, offset: int, *, shared: bool = False, count: int = 1) -> bool:
    """Return whether another open file has the lock of a byte alone.

    :param shared: also when others only share it.
    :param count: bytes to look at.
    :raises OSError: if the file system has no locks.
    """
    answer = fcntl.fcntl(descriptor, _F_OFD_GETLK, _request(fcntl.F_WRLCK if shared else fcntl.F_RDLCK, offset, count))
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _request(kind: int, offset: int, count: int = 1) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, offset, count, 0)
