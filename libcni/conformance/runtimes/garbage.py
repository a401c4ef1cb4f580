"""Checks of GC and STATUS of a runtime. Source: SPEC 1.1.0, section 3, "Garbage-collecting a network" and "STATUS"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.expect import BlockedError, NotApplicableError, expect, told
from libcni.conformance.runtimes.session import CHAIN

if TYPE_CHECKING:
    from libcni.conformance.calls import Answer
    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.runtimes.session import RuntimeLab

__all__ = [
    "asked",
    "collected",
    "container_is_not_named",
    "goes_on_after_failure",
    "kept_is_not_deleted",
    "list_is_array",
    "list_is_complete",
    "not_collected",
    "not_ready_is_reported",
    "stale_is_deleted",
]

_VALID = "cni.dev/valid-attachments"


def _collect(lab: RuntimeLab) -> tuple[Answer, list[RecordedCall]]:
    """Call gc so that nothing is kept, in the way that the tool understands."""
    answer, calls = lab.run("gc")
    if not answer.is_success and not calls:
        answer, calls = lab.run("gc", "--all")
    if not answer.is_success and not calls:
        raise NotApplicableError("the tool has no verb gc")
    return answer, calls


def _called(answer: Answer, calls: list[RecordedCall]) -> list[RecordedCall]:
    if not calls:
        raise BlockedError("the plugins to be called, which this check looks at", "no call", answer)
    return calls


def _keep(lab: RuntimeLab, container_id: str) -> list[RecordedCall]:
    answer, calls = lab.run("gc", "--keep", f"{container_id}/{lab.ifname}")
    if not answer.is_success and not calls:
        raise NotApplicableError("the tool cannot be told what to keep")
    return _called(answer, calls)


def collected(lab: RuntimeLab) -> None:
    """Collect a network of version 1.1.0."""
    lab.configure("1.1.0")
    answer, calls = _collect(lab)
    names = [call.plugin for call in calls if call.verb == "GC"]
    expect(sorted(names) == sorted(CHAIN), "GC of every plugin", names, answer)


def list_is_array(lab: RuntimeLab) -> None:
    """Look at the list of a network without containers."""
    lab.configure("1.1.0")
    answer, calls = _collect(lab)
    for call in _called(answer, calls):
        said = call.config.get(_VALID)
        expect(said == [], f"{_VALID} to be an empty array", said, answer)


def list_is_complete(lab: RuntimeLab) -> None:
    """Look at the list when a container is kept."""
    lab.configure("1.1.0")
    container_id = lab.attached()[0].environment["CNI_CONTAINERID"]
    wanted = [{"containerID": container_id, "ifname": lab.ifname}]
    for call in _keep(lab, container_id):
        if call.verb == "GC":
            said = call.config.get(_VALID)
            expect(said == wanted, f"{_VALID} {told(wanted)}", said)


def kept_is_not_deleted(lab: RuntimeLab) -> None:
    """Look for a DEL of a container that is kept."""
    lab.configure("1.1.0")
    container_id = lab.attached()[0].environment["CNI_CONTAINERID"]
    deleted = [call.plugin for call in _keep(lab, container_id) if call.verb == "DEL"]
    expect(not deleted, "no DEL of a container that is kept", deleted)


def stale_is_deleted(lab: RuntimeLab) -> None:
    """Collect a network with a container that is not kept."""
    lab.configure("1.1.0")
    lab.attached()
    answer, calls = _collect(lab)
    verbs = [call.verb for call in calls]
    expect(verbs.count("DEL") == len(CHAIN), "DEL of every plugin for a container that is not kept", verbs, answer)
    last = max(number for number, verb in enumerate(verbs) if verb == "DEL")
    expect("GC" not in verbs[:last], "DEL before GC", verbs, answer)


def container_is_not_named(lab: RuntimeLab, verb: str) -> None:
    """Look for a container in calls that concern none."""
    lab.configure("1.1.0")
    answer, calls = _collect(lab) if verb == "GC" else _status(lab)
    for call in _called(answer, calls):
        found = [name for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME") if call.environment.get(name)]
        expect(not found, f"no container, namespace or interface with {verb}", found)


def not_collected(lab: RuntimeLab, version: str, *, is_disabled: bool) -> None:
    """Collect a network that has no GC, or forbids it."""
    lab.configure(version, disableGC=True if is_disabled else None)
    answer, calls = lab.run("gc")
    if not answer.is_success and not calls:
        answer, calls = lab.run("gc", "--all")
    names = [call.plugin for call in calls if call.verb == "GC"]
    expect(not names, "no GC", names, answer)


def goes_on_after_failure(lab: RuntimeLab) -> None:
    """Collect with a plugin that fails."""
    lab.configure("1.1.0")
    lab.recorder.fails("GC", lab.error("conformance plugin says no"), name="first")
    answer, calls = _collect(lab)
    names = [call.plugin for call in calls if call.verb == "GC"]
    expect(set(names) == set(CHAIN), "GC of every plugin, although one fails", names, answer)
    expect(answer.output.exit_status != 0, "the failure to be reported", answer.summary, answer)


def _status(lab: RuntimeLab) -> tuple[Answer, list[RecordedCall]]:
    answer, calls = lab.run("status")
    if not answer.is_success and not calls:
        raise NotApplicableError("the tool has no verb status")
    return answer, calls


def asked(lab: RuntimeLab) -> None:
    """Ask a network of version 1.1.0 for its status."""
    lab.configure("1.1.0")
    answer, calls = _status(lab)
    names = [call.plugin for call in calls if call.verb == "STATUS"]
    expect(names == list(CHAIN), "STATUS of every plugin, in order", names, answer)
    expect(answer.is_success, "status to succeed when every plugin is ready", answer.summary, answer)


def not_ready_is_reported(lab: RuntimeLab) -> None:
    """Ask for the status with a plugin that is not ready."""
    lab.configure("1.1.0")
    lab.recorder.fails("STATUS", lab.error("conformance plugin is not ready", 50), name="second")
    answer, _ = _status(lab)
    expect(answer.output.exit_status != 0, "status to fail when a plugin is not ready", answer.summary, answer)
