"""Addresses as the protocol writes them: with a prefix length, without zones, host bits kept.

Go counterpart: ``types.ParseCIDR`` and ``net.IP``. Source: SPEC 1.1.0, section 5, "Success" (``ips``, ``routes``).
"""

from __future__ import annotations

import functools
import re
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address, ip_interface
from typing import TypeAlias

__all__ = [
    "CIDR",
    "DEVICE_MAC",
    "HARDWARE_ADDRESS",
    "IP",
    "IP_OR_CIDR",
    "MAC",
    "Address",
    "InterfaceAddress",
    "check_device_mac",
    "check_hardware_address",
    "check_mac",
    "parse_address",
    "parse_address_or_cidr",
    "parse_cidr",
    "parse_subnet",
]

Address: TypeAlias = IPv4Address | IPv6Address
InterfaceAddress: TypeAlias = IPv4Interface | IPv6Interface

# Regular expressions of whole values, as the schemas have them too. Each is linear in the length of the text, which
# comes from a plugin.
IP = r"([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)"
_PREFIX = "/[0-9]{1,3}"
CIDR = IP + _PREFIX
IP_OR_CIDR = f"{IP}({_PREFIX})?"
DEVICE_MAC = "[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}"
MAC = "[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}"
HARDWARE_ADDRESS = MAC + "(([:-][0-9A-Fa-f]{2}){14})?"

# ipaddress alone would take a missing prefix, a dotted mask and a zone; a plugin in Go takes none of them.
_CIDR = re.compile(CIDR)
_MAC = re.compile(MAC)
_HARDWARE_ADDRESS = re.compile(HARDWARE_ADDRESS)

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
    try:
        return ip_interface(text)
    except ValueError:
        longest = parse_address(text.partition("/")[0]).max_prefixlen
        raise ValueError(f"{text[:100]!r} has a prefix length of more than {longest}") from None


@_remembered
def parse_address(text: str) -> Address:
    """Return an address without a prefix.

    :raises ValueError: if it is none, or has a zone.

    >>> parse_address("fd00::1")
    IPv6Address('fd00::1')
    """
    if "%" in text:
        raise ValueError(f"{text[:100]!r} has a zone, which the protocol does not know")
    try:
        return ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is not an address, such as '10.1.0.5'") from None


def parse_address_or_cidr(text: str) -> Address | InterfaceAddress:
    """Return an address, with its prefix length if the text has one.

    :raises ValueError: as :func:`parse_cidr` and :func:`parse_address`.
    """
    return parse_cidr(text) if "/" in text else parse_address(text)


def parse_subnet(text: str) -> InterfaceAddress:
    """Return the first address of a subnet, with the prefix length.

    :raises ValueError: as :func:`parse_cidr`, and if host bits are set.

    >>> parse_subnet("10.1.0.0/16")
    IPv4Interface('10.1.0.0/16')
    """
    address = parse_cidr(text)
    if address.ip != address.network.network_address:
        raise ValueError(f"{text!r} has host bits set; the subnet is {str(address.network)!r}")
    return address


def check_mac(text: str) -> None:
    """Check a hardware address of six octets.

    :raises ValueError: if it is none.
    """
    if _MAC.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not a hardware address, such as '0a:58:0a:01:02:03'")


def check_hardware_address(text: str) -> None:
    """Check a hardware address of six octets, or of twenty for IP over InfiniBand (RFC 4391, section 9.1.1).

    :raises ValueError: if it is none.
    """
    if _HARDWARE_ADDRESS.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is not a hardware address, such as '0a:58:0a:01:02:03'")


def check_device_mac(text: str) -> None:
    """Check a hardware address that an interface can have.

    :raises ValueError: if it is none, or that of a group (IEEE 802: the lowest bit of the first octet is set).
    """
    check_mac(text)
    if int(text[:2], 16) & 1:
        raise ValueError(f"{text!r} is a group address (its first octet is odd), which no interface can have")
