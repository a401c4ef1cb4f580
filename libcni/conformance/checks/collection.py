"""Checks of GC and STATUS. Source: SPEC 1.1.0, section 2, "GC" and "STATUS"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_refusal, expect_success, listed
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.conformance.calls import Answer, Request
    from libcni.conformance.kernel import Snapshot
    from libcni.conformance.lab import Container, Lab

__all__ = [
    "collection_before_add",
    "collection_empty_list",
    "collection_keeps",
    "collection_of_interface",
    "collection_other_network",
    "collection_removes",
    "collection_twice",
    "status_after_add",
    "status_gates_nothing",
    "status_not_ready",
    "status_ready",
    "success_is_quiet",
]

_NOT_READY = {50, 51}


def _collect(lab: Lab, keep: Sequence[Container]) -> Request:
    valid = [{"containerID": container.id, "ifname": container.ifname} for container in keep]
    return lab.request("GC").with_config(**{"cni.dev/valid-attachments": valid, "cni.dev/attachments": valid})


def status_ready(lab: Lab) -> None:
    """STATUS of a plugin that can do its work."""
    lab.prepare()
    answer = lab.send(lab.request("STATUS"))
    expect_success(answer, "when the plugin can do its work")


def status_after_add(lab: Lab) -> None:
    """STATUS while a container is attached; it looks at the container too."""
    container = lab.container()
    lab.add(container)
    before, files = lab.look(container), lab.files()
    answer = lab.send(lab.request("STATUS"))
    changes = before.differences(lab.look(container))
    changes += [f"{path} changed" for path, text in lab.files().items() if files.get(path) != text]
    expect(not changes, "STATUS to change nothing", "; ".join(changes), answer)


def status_not_ready(lab: Lab) -> None:
    """STATUS of a plugin that cannot do its work."""
    lab.prepare()
    answer = lab.send(_unready(lab))
    expect_refusal(answer, "the plugin cannot do its work", codes=_NOT_READY)


def status_gates_nothing(lab: Lab) -> None:
    """STATUS that fails, then ADD and DEL that could be served."""
    container = lab.container()
    lab.send(_unready(lab))
    answer = lab.send(lab.request("ADD", container))
    expect_success(answer, "after STATUS failed for another configuration")
    lab.add_known(container, answer)
    expect_success(lab.send(lab.request("DEL", container)), "after STATUS failed for another configuration")


def _unready(lab: Lab) -> Request:
    members = lab.subject.members(lab.machine.data, 1)
    return lab.request("STATUS").with_config(**{**members, **lab.subject.unready_members(lab.machine.data)})


def _records(lab: Lab, container: Container) -> list[str]:
    """Return the traces of a container: files that mention it, and its interface."""
    found = lab.traces(container)
    if lab.subject.kind is not Kind.IPAM and container.ifname in lab.look(container).links:
        found.append(f"interface {container.ifname} of {container.id}")
    return found


def _two(lab: Lab) -> tuple[Container, Container]:
    first, second = lab.containers(2)
    lab.add(first)
    lab.add(second)
    return first, second


def collection_keeps(lab: Lab) -> None:
    """GC that lists both containers, and look at the containers, the host and the records."""
    both = _two(lab)
    before = [_records(lab, container) for container in both]
    states = [lab.state(), *(lab.state(container) for container in both)]
    answer = lab.send(_collect(lab, both))
    expect_success(answer)
    after = [_records(lab, container) for container in both]
    changes = [f"{gone} is gone" for old, new in zip(before, after, strict=True) for gone in old if gone not in new]
    for old, new in zip(states, [lab.state(), *(lab.state(container) for container in both)], strict=True):
        changes += old.differences(new)
    expect(not changes, "everything of the listed containers to stay", listed(changes), answer)


def _stale(lab: Lab) -> tuple[Container, Container, Snapshot]:
    """ADD two containers and lose the second; return both, and the host before the second.

    Its namespace is gone without a DEL, as after a crash: what a namespace holds is nothing that GC has to remove.
    """
    kept, stale = lab.containers(2)
    first = lab.sysctls()
    lab.add(kept)
    before = lab.state()
    own = {name: value for name, value in before.sysctls.items() if first.get(name) == value}
    before = replace(before, sysctls=own)  # what the first ADD changed may be set back when no container is left
    lab.add(stale)
    if not lab.traces(stale) and not before.additions(lab.state()):
        raise NotApplicableError("the plugin keeps nothing of a container outside its namespace")
    lab.remove_namespace(stale)
    return kept, stale, before


def collection_removes(lab: Lab) -> None:
    """GC that lists one of two containers; look for what is left of the other, in files and on the host."""
    kept, stale, before = _stale(lab)
    answer = lab.send(_collect(lab, [kept]))
    expect_success(answer)
    left = lab.left_on_host(before) + [f"{path} mentions {stale.id}" for path in lab.traces(stale)]
    expect(not left, f"nothing of {stale.id}, which is not listed", listed(left), answer)


def collection_of_interface(lab: Lab) -> None:
    """GC that lists one of two interfaces of a container."""
    container = lab.container()
    lab.add(container)
    alone = lab.mentions(container)
    other = replace(container, ifname="net1")
    answer = lab.send(lab.request("ADD", other))
    if not answer.is_success or sum(lab.mentions(container).values()) <= sum(alone.values()):
        raise NotApplicableError("the plugin keeps no record of its own for a second interface")
    answer = lab.send(_collect(lab, [container]))
    expect_success(answer)
    after = lab.mentions(container)
    lost = [path for path, number in alone.items() if after.get(path, 0) < number]
    expect(not lost, f"the record of {container.ifname} of the container, which is listed", listed(lost), answer)
    left = [path for path, number in after.items() if number > alone.get(path, 0)]
    expect(not left, f"no record of {other.ifname} of the container, which is not listed", listed(left), answer)


def collection_twice(lab: Lab) -> None:
    """GC, and again."""
    kept, _ = _two(lab)
    for when in ("the first time", "the second time"):
        expect_success(lab.send(_collect(lab, [kept])), when)


def collection_empty_list(lab: Lab) -> None:
    """GC that lists nothing, when the namespaces of all containers are gone."""
    kept, stale, before = _stale(lab)
    lab.remove_namespace(kept)
    answer = lab.send(_collect(lab, []))
    expect_success(answer, "with an empty list")
    left = lab.left_on_host(before)
    left += [f"{path} mentions {container.id}" for container in (kept, stale) for path in lab.traces(container)]
    expect(not left, "nothing of any container", listed(left), answer)


def collection_before_add(lab: Lab) -> None:
    """GC before anything was added."""
    lab.prepare()
    expect_success(lab.send(_collect(lab, [])), "before any ADD")


def collection_other_network(lab: Lab) -> None:
    """GC of another network that has the same plugin and data directory."""
    container = lab.container()
    lab.add(container)
    before = _records(lab, container)
    answer: Answer = lab.send(_collect(lab, []).with_config(name="another"))
    after = _records(lab, container)
    gone = [record for record in before if record not in after]
    expect(not gone, "the containers of other networks to stay", f"gone: {listed(gone)}", answer)


def success_is_quiet(lab: Lab, verb: str) -> None:
    """Read what GC or STATUS prints when it succeeds."""
    container = lab.container()
    lab.add(container)
    answer = lab.send(_collect(lab, [container]) if verb == "GC" else lab.request("STATUS"))
    if answer.is_success:
        printed = answer.stdout.strip()
        expect(not printed, f"no output when {verb} succeeds", printed[:200], answer)
