"""A container on its networks: interfaces, addresses, gateways, routes and name resolution, from the plugins' results.

Nothing is lost: each result stands beside what is made of it. Go counterpart: ``cni.Result`` of ``go-cni``. Source:
SPEC 1.1.0, section 5, "Success".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libcni.errors import ResultError
from libcni.jsontext.frozen import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from libcni.protocol.addresses import Address, InterfaceAddress
    from libcni.results.result import Interface, IPConfig, Result, Route

__all__ = ["AttachedInterface", "MergedDNS", "Setup", "setup_of"]

_ONE_WORD = re.compile(r"[^\s#;]+")


@dataclass(frozen=True, kw_only=True)
class AttachedInterface:
    """One interface in a container.

    ``mac`` is empty and ``mtu`` ``None`` where the plugin does not say. ``sandbox`` is the path of the namespace.
    ``gateways`` has one address at most for each family: of the address, else of the default route. ``routes`` are
    those whose gateway is in one of its subnets; the others stand with the first interface of the network.
    ``attachment`` is the interface name that the network was joined with, the key of :attr:`Setup.results`: a plugin
    may make several interfaces.
    """

    network: str
    ifname: str
    mac: str = ""
    mtu: int | None = None
    sandbox: str = ""
    addresses: Sequence[InterfaceAddress] = ()
    gateways: Sequence[Address] = ()
    routes: Sequence[Route] = ()
    attachment: str = ""


@dataclass(frozen=True, kw_only=True)
class MergedDNS:
    """Name resolution of all networks of a container, in their order, each value once.

    ``domain`` is the first one that a network names.
    """

    nameservers: Sequence[str] = ()
    domain: str = ""
    search: Sequence[str] = ()
    options: Sequence[str] = ()

    def resolv_conf(self) -> str:
        """Return the text of a ``resolv.conf(5)``; empty when no network says anything.

        The local domain is searched first: ``domain`` and ``search`` exclude each other in that file.

        :raises ResultError: if a value is empty, or has white space, ``#`` or ``;``: it would be read otherwise.
        """
        search = list(dict.fromkeys([*([self.domain] if self.domain else []), *self.search]))
        lines = [("search", search)] if search else []
        lines += [("nameserver", [server]) for server in self.nameservers]
        lines += [("options", list(self.options))] if self.options else []
        for keyword, values in lines:
            for value in values:
                if _ONE_WORD.fullmatch(value) is None:
                    raise ResultError(f"{value[:100]!r} cannot stand in resolv.conf", field=f"dns.{keyword}")
        return "".join(f"{keyword} {' '.join(values)}\n" for keyword, values in lines)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A container that is on its networks.

    ``results`` has the result of each network by interface name, in the order of the networks.
    """

    container_id: str
    netns: str
    interfaces: Sequence[AttachedInterface] = ()
    dns: MergedDNS = MergedDNS()
    results: Mapping[str, Result] = field(default_factory=FrozenDict)

    @property
    def addresses(self) -> Sequence[InterfaceAddress]:
        """All addresses in the container, in the order of the interfaces."""
        return tuple([address for interface in self.interfaces for address in interface.addresses])

    @property
    def primary_address(self) -> InterfaceAddress | None:
        """The first address in the container, ``None`` when it has none."""
        return next(iter(self.addresses), None)


def setup_of(container_id: str, netns: str, attached: Iterable[tuple[str, str, Result]]) -> Setup:
    """Return the setup of a container from the results of its networks.

    :param attached: name of the network, name of the interface and result, in the order of the networks.
    """
    triples = list(attached)
    interfaces = [each for triple in triples for each in _interfaces(*triple, netns=netns)]
    results = FrozenDict({ifname: result for _, ifname, result in triples})
    dns = _merged_dns([result for _, _, result in triples])
    return Setup(container_id=container_id, netns=netns, interfaces=tuple(interfaces), dns=dns, results=results)


def _merged_dns(results: Sequence[Result]) -> MergedDNS:
    """Return the name resolution of several results."""
    every = [result.dns for result in results]
    return MergedDNS(
        nameservers=_once(server for dns in every for server in dns.nameservers),
        domain=next((dns.domain for dns in every if dns.domain), ""),
        search=_once(domain for dns in every for domain in dns.search),
        options=_once(option for dns in every for option in dns.options),
    )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _interfaces(network: str, ifname: str, result: Result, *, netns: str) -> Iterator[AttachedInterface]:
    """Return the interfaces of one network that are in the container, the one that was asked for first."""
    inside = [(index, item) for index, item in enumerate(result.interfaces) if item.sandbox]
    inside.sort(key=lambda pair: pair[1].name != ifname)
    if not inside:  # versions before 0.3.0 name no interfaces, and some plugins none
        yield _interface(network, ifname, None, ips=result.ips, routes=result.routes, netns=netns)
        return
    owned = [_of_interface(result, index, is_first=not place) for place, (index, _) in enumerate(inside)]
    routes = _by_interface(result.routes, owned)
    for (_, item), ips, own in zip(inside, owned, routes, strict=True):
        yield _interface(network, ifname, item, ips=ips, routes=own, netns=netns)


def _of_interface(result: Result, index: int, *, is_first: bool) -> list[IPConfig]:
    """Return the addresses of one interface; the first one has those of which the plugin does not say, too."""
    indexes = {index, None} if is_first else {index}
    known = [ip for ip in result.ips if ip.interface in indexes]
    astray = [ip for ip in result.ips if is_first and _is_astray(ip, result)]
    return known + astray


def _is_astray(ip: IPConfig, result: Result) -> bool:
    """Return whether an address has the index of no interface."""
    return ip.interface is not None and not 0 <= ip.interface < len(result.interfaces)


def _by_interface(routes: Sequence[Route], owned: Sequence[Sequence[IPConfig]]) -> list[list[Route]]:
    found: list[list[Route]] = [[] for _ in owned]
    for route in routes:
        places = [place for place, ips in enumerate(owned) if _leads_through(route, ips)]
        found[places[0] if places else 0].append(route)
    return found


def _leads_through(route: Route, ips: Sequence[IPConfig]) -> bool:
    gateway = route.gw
    return gateway is not None and any(gateway in ip.address.network or gateway == ip.gateway for ip in ips)


def _interface(
    network: str,
    attachment: str,
    item: Interface | None,
    *,
    ips: Sequence[IPConfig],
    routes: Sequence[Route],
    netns: str,
) -> AttachedInterface:
    return AttachedInterface(
        network=network,
        ifname=attachment if item is None else item.name,
        mac="" if item is None else item.mac,
        mtu=None if item is None else item.mtu,
        sandbox=netns if item is None else item.sandbox,
        addresses=tuple([ip.address for ip in ips]),
        gateways=tuple(_gateways(ips, routes)),
        routes=tuple(routes),
        attachment=attachment,
    )


def _gateways(ips: Sequence[IPConfig], routes: Sequence[Route]) -> list[Address]:
    """Return the gateway of each family: that of an address, else that of the default route."""
    named = [ip.gateway for ip in ips if ip.gateway is not None]
    named += [route.gw for route in routes if route.gw is not None and route.dst.network.prefixlen == 0]
    first: dict[int, Address] = {}
    for gateway in named:
        first.setdefault(gateway.version, gateway)
    return list(first.values())
