"""The file layer below the cache: whole files in private folders, or nothing.

Owns every write under ``cache_dir``. A file appears under its name complete and, when it is durable, synced; a folder
is opened without following links and must belong to nobody else. Go counterpart: ``ioutil.WriteFile`` in place, which
leaves empty files after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
import time

from libcni.errors import CacheError, NoRoomError

__all__ = ["FileOperations", "Folder", "OpenFolder", "is_name_too_long", "is_temporary", "write_error"]

FILE_MODE = 0o600
FOLDER_MODE = 0o700
PARENT_MODE = 0o755
"""Of a folder above the cache directory that has to be made first."""

NAME_MAX = 255
"""Bytes in a file name, on every Linux file system that is in use for this."""

READ_LIMIT = 64 * 1024 * 1024
"""Bytes: a larger file is not one of the library's."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""What a file system that is full, or was mounted read-only, says: nothing can be written, and all can be read."""

_NOT_OURS = frozenset({errno.ENOENT, errno.ELOOP, errno.ENXIO})
"""What is gone, a link or a socket, when a file is opened: nothing that was written here."""

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# Without blocking: a pipe in place of a file would otherwise wait for a reader for ever.
_CHANGE_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_temporary_numbers = itertools.count()

# Tells names of this process from those of an earlier one with its process id: in a container that is always 1.
_PROCESS_TOKEN = f"{time.time_ns():x}"


