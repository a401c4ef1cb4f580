"""A socket of the kernel's network configuration, and what it tells of the namespace that it was made in.

A socket stays in its namespace, whoever uses it: made inside, it answers from outside. Source: ``rtnetlink(7)``,
``SO_NETNS_COOKIE``.
"""

from __future__ import annotations

import _socket  # what the module socket adds takes 8 ms to import
import errno
import os
import struct
import sys

__all__ = ["UNKNOWN", "cookie_of", "index_of", "new_socket"]

UNKNOWN = 0
"""Stands for a cookie that the kernel does not give."""

_SO_NETNS_COOKIE = 71
_COOKIE_SIZE = 8

_NLMSG_ERROR = 2
_RTM_GETLINK = 18
_NLM_F_REQUEST = 1
_IFLA_IFNAME = 3
_IFLA_EXT_MASK = 29
_SKIP_STATS = 8

_HEADER = struct.Struct("=IHHII")
"""Length, type, flags, sequence number and port of a message."""
_LINK = struct.Struct("=BxHiII")
"""Address family, type, index, flags and their mask of an interface."""
_ATTRIBUTE = struct.Struct("=HH")
_MASK = struct.Struct("=HHI")
_ERROR = struct.Struct("=i")
_ALIGNMENT = 4
_NO_SUCH_INTERFACE = frozenset({errno.ENODEV, errno.EINVAL, errno.ERANGE})
"""Of no interface; the others are of a name that none can have."""
_LONGEST = 16384
"""Bytes: an answer is cut there, behind all that is read of it."""


def new_socket() -> _socket.socket:
    """Return a socket in the network namespace of the calling thread; the caller closes it."""
    return _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _socket.NETLINK_ROUTE)


def cookie_of(inside: _socket.socket) -> int:
    """Return the number that the kernel gives a namespace, once in a boot; 0 from a kernel before 5.14."""
    try:
        return int.from_bytes(inside.getsockopt(_socket.SOL_SOCKET, _SO_NETNS_COOKIE, _COOKIE_SIZE), sys.byteorder)
    except OSError:
        return UNKNOWN


def index_of(inside: _socket.socket, ifname: str) -> int:
    """Return the kernel's number of an interface, or 0 if there is none of that name.

    This question, unlike the ``ioctl`` for it, lets the kernel load no module of that name.

    :raises OSError: if the kernel does not say.
    """
    inside.send(_question(os.fsencode(ifname)))
    answer = inside.recv(_LONGEST, _socket.MSG_DONTWAIT)  # it is there: the kernel writes it before send returns
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _NLMSG_ERROR:
        return int(_LINK.unpack_from(answer, _HEADER.size)[2])
    number = -_ERROR.unpack_from(answer, _HEADER.size)[0]
    if number in _NO_SUCH_INTERFACE:
        return 0
    raise OSError(number, os.strerror(number))


def _question(name: bytes) -> bytes:
    ending = b"\0" * (_ALIGNMENT - len(name) % _ALIGNMENT)  # at least one
    wanted = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(name) + 1, _IFLA_IFNAME) + name + ending
    body = _LINK.pack(0, 0, 0, 0, 0) + wanted + _MASK.pack(_MASK.size, _IFLA_EXT_MASK, _SKIP_STATS)
    return _HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _NLM_F_REQUEST, 1, 0) + body
