"""Checks of CHECK. Source: SPEC 1.1.0, section 2, "CHECK"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_refusal, expect_success
from libcni.conformance.lab import members

if TYPE_CHECKING:
    from libcni.conformance.calls import Answer
    from libcni.conformance.lab import Container, Lab

__all__ = [
    "address_removed",
    "address_removed_is_named",
    "after_delete",
    "changes_nothing",
    "interface_deleted",
    "interface_deleted_is_named",
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
    expect(not changes, "CHECK to change nothing", "; ".join(changes), answer)


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
    name = _interface(lab, container)
    answer = _checked_without(lab, container, f"link delete {name}\n")
    expect_refusal(answer, f"{name} is gone")


def interface_deleted_is_named(lab: Lab) -> None:
    """Look at the text of the error after the interface was deleted."""
    container = _added(lab)
    name = _interface(lab, container)
    answer = _checked_without(lab, container, f"link delete {name}\n")
    if answer.is_success:
        raise NotApplicableError("CHECK does not notice: see check-interface")
    expect_refusal(answer, f"{name} is gone", naming=[name])


def _without_addresses(lab: Lab) -> tuple[Answer, list[str], str]:
    """CHECK after all addresses were removed; return the answer, the addresses, and the interface."""
    container = _added(lab)
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
