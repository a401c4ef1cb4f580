"""The formats that the schemas name, as jsonschema checks them.

Each has a pattern beside it in the schemas, for tools that do not know it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from libcni.protocol.addresses import (
    check_device_mac,
    check_hardware_address,
    parse_address,
    parse_address_or_cidr,
    parse_cidr,
    parse_subnet,
)
from libcni.protocol.documents.field_validators import decode_base64

if TYPE_CHECKING:
    from collections.abc import Callable

    from jsonschema import FormatChecker

__all__ = ["format_checker"]


def _device_mac(text: str) -> None:
    if text:
        check_device_mac(text)


_CHECKS: dict[str, Callable[[str], object]] = {
    "cni-cidr": parse_cidr,
    "cni-optional-cidr": lambda text: not text or parse_cidr(text),
    "cni-optional-address": lambda text: not text or parse_address_or_cidr(text),
    "cni-subnet": parse_subnet,
    "cni-ip": parse_address,
    "cni-gateway": lambda text: not text or parse_address(text),
    "cni-address": parse_address_or_cidr,
    "cni-hardware-address": check_hardware_address,
    "cni-device-mac": _device_mac,
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
    """Return the format checker for jsonschema, with the formats of the library's schemas and no others."""
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=("ipv4", "ipv6"))
    for name, check in _CHECKS.items():
        checker.checks(name, raises=ValueError)(_for_text(check))
    return checker
