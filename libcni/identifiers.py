"""Names that travel to plugins and into file names: network, container, interface, and the pairs of ``CNI_ARGS``.

Each rule is one function that returns what is wrong with a value, or ``None``; ``check_`` functions raise it. Go
counterpart: ``pkg/utils``. Source: SPEC 1.1.0, section 1 ("name") and section 2, "Parameters".
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from libcni.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "check_container_id",
    "check_interface_name",
    "check_network_name",
    "check_pairs",
    "format_args",
    "interface_name_problem",
    "is_encodable",
    "is_text",
    "network_name_problem",
    "parse_args",
    "plugin_type_problem",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*")
_NAME_RULE = "must start with a letter or digit, then letters, digits, '_', '.' or '-'"
_PLAIN_INTERFACE_NAME = re.compile(r"[A-Za-z0-9_\-]{1,15}")
"""What nearly every name is, and no rule forbids."""

# The Linux kernel's IFNAMSIZ of 16 counts the final NUL.
_INTERFACE_NAME_BYTES = 15
_NOT_IN_A_FILE_NAME = frozenset("/\\\0")
_NOT_ENCODABLE = "must not contain half of a surrogate pair, which has no bytes"


def is_encodable(text: str) -> bool:
    """Say whether a text can be part of a path or an environment, whose bytes it must have.

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
    return None if _NAME.fullmatch(name) else _NAME_RULE


def interface_name_problem(name: str) -> str | None:
    """Return why the Linux kernel would refuse ``name`` for an interface, or ``None``.

    >>> interface_name_problem("eth0")
    >>> interface_name_problem("interface-name-0")
    'has 16 bytes; at most 15 are allowed'
    """
    if _PLAIN_INTERFACE_NAME.fullmatch(name):
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


def check_pairs(parameter: str, items: Iterable[object]) -> tuple[tuple[str, str], ...]:
    """Check that every item is a pair of texts, and return the pairs.

    :raises InvalidParameterError: if one is not: a text of two letters can be unpacked like a pair, and means another.

    >>> check_pairs("args", [("A", "1"), ["B", "2"]])
    (('A', '1'), ('B', '2'))
    """
    pairs: list[tuple[str, str]] = []
    for item in items:
        if not _is_pair(item):
            # It may be a secret: the message says which one it is and not what.
            raise InvalidParameterError(parameter, f"item {len(pairs) + 1}", "is not a pair of texts")
        first, second = item
        pairs.append((first, second))
    return tuple(pairs)


def _is_pair(item: object) -> TypeGuard[Sequence[str]]:
    return _is_sequence(item) and len(item) == 2 and all(map(is_text, item))  # noqa: PLR2004 -- a pair


def _is_sequence(item: object) -> TypeGuard[Sequence[object]]:
    return isinstance(item, Sequence) and not isinstance(item, str)


def is_text(value: object) -> bool:
    """Say whether a value is what its type promises, which nobody has checked."""
    return isinstance(value, str)


def format_args(args: Iterable[tuple[str, str]]) -> str:
    """Return the value of ``CNI_ARGS`` for the pairs, in their order.

    :raises InvalidParameterError: if a pair could be read as something else than was meant.

    >>> format_args([("IgnoreUnknown", "1"), ("IP", "10.0.0.7")])
    'IgnoreUnknown=1;IP=10.0.0.7'
    """
    parts: list[str] = []
    for key, value in args:
        # The value may be a secret: the message names the key only.
        _check("args", key, _pair_problem(key, value))
        parts.append(f"{key}={value}")
    return ";".join(parts)


def parse_args(text: str, *, parameter: str = "args") -> tuple[tuple[str, str], ...]:
    """Return the pairs in a ``CNI_ARGS`` value; an empty text has none.

    :param parameter: name of the value for the error.
    :raises InvalidParameterError: if a part has no ``=`` or an empty key.

    >>> parse_args("A=1;B=x=y")
    (('A', '1'), ('B', 'x=y'))
    """
    if not text:
        return ()
    pairs: list[tuple[str, str]] = []
    for part in text.split(";"):
        key, separator, value = part.partition("=")
        if not separator or not key:
            # A part without a key may be the end of a secret: the message says which one it is and not what.
            raise InvalidParameterError(parameter, f"part {len(pairs) + 1}", "is not KEY=VALUE")
        pairs.append((key, value))
    return tuple(pairs)


def _pair_problem(key: str, value: str) -> str | None:
    if not key:
        return "a key must not be empty"
    if "=" in key:
        return "a key must not contain '='"
    if ";" in key or ";" in value:
        return "a key or value must not contain ';', which separates pairs"
    if not is_encodable(key + value):
        return "a key or value must not contain a NUL character or half of a surrogate pair"
    return None
