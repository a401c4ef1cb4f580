"""Single files below the cache directory: read whole, changed in place, and the names they have until they are whole.

Go counterpart: ``os.ReadFile``. Nothing here follows a link, and nothing waits: a pipe in place of a file is refused.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING

from libcni.errors import CacheError, DamagedFileError, NoRoomError
from libcni.linux import O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, fcntl
from libcni.storage.sync import Sync

if TYPE_CHECKING:
    from libcni.storage.operations import FileOperations, OpenFolder
    from libcni.storage.sync import Steps

__all__ = [
    "NO_ROOM",
    "READ_FILE",
    "READ_LIMIT",
    "OpenFile",
    "check_own",
    "is_name_too_long",
    "is_own_temporary",
    "is_temporary",
    "lock_temporary",
    "open_own",
    "read_error",
    "read_file",
    "read_open_file",
    "temporary_name",
    "write_error",
]

# Without blocking: a pipe in place of a file would otherwise wait for the other side for ever.
READ_FILE = os.O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
_CHANGE_FILE = os.O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC

NAME_MAX = 255
"""Bytes in a file name, on every Linux file system that is in use for this."""

READ_LIMIT = 64 * 1024 * 1024
"""Bytes: a larger file is not one of the library's."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""The errors of a file system that is full or mounted read-only: nothing can be written, and all can be read."""

_NOT_READABLE = frozenset({errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EISDIR})
"""The errors of a file that is too large or not regular, of a link, a socket and a folder, when it is opened."""

_temporary_numbers = itertools.count()

# Tells names of this process from those of an earlier one with its process id: in a container that is always 1.
_PROCESS_TOKEN = f"{time.time_ns():x}"


class OpenFile:
    """A file that is open to be read, changed in place and removed by the one who holds the lock for its name."""

    def __init__(
        self, operations: FileOperations, name: str, *, place: OpenFolder, descriptor: int, durable: bool
    ) -> None:
        self.name = name
        self._operations = operations
        self._durable = durable
        self._place = place
        self._descriptor = descriptor

    def read(self) -> bytes:
        """Return its content.

        :raises OSError: if it cannot be read, or is no regular file of a reasonable size.
        """
        return read_open_file(self._descriptor)

    def patch(self, data: bytes, offset: int) -> None:
        """Overwrite a few bytes in place, within one disk sector.

        :param offset: in bytes, from the start of the content.
        :raises OSError: if that fails.
        """
        self._operations.overwrite(self._descriptor, data, offset)

    def syncing(self) -> Steps[None]:
        """Bring its content to the disk, when the folder is durable.

        :raises OSError: if that fails.
        """
        if self._durable:
            yield Sync(self._operations.sync, self._descriptor)

    def remove(self) -> None:
        """Remove it. After a power loss it may be there again.

        :raises OSError: if that fails.
        """
        self._operations.unlink(self.name, self._place.descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def temporary_name(name: str) -> str:
    """Return a unique name for a file until it is complete."""
    return f".{name[:100]}.{os.getpid()}.{_PROCESS_TOKEN}.{next(_temporary_numbers)}.tmp"


def lock_temporary(descriptor: int) -> bool:
    """Lock a temporary file, which tells that its writer lives; close it when it was swept away before that."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink:
        return True
    os.close(descriptor)
    return False


def read_error(error: OSError, path: str) -> CacheError:
    """Return the error for a file that could not be read.

    What is no regular file, or is larger than any of the library's, will not be one later: that counts as damage.
    """
    kind = DamagedFileError if error.errno in _NOT_READABLE else CacheError
    return kind(path, f"cannot be read: {error.strerror or error}")


def write_error(error: OSError, path: str, change: str) -> CacheError:
    """Return the error for a file that could not be changed.

    :param change: what could not be done, as a participle: "written".
    """
    kind = NoRoomError if error.errno in NO_ROOM else CacheError
    return kind(path, f"cannot be {change}: {error.strerror or error}")


def is_temporary(name: str) -> bool:
    """Return whether a name is that of a temporary file, which gets its own name when it is complete."""
    return name.startswith(".") and name.endswith(".tmp")


def is_own_temporary(name: str) -> bool:
    """Return whether a temporary name is one of the library."""
    parts = name.rsplit(".", 4)
    return is_temporary(name) and len(parts) == 5 and parts[1].isdigit()  # noqa: PLR2004 -- name, pid, token, number, "tmp"


def is_name_too_long(name: str) -> bool:
    """Return whether no file can have that name."""
    return len(os.fsencode(name)) > NAME_MAX


def open_own(name: str, folder: int) -> tuple[int, int] | None:
    """Open a file that is to be changed, and return its descriptor and its size in bytes; ``None`` if there is none.

    :raises OSError: if it cannot be opened, is a link, or no regular file with one name.
    """
    try:
        descriptor = os.open(name, _CHANGE_FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    return descriptor, check_own(descriptor)


def check_own(descriptor: int) -> int:
    """Return the size of an open file that is about to be changed; closed when it is not one or has two names.

    A hard link that was planted in the cache directory would have a file changed that is elsewhere.

    :raises OSError: if it is no regular file with one name.
    """
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
        return status.st_size
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is not a regular file with one name")


def read_file(name: str, folder: int) -> bytes | None:
    """Return the content of a file, or ``None`` if there is none.

    :raises OSError: if it cannot be read, is a link, or is no regular file of a reasonable size.
    """
    try:
        descriptor = os.open(name, READ_FILE, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        return read_open_file(descriptor)
    finally:
        os.close(descriptor)


def read_open_file(descriptor: int) -> bytes:
    """Return the content of an open file, as :func:`read_file`."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > READ_LIMIT:
        raise OSError(errno.EINVAL, "is not a regular file of a reasonable size")
    return os.pread(descriptor, status.st_size + 1, 0)
