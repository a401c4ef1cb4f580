"""Network namespaces as the kernel knows them: which one a path leads to, and whether it has an interface.

The inode number of a dead namespace goes to the next one, and its path may be given to another container. So a
namespace is known by its cookie, which the kernel gives once in a boot, or by the time of its inode where that is kept.
Go counterpart: none; Go libcni compares paths. Source: ``namespaces(7)``, ``setns(2)``, ``SO_NETNS_COOKIE``.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import time
from pathlib import Path
from typing import NamedTuple

from libcni.linux import O_CLOEXEC, O_NONBLOCK, fcntl
from libcni.storage.apart import do_inside
from libcni.storage.rtnetlink import UNKNOWN as _UNKNOWN
from libcni.storage.rtnetlink import cookie_of, index_of, new_socket

__all__ = [
    "NamespaceView",
    "NetnsIdentity",
    "came_after",
    "current_boot_id",
    "identify",
    "is_no_namespace",
    "is_same_namespace",
    "look_into",
    "namespace_to_delete_in",
    "open_namespace",
    "start_of_process",
    "was_there_before",
]

_CLONE_NEWNET = 0x40000000
_NS_GET_NSTYPE = 0xB703
_OPEN_NAMESPACE = os.O_RDONLY | O_NONBLOCK | O_CLOEXEC
_PROCESS_PATH = re.compile(r"/proc/([0-9]+)/")
_CLOCK_TICK = 10_000_000
"""Nanoseconds: the times of inodes are those of the last tick of the kernel's clock."""

_ANY_INTERFACE = "lo"
_OWN_NAMESPACE = "/proc/self/ns/net"


class NetnsIdentity(NamedTuple):
    """The kernel's names of one namespace.

    ``created`` is the time of its inode in nanoseconds: the same for as long as a mount or an open file keeps the
    inode, and 0 when it was just made for this look. ``cookie`` is unique until the next boot, ``process`` the start
    time of the process in a path such as ``/proc/7/ns/net``; both are 0 where they are not known.
    """

    device: int
    inode: int
    created: int
    cookie: int
    process: int
    boot_id: str

    def is_same(self, other: NetnsIdentity) -> bool:
        """Return whether both are known to be of one namespace."""
        if self.boot_id != other.boot_id or self[:2] != other[:2]:
            return False
        if self.cookie and other.cookie:
            return self.cookie == other.cookie
        if self.created and other.created:
            return self.created == other.created
        return self.process == other.process != _UNKNOWN


class NamespaceView(NamedTuple):
    """The namespace at a path: its identity, ``None`` if there is none, and the interface that was asked for.

    ``ifindex`` is the kernel's number of the interface, which it gives once in the life of a namespace; 0 when there is
    no interface of that name, ``None`` where that cannot be found out.
    """

    identity: NetnsIdentity | None = None
    ifindex: int | None = None

    @property
    def has_interface(self) -> bool | None:
        """Whether the interface is there; ``None`` where that cannot be found out."""
        return None if self.ifindex is None else self.ifindex != 0


@functools.cache
def current_boot_id() -> str:
    """Return the id of this boot of the machine; empty where the system has none."""
    try:
        # It is ASCII; the codec of that name would have to be loaded first.
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def identify(path: str) -> NetnsIdentity | None:
    """Return the identity of the namespace at a path without its cookie, or ``None`` when there is no namespace."""
    before = time.time_ns()
    try:
        status = os.stat(path)  # noqa: PTH116 -- on the way of every ADD
    except (OSError, ValueError):
        return None
    if status.st_dev != _namespace_device():
        return None
    created = status.st_ctime_ns if status.st_ctime_ns < before - _CLOCK_TICK else _UNKNOWN
    return NetnsIdentity(status.st_dev, status.st_ino, created, _UNKNOWN, _process_in(path), current_boot_id())


def _process_in(path: str) -> int:
    """Return the start time, in clock ticks since boot, of the process whose id is in a path; 0 if there is none."""
    match = _PROCESS_PATH.match(path)
    return _UNKNOWN if match is None else start_of_process(int(match[1]))


