"""Checks of DEL. Source: SPEC 1.1.0, section 2, "DEL"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_success, listed
from libcni.conformance.kernel import Snapshot
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from libcni.conformance.calls import Answer
    from libcni.conformance.lab import Container, Lab

__all__ = [
    "address_is_free_again",
    "after_failed_add",
    "after_failed_add_state",
    "before_any_add",
    "container_is_as_before",
    "host_is_as_before",
    "namespace_gone",
    "namespace_gone_state",
    "other_interface_is_kept",
    "other_network_is_kept",
    "others_are_kept",
    "rules_are_as_before",
    "state_is_gone",
    "succeeds",
    "twice",
    "without_namespace",
    "without_previous_result",
]


def succeeds(lab: Lab) -> None:
    """DEL after ADD."""
    container = lab.container()
    lab.add(container)
    expect_success(lab.send(lab.request("DEL", container)))


def _deleted(lab: Lab, container: Container) -> Answer:
    lab.add(container)
    return lab.delete(container)


def container_is_as_before(lab: Lab) -> None:
    """Compare the container before ADD and after DEL."""
    container = lab.container()
    before = lab.state(container)
    answer = _deleted(lab, container)
    after = lab.state(container)
    changes = _without_loopback(before, after)
    expect(not changes, "the container as it was before ADD", listed(changes), answer)


def _without_loopback(before: Snapshot, after: Snapshot) -> list[str]:
    """Compare two snapshots; what a plugin does to the loopback for the container may stay."""

    def cut(snapshot: Snapshot) -> Snapshot:
        links = {name: link for name, link in snapshot.links.items() if name != "lo"}
        qdiscs = tuple(qdisc for qdisc in snapshot.qdiscs if " dev lo " not in qdisc)
        return replace(snapshot, links=links, qdiscs=qdiscs)

    return cut(before).differences(cut(after))


def host_is_as_before(lab: Lab) -> None:
    """Compare the host before the ADD of a second container and after its DEL."""
    first, second = lab.containers(2)
    lab.add(first)
    before = replace(lab.state(), rules=(), firewall=())
    answer = _deleted(lab, second)
    changes = before.differences(replace(lab.state(), rules=(), firewall=()))
    expect(not changes, "the host as it was before ADD", listed(changes), answer)


def rules_are_as_before(lab: Lab) -> None:
    """Compare the host's firewall and routing rules before the ADD of a second container and after its DEL."""
    first, second = lab.containers(2)
    lab.add(first)
    before = _rules(lab.state())
    answer = _deleted(lab, second)
    changes = before.differences(_rules(lab.state()))
    expect(not changes, "the rules of the host as they were before ADD", listed(changes), answer)


def _rules(state: Snapshot) -> Snapshot:
    return Snapshot(rules=state.rules, firewall=state.firewall)


def state_is_gone(lab: Lab) -> None:
    """Look for the container in the plugin's data directory."""
    container = lab.container()
    lab.add(container)
    if not lab.traces(container):
        raise NotApplicableError("the plugin keeps no record of the container")
    answer = lab.delete(container)
    left = lab.traces(container)
    expect(not left, f"no file that mentions {container.id}", left, answer)


def address_is_free_again(lab: Lab) -> None:
    """ADD and DEL more containers than a small range has addresses, as far as the configuration has one."""
    container = lab.container()
    lab.add(container)
    used = set(lab.addresses(container))
    lab.delete(container)
    again = lab.send(lab.request("ADD", container))
    expect_success(again, f"for the same container after its DEL, which gave back {', '.join(sorted(used))}")


def twice(lab: Lab) -> None:
    """DEL again."""
    container = lab.container()
    _deleted(lab, container)
    expect_success(lab.send(lab.request("DEL", container)), "the second time")


def _added_beside_another(lab: Lab) -> tuple[Container, Snapshot]:
    """ADD two containers, of which the first has what all share, and return the second and the host before it."""
    lab.add(lab.container())
    container = lab.container()
    before = lab.state()
    lab.add(container)
    return container, before


def _expect_released(lab: Lab, container: Container, before: Snapshot, *, when: str, answer: Answer) -> None:
    """Expect that nothing of a container is on the host or in a file."""
    left = _left(lab, container, before)
    expect(not left, f"nothing of the container on the host {when}", listed(left), answer)


def _left(lab: Lab, container: Container, before: Snapshot) -> list[str]:
    return lab.left_on_host(before) + [f"{path} mentions {container.id}" for path in lab.traces(container)]


def without_namespace(lab: Lab) -> None:
    """DEL without CNI_NETNS; then the runtime removes the namespace, and nothing may be left on the host."""
    container, before = _added_beside_another(lab)
    answers = [lab.send(lab.request("DEL", container).with_environment(CNI_NETNS=value)) for value in (None, "")]
    for answer in answers:
        expect_success(answer, "without CNI_NETNS")
    lab.remove_namespace(container)
    _expect_released(lab, container, before, when="after a DEL without CNI_NETNS", answer=answers[0])


