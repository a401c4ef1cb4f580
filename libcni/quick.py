"""What is read, looked at and locked on the way of every verb: each in one call, in C where ``files.c`` was built.

Calls of the system by Python give the interpreter lock away and want it back one by one; here that happens once for
what belongs together. Go counterpart: none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import struct
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from libcni.bytelocks import is_byte_locked, lock_byte

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CHANGE_FILE",
    "HOLDER",
    "IN_PYTHON",
    "READ_FILE",
    "PlainFile",
    "Quick",
    "check_own",
    "content_of",
    "is_safe",
    "quick",
]

# Without blocking: a pipe in place of a file would otherwise wait for the other side for ever.
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CHANGE_FILE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

HOLDER = struct.Struct("=QQ")
"""The note of who holds a lock: process id, offset of the lock."""

PlainFile: TypeAlias = tuple[bytes, int, int, int, int]

_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Quick(NamedTuple):
    """The functions, in one of their two forms.

    ``is_at(path, parent, device, inode)`` says whether a path leads to that folder itself, and nobody else can change
    what is in it or in the parent folder.

    ``is_program(path)`` says whether a path leads to a regular file that may be executed.

    ``read_at(name, folder, limit)`` returns the content of a file in an open folder, ``None`` if there is none.

    ``open_own(name, folder)`` opens a file that is to be changed, which must have no second name: descriptor and size
    in bytes, ``None`` if there is none.

    ``lock_noted(descriptor, offset, shared, place)`` locks one byte as :func:`libcni.bytelocks.lock_byte` does, and if
    that is possible notes at ``place`` who has it (:data:`HOLDER`).

    ``open_locked(name, folder, wanted, offset, shared, place, into)`` does as ``open_own`` and ``lock_noted``, and puts
    the descriptor into a list. ``False`` if somebody else has the byte, or has the byte ``wanted`` (-1: none) alone;
    ``None`` if there is no such file.

    ``fill_free(descriptor, offset, block)`` writes a block whose first byte is NUL or behind the end of the file, and
    says whether it did: somebody else may be about to. It has a lock on that byte meanwhile. ``None`` in Python, where
    :class:`libcni.disk.FileOperations` does that.

    ``read_plain(names, folder, limit, take)`` reads files of an open folder, and calls ``take`` with a list of some of
    them at a time: the content of each, inode, size, and times of modification and change in nanoseconds, or ``None``
    for one that cannot be read, is larger, or is not plain. A JSON text is plain when decoders cannot differ about what
    it says: it is ASCII without escapes, no object has a key twice, no number is long. To find out in Python takes
    longer than to decode it: there, none is.

    :raises OSError: if the file cannot be used: it is a link, no regular file, too large, or has a second name.
    """

    is_at: Callable[[str, str, int, int], bool]
    is_program: Callable[[str], bool]
    read_at: Callable[[str, int, int], bytes | None]
    open_own: Callable[[str, int], tuple[int, int] | None]
    lock_noted: Callable[[int, int, bool, int], bool]
    open_locked: Callable[[str, int, int, int, bool, int, list[int]], bool | None]
    fill_free: Callable[[int, int, bytes], bool] | None
    read_plain: Callable[[list[str], int, int, Callable[[list[PlainFile | None]], object]], None]


def is_safe(status: os.stat_result) -> bool:
    """Say whether nobody but the owner, who is this user or root, can change what is in a folder."""
    is_ours = not status.st_uid or status.st_uid == os.geteuid()
    return is_ours and not status.st_mode & _FOR_OTHERS


def check_own(descriptor: int) -> int:
    """Return the size of an open file that is about to be changed; closed when it is not one or has two names.

    Who plants a hard link in the cache directory would have a file changed that is elsewhere.

    :raises OSError: if it is no regular file with one name.
    """
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return status.st_size
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is not a regular file with one name")


def content_of(descriptor: int, limit: int) -> bytes:
    """Return the content of an open file.

    :raises OSError: if it cannot be read, or is no regular file of at most that many bytes.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
        raise OSError(errno.EINVAL, "is not a regular file of a reasonable size")
    return os.pread(descriptor, status.st_size + 1, 0)


def _is_at(path: str, parent: str, device: int, inode: int) -> bool:  # noqa: PLR0917  # as in C
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 -- on the way of every verb, several times
        return (status.st_dev, status.st_ino) == (device, inode) and is_safe(status) and is_safe(os.stat(parent))  # noqa: PTH116 -- same
    except OSError:
        return False


def _is_program(path: str) -> bool:
    try:
        status = os.stat(path)  # noqa: PTH116 -- a look-up on the way of every plugin call; Path costs more than the call
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and os.access(path, os.X_OK)


def _read_at(name: str, folder: int, limit: int) -> bytes | None:
    try:
        descriptor = os.open(name, READ_FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        return content_of(descriptor, limit)
    finally:
        os.close(descriptor)


def _open_own(name: str, folder: int) -> tuple[int, int] | None:
    try:
        descriptor = os.open(name, CHANGE_FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    return descriptor, check_own(descriptor)


def _lock_noted(descriptor: int, offset: int, shared: bool, place: int) -> bool:  # noqa: PLR0917, FBT001  # as in C
    if not lock_byte(descriptor, offset, shared=shared):
        return False
    with contextlib.suppress(OSError):  # a full disk: the lock holds all the same, and its holder has no name
        os.pwrite(descriptor, HOLDER.pack(os.getpid(), offset), place)
    return True


def _open_locked(  # noqa: PLR0913, PLR0917  # as in C
    name: str,
    folder: int,
    wanted: int,
    offset: int,
    shared: bool,  # noqa: FBT001  # as in C
    place: int,
    into: list[int],
) -> bool | None:
    opened = _open_own(name, folder)
    if opened is None:
        return None
    descriptor = opened[0]
    into.append(descriptor)
    is_locked = False
    try:
        is_wanted = wanted >= 0 and is_byte_locked(descriptor, wanted)
        is_locked = not is_wanted and _lock_noted(descriptor, offset, shared, place)
    finally:
        if not is_locked:
            os.close(into.pop())
    return is_locked


def _read_plain(names: list[str], _folder: int, _limit: int, take: Callable[[list[PlainFile | None]], object]) -> None:
    take([None] * len(names))


IN_PYTHON = Quick(_is_at, _is_program, _read_at, _open_own, _lock_noted, _open_locked, None, _read_plain)


def _chosen() -> Quick:
    try:
        from libcni import _files  # noqa: PLC0415 -- it may not have been built
    except ImportError:
        return IN_PYTHON
    return Quick(
        *(_files.is_at, _files.is_program, _files.read_at, _files.open_own),
        *(_files.lock_noted, _files.open_locked, _files.fill_free, _files.read_plain),
    )


quick = _chosen()
