"""Network namespaces as the kernel knows them: which one a path leads to, and whether it has an interface.

The inode number of a dead namespace goes to the next one, and its path may be given to another container. So a
namespace is known by its cookie, which the kernel gives once in a boot, or by the time of its inode where that is kept.
Go counterpart: none; Go libcni compares paths. Source: ``namespaces(7)``, ``setns(2)``, ``SO_NETNS_COOKIE``.
"""

from __future__ import annotations

import _socket  # what the module socket adds takes 8 ms to import
import errno
import fcntl
import functools
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "NamespaceView",
    "NetnsIdentity",
    "current_boot_id",
    "identify",
    "is_no_namespace",
    "is_same_namespace",
    "look_into",
    "namespace_to_delete_in",
    "was_there_before",
]

_CLONE_NEWNET = 0x40000000
_SO_NETNS_COOKIE = 71
_COOKIE_SIZE = 8
_SIOCGIFINDEX = 0x8933
_IFREQ_SIZE = 40
_UNKNOWN = 0

_ANY_INTERFACE = "lo"
_OWN_NAMESPACE = "/proc/self/ns/net"


class NetnsIdentity(NamedTuple):
    """The kernel's names of one namespace.

    ``created`` is the time of its inode in nanoseconds: the same for as long as a mount or an open file keeps the
    inode. ``cookie`` is unique until the next boot; 0 where it is not known.
    """

    device: int
    inode: int
    created: int
    cookie: int
    boot_id: str

    def is_same(self, other: NetnsIdentity) -> bool:
        """Return whether both are known to be of one namespace."""
        if self.boot_id != other.boot_id or self[:2] != other[:2]:
            return False
        if self.cookie and other.cookie:
            return self.cookie == other.cookie
        return self.created == other.created


class NamespaceView(NamedTuple):
    """The namespace at a path: its identity, ``None`` if there is none, and whether it has the interface asked for.

    ``has_interface`` is ``None`` where that cannot be found out.
    """

    identity: NetnsIdentity | None = None
    has_interface: bool | None = None


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
    try:
        status = os.stat(path)  # noqa: PTH116 -- on the way of every ADD
    except (OSError, ValueError):
        return None
    if status.st_dev != _namespace_device():
        return None
    return NetnsIdentity(status.st_dev, status.st_ino, status.st_ctime_ns, _UNKNOWN, current_boot_id())


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
    if now is None or now[:2] != known[:2]:
        return False
    if now.is_same(known):
        return True
    inside = look_into(path, _ANY_INTERFACE).identity if known.cookie else None
    return inside is not None and inside.is_same(known)


def namespace_to_delete_in(given: str, stored: str, known: NetnsIdentity | None) -> str:
    """Return the namespace path for the DEL of a recorded attachment; empty when the namespace is gone.

    What is no namespace, and what is another one than that of the ADD, counts as gone: its interfaces belong to others.

    :param given: the path of the caller, empty for none.
    :param stored: the path of the ADD.
    :param known: the identity of the ADD's namespace; ``None`` if there was no namespace at the path.
    """
    path = given or stored
    if not path or is_no_namespace(path):
        return ""
    if known is not None:
        return path if is_same_namespace(path, known) else ""
    if identify(path) is None or given not in {"", stored}:
        return path
    return ""


def is_no_namespace(path: str) -> bool:
    """Return whether a path leads to something else than a network namespace; one that leads nowhere does not."""
    return os.path.exists(path) and identify(path) is None and _namespace_device() is not None  # noqa: PTH110 -- text in


def was_there_before(path: str, file: str) -> bool:
    """Return whether the namespace at a path may be older than a file; where that cannot be told, there is none."""
    now = identify(path)
    try:
        return now is None or now.created <= os.stat(file).st_mtime_ns  # noqa: PTH116 -- text in
    except OSError:
        return False


def look_into(path: str, ifname: str) -> NamespaceView:
    """Look into the namespace at a path for an interface, from a thread of its own that enters it and ends there.

    Without the right to enter it, the cookie and the interface are not known.
    """
    try:
        # One descriptor for stat and setns: the path may lead elsewhere in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return NamespaceView()
    views: list[NamespaceView] = []
    thread = threading.Thread(target=_look_inside, args=(descriptor, ifname, views), daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread is left
        os.close(descriptor)
        return NamespaceView(identify(path))
    thread.join()
    return views[0]


def _look_inside(descriptor: int, ifname: str, views: list[NamespaceView]) -> None:
    """Move the calling thread into the namespace of a descriptor, which it closes, and add the view from there."""
    view = NamespaceView()
    try:
        view = NamespaceView(identify(f"/proc/self/fd/{descriptor}"))
        if view.identity is not None:
            _enter(descriptor)
            view = _view_from_inside(view.identity, ifname)
    except OSError:
        pass  # without the right to enter it, or with no descriptor left: it cannot be told
    finally:
        views.append(view)
        os.close(descriptor)


def _enter(descriptor: int) -> None:
    """Move the calling thread into a network namespace, for the rest of its life.

    :raises OSError: if it may not.
    """
    if sys.version_info >= (3, 12):
        os.setns(descriptor, _CLONE_NEWNET)
    else:
        import ctypes  # noqa: PLC0415 -- for Python 3.11 alone

        if ctypes.CDLL(None).setns(descriptor, _CLONE_NEWNET):
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def _view_from_inside(identity: NetnsIdentity, ifname: str) -> NamespaceView:
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        return NamespaceView(identity._replace(cookie=_cookie_of(probe)), _has_interface(probe, ifname))
    finally:
        probe.close()


def _cookie_of(probe: _socket.socket) -> int:
    try:
        return int.from_bytes(probe.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, _COOKIE_SIZE), sys.byteorder)
    except OSError:  # a kernel before 5.14
        return _UNKNOWN


def _has_interface(probe: _socket.socket, ifname: str) -> bool:
    try:
        fcntl.ioctl(probe.fileno(), _SIOCGIFINDEX, os.fsencode(ifname).ljust(_IFREQ_SIZE, b"\0"))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True
