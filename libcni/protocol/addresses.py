"""Addresses as the protocol writes them: with a prefix length, without zones, host bits kept.

Go counterpart: ``types.ParseCIDR`` and ``net.IP``. Source: SPEC 1.1.0, section 5, "Success" (``ips``, ``routes``).
"""

from __future__ import annotations

import functools
import re
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import TypeAlias

__all__ = ["Address", "InterfaceAddress", "parse_address", "parse_cidr"]

Address: TypeAlias = IPv4Address | IPv6Address
InterfaceAddress: TypeAlias = IPv4Interface | IPv6Interface

# ipaddress alone would take a missing prefix, a dotted mask and a zone; a plugin in Go takes none of them.
_CIDR = re.compile(r"[0-9A-Fa-f:.]+/[0-9]{1,3}")


# The plugins of a chain hand the same few addresses on, and making one costs ten times as much as finding it.
_remembered = functools.lru_cache(maxsize=1024)


@_remembered
def parse_cidr(text: str) -> InterfaceAddress:
    """Return an address with its prefix length.

    :raises ValueError: if the prefix is missing or too long, the mask is dotted, or there is a zone.

    >>> parse_cidr("10.1.2.3/24")
    IPv4Interface('10.1.2.3/24')
    """
    if _CIDR.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not an address with a prefix length, such as '10.1.0.5/16'")
    return ip_interface(text)


@_remembered
def parse_address(text: str) -> Address:
    """Return an address without a prefix.

    :raises ValueError: if it is none, or has a zone.

    >>> parse_address("fd00::1")
    IPv6Address('fd00::1')
    """
    if "%" in text:
        raise ValueError(f"{text[:100]!r} has a zone, which the protocol does not know")
    return ip_address(text)
