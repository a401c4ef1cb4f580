"""Checks of ADD against the kernel. Source: SPEC 1.1.0, section 2, "ADD", and section 5, "Success"."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_refusal, expect_success, listed
from libcni.conformance.kernel import canonical
from libcni.conformance.lab import members
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcni.conformance.calls import Answer
    from libcni.conformance.kernel import Link, Snapshot
    from libcni.conformance.lab import Container, Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "addresses_are_set",
    "failure_leaves_nothing",
    "foreign_interface_refused",
    "gateways_agree",
    "hardware_addresses_agree",
    "host_interfaces_exist",
    "host_untouched",
    "interfaces_are_up",
    "interfaces_exist",
    "links_declared",
    "mtu_agrees",
    "namespace_of_process",
    "routes_are_set",
    "routes_declared",
    "same_interface_harmless",
    "same_interface_refused",
    "second_gets_another_address",
    "second_interface",
    "succeeds",
]

_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def succeeds(lab: Lab) -> None:
    """ADD, and expect a result."""
    answer = lab.send(lab.request("ADD", lab.container()))
    expect_success(answer)
    expect(answer.document is not None, "ADD to print a result", answer.summary, answer)


def _added(lab: Lab) -> tuple[Container, Answer]:
    container = lab.container()
    return container, lab.add(container)


def _inside(lab: Lab, container: Container) -> list[JSONObject]:
    """Return the result's interfaces in the container."""
    found = [entry for entry in members(lab.result(container), "interfaces") if entry.get("sandbox")]
    if not found:
        raise NotApplicableError("the result names no interface in the container")
    return found


def _found(lab: Lab, container: Container) -> list[tuple[JSONObject, Link]]:
    """Return the result's interfaces in the container that the kernel has, with what it has."""
    links = lab.look(container).links
    return [(entry, links[entry["name"]]) for entry in _inside(lab, container) if entry.get("name") in links]


def interfaces_exist(lab: Lab) -> None:
    """Look for the interfaces in the container."""
    container, answer = _added(lab)
    links = lab.look(container).links
    for interface in _inside(lab, container):
        name = interface.get("name")
        expect(
            name in links,
            f"interface {name} in the container, as the result says",
            f"it has {', '.join(links)}",
            answer,
        )


def host_interfaces_exist(lab: Lab) -> None:
    """Look for the interfaces on the host."""
    container, answer = _added(lab)
    links = lab.look().links
    for interface in members(lab.result(container), "interfaces"):
        if not interface.get("sandbox"):
            name = interface.get("name")
            expect(
                name in links,
                f"interface {name} on the host, as the result says",
                f"it has {', '.join(links)}",
                answer,
            )


def hardware_addresses_agree(lab: Lab) -> None:
    """Compare hardware addresses."""
    container, answer = _added(lab)
    pairs = _found(lab, container)
    host = lab.look().links
    pairs += [
        (entry, host[entry["name"]])
        for entry in members(lab.result(container), "interfaces")
        if not entry.get("sandbox") and entry.get("name") in host
    ]
    for interface, link in pairs:
        mac = str(interface.get("mac") or "").lower()
        expect(not mac or mac == link.mac, f"mac {link.mac} for {link.name}, as the kernel has it", mac, answer)


def mtu_agrees(lab: Lab) -> None:
    """Compare the MTU."""
    container, answer = _added(lab)
    for interface, link in _found(lab, container):
        mtu = interface.get("mtu")
        expect(not mtu or mtu == link.mtu, f"mtu {link.mtu} for {link.name}, as the kernel has it", mtu, answer)


def interfaces_are_up(lab: Lab) -> None:
    """Look at the state of the interfaces in the container."""
    container, answer = _added(lab)
    for _, link in _found(lab, container):
        expect(link.is_up, f"{link.name} to be up", "it is down", answer)


def addresses_are_set(lab: Lab) -> None:
    """Compare the addresses."""
    container, answer = _added(lab)
    lab.addresses(container)
    inside, host = lab.look(container).links, lab.look().links
    interfaces = members(lab.result(container), "interfaces")
    for entry in members(lab.result(container), "ips"):
        named = _interface_of(entry, interfaces)
        links = inside if named is None or named.get("sandbox") else host
        place = "in the container" if links is inside else "on the host"
        if named is not None and named.get("name") not in links:
            continue  # an interface that is not there is another check's business
        holders = [links[str(named["name"])]] if named is not None else list(links.values())
        present = frozenset[str]().union(*(link.addresses for link in holders))
        expected = f"address {entry.get('address')} on {named['name'] if named else 'an interface'} {place}"
        expect(_same(entry.get("address"), present), expected, _elsewhere(entry, inside, host), answer)