def namespace_gone(lab: Lab) -> None:
    """DEL when the namespace has gone, and look at the kernel."""
    container, before = _added_beside_another(lab)
    lab.remove_namespace(container)
    answer = lab.send(lab.request("DEL", container))
    expect_success(answer, "when the namespace is gone")
    left = lab.left_on_host(before)
    expect(not left, "nothing of the container on the host when its namespace is gone", listed(left), answer)


def namespace_gone_state(lab: Lab) -> None:
    """DEL when the namespace has gone, and look for records and for what is on the host."""
    container, before = _added_beside_another(lab)
    if not lab.traces(container) and not before.additions(lab.state()):
        raise NotApplicableError("the plugin keeps nothing of a container outside its namespace")
    lab.remove_namespace(container)
    answer = lab.send(lab.request("DEL", container))
    _expect_released(lab, container, before, when="when its namespace is gone", answer=answer)


def without_previous_result(lab: Lab) -> None:
    """DEL without prevResult, as runtimes send it that lost it, and look for what is left."""
    container, before = _added_beside_another(lab)
    answer = lab.send(lab.request("DEL", container).with_config(prevResult=None))
    expect_success(answer, "without prevResult")
    left = _left(lab, container, before)
    if left:
        lab.delete(container)
        left = [item for item in left if item not in _left(lab, container, before)]
    expect(not left, "nothing to be left by a DEL without prevResult that one with it takes away", listed(left), answer)


def before_any_add(lab: Lab) -> None:
    """DEL of a container that was never added."""
    expect_success(lab.send(lab.request("DEL", lab.container())), "before any ADD")


def after_failed_add(lab: Lab) -> None:
    """DEL after an ADD that failed."""
    container = lab.container()
    failed = lab.send(lab.request("ADD", container).with_environment(CNI_NETNS=f"{container.netns}-absent"))
    if failed.is_success and lab.subject.kind in {Kind.INTERFACE, Kind.META}:
        raise NotApplicableError("the plugin accepts a namespace that does not exist: see netns-absent")
    expect_success(lab.send(lab.request("DEL", container)), "after a failed ADD")


def after_failed_add_state(lab: Lab) -> None:
    """DEL after an ADD that failed, and look for what the ADD left."""
    lab.add(lab.container())
    container = lab.container()
    before = lab.state()
    failed = lab.send(lab.request("ADD", container).with_environment(CNI_NETNS=f"{container.netns}-absent"))
    if failed.is_success:
        raise NotApplicableError("the plugin accepts a namespace that does not exist")
    answer = lab.send(lab.request("DEL", container))
    _expect_released(lab, container, before, when="after a failed ADD and a DEL", answer=answer)


def others_are_kept(lab: Lab) -> None:
    """DEL one of two containers, and look at the other."""
    first, second = lab.containers(2)
    lab.add(first)
    lab.add(second)
    before, files = lab.look(first), lab.traces(first)
    answer = lab.delete(second)
    changes = before.differences(lab.look(first))
    changes += [f"{path} is gone" for path in files if path not in lab.traces(first)]
    expect(not changes, "the other container to stay as it was", "; ".join(changes), answer)


def other_interface_is_kept(lab: Lab) -> None:
    """DEL one of two interfaces of a container, the first and the second, and look at the other."""
    for deleted, kept in ((0, 1), (1, 0)):
        container = lab.container()
        both = (container, replace(container, ifname="net1"))
        _delete_one(lab, both[deleted], both[kept])


def _delete_one(lab: Lab, deleted: Container, kept: Container) -> None:
    lab.add(kept)
    before, mentions = _inside(lab, kept), lab.mentions(kept)
    request = lab.request("CHECK", kept)
    answer = lab.send(lab.request("ADD", deleted))
    if not answer.is_success:
        raise NotApplicableError("the container cannot have two interfaces: see add-second-interface")
    lab.add_known(deleted, answer)
    is_checked = lab.supports("0.4.0") and lab.send(request).is_success
    answer = lab.send(lab.request("DEL", deleted))
    changes = _without_loopback(before, _inside(lab, kept))
    after = lab.mentions(kept)
    changes += [f"{path} lost it" for path, number in mentions.items() if after.get(path, 0) < number]
    if not changes and is_checked:
        checked = lab.send(request)
        changes += [] if checked.is_success else [f"CHECK of {kept.ifname} says: {checked.summary}"]
    expected = f"interface {kept.ifname} of the container, and its address, to stay after a DEL of {deleted.ifname}"
    expect(not changes, expected, listed(changes), answer)


def _inside(lab: Lab, container: Container) -> Snapshot:
    """Return the container as it is; for an IPAM plugin, which does not touch it, nothing."""
    return Snapshot() if lab.subject.kind is Kind.IPAM else lab.look(container)


def other_network_is_kept(lab: Lab) -> None:
    """DEL of the same container and interface in another network that has the same plugin and data directory."""
    container = lab.container()
    lab.add(container)
    before = lab.mentions(container)
    if not before:
        raise NotApplicableError("the plugin keeps no record of the container")
    answer = lab.send(lab.request("DEL", container).with_config(name="another", prevResult=None))
    after = lab.mentions(container)
    changes = [f"{path} lost it" for path, number in before.items() if after.get(path, 0) < number]
    expect(not changes, "what is kept for the first network to stay", listed(changes), answer)
