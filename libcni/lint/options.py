"""Options of a plugin against each other, and against its addresses: what is beyond a schema.

Source: the reference pages and the code of the plugins that each check names.
"""

from __future__ import annotations

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import array_of, object_of
from libcni.lint.keys import MISSPELT, is_comment, similar
from libcni.lint.ranges import blocks_of
from libcni.protocol.addresses import parse_cidr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcni.jsontext.scan import Path
    from libcni.lint.findings import Source
    from libcni.lint.placed import PlacedPlugin

__all__ = ["ROUTING", "check_ipam", "check_options", "check_routes", "destination_of", "needs_gateway"]

_IPV6_MTU = 1280
"""The smallest MTU with IPv6 (RFC 8200, section 5); below it the kernel takes IPv6 off the interface."""
_FAMILIES = frozenset({4, 6})
_ON_LINK = frozenset({"ptp"})
"""Plugins that make a route to the gateway itself first, so that it may lie anywhere."""
ROUTING = frozenset({"bridge", "ptp", "macvlan", "ipvlan", "vlan", "host-device", "dummy", "tap"})
"""Plugins that hand the routes of their IPAM plugin to the kernel as they are."""
_TRUNKS = {"bridge": "vlanTrunk", "ovs": "trunk"}


def needs_gateway(plugin: PlacedPlugin) -> frozenset[int]:
    """Return the address families in which a route of the container goes over the gateway of its address."""
    if plugin.known is None or plugin.type in _ON_LINK:
        return frozenset()
    if plugin.data.get("isDefaultGateway") is True:
        return _FAMILIES
    needed: set[int] = set()
    for route in map(object_of, array_of(plugin.ipam.get("routes"))):
        if not route.get("gw"):
            needed |= _family(route.get("dst"))
    return frozenset(needed)


def _family(destination: object) -> frozenset[int]:
    try:
        return frozenset({parse_cidr(destination).version}) if isinstance(destination, str) else frozenset()
    except ValueError:
        return frozenset()


def check_ipam(plugin: PlacedPlugin) -> None:
    """Check that an IPAM configuration names a plugin, and that host-local has something to give out."""
    if plugin.ipam_type == "host-local":
        _check_has_range(plugin)
    elif not plugin.ipam_type and plugin.known is not None and not plugin.known.default_ipam:
        _check_has_type(plugin)


def _check_has_range(plugin: PlacedPlugin) -> None:
    is_passed = object_of(plugin.data.get("capabilities")).get("ipRanges") is True
    is_completed = plugin.known is not None and (bool(plugin.known.default_ipam) or plugin.known.completes_ipam)
    # A part of a range is a finding of its own.
    has_range = any(plugin.ipam.get(key) for key in ("subnet", "ranges", "rangeStart", "rangeEnd", "gateway"))
    if has_range or is_passed or is_completed or "ipam" in plugin.given:
        return
    if "ipRanges" in object_of(plugin.data.get("runtimeConfig")):
        return
    message = "host-local has no range of addresses to give out"
    hint = 'add "ranges": [[{"subnet": "10.1.0.0/24"}]]; kube-router and others complete such a file on the node'
    plugin.source.report("CNI331", (*plugin.path, "ipam"), message, hint=hint)


def _check_has_type(plugin: PlacedPlugin) -> None:
    part = None if plugin.known is None else plugin.known.described.members.get("ipam")
    if part is None or set(part.members) - {"type"}:
        return
    content = [key for key, value in plugin.ipam.items() if key != "type" and value and not is_comment(key)]
    if content and not similar("type", content, MISSPELT):
        message = f"has {', '.join(content)} and no 'type': no IPAM plugin runs, and the container gets no address"
        path = (*plugin.path, "ipam")
        plugin.source.report("CNI332", path, message, hint="add the type of the IPAM plugin, such as 'host-local'")


def check_options(plugin: PlacedPlugin) -> None:
    """Check options of a plugin that depend on each other."""
    _check_mtu(plugin)
    if plugin.type in ROUTING and plugin.ipam_known is not None:
        check_routes(plugin.source, (*plugin.path, "ipam", "routes"), plugin.ipam.get("routes"))
    if plugin.type == "bridge":
        _check_has_addresses(plugin)
    if plugin.type == "route-override":
        check_routes(plugin.source, (*plugin.path, "addroutes"), plugin.data.get("addroutes"))
    if plugin.type in _TRUNKS:
        _check_trunk(plugin, _TRUNKS[plugin.type])
    if plugin.type == "portmap":
        _check_backend(plugin)


