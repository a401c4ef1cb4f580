"""Checks of DEL. Source: SPEC 1.1.0, section 2, "DEL"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.conformance import kernel
from libcni.conformance.expect import NotApplicableError, expect, expect_success
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
    before = lab.look(container)
    answer = _deleted(lab, container)
    after = lab.look(container)
    changes = _without_loopback(before, after)
    expect(not changes, "the container as it was before ADD", "; ".join(changes), answer)


def _without_loopback(before: kernel.Snapshot, after: kernel.Snapshot) -> list[str]:
    """Compare two snapshots; what a plugin does to the loopback for the container may stay."""

    def cut(snapshot: kernel.Snapshot) -> kernel.Snapshot:
        return replace(snapshot, links={name: link for name, link in snapshot.links.items() if name != "lo"})

    return cut(before).differences(cut(after))


def host_is_as_before(lab: Lab) -> None:
    """Compare the host before the ADD of a second container and after its DEL."""
    first, second = lab.containers(2)
    lab.add(first)
    before = lab.look()
    answer = _deleted(lab, second)
    changes = replace(before, rules=()).differences(replace(lab.look(), rules=()))
    expect(not changes, "the host as it was before ADD", "; ".join(changes), answer)


def rules_are_as_before(lab: Lab) -> None:
    """Compare the host's firewall and routing rules before the ADD of a second container and after its DEL."""
    first, second = lab.containers(2)
    lab.add(first)
    before = {*kernel.firewall(), *lab.look().rules}
    answer = _deleted(lab, second)
    left = sorted({*kernel.firewall(), *lab.look().rules} - before)
    expect(not left, "no rule left on the host", "; ".join(left), answer)


def state_is_gone(lab: Lab) -> None:
    """Look for the container in the plugin's data directory."""
    container = lab.container()
    lab.add(container)
    if not lab.traces(container):
        raise NotApplicableError("the plugin keeps no record of the container in its data directory")
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
    expect_success(again, f"for the same container after its DEL, which gave back {sorted(used)}")


def twice(lab: Lab) -> None:
    """DEL again."""
    container = lab.container()
    _deleted(lab, container)
    expect_success(lab.send(lab.request("DEL", container)), "the second time")


def without_namespace(lab: Lab) -> None:
    """DEL without CNI_NETNS."""
    container = lab.container()
    lab.add(container)
    for value in (None, ""):
        request = lab.request("DEL", container).with_environment(CNI_NETNS=value)
        expect_success(lab.send(request), "without CNI_NETNS")


def namespace_gone(lab: Lab) -> None:
    """DEL when the namespace has gone."""
    container = lab.container()
    lab.add(container)
    lab.remove_namespace(container)
    expect_success(lab.send(lab.request("DEL", container)), "when the namespace is gone")


def namespace_gone_state(lab: Lab) -> None:
    """DEL when the namespace has gone, and look for what is on the host."""
    container = lab.container()
    lab.add(container)
    if not lab.traces(container):
        raise NotApplicableError("the plugin keeps no record of the container in its data directory")
    lab.remove_namespace(container)
    answer = lab.send(lab.request("DEL", container))
    left = lab.traces(container)
    expect(not left, f"no file that mentions {container.id}", left, answer)


def without_previous_result(lab: Lab) -> None:
    """DEL without prevResult, as runtimes send it that lost it."""
    container = lab.container()
    lab.add(container)
    expect_success(lab.send(lab.request("DEL", container).with_config(prevResult=None)), "without prevResult")


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
    container = lab.container()
    lab.send(lab.request("ADD", container).with_environment(CNI_NETNS=f"{container.netns}-absent"))
    answer = lab.send(lab.request("DEL", container))
    left = lab.traces(container)
    expect(not left, f"no file that mentions {container.id} after a failed ADD and a DEL", left, answer)


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
    """DEL one of two interfaces of a container."""
    container = lab.container()
    other = replace(container, ifname="net1")
    lab.add(other)
    before = lab.look(container)
    if not lab.send(lab.request("ADD", container)).is_success:
        raise NotApplicableError("the container cannot have two interfaces: see add-second-interface")
    answer = lab.send(lab.request("DEL", container))
    changes = _without_loopback(before, lab.look(container))
    expect(not changes, "the other interface of the container to stay as it was", "; ".join(changes), answer)
