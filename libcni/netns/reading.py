"""Links, addresses and routes in the namespace of the calling thread, read from the kernel by pyroute2.

Source: ``rtnetlink(7)``.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

__all__ = ["Address", "Link", "Route", "read_addresses", "read_links", "read_routes"]

_IFF_UP = 0x1
_LOCAL_TABLE = 255
_AF_INET = 2
_AF_INET6 = 10
_CLONED = 0x200
_ANYWHERE = {_AF_INET: "0.0.0.0", _AF_INET6: "::"}  # noqa: S104 -- a destination


@dataclass(frozen=True, slots=True)
class Link:
    """An interface: its name, the kernel's number of it, its hardware address, its MTU in bytes.

    ``kind`` is the type of a virtual one, such as ``veth``, and empty for others; ``peer_index`` the number of the
    other end of a ``veth``, or of the interface that it stands on, in the namespace where that is; ``None`` without.
    """

    name: str
    index: int
    mac: str
    mtu: int
    is_up: bool
    kind: str = ""
    peer_index: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """An address of an interface, with its prefix length."""

    ifname: str
    address: IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True)
class Route:
    """A route: destination, gateway (``None`` for what is reached directly), and the interface that it leaves by.

    ``ifname`` is empty for a route that leads nowhere, such as a blackhole. A route over several gateways is several.
    """

    dst: IPv4Network | IPv6Network
    gateway: IPv4Address | IPv6Address | None
    ifname: str
    table: int
    priority: int | None = None
    source: IPv4Address | IPv6Address | None = None


def _messages(kind: str) -> list[Any]:
    """Return what the kernel lists: ``get_links``, ``get_addr`` or ``get_routes``.

    :raises MissingExtraError: if pyroute2 is not installed.
    """
    try:
        # It takes 0.15 s to load, may be missing, and has no types.
        from pyroute2 import IPRoute  # type: ignore[import-untyped] # noqa: PLC0415 # pyright: ignore[reportMissingTypeStubs]
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyroute2":
            raise
        raise MissingExtraError("reading links, addresses and routes", "netns") from None
    with IPRoute() as socket:
        return [*getattr(socket, kind)()]


def read_links() -> tuple[Link, ...]:
    """Return the interfaces."""
    return tuple(_link(message) for message in _messages("get_links"))


def _link(message: Mapping[str, Any]) -> Link:
    given = dict(message["attrs"])
    info = dict(given["IFLA_LINKINFO"]["attrs"]) if "IFLA_LINKINFO" in given else {}
    return Link(
        name=given["IFLA_IFNAME"],
        index=message["index"],
        mac=given.get("IFLA_ADDRESS", ""),
        mtu=given["IFLA_MTU"],
        is_up=bool(message["flags"] & _IFF_UP),
        kind=info.get("IFLA_INFO_KIND", ""),
        peer_index=given.get("IFLA_LINK") or None,
    )


def _names() -> dict[int, str]:
    return {link.index: link.name for link in read_links()}


def read_addresses() -> tuple[Address, ...]:
    """Return the addresses of all interfaces."""
    names = _names()
    return tuple(_addresses(_messages("get_addr"), names))


def _addresses(messages: Iterable[Mapping[str, Any]], names: Mapping[int, str]) -> Iterator[Address]:
    for message in messages:
        given = dict(message["attrs"])
        # Where there is a peer, IFA_ADDRESS is the peer's.
        own = given.get("IFA_LOCAL") or given["IFA_ADDRESS"]
        yield Address(names.get(message["index"], ""), ipaddress.ip_interface(f"{own}/{message['prefixlen']}"))


def read_routes() -> tuple[Route, ...]:
    """Return the routes of all tables but that of local addresses."""
    names = _names()
    return tuple(route for message in _messages("get_routes") for route in _routes(message, names))


def _routes(message: Mapping[str, Any], names: Mapping[int, str]) -> Iterator[Route]:
    given = dict(message["attrs"])
    table = given.get("RTA_TABLE", message["table"])
    if table == _LOCAL_TABLE or message["flags"] & _CLONED or message["family"] not in _ANYWHERE:
        return
    dst = f"{given.get('RTA_DST', _ANYWHERE[message['family']])}/{message['dst_len']}"
    for hop in _hops(given):
        yield Route(
            dst=ipaddress.ip_network(dst),
            gateway=_gateway(hop),
            ifname=names.get(hop.get("RTA_OIF", 0), ""),
            table=table,
            priority=given.get("RTA_PRIORITY"),
            source=_address(given.get("RTA_PREFSRC")),
        )


def _hops(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return gateway and interface of each way of a route."""
    if "RTA_MULTIPATH" not in given:
        return [dict(given)]
    return [dict(hop["attrs"]) | {"RTA_OIF": hop["oif"]} for hop in given["RTA_MULTIPATH"]]


def _gateway(hop: Mapping[str, Any]) -> IPv4Address | IPv6Address | None:
    """Return the gateway, which may be of the other address family."""
    via = hop.get("RTA_VIA")
    return _address(hop.get("RTA_GATEWAY") or (via and via["addr"]))


def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    return ipaddress.ip_address(text) if text else None
