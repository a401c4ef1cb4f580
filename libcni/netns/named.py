"""The names of network namespaces: mount points in one folder, which ``ip netns`` reads and writes as well.

A name is an empty file over which the namespace is mounted. The folder is a shared mount, so that a name that is made
or removed in one mount namespace is so in all. Source: ``ip-netns(8)``.
"""

from __future__ import annotations

import errno
import os
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.errors import InvalidParameterError
from libcni.linux import fcntl
from libcni.netns.kernel import bind, make_shared, unmount
from libcni.protocol.names import is_text
from libcni.storage.namespace import identify

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["DIRECTORY", "add_name", "check_name", "is_name", "names", "path_of", "remove_name"]

DIRECTORY = "/run/netns"
"""The folder of the names, as ``ip netns`` has it."""

_OTHER_DIRECTORY = "/var/run/netns"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]*")
_NAME_BYTES = 255
_LEFTOVER_AGE = 10.0
"""Seconds after which a file without a namespace belongs to nobody that is about to mount one there."""

_STACKED = 16
"""Mounts at one name that are removed: ``ip netns`` leaves more than one in a few mount namespaces."""

_LOCK_TRIES = 500
_LOCK_PAUSE = 0.01
"""Seconds between two attempts to take the lock of the folder."""


def check_name(name: str) -> None:
    """Check the name of a namespace: a letter, digit or ``_``, then also ``.``, ``:``, ``@`` and ``-``.

    :raises InvalidParameterError: if it is something else, or longer than 255 bytes.
    """
    if not is_text(name) or not _NAME.fullmatch(name):
        raise InvalidParameterError("name", name, "must be a letter, digit or '_', then also '.', ':', '@' or '-'")
    if len(name) > _NAME_BYTES:
        raise InvalidParameterError("name", name, f"has {len(name)} bytes; at most {_NAME_BYTES} are allowed")


def path_of(name: str) -> str:
    """Return the path of a named namespace.

    >>> path_of("blue")
    '/run/netns/blue'
    """
    return f"{DIRECTORY}/{name}"


def is_name(path: str) -> str:
    """Return the name that a path stands for, empty if it stands for none.

    >>> is_name("/var/run/netns/blue"), is_name("/proc/7/ns/net")
    ('blue', '')
    """
    folder, _, name = path.rpartition("/")
    return name if folder in {DIRECTORY, _OTHER_DIRECTORY} else ""


def names() -> list[str]:
    """Return the names that lead to a namespace, sorted."""
    try:
        found = os.listdir(DIRECTORY)  # noqa: PTH208 -- text out
    except FileNotFoundError:
        return []
    return sorted(name for name in found if identify(path_of(name)) is not None)


def add_name(name: str, source: str) -> None:
    """Give the namespace at a path a name.

    A file of that name that a crash has left without a namespace is used.

    :raises FileExistsError: if the name is taken.
    :raises TimeoutError: if another process holds the lock of the folder for five seconds.
    :raises OSError: if it may not be.
    """
    path = path_of(name)
    with _locked_directory():
        _make_file(path)
        try:
            bind(source, path)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise


def _make_file(path: str) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0))
    except FileExistsError:
        if not _is_leftover(path):
            raise FileExistsError(errno.EEXIST, "a network namespace of that name exists", path) from None


def _is_leftover(path: str) -> bool:
    """Return whether a file is the mount point of a namespace that was never mounted, or is not any more."""
    status = Path(path).lstat()
    is_empty_file = os.path.isfile(path) and not os.path.islink(path) and status.st_size == 0  # noqa: PTH113, PTH114 -- text in
    return is_empty_file and identify(path) is None and time.time() - status.st_ctime > _LEFTOVER_AGE


@contextmanager
def _locked_directory() -> Generator[None]:
    """Make the folder a shared mount, and hold its lock, which ``ip netns`` takes for that as well."""
    Path(DIRECTORY).mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(descriptor)
        _share_directory()
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock of the folder, which its holders need for a few system calls only; but any user can hold it."""
    for _ in range(_LOCK_TRIES):
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE)
    raise TimeoutError(
        errno.ETIMEDOUT, f"another process holds the lock for {_LOCK_TRIES * _LOCK_PAUSE:g} s", DIRECTORY
    )


def _share_directory() -> None:
    try:
        make_shared(DIRECTORY)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        bind(DIRECTORY, DIRECTORY, with_mounts_below=True)  # it was no mount point
        make_shared(DIRECTORY)


def remove_name(name: str) -> None:
    """Remove a name; the namespace lives on while something is in it or has it open.

    :raises OSError: if it may not be removed.
    """
    path = path_of(name)
    for _ in range(_STACKED):
        try:
            unmount(path)
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:  # nothing is mounted there any more, or it is gone
                break
            raise
    Path(path).unlink(missing_ok=True)
