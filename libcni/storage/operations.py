"""The disk below the cache directory: the system calls that change it, and folders that are open.

Owns :class:`FileOperations`, the seam through which whatever is written, renamed, synced or removed passes, and
:class:`OpenFolder`, which says whether a folder is safe to write to. Go counterpart: none; Go libcni writes in place.
"""

from __future__ import annotations

import os
import stat

from libcni.errors import CacheError
from libcni.linux import O_CLOEXEC, O_DIRECTORY
from libcni.storage.sync import SharedSync

__all__ = ["FILE_MODE", "OPEN_FOLDER", "FileOperations", "OpenFolder", "is_safe"]

FILE_MODE = 0o600
_FOR_OTHERS = stat.S_IWGRP | stat.S_IWOTH
OPEN_FOLDER = os.O_RDONLY | O_DIRECTORY | O_CLOEXEC


class FileOperations:
    """The system calls that change something, one method each: a test can fail, record or stop at any of them."""

    def create(self, name: str, folder: int) -> int:
        """Make a new file and return its descriptor."""
        return os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE, dir_fd=folder
        )

    def create_unnamed(self, folder: int) -> int:
        """Make a new file that has no name yet, and is gone with its descriptor unless it gets one.

        :raises OSError: also where the file system cannot do that.
        """
        return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, FILE_MODE, dir_fd=folder)

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of the data; a full disk shows here."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        """Replace bytes of a file in place."""
        while data:
            written = os.pwrite(descriptor, data, offset)
            data, offset = data[written:], offset + written

    def sync(self, descriptor: int) -> None:
        """Bring the content of a file to the disk."""
        os.fdatasync(descriptor)

    def rename(self, name: str, new_name: str, *, folder: int, new_folder: int) -> None:
        """Give a file its final name, in place of what has it."""
        os.rename(name, new_name, src_dir_fd=folder, dst_dir_fd=new_folder)

    def link(self, name: str, new_name: str, folder: int) -> None:
        """Give a file its final name as well, if nothing has that."""
        os.link(name, new_name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)

    def link_unnamed(self, descriptor: int, new_name: str, folder: int) -> None:
        """Give a file that was made without a name its final one, if nothing has that."""
        os.link(f"/proc/self/fd/{descriptor}", new_name, dst_dir_fd=folder, follow_symlinks=True)

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


def is_safe(status: os.stat_result) -> bool:
    """Return whether only this user and root can change what is in a folder."""
    is_ours = not status.st_uid or status.st_uid == os.geteuid()
    return is_ours and not status.st_mode & _FOR_OTHERS


class OpenFolder:
    """An open folder that only this user and root can write to; it is closed with the last reference to it."""

    __slots__ = ("_identity", "content", "descriptor", "names")

    def __init__(self, descriptor: int, path: str) -> None:
        self.descriptor = descriptor
        self.names = SharedSync()
        """Of the names in it."""
        self.content = SharedSync()
        """Of a file in it that is shared."""
        status = os.fstat(descriptor)
        self._identity = status.st_dev, status.st_ino
        if not is_safe(status):
            mode = f"owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
            raise CacheError(path, f"{mode}: others can write to it")

    def list(self) -> list[str]:
        """Return the names in it.

        It is opened anew for that: the place of a listing belongs to the open folder, which threads and forked
        processes share.

        :raises OSError: if it cannot be read.
        """
        descriptor = os.open(".", OPEN_FOLDER, dir_fd=self.descriptor)
        try:
            return os.listdir(descriptor)  # noqa: PTH208 -- pathlib knows no folder descriptors
        finally:
            os.close(descriptor)

    def is_still_at(self, path: str, parent: str) -> bool:
        """Return whether the path leads here, and no other user can write here or to the parent folder."""
        try:
            status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 -- on the way of every verb, several times
            is_here = (status.st_dev, status.st_ino) == self._identity
            return is_here and is_safe(status) and is_safe(os.stat(parent))  # noqa: PTH116 -- same
        except OSError:
            return False

    def __del__(self) -> None:
        os.close(self.descriptor)