def _interface_of(entry: JSONObject, interfaces: list[JSONObject]) -> JSONObject | None:
    """Return the interface that an address points to, ``None`` if it points to none."""
    index = entry.get("interface")
    return interfaces[index] if isinstance(index, int) and 0 <= index < len(interfaces) else None


def _elsewhere(entry: JSONObject, inside: Mapping[str, Link], host: Mapping[str, Link]) -> str:
    """Return where an address is in place of the interface that the result names."""
    wanted = entry.get("address")
    found = [f"{name} in the container" for name, link in inside.items() if _same(wanted, link.addresses)]
    found += [f"{name} on the host" for name, link in host.items() if _same(wanted, link.addresses)]
    return f"it is on {', '.join(found)}" if found else "it is on no interface"


def _same(wanted: object, present: frozenset[str]) -> bool:
    # An address that lost its prefix length in the result is another check's business.
    return any(canonical(wanted) in {have, have.partition("/")[0]} for have in present)


def routes_are_set(lab: Lab) -> None:
    """Compare the routes."""
    container, answer = _added(lab)
    present = {route.dst for route in lab.look(container).routes}
    declared = [entry.get("dst") for entry in members(lab.result(container), "routes")]
    if not declared:
        raise NotApplicableError("the configuration gives no route")
    for dst in declared:
        network = _network(dst)
        expect(network in present, f"a route to {network} in the container", ", ".join(sorted(present)), answer)


def _network(dst: object) -> str:
    return str(ipaddress.ip_network(str(dst), strict=False))


def gateways_agree(lab: Lab) -> None:
    """Compare the gateways of the routes."""
    container, answer = _added(lab)
    present = lab.look(container).routes
    for entry in members(lab.result(container), "routes"):
        gateway = entry.get("gw")
        seen = [route.gateway for route in present if route.dst == _network(entry.get("dst"))]
        if gateway and seen:
            expected = f"the route to {entry['dst']} over {gateway}"
            expect(canonical(gateway) in seen, expected, ", ".join(seen), answer)


def links_declared(lab: Lab) -> None:
    """Look for interfaces and addresses in the container that the result does not tell of."""
    container = lab.container()
    before = lab.look(container)
    answer = lab.add(container)
    after = lab.look(container)
    result = lab.result(container)
    named = {entry.get("name") for entry in members(result, "interfaces") if entry.get("sandbox")} | {container.ifname}
    given = {canonical(entry.get("address")).partition("/")[0] for entry in members(result, "ips")}
    for name, link in after.links.items():
        old = before.links.get(name)
        if old is None:
            expect(name in named, "no interface in the container beside those in the result", f"{name} is new", answer)
        elif name not in named:
            expect(
                _comparable(old) == _comparable(link),
                f"{name} in the container to stay as it was",
                f"{old} became {link}",
                answer,
            )
        extra = {address for address in link.addresses if address.partition("/")[0] not in given}
        extra -= (old.addresses if old else frozenset[str]()) | {"127.0.0.1/8", "::1/128"}
        expected = f"no address on {name} beside those in the result"
        expect(not extra, expected, ", ".join(sorted(extra)), answer)


def _comparable(link: Link) -> Link:
    # Bringing the loopback up, with its own address, is what many plugins do for the container.
    return replace(link, is_up=True, addresses=frozenset()) if link.name == "lo" else link


def routes_declared(lab: Lab) -> None:
    """Look for routes in the container that the result does not tell of."""
    container = lab.container()
    before = lab.look(container)
    answer = lab.add(container)
    result = lab.result(container)
    declared = {_network(entry.get("dst")) for entry in members(result, "routes")}
    networks = [ipaddress.ip_interface(address).network for address in _texts(result, "address")]
    for route in lab.look(container).routes - before.routes:
        is_declared = (
            route.by_kernel or route.dst in declared or any(_is_within(route.dst, known) for known in networks)
        )
        expect(is_declared, "no route in the container beside those in the result", f"{route}", answer)


