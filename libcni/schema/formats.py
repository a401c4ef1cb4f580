"""The formats that the schemas name, as jsonschema checks them.

Each has a pattern beside it in the schemas, for tools that do not know it.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from libcni.protocol.addresses import parse_address, parse_cidr
from libcni.protocol.documents.field_validators import decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema import FormatChecker

__all__ = ["format_checker"]

_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")


def _address_or_cidr(text: str) -> object:
    return parse_cidr(text) if "/" in text else parse_address(text)


def _subnet(text: str) -> object:
    address = parse_cidr(text)
    if address.ip != address.network.network_address:
        raise ValueError(f"{text!r} has host bits set; the subnet is {str(address.network)!r}")
    return address


def _mac(text: str) -> None:
    if _MAC.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not a hardware address, such as '0a:58:0a:01:02:03'")


_CHECKS: dict[str, Callable[[str], object]] = {
    "cni-cidr": parse_cidr,
    "cni-subnet": _subnet,
    "cni-ip": parse_address,
    "cni-gateway": lambda text: not text or parse_address(text),
    "cni-address": _address_or_cidr,
    "cni-mac": _mac,
    "cni-base64": decode_base64,
}


def _for_text(check: Callable[[str], object]) -> Callable[[object], bool]:
    def is_valid(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return is_valid


@functools.cache
def format_checker() -> FormatChecker:
    """Return what checks the formats of our schemas for jsonschema; other formats are left unchecked."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=("ipv4", "ipv6"))
    for name, check in _CHECKS.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker
