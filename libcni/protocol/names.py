"""Names that travel to plugins and into file names: network, container, interface, plugin.

Each rule is one function that returns what is wrong with a value, or ``None``; ``check_`` functions raise it. Go
counterpart: ``pkg/utils``. Source: SPEC 1.1.0, section 1 ("name") and section 2, "Parameters".
"""

from __future__ import annotations

import os
import re

from libcni.errors import InvalidParameterError

__all__ = [
    "INTERFACE_NAME",
    "NETWORK_NAME",
    "check_container_id",
    "check_interface_name",
    "check_network_name",
    "interface_name_problem",
    "is_encodable",
    "is_text",
    "network_name_problem",
    "plugin_type_problem",
]

NETWORK_NAME = r"[A-Za-z0-9][A-Za-z0-9_.\-]*"
"""Regular expression of the whole name, as the schemas have it too. Container ids follow it as well."""

# The Linux kernel's IFNAMSIZ of 16 counts the final NUL.
_INTERFACE_NAME_BYTES = 15
INTERFACE_NAME = rf"(?!\.{{1,2}}$)[^/:\s\u0000]{{1,{_INTERFACE_NAME_BYTES}}}"
"""Regular expression of the whole name, as the schemas have it too. It counts characters; the kernel counts bytes."""

_NETWORK_NAME = re.compile(NETWORK_NAME)
_NETWORK_NAME_RULE = "must start with a letter or digit, then letters, digits, '_', '.' or '-'"
_INTERFACE_NAME = re.compile(INTERFACE_NAME)
_NOT_IN_A_FILE_NAME = frozenset("/\\\0")
_NOT_ENCODABLE = "must not contain half of a surrogate pair, which has no bytes"


def is_encodable(text: str) -> bool:
    """Return whether a text can be part of a path or an environment variable, and so has bytes without NUL.

    >>> is_encodable("eth0"), is_encodable(chr(0xD800)), is_encodable("eth" + chr(0))
    (True, False, False)
    """
    if text.isascii():
        return "\0" not in text
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def network_name_problem(name: str) -> str | None:
    """Return why ``name`` cannot name a network, or ``None``.

    >>> network_name_problem("pod-net.1")
    >>> network_name_problem("../etc")
    "must start with a letter or digit, then letters, digits, '_', '.' or '-'"
    """
    if not name:
        return "must not be empty"
    return None if _NETWORK_NAME.fullmatch(name) else _NETWORK_NAME_RULE


def interface_name_problem(name: str) -> str | None:
    """Return why the Linux kernel would refuse ``name`` for an interface, or ``None``.

    >>> interface_name_problem("eth0")
    >>> interface_name_problem("interface-name-0")
    'has 16 bytes; at most 15 are allowed'
    """
    if name.isascii() and _INTERFACE_NAME.fullmatch(name):
        return None
    if not name:
        return "must not be empty"
    if name in {".", ".."}:
        return "must not be '.' or '..'"
    if any(character in "/:\0" or character.isspace() for character in name):
        return "must not contain '/', ':' or white space"
    if not is_encodable(name):
        return _NOT_ENCODABLE
    size = len(os.fsencode(name))
    return None if size <= _INTERFACE_NAME_BYTES else f"has {size} bytes; at most {_INTERFACE_NAME_BYTES} are allowed"


def plugin_type_problem(name: str) -> str | None:
    """Return why ``name`` cannot be the file name of a plugin, or ``None``.

    >>> plugin_type_problem("bridge")
    >>> plugin_type_problem("../bridge")
    'must be a plain file name, without a separator'
    """
    if not name:
        return "must not be empty"
    if name in {".", ".."} or not _NOT_IN_A_FILE_NAME.isdisjoint(name):
        return "must be a plain file name, without a separator"
    return None


def check_network_name(name: str) -> None:
    """Check the name of a network.

    :raises InvalidParameterError: if it is empty or has a character that is not allowed.
    """
    _check("network", name, network_name_problem(name))


def check_container_id(container_id: str) -> None:
    """Check a container id, for which the rule of network names holds.

    :raises InvalidParameterError: if it is empty or has a character that is not allowed.
    """
    _check("container_id", container_id, network_name_problem(container_id))


def check_interface_name(ifname: str, *, parameter: str = "ifname") -> None:
    """Check the name of the interface inside the container.

    :param parameter: name of the value for the error.
    :raises InvalidParameterError: if it is empty, longer than 15 bytes, or has a character that is not allowed.
    """
    _check(parameter, ifname, interface_name_problem(ifname))


def _check(parameter: str, value: str, problem: str | None) -> None:
    if problem is not None:
        raise InvalidParameterError(parameter, value, problem)


def is_text(value: object) -> bool:
    """Return whether a value is a text at run time, where callers without a type checker may pass anything."""
    return isinstance(value, str)
