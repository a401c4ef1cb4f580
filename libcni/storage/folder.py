"""The file layer below the cache: whole files in private folders, or nothing.

Owns every write under ``cache_dir``. A file appears under its name complete and, when it is durable, synced; a folder
is opened without following links and must belong to this user. Go counterpart: ``ioutil.WriteFile`` in place, which
leaves empty files after a crash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from typing import TYPE_CHECKING

from libcni.errors import CacheError
from libcni.linux import O_NOFOLLOW, fcntl
from libcni.storage.open_file import (
    READ_FILE,
    OpenFile,
    is_own_temporary,
    is_temporary,
    lock_temporary,
    open_own,
    read_file,
    temporary_name,
)
from libcni.storage.operations import FILE_MODE, OPEN_FOLDER, OpenFolder
from libcni.storage.sync import Sync, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcni.storage.operations import FileOperations
    from libcni.storage.sync import Steps

__all__ = ["Folder"]

FOLDER_MODE = 0o700
PARENT_MODE = 0o755
"""Of a folder above the cache directory that has to be made first."""

_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})
"""The errors of a file system that has no unnamed files, and of a machine without ``/proc`` when one is to be named."""


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
        self._has_unnamed = True

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

    @property
    def is_open(self) -> bool:
        """Whether it is open, and still at its place; else to open it may take long: what is made is synced."""
        return self._held is not None and self._held.is_still_at(self._path, self.cache_dir)

    def _open(self, *, create: bool) -> OpenFolder:
        if create:
            self._make_cache_dir()
        parent = OpenFolder(os.open(self.cache_dir, OPEN_FOLDER), self.cache_dir)
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
            parent = os.open(path, OPEN_FOLDER)
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
            return OpenFolder(os.open(self.name, OPEN_FOLDER | O_NOFOLLOW, dir_fd=parent), self._path)
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
        except FileNotFoundError:
            return None
        return read_file(name, folder.descriptor)

    def names(self) -> list[str]:
        """Return the names in the folder, sorted; none when there is no folder.

        :raises OSError: if the folder cannot be read.
        """
        try:
            return sorted(self.open().list())
        except FileNotFoundError:
            return []

    def items(self) -> Iterator[tuple[str, bytes | OSError]]:
        """Go through the complete files, sorted by name: the content of each, or the error of one that cannot be read.

        :raises OSError: if the folder cannot be read.
        """
        for name in self.names():
            data = None if is_temporary(name) else self._content_or_error(name)
            if data is not None:
                yield name, data

    def _content_or_error(self, name: str) -> bytes | OSError | None:
        try:
            return self.read(name)
        except OSError as error:
            return error

    def names_with(self, part: str) -> list[str]:
        """Return the names of the complete files that contain a part.

        :raises OSError: if the folder cannot be read.
        """
        return [name for name in self.names() if part in name]

    def _create_unnamed(self, folder: OpenFolder) -> int | None:
        """Make a file without a name and return its descriptor, ``None`` where that cannot be done.

        :raises OSError: if it fails.
        """
        if not self._has_unnamed:
            return None
        try:
            return self.operations.create_unnamed(folder.descriptor)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            self._has_unnamed = False
            return None

    def create(self, name: str, data: bytes) -> None:
        """Write a whole new file, as :meth:`creating`."""
        finish(self.creating(name, data))

    def creating(self, name: str, data: bytes) -> Steps[None]:
        """Write a whole new file: synced before it has its name, and the folder synced.

        :raises FileExistsError: if something has the name already.
        :raises OSError: if it fails; there is then no file, or a complete one that is perhaps not on the disk.
        """
        folder = self.open(create=True)
        if not (yield from self._creating_unnamed(folder, name, data)):
            yield from self._creating_beside(folder, name, data)
        yield from self.syncing_names(folder)

    def _creating_beside(self, folder: OpenFolder, name: str, data: bytes) -> Steps[None]:
        def give_name(beside: str) -> None:
            self.operations.link(beside, name, folder.descriptor)
            self.operations.unlink(beside, folder.descriptor)

        yield from self._writing_beside(folder, name, data, give_name=give_name)

    def creating_opened(self, name: str, data: bytes) -> Steps[OpenFile | None]:
        """Write a whole new file, as :meth:`creating`, and return it opened, unless it was removed meanwhile.

        It is sure to be on the disk at the end of :meth:`OpenFile.syncing`.
        """
        yield from self.creating(name, data)
        return self.open_file(name)

    def replacing(self, name: str, data: bytes) -> Steps[None]:
        """Write a whole file, whatever has its name: beside its place, synced, renamed, and the folder synced.

        :raises OSError: if it fails; the file is then as it was before, or complete and perhaps not on the disk.
        """
        folder = self.open(create=True)

        def give_name(beside: str) -> None:
            self.operations.rename(beside, name, folder=folder.descriptor, new_folder=folder.descriptor)

        yield from self._writing_beside(folder, name, data, give_name=give_name)
        yield from self.syncing_names(folder)

    def syncing_names(self, folder: OpenFolder) -> Steps[None]:
        """Bring the names in the folder to the disk, when it is durable.

        :raises OSError: if that fails.
        """
        if self.durable:
            yield Sync(self.operations.sync_folder, folder.descriptor, folder.names)

    def _creating_unnamed(self, folder: OpenFolder, name: str, data: bytes) -> Steps[bool]:
        """Write a file that gets its only name at the end: one change of the folder instead of three.

        :returns: whether that can be done here.
        """
        descriptor = self._create_unnamed(folder)
        if descriptor is None:
            return False
        try:
            os.fchmod(descriptor, FILE_MODE)  # whatever the umask is
            yield from self._filling(descriptor, data)
            self._has_unnamed = self._is_named(descriptor, name, folder)
        finally:
            os.close(descriptor)
        return self._has_unnamed

    def _is_named(self, descriptor: int, name: str, folder: OpenFolder) -> bool:
        """Give a file without a name its name, and return whether that can be done here."""
        try:
            self.operations.link_unnamed(descriptor, name, folder.descriptor)
        except OSError as error:
            if error.errno not in _NO_UNNAMED:
                raise
            return False
        return True

    def _writing_beside(
        self, folder: OpenFolder, name: str, data: bytes, *, give_name: Callable[[str], object]
    ) -> Steps[None]:
        beside = temporary_name(name)
        opened: list[int] = []
        # All of it inside: a KeyboardInterrupt may come between any two steps, also just after the file was made.
        try:
            descriptor = self._create_locked(beside, folder)
            opened.append(descriptor)
            os.fchmod(descriptor, FILE_MODE)  # whatever the umask is
            yield from self._filling(descriptor, data)
            give_name(beside)
        except BaseException:
            with contextlib.suppress(OSError):
                self.operations.unlink(beside, folder.descriptor)
            raise
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _filling(self, descriptor: int, data: bytes) -> Steps[None]:
        self.operations.write(descriptor, data)
        if self.durable:
            yield Sync(self.operations.sync, descriptor)

    def _create_locked(self, name: str, folder: OpenFolder) -> int:
        """Make a temporary file; the lock on it lasts as long as it is open, and tells that its writer lives."""
        while True:
            descriptor = self.operations.create(name, folder.descriptor)
            if lock_temporary(descriptor):
                return descriptor

    def open_file(self, name: str) -> OpenFile | None:
        """Open a file to be changed in place, or return ``None`` when it does not exist.

        :raises OSError: if it cannot be opened, or is a link.
        """
        try:
            folder = self.open()
        except FileNotFoundError:
            return None
        try:
            opened = open_own(name, folder.descriptor)
        except OSError:
            # A writer that died between giving it its name and removing the temporary one has left both.
            if not self.remove_temporary():
                raise
            opened = open_own(name, folder.descriptor)
        return (
            None
            if opened is None
            else OpenFile(self.operations, name, place=folder, descriptor=opened[0], durable=self.durable)
        )

    def remove(self, name: str, *, durable: bool = False) -> bool:
        """Remove a file and say whether it was there, as :meth:`removing`."""
        return finish(self.removing(name, durable=durable))

    def removing(self, name: str, *, durable: bool = False) -> Steps[bool]:
        """Remove a file and say whether it was there; ``durable`` makes sure that it does not come back.

        :raises OSError: if it cannot be removed.
        """
        try:
            folder = self.open()
            self.operations.unlink(name, folder.descriptor)
        except FileNotFoundError:
            return False
        if durable:
            yield from self.syncing_names(folder)
        return True

    def move_to(self, other: Folder, name: str, new_name: str) -> None:
        """Move a file into another folder of the same cache directory.

        :raises OSError: if that fails.
        """
        folder, target = self.open(), other.open(create=True)
        self.operations.rename(name, new_name, folder=folder.descriptor, new_folder=target.descriptor)
        for place in (target, folder):
            finish(self.syncing_names(place))

    def set_aside(self, name: str, damaged: Folder) -> bool:
        """Move a damaged file into the folder of these, under a name that none there has.

        :returns: ``False`` if it is gone already.
        :raises CacheError: if that fails.
        """
        try:
            self.move_to(damaged, name, f"{name[:200]}.{time.time_ns()}")
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CacheError(self.path(name), f"cannot be set aside: {error.strerror or error}") from error
        return True

    def remove_temporary(self) -> list[str]:
        """Remove the temporary files of writers that are gone, and return the names; what cannot be removed stays.

        :raises OSError: if the folder cannot be read.
        """
        removed: list[str] = []
        for name in self.names():
            with contextlib.suppress(OSError):
                if is_own_temporary(name) and self._remove_if_left(name):
                    removed.append(name)
        return removed

    def _remove_if_left(self, name: str) -> bool:
        """Remove a temporary file whose writer is gone, which a process id would not tell across namespaces."""
        folder = self.open()
        descriptor = os.open(name, READ_FILE, dir_fd=folder.descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return stat.S_ISREG(os.fstat(descriptor).st_mode) and self.remove(name)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
