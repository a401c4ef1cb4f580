"""Checks of CHECK. Source: SPEC 1.1.0, section 2, "CHECK"."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_refusal, expect_success, listed
from libcni.conformance.lab import members
from libcni.conformance.undo import undoing
from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libcni.conformance.calls import Answer
    from libcni.conformance.lab import Container, Lab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "address_removed",
    "address_removed_is_named",
    "after_delete",
    "changes_nothing",
    "changes_undone",
    "interface_deleted",
    "interface_deleted_is_named",
    "later_changes_are_borne",
    "namespace_gone",
    "passes",
    "passes_twice",
    "route_removed",
    "route_removed_is_named",
    "without_previous_result",
]


_EVERYWHERE = frozenset({"0.0.0.0/0", "::/0"})


def _added(lab: Lab) -> Container:
    container = lab.container()
    lab.add(container)
    return container


def passes(lab: Lab) -> None:
    """CHECK after ADD."""
    container = _added(lab)
    expect_success(lab.send(lab.request("CHECK", container)), "after ADD")


def passes_twice(lab: Lab) -> None:
    """CHECK several times, with another container added meanwhile."""
    container = _added(lab)
    lab.add(lab.container())
    for _ in range(2):
        expect_success(lab.send(lab.request("CHECK", container)), "again")


def changes_nothing(lab: Lab) -> None:
    """Compare the container, the host and the records before and after CHECK."""
    container = _added(lab)
    before, host, files = lab.look(container), lab.look(), lab.files()
    answer = lab.send(lab.request("CHECK", container))
    changes = before.differences(lab.look(container)) + host.differences(lab.look())
    changes += [f"{path} changed" for path, text in lab.files().items() if files.get(path) != text]
    expect(not changes, "CHECK to change nothing", listed(changes), answer)


def _checked_without(lab: Lab, container: Container, batch: str) -> Answer:
    """Damage the container, and CHECK."""
    before = lab.look(container)
    lab.ip(batch, container)
    if before == lab.look(container):  # pragma: no cover -- the batch of each caller changes something
        raise NotApplicableError("nothing could be taken away")
    return lab.send(lab.request("CHECK", container))


def _interface(lab: Lab, container: Container) -> str:
    inside = [entry for entry in members(lab.result(container), "interfaces") if entry.get("sandbox")]
    if not inside:
        raise NotApplicableError("the result names no interface in the container")
    return str(inside[0]["name"])


def interface_deleted(lab: Lab) -> None:
    """CHECK after the interface was deleted."""
    container = _added(lab)
    _expect_usual(lab, container)
    name = _interface(lab, container)
    answer = _checked_without(lab, container, f"link delete {name}\n")
    expect_refusal(answer, f"{name} is gone")


def interface_deleted_is_named(lab: Lab) -> None:
    """Look at the text of the error after the interface was deleted."""
    container = _added(lab)
    _expect_usual(lab, container)
    name = _interface(lab, container)
    answer = _checked_without(lab, container, f"link delete {name}\n")
    if answer.is_success:
        raise NotApplicableError("CHECK does not notice: see check-interface")
    expect_refusal(answer, f"{name} is gone", naming=[name])


def _without_addresses(lab: Lab) -> tuple[Answer, list[str], str]:
    """CHECK after all addresses were removed; return the answer, the addresses, and the interface."""
    container = _added(lab)
    _expect_usual(lab, container)
    lab.addresses(container)
    name = _interface(lab, container)
    present = sorted(lab.look(container).links[name].addresses)
    batch = "".join(f"address delete {address} dev {name}\n" for address in present)
    return _checked_without(lab, container, batch), present, name


def address_removed(lab: Lab) -> None:
    """CHECK after an address was removed."""
    answer, addresses, name = _without_addresses(lab)
    expect_refusal(answer, f"{', '.join(addresses)} is gone from {name}")


def address_removed_is_named(lab: Lab) -> None:
    """Look at the text of the error after an address was removed."""
    answer, addresses, name = _without_addresses(lab)
    if answer.is_success:
        raise NotApplicableError("CHECK does not notice: see check-address")
    wanted = [address.partition("/")[0] for address in addresses]
    expect_refusal(answer, f"{', '.join(addresses)} is gone from {name}", naming=wanted)


def _without_route(lab: Lab) -> tuple[Answer, str]:
    """CHECK after one route was removed; return the answer and the route."""
    container = _added(lab)
    _expect_usual(lab, container)
    declared = [entry["dst"] for entry in members(lab.result(container), "routes")]
    routes = [route for route in lab.look(container).routes if route.dst in declared]
    if not routes:
        raise NotApplicableError("the configuration gives no route")
    return _checked_without(lab, container, f"route delete {routes[0].dst}\n"), routes[0].dst


def route_removed(lab: Lab) -> None:
    """CHECK after a route was removed."""
    answer, dst = _without_route(lab)
    expect_refusal(answer, f"the route to {dst} is gone")


def route_removed_is_named(lab: Lab) -> None:
    """Look at the text of the error after a route was removed."""
    answer, dst = _without_route(lab)
    if answer.is_success:
        raise NotApplicableError("CHECK does not notice: see check-route")
    wanted = [dst.partition("/")[0], *(["default"] if dst in _EVERYWHERE else [])]
    expect_refusal(answer, f"the route to {dst} is gone", naming=wanted)


def after_delete(lab: Lab) -> None:
    """CHECK after DEL."""
    container = _added(lab)
    request = lab.request("CHECK", container)
    lab.delete(container)
    expect_refusal(lab.send(request), "the container was deleted")


def namespace_gone(lab: Lab) -> None:
    """CHECK when the namespace has gone."""
    container = _added(lab)
    request = lab.request("CHECK", container)
    lab.remove_namespace(container)
    expect_refusal(lab.send(request), "the namespace is gone")


def without_previous_result(lab: Lab) -> None:
    """CHECK without prevResult."""
    container = _added(lab)
    answer = lab.send(lab.request("CHECK", container).with_config(prevResult=None))
    expect_refusal(answer, "there is nothing to compare with")


_LATER = {
    "ipv4": ("203.0.113.7/32", "198.18.7.0/24"),
    "ipv6": ("2001:db8:c::7/128", "2001:db8:d::/64"),
}
"""An address and a route that a later plugin of the chain could add."""


def later_changes_are_borne(lab: Lab, *, is_told: bool) -> None:
    """CHECK after a later plugin of the chain added an address, a route and a rule, in prevResult too or not."""
    container = _added(lab)
    _expect_usual(lab, container)
    name = _interface(lab, container)
    index = [entry.get("name") for entry in members(lab.result(container), "interfaces")].index(name)
    told: dict[str, list[JSONObject]] = {"ips": [], "routes": []}
    for family in lab.subject.families:
        address, dst = _LATER[family]
        version = {} if lab.supports("1.0.0") else {"version": family.removeprefix("ipv")}
        entries: dict[str, JSONObject] = {
            "ips": {"address": address, "interface": index, **version},
            "routes": {"dst": dst},
        }
        for kind, line in (("ips", f"address add {address} dev {name}"), ("routes", f"route add {dst} dev {name}")):
            _change(lab, container, line)
            told[kind] += [entries[kind]] if is_told else []
            _expect_borne(lab, container, what=line, told=told)
        _change(lab, container, f"rule add from {address} table 107")
        _expect_borne(lab, container, what=f"rule add from {address} table 107", told=told)


def _expect_usual(lab: Lab, container: Container) -> None:
    """Ask for a CHECK that succeeds as things are.

    :raises NotApplicableError: if it does not.
    """
    if not lab.send(lab.request("CHECK", container)).is_success:
        raise NotApplicableError("CHECK fails right after ADD: see check-passes")


def _change(lab: Lab, container: Container, line: str) -> None:
    try:
        lab.ip(f"{line}\n", container)
    except CNIError as error:  # the interface is down, for instance
        raise NotApplicableError(f"no later plugin could do it: {error.msg}") from None


def _expect_borne(lab: Lab, container: Container, *, what: str, told: Mapping[str, list[JSONObject]]) -> None:
    request = lab.request("CHECK", container)
    previous: JSONObject = dict(request.config.get("prevResult") or {})
    more = {kind: [*members(previous, kind), *entries] for kind, entries in told.items()}
    answer = lab.send(request.with_config(prevResult={**previous, **more}))
    how = ", and its result has that" if any(told.values()) else ""
    expect_success(answer, f"after a later plugin did: ip {what}{how}")


def changes_undone(lab: Lab) -> None:
    """Take away what ADD added and set back what it changed, on the host and in the container; then CHECK."""
    container = lab.container()
    before = lab.state(container), lab.state()
    lab.add(container)
    lines = undoing(before[0], lab.state(container), str(container.netns)) + undoing(before[1], lab.state())
    if not lines:
        raise NotApplicableError("the plugin changes nothing that could be taken away")
    _expect_usual(lab, container)
    for line in lines:
        with suppress(CNIError):  # what belonged to something that was taken away is gone already
            lab.shell(line)
    answer = lab.send(lab.request("CHECK", container))
    expect(not answer.is_success, f"CHECK to fail after: {listed(lines)}", "success", answer)