def start_of_process(pid: int) -> int:
    """Return when a process was started, in clock ticks since boot; 0 if there is none."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return _UNKNOWN
    # Behind the name of the program, which may hold anything: state is the third field, the start the 22nd.
    return int(status.rpartition(")")[2].split()[19])


@functools.cache
def _namespace_device() -> int | None:
    """Return the device number of the file system of all namespaces; ``None`` where there is no such file system."""
    try:
        return os.stat(_OWN_NAMESPACE).st_dev  # noqa: PTH116 -- text in
    except OSError:
        return None


def is_same_namespace(path: str, known: NetnsIdentity) -> bool:
    """Return whether the namespace at a path is the known one; where that cannot be told it is not."""
    now = identify(path)
    if now is None or now[:2] != known[:2] or now.boot_id != known.boot_id:
        return False
    if now.created == known.created != _UNKNOWN:
        return True
    if known.cookie:  # which tells them apart whatever has become of the inode
        inside = look_into(path, _ANY_INTERFACE).identity
        return inside is not None and inside.is_same(known)
    return now.is_same(known)


def namespace_to_delete_in(given: str, stored: str, known: NetnsIdentity | None) -> str:
    """Return the namespace path for the DEL of a recorded attachment; empty when the namespace is gone.

    What is no namespace, and what is another one than that of the ADD, counts as gone: its interfaces belong to others.

    :param given: the path of the caller, empty for none.
    :param stored: the path of the ADD.
    :param known: the identity of the ADD's namespace; ``None`` if there was no namespace at the path.
    """
    if known is not None:
        return next((path for path in (given, stored) if path and is_same_namespace(path, known)), "")
    path = given or stored
    if not path or is_no_namespace(path):
        return ""
    if identify(path) is None or given not in {"", stored}:
        return path
    return ""


def is_no_namespace(path: str) -> bool:
    """Return whether a path leads to something else than a network namespace; one that leads nowhere does not."""
    if _namespace_device() is None:
        return False
    try:
        descriptor = os.open(path, _OPEN_NAMESPACE)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        return identify(path) is None
    try:
        return not _is_network_namespace(descriptor)
    finally:
        os.close(descriptor)


def _is_network_namespace(descriptor: int) -> bool:
    try:
        return os.fstat(descriptor).st_dev == _namespace_device() and _type_of(descriptor) == _CLONE_NEWNET
    except OSError:
        return False


def _type_of(descriptor: int) -> int:
    try:
        return fcntl.ioctl(descriptor, _NS_GET_NSTYPE)
    except OSError as error:
        if error.errno in {errno.ENOTTY, errno.EINVAL}:  # a kernel before 4.11
            return _CLONE_NEWNET
        raise


def was_there_before(path: str, file: str) -> bool:
    """Return whether the namespace at a path may be older than a file; where that cannot be told, there is none."""
    now = identify(path)
    try:
        return now is None or 0 < now.created <= os.stat(file).st_mtime_ns  # noqa: PTH116 -- text in
    except OSError:
        return False


def came_after(path: str, file: str) -> bool:
    """Return whether the namespace at a path is known to be younger than a file; if that is not told it is not."""
    now = identify(path)
    try:
        return now is not None and now.created > os.stat(file).st_mtime_ns  # noqa: PTH116 -- text in
    except OSError:
        return False


def open_namespace(path: str) -> int | None:
    """Return a descriptor of the network namespace at a path, which the caller closes; ``None`` if there is none."""
    try:
        # One descriptor for stat and setns: the path may lead elsewhere in between.
        descriptor = os.open(path, _OPEN_NAMESPACE)
    except (OSError, ValueError):
        return None
    if _is_network_namespace(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def look_into(path: str, ifname: str) -> NamespaceView:
    """Look into the namespace at a path for an interface.

    Without the right to enter it, the cookie and the interface are not known.
    """
    descriptor = open_namespace(path)
    if descriptor is None:
        return NamespaceView()
    identity: NetnsIdentity | None = None
    try:
        identity = identify(path)
        # The path may have led elsewhere meanwhile: then nothing is known of it.
        if identity is not None and os.fstat(descriptor).st_ino == identity.inode:
            return _view_from_inside(descriptor, identity, ifname)
    except (OSError, ImportError, RuntimeError):
        pass  # without the right to enter it, with no descriptor or thread left, or without ctypes: it cannot be told
    finally:
        os.close(descriptor)
    return NamespaceView(identity)


def _view_from_inside(descriptor: int, identity: NetnsIdentity, ifname: str) -> NamespaceView:
    inside = do_inside(descriptor, new_socket)
    try:
        return NamespaceView(identity._replace(cookie=cookie_of(inside)), index_of(inside, ifname))
    finally:
        inside.close()