def _is_within(text: str, known: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    network = ipaddress.ip_network(text)
    return (
        network.version == known.version
        and network.network_address in known
        and network.prefixlen >= known.prefixlen > 0
    )


def _texts(result: JSONObject, name: str) -> list[str]:
    return [str(entry[name]) for entry in members(result, "ips") if "/" in str(entry.get(name))]


def host_untouched(lab: Lab) -> None:
    """Compare the host's other interfaces, its addresses and its routes."""
    warm = lab.container()
    lab.add(warm)  # what the first container needs and the others share, a bridge for instance
    container = lab.container()
    before = lab.look()
    answer = lab.add(container)
    named = {entry.get("name") for entry in members(lab.result(container), "interfaces") if not entry.get("sandbox")}
    changes = _foreign_changes(before, lab.look(), {str(name) for name in named})
    expect(not changes, "no change on the host beside the interfaces in the result", listed(changes), answer)


def _foreign_changes(before: Snapshot, after: Snapshot, own: set[str]) -> list[str]:
    def without_own(snapshot: Snapshot) -> Snapshot:
        links = {name: link for name, link in snapshot.links.items() if name not in own}
        return replace(
            snapshot, links=links, routes=frozenset(r for r in snapshot.routes if r.device not in own), rules=()
        )

    return without_own(before).differences(without_own(after))


def second_gets_another_address(lab: Lab) -> None:
    """ADD two containers."""
    first, second = lab.containers(2)
    lab.add(first)
    answer = lab.send(lab.request("ADD", second))
    expect_success(answer, "for a second container")
    lab.add_known(second, answer)
    shared = set(lab.addresses(first)) & set(lab.addresses(second))
    expect(not shared, "another address for the second container", f"both have {', '.join(sorted(shared))}", answer)


def second_interface(lab: Lab) -> None:
    """ADD one container twice, with two interface names."""
    container = lab.container()
    lab.add(container)
    other = replace(container, ifname="net1")
    answer = lab.send(lab.request("ADD", other))
    expect_success(answer, "for a second interface of the container")
    if lab.subject.kind in {Kind.INTERFACE, Kind.META}:
        links = lab.look(container).links
        missing = {container.ifname, "net1"} - set(links)
        expect(not missing, "both interfaces in the container", f"{', '.join(sorted(missing))} is missing", answer)


def same_interface_refused(lab: Lab) -> None:
    """ADD one container twice, with one interface name."""
    container, _ = _added(lab)
    answer = lab.send(lab.request("ADD", container))
    expect_refusal(answer, f"{container.ifname} is already there")


def same_interface_harmless(lab: Lab) -> None:
    """Look at the container after a second ADD for the same interface."""
    container, _ = _added(lab)
    before = lab.look(container)
    answer = lab.send(lab.request("ADD", container))
    changes = before.differences(lab.look(container))
    expect(not changes, "the first interface to stay as it was", listed(changes), answer)


def foreign_interface_refused(lab: Lab) -> None:
    """ADD to a container with an interface of that name, which another program made, and look whether it survives."""
    container = lab.container()
    lab.ip(f"link add {container.ifname} type veth peer name foreign0\n", container)
    before = lab.look(container)
    answer = lab.send(lab.request("ADD", container))
    expect_refusal(answer, f"{container.ifname} is already there")
    changes = before.differences(lab.look(container))
    expect(not changes, "the interface that was there to stay as it was", listed(changes), answer)


def failure_leaves_nothing(lab: Lab) -> None:
    """ADD to a container with an interface of that name, and to one that is not there; look at the host."""
    lab.add(lab.container())
    for is_absent in (False, True):
        container = lab.container()
        if not is_absent:
            lab.ip(f"link add {container.ifname} type veth peer name foreign0\n", container)
        before = lab.state()
        request = lab.request("ADD", container)
        answer = lab.send(request.with_environment(CNI_NETNS=f"{container.netns}-absent") if is_absent else request)
        if answer.is_success:
            raise NotApplicableError("ADD succeeds: see add-foreign-interface and netns-absent")
        left = lab.left_on_host(before) + [f"{path} mentions {container.id}" for path in lab.traces(container)]
        expect(not left, "nothing on the host of an ADD that failed", listed(left), answer)


def namespace_of_process(lab: Lab) -> None:
    """ADD with the namespace path that runtimes without named namespaces use."""
    container = lab.container()
    descriptor = lab.open_namespace(container)
    request = lab.request("ADD", container).with_environment(CNI_NETNS=descriptor)
    answer = lab.send(request)
    expect_success(answer, f"for the namespace {descriptor}")
