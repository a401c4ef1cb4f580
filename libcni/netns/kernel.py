"""System calls on namespaces and mounts that Python lacks or has only from 3.12 on.

Source: ``unshare(2)``, ``mount(2)``, ``umount2(2)``, ``netdevice(7)``.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
from typing import TYPE_CHECKING

from libcni.linux import O_CLOEXEC, fcntl
from libcni.storage.apart import WorkApart

if TYPE_CHECKING:
    import ctypes

__all__ = [
    "bind",
    "current_namespace",
    "make_shared",
    "new_namespace",
    "own_path",
    "set_up",
    "unmount",
]

_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_SHARED = 0x100000
_MNT_DETACH = 0x2
_UMOUNT_NOFOLLOW = 0x8

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_IFREQ = struct.Struct("16sh14x")
"""Name and flags of an interface, as the ioctls for its flags take them."""

_OPEN_FLAGS = os.O_RDONLY | O_CLOEXEC


@functools.cache
def _libc() -> ctypes.CDLL:
    import ctypes  # noqa: PLC0415 -- loaded when a namespace is made

    return ctypes.CDLL(None, use_errno=True)


def _check(status: int, path: str = "") -> None:
    """Raise the error of the last call of the C library, if it failed."""
    if status:
        import ctypes  # noqa: PLC0415 -- as above

        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), *([path] if path else []))


def bind(source: str, target: str, *, with_mounts_below: bool = False) -> None:
    """Mount a file or folder at another place, too.

    :raises OSError: if it may not be.
    """
    flags = _MS_BIND | (_MS_REC if with_mounts_below else 0)
    _check(_libc().mount(os.fsencode(source), os.fsencode(target), b"none", flags, None), target)


def make_shared(target: str) -> None:
    """Let what is mounted below a mount point appear in its copies in other mount namespaces, and the other way round.

    :raises OSError: if it is no mount point, or may not be.
    """
    _check(_libc().mount(b"", os.fsencode(target), b"none", _MS_SHARED | _MS_REC, None), target)


def unmount(target: str) -> None:
    """Unmount what is mounted at a path, although it may be in use.

    :raises OSError: if nothing is mounted there, or it may not be.
    """
    _check(_libc().umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW), target)


def own_path(descriptor: int) -> str:
    """Return the path by which other processes reach a descriptor of this one."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def current_namespace() -> int:
    """Return a descriptor of the network namespace of the calling thread; the caller closes it."""
    return os.open("/proc/thread-self/ns/net", _OPEN_FLAGS)


def new_namespace() -> int:
    """Return a descriptor of a new network namespace, which the calling thread does not enter; the caller closes it.

    :raises OSError: if this process may not make one.
    """

    def unshare() -> int:
        _check(_libc().unshare(_CLONE_NEWNET))
        return current_namespace()

    return WorkApart(unshare).result()


def set_up(ifname: str) -> None:
    """Set an interface in the namespace of the calling thread up.

    :raises OSError: if there is no such interface, or it may not be.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
        name = os.fsencode(ifname)
        _, flags = _IFREQ.unpack(fcntl.ioctl(probe, _SIOCGIFFLAGS, _IFREQ.pack(name, 0)))
        if not flags & _IFF_UP:  # a change waits for all others of the kernel's network, also one that changes nothing
            fcntl.ioctl(probe, _SIOCSIFFLAGS, _IFREQ.pack(name, flags | _IFF_UP))
