"""Undoing what an ADD did to the kernel, as shell commands: CHECK has to notice that it is gone.

Owns :func:`undoing`. Source: SPEC 1.1.0, section 2, "CHECK".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.kernel import Link, Route, Snapshot

__all__ = ["undoing"]


def undoing(before: Snapshot, after: Snapshot, netns: str = "") -> list[str]:
    """Return commands that bring a namespace from ``after`` back to ``before``.

    :param netns: path of the namespace; empty for that of the caller.

    >>> from libcni.conformance.kernel import Snapshot
    >>> undoing(Snapshot(sysctls={"core/somaxconn": "128"}), Snapshot(sysctls={"core/somaxconn": "500"}))
    ["sysctl -q -w 'net/core/somaxconn=128'"]
    """
    prefix = f"nsenter --net={netns} " if netns else ""
    return [f"{prefix}{command}" for command in _commands(before, after)]


def _commands(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Yield the commands; the firewall is emptied as a whole."""
    yield from (f"ip link delete {name}" for name in after.links if name not in before.links)
    yield from (_without_route(route) for route in sorted(after.routes - before.routes) if not route.by_kernel)
    yield from (_without_rule(rule) for rule in after.rules if rule not in before.rules)
    yield from _qdiscs(before, after)
    for name, link in after.links.items():
        if name in before.links:
            yield from _link(before.links[name], link)
    if set(after.firewall) - set(before.firewall):
        yield "nft flush ruleset"
    for name, value in before.sysctls.items():
        if after.sysctls.get(name, value) != value:
            yield f"sysctl -q -w 'net/{name}={value}'"


def _qdiscs(before: Snapshot, after: Snapshot) -> Iterator[str]:
    for qdisc in after.qdiscs:
        kind, _, device, *place = qdisc.split(" ")
        if qdisc not in before.qdiscs and device in before.links and kind not in {"noqueue", "pfifo_fast"}:
            yield f"tc qdisc delete dev {device} {'ingress' if kind in {'ingress', 'clsact'} else place[0]}"


def _link(old: Link, new: Link) -> Iterator[str]:
    yield from (f"ip address delete {address} dev {old.name}" for address in sorted(new.addresses - old.addresses))
    if old.mtu != new.mtu:
        yield f"ip link set {old.name} mtu {old.mtu}"
    if old.mac != new.mac:
        yield f"ip link set {old.name} address {old.mac}"
    for mode in sorted(new.modes - old.modes):
        yield f"ip link set {old.name} {mode.lower().replace('allmulti', 'allmulticast')} off"
    if new.is_up and not old.is_up:
        yield f"ip link set {old.name} down"


def _without_route(route: Route) -> str:
    return f"ip route delete {route.dst} dev {route.device} table {route.table}"


def _without_rule(rule: str) -> str:
    sign = "-6 " if rule.startswith("-6 ") else ""
    return f"ip {sign}rule delete priority {rule.removeprefix('-6 ').partition(':')[0]}"
