"""Checks of GC and STATUS. Source: SPEC 1.1.0, section 2, "GC" and "STATUS"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.expect import NotApplicableError, expect, expect_refusal, expect_success
from libcni.conformance.subject import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.conformance.calls import Answer, Request
    from libcni.conformance.lab import Container, Lab

__all__ = [
    "collection_before_add",
    "collection_empty_list",
    "collection_keeps",
    "collection_other_network",
    "collection_removes",
    "collection_twice",
    "status_after_add",
    "status_not_ready",
    "status_ready",
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
    members = lab.subject.members(lab.machine.data, 1)
    answer = lab.send(lab.request("STATUS").with_config(**{**members, **lab.subject.unready_members(lab.machine.data)}))
    expect_refusal(answer, "the plugin cannot do its work", codes=_NOT_READY)


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
    """GC that lists both containers."""
    both = _two(lab)
    before = [_records(lab, container) for container in both]
    answer = lab.send(_collect(lab, both))
    expect_success(answer)
    after = [_records(lab, container) for container in both]
    expect(after == before, "everything of the listed containers to stay", f"{before} became {after}", answer)


def collection_removes(lab: Lab) -> None:
    """GC that lists one of two containers."""
    kept, stale = _two(lab)
    if not lab.traces(stale):
        raise NotApplicableError("the plugin keeps no record of the container in its data directory")
    answer = lab.send(_collect(lab, [kept]))
    expect_success(answer)
    left = lab.traces(stale)
    expect(not left, f"no record of {stale.id}, which is not listed", left, answer)


def collection_twice(lab: Lab) -> None:
    """GC, and again."""
    kept, _ = _two(lab)
    for when in ("the first time", "the second time"):
        expect_success(lab.send(_collect(lab, [kept])), when)


def collection_empty_list(lab: Lab) -> None:
    """GC that lists nothing."""
    containers = _two(lab)
    if not lab.traces(containers[0]):
        raise NotApplicableError("the plugin keeps no record of the container in its data directory")
    answer = lab.send(_collect(lab, []))
    expect_success(answer, "with an empty list")
    left = [path for container in containers for path in lab.traces(container)]
    expect(not left, "no record of any container", left, answer)


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
    expect(after == before, "the containers of other networks to stay", f"{before} became {after}", answer)