class FileOperations:
    """The system calls that change something, one method each: a test can fail, record or stop at any of them."""

    def create(self, name: str, folder: int) -> int:
        """Make a new file and return its descriptor."""
        return os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE, dir_fd=folder
        )

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of the data; a full disk shows here."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        """Replace bytes of a file in place."""
        os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        """Bring the content of a file to the disk."""
        os.fdatasync(descriptor)

    def rename(self, name: str, new_name: str, *, folder: int, new_folder: int) -> None:
        """Give a file its final name, in place of what has it."""
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def link(self, name: str, new_name: str, folder: int) -> None:
        """Give a file its final name as well, if nothing has that."""
        os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def unlink(self, name: str, folder: int) -> None:
        """Remove a file."""
        os.unlink(name, dir_fd=folder)

    def sync_folder(self, folder: int) -> None:
        """Bring the names in a folder to the disk."""
        os.fsync(folder)

    def make_folder(self, name: str, parent: int, mode: int) -> None:
        """Make a folder with that mode, whatever the umask is."""
        os.mkdir(name, mode, dir_fd=parent)
        os.chmod(name, mode, dir_fd=parent)


class OpenFolder:
    """An open folder that nobody else can write to; it is closed with the last reference to it."""

    __slots__ = ("_identity", "descriptor")

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self._identity = status.st_dev, status.st_ino
        if not _is_safe(status):
            mode = f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
            raise CacheError(path, f"{mode}: others can write to it")

    def is_still_at(self, path: str, parent: str) -> bool:
        """Say whether the path leads here, and nobody else can write here or to the parent folder."""
        try:
            status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 -- on the way of every verb, several times
            return (status.st_dev, status.st_ino) == self._identity and _is_safe(status) and _is_safe(os.stat(parent))  # noqa: PTH116 -- same
        except OSError:
            return False

    def __del__(self) -> None:
        os.close(self.descriptor)


class Folder:
    """One folder of the cache directory.

    :param cache_dir: made with mode 0700 when it is missing.
    :param name: of the folder in it.
    :param durable: whether files and their names are synced to the disk.
    """

    def __init__(self, cache_dir: str, name: str, operations: FileOperations, *, durable: bool) -> None:
        self.cache_dir = cache_dir
        self.name = name
        self.operations = operations
        self.durable = durable
        self._path = os.path.join(cache_dir, name)  # noqa: PTH118 -- text in, text out
        self._held: OpenFolder | None = None

    def path(self, name: str) -> str:
        """Return the full path of a file, for messages."""
        return os.path.join(self._path, name)  # noqa: PTH118 -- text in, text out

    def open(self, *, create: bool = False) -> OpenFolder:
        """Return the folder, opened; with ``create``, make it first.

        It stays open while it is the same folder and safe, which two calls of the system find out, where nine would
        open it anew. Who uses the descriptor keeps the object: it is closed with the last reference.

        :raises FileNotFoundError: if it does not exist and is not to be made.
        :raises CacheError: if it, or the cache directory, is a link or others can write to it.
        """
        held = self._held
        if held is None or not held.is_still_at(self._path, self.cache_dir):
            held = self._held = self._open(create=create)
        return held

    def _open(self, *, create: bool) -> OpenFolder:
        if create:
            self._make_cache_dir()
        parent = OpenFolder(os.open(self.cache_dir, _OPEN_FOLDER), self.cache_dir)
        if create:
            self._make(self.name, parent.descriptor, FOLDER_MODE)
        return self._open_no_follow(parent.descriptor)

    def _make_cache_dir(self) -> None:
        """Make a folder and those above it, whatever the umask is: who can write above can exchange what is below."""
        missing: list[str] = []
        path = os.path.abspath(self.cache_dir)  # noqa: PTH100 -- text in
        while not os.path.isdir(path):  # noqa: PTH112 -- text in
            path, name = os.path.split(path)
            missing.append(name)
        while missing:
            parent = os.open(path, _OPEN_FOLDER)
            try:
                self._make(missing[-1], parent, FOLDER_MODE if len(missing) == 1 else PARENT_MODE)
            finally:
                os.close(parent)
            path = os.path.join(path, missing.pop())  # noqa: PTH118 -- text in

    def _make(self, name: str, parent: int, mode: int) -> None:
        # Also when it is there: who made it a moment ago may not have synced it, and what goes into it must stay.
        with contextlib.suppress(FileExistsError):
            self.operations.make_folder(name, parent, mode)
        if self.durable:
            self.operations.sync_folder(parent)

    def _open_no_follow(self, parent: int) -> OpenFolder:
        try:
            return OpenFolder(os.open(self.name, _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=parent), self._path)
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise CacheError(self._path, "is not a folder, or is a link, which is not followed") from None
            raise

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or ``None`` when it does not exist.

        :raises OSError: if it cannot be read, or is a link.
        """
        try:
            folder = self.open()
            return _read(name, folder.descriptor)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Return the names in the folder, sorted; none when there is no folder.

        :raises OSError: if the folder cannot be read.
        """
        try:
            folder = self.open()
            return sorted(os.listdir(folder.descriptor))  # noqa: PTH208 -- pathlib knows no folder descriptors
        except FileNotFoundError:
            return []

    def replace(self, name: str, data: bytes, *, exclusive: bool = False) -> None:
        """Write a whole file: beside its place, synced, renamed, and the folder synced.

        :param exclusive: leave what has the name already.
        :raises FileExistsError: if something has the name and ``exclusive`` is set.
        :raises OSError: if it fails; the file is then as it was before, or complete and perhaps not on the disk.
        """
        do = self.operations
        folder = self.open(create=True)
        beside = f".{name[:100]}.{os.getpid()}.{_PROCESS_TOKEN}.{next(_temporary_numbers)}.tmp"
        opened: list[int] = []
        # All of it inside: a KeyboardInterrupt may come between any two steps, also just after the file was made.
        try:
            descriptor = self._create_locked(beside, folder)
            opened.append(descriptor)
            os.fchmod(descriptor, FILE_MODE)
            do.write(descriptor, data)
            if self.durable:
                do.sync(descriptor)
            if exclusive:
                do.link(beside, name, folder.descriptor)
                do.unlink(beside, folder.descriptor)
            else:
                do.rename(beside, name, folder=folder.descriptor, new_folder=folder.descriptor)
        except BaseException:
            with contextlib.suppress(OSError):
                do.unlink(beside, folder.descriptor)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)
        if self.durable:
            do.sync_folder(folder.descriptor)

    def _create_locked(self, name: str, folder: OpenFolder) -> int:
        """Make a temporary file; the lock on it lasts as long as it is open, and tells that its writer lives."""
        while True:
            descriptor = self.operations.create(name, folder.descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor
            os.close(descriptor)  # swept away before it was locked

    def patch(self, name: str, data: bytes, offset: int, *, durable: bool) -> bool:
        """Overwrite a few bytes of a file in place, within one disk sector, and say whether the file is there.

        :raises OSError: if that fails.
        """
        try:
            folder = self.open()
            descriptor = os.open(name, _CHANGE_FILE, dir_fd=folder.descriptor)
        except FileNotFoundError:
            return False
        try:
            self.operations.overwrite(descriptor, data, offset)
            if durable and self.durable:
                self.operations.sync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def remove(self, name: str, *, durable: bool = False) -> bool:
        """Remove a file and say whether it was there; ``durable`` makes sure that it does not come back.

        :raises OSError: if it cannot be removed.
        """
        try:
            folder = self.open()
            self.operations.unlink(name, folder.descriptor)
        except FileNotFoundError:
            return False
        if durable and self.durable:
            self.operations.sync_folder(folder.descriptor)
        return True

    def move_to(self, other: Folder, name: str, new_name: str) -> None:
        """Move a file into another folder of the same cache directory.

        :raises OSError: if that fails.
        """
        folder, target = self.open(), other.open(create=True)
        self.operations.rename(name, new_name, folder=folder.descriptor, new_folder=target.descriptor)
        if self.durable:
            self.operations.sync_folder(target.descriptor)
            self.operations.sync_folder(folder.descriptor)

    def remove_temporary(self) -> list[str]:
        """Remove what writers that are gone left beside the files, and return the names.

        :raises OSError: if the folder cannot be read.
        """
        return [name for name in self.names() if _is_own_temporary(name) and self._remove_if_left(name)]

    def _remove_if_left(self, name: str) -> bool:
        """Remove a temporary file whose writer is gone, which a process id would not tell across namespaces."""
        folder = self.open()
        try:
            descriptor = os.open(name, _OPEN_FILE, dir_fd=folder.descriptor)
        except OSError as error:
            if error.errno in _NOT_OURS:
                return False
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return stat.S_ISREG(os.fstat(descriptor).st_mode) and self.remove(name)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)


def write_error(error: OSError, path: str, change: str) -> CacheError:
    """Return the error for a file that could not be changed.

    :param change: what could not be done, as a participle: "written".
    """
    kind = NoRoomError if error.errno in NO_ROOM else CacheError
    return kind(path, f"cannot be {change}: {error.strerror or error}")


def is_temporary(name: str) -> bool:
    """Say whether a name is one that :meth:`Folder.replace` uses until a file is complete."""
    return name.startswith(".") and name.endswith(".tmp")


def _is_own_temporary(name: str) -> bool:
    parts = name.rsplit(".", 4)
    return is_temporary(name) and len(parts) == 5 and parts[1].isdigit()  # noqa: PLR2004 -- name, pid, token, number, "tmp"


def is_name_too_long(name: str) -> bool:
    """Say whether no file can have that name."""
    return len(os.fsencode(name)) > NAME_MAX


def _read(name: str, folder: int) -> bytes:
    descriptor = os.open(name, _OPEN_FILE, dir_fd=folder)
    try:
        size = _regular(os.fstat(descriptor)).st_size
        chunks: list[bytes] = []
        while chunk := os.read(descriptor, size + 1):
            chunks.append(chunk)
    finally:
        os.close(descriptor)
    return b"".join(chunks)


def _regular(status: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(status.st_mode) or status.st_size > READ_LIMIT:
        raise OSError(errno.EINVAL, "is not a regular file of a reasonable size")
    return status


def _is_safe(status: os.stat_result) -> bool:
    """Say whether nobody but the owner, who is this user or root, can change what is in a folder."""
    return not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and status.st_uid in {os.geteuid(), 0}