def check_routes(source: Source, path: Path, routes: object) -> None:
    """Check that the destinations of IPv4 routes have no host bits, which the kernel takes in those of IPv6 only."""
    for index, route in enumerate(array_of(routes)):
        destination = destination_of(route)
        if destination is not None and destination.ip != destination.network.network_address:
            message = f"{destination} has bits behind its prefix length: the kernel refuses such a route"
            source.report("CNI337", (*path, index, "dst"), message, hint=f"did you mean {str(destination.network)!r}?")


def destination_of(route: object) -> IPv4Interface | None:
    """Return the destination of a route as it is written, or ``None`` when it is no IPv4 network."""
    text = object_of(route).get("dst")
    try:
        found = parse_cidr(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if isinstance(found, IPv4Interface) else None


def _check_has_addresses(plugin: PlacedPlugin) -> None:
    wanted = next((key for key in ("isGateway", "isDefaultGateway") if plugin.data.get(key) is True), "")
    # What calls the plugin may put an IPAM configuration in.
    if wanted and not plugin.ipam_type and "ipam" not in plugin.given:
        message = f"{wanted!r} does nothing without an IPAM plugin, which has the address of the gateway"
        plugin.source.report("CNI336", (*plugin.path, wanted), message, hint='add "ipam", or leave it out')


def _check_mtu(plugin: PlacedPlugin) -> None:
    mtu = plugin.data.get("mtu")
    if not isinstance(mtu, int) or not 0 < mtu < _IPV6_MTU:
        return
    block = next((one for one in blocks_of(plugin.ipam, ()) if one.subnet.version == 6), None)  # noqa: PLR2004 -- IPv6
    if block is not None:
        message = f"an MTU of {mtu} leaves no room for IPv6, and {block.subnet} is given out"
        plugin.source.report("CNI330", (*plugin.path, "mtu"), message, hint=f"IPv6 needs {_IPV6_MTU} bytes")


def _check_trunk(plugin: PlacedPlugin, key: str) -> None:
    """Check the VLANs of a trunk: ranges that start before they end, and each VLAN once."""
    seen: dict[int, int] = {}
    for index, item in enumerate(array_of(plugin.data.get(key))):
        members = object_of(item)
        path = (*plugin.path, key, index)
        first, last = _number(members, "minID"), _number(members, "maxID")
        if first and last and first > last:
            message = f"the range starts at VLAN {first}, behind its end {last}"
            plugin.source.report("CNI328", (*path, "minID"), message, hint="swap them")
        single = _number(members, "id")
        vlans = [*range(first, last + 1), *([single] if single else [])] if last - first < 2 * 4096 else []
        double = next((vlan for number, vlan in enumerate(vlans) if vlan in seen or vlan in vlans[:number]), None)
        if double is not None:
            message = f"VLAN {double} is in the trunk already"
            place = (*path, "id") if double == single else path
            plugin.source.report("CNI333", place, message, hint="name each VLAN once, alone or in a range")
        seen |= dict.fromkeys(vlans, index)


def _number(members: Mapping[str, Any], key: str) -> int:
    value = members.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _check_words(plugin: PlacedPlugin, key: str) -> None:
    """Check that conditions for iptables, which are arguments of a command, have one word in each item."""
    for index, item in enumerate(array_of(plugin.data.get(key))):
        words = item.split() if isinstance(item, str) else []
        if len(words) > 1 and words[0][:1] in {"-", "!"}:
            hint = f"write {', '.join(map(dump, words))}"
            plugin.source.report("CNI338", (*plugin.path, key, index), "is several arguments in one text", hint=hint)


def _check_backend(plugin: PlacedPlugin) -> None:
    """Check that the conditions of portmap are written for the firewall that it uses."""
    meant = [
        (key, "iptables" if str(conditions[0])[:1] in {"-", "!"} else "nftables")
        for key in ("conditionsV4", "conditionsV6")
        if (conditions := array_of(plugin.data.get(key)))
    ]
    if plugin.data.get("externalSetMarkChain"):
        meant.append(("externalSetMarkChain", "iptables"))
    for key in ("conditionsV4", "conditionsV6"):
        _check_words(plugin, key)
    backend = plugin.data.get("backend") or (meant[0][1] if meant else "")
    for key, wanted in meant:
        if wanted != backend:
            message = f"is written for {wanted}, and the backend is {backend}"
            hint = f'set "backend": "{wanted}", or write it for {backend}'
            plugin.source.report("CNI334", (*plugin.path, key), message, hint=hint)
