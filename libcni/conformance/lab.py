"""The bench on which a check works: containers, requests, calls, looks at the kernel, all of them kept as evidence.

Owns :class:`Lab`. A check gets a new one, with a machine of its own. Source: SPEC 1.1.0, section 2 (parameters) and
section 3 (what a runtime puts into a request).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from libcni.conformance import kernel
from libcni.conformance.calls import Answer, Request, Step, is_object
from libcni.conformance.chain import interface_result, prepare_interface
from libcni.conformance.drive import run_call
from libcni.conformance.expect import BlockedError, NotApplicableError
from libcni.conformance.processes import own_child
from libcni.conformance.records import state_files
from libcni.conformance.subject import Kind
from libcni.errors import CNIError
from libcni.invoke.environment import CNI_ARGS, CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS, CNI_PATH
from libcni.invoke.runner import HookedCall
from libcni.protocol.versions import is_at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from libcni.conformance.drive import Manner
    from libcni.conformance.isolation import Machine
    from libcni.conformance.kernel import Snapshot
    from libcni.conformance.processes import Process
    from libcni.conformance.subject import Subject
    from libcni.jsontext.scan import JSONObject

__all__ = ["CancelledError", "Container", "Lab", "Probe", "elements", "members"]

NETWORK = "conformance"
_SHOW_SHORTLY = "ip -brief link; ip -brief address; ip route show table all; ip rule; ip -6 rule"
_SHOW_ALL = f"{_SHOW_SHORTLY}; ip neighbour show nud permanent; tc qdisc; nft list ruleset"
_KERNEL_TAKES = 6.0
"""Seconds for the kernel to remove the links of a namespace that is gone, on a busy machine."""

_OF_LINKS = ("link ", "qdisc ", "route ", "neighbour ", "sysctl ipv4/conf/", "sysctl ipv6/conf/")
"""The beginnings of changes that go with a link."""
_ATTACHMENT_VERBS = frozenset({"ADD", "DEL", "CHECK"})
_WITH_PREV_RESULT = frozenset({"DEL", "CHECK"})


class CancelledError(Exception):
    """The run was given up."""


@dataclass(frozen=True)
class Probe:
    """The facts about a plugin before the first check: its file, and the versions that it lists."""

    path: str
    versions: tuple[str, ...]
    listed: tuple[str, ...] = ()
    missing_links: tuple[str, ...] = ()

    @property
    def newest(self) -> str:
        """The newest version that the plugin and the checks know."""
        return self.versions[-1]


@dataclass(frozen=True)
class Container:
    """A container: an id, a namespace, the interface to make, and the result of the plugins before."""

    id: str
    number: int
    netns: Path | None
    ifname: str
    before: JSONObject | None = None


@dataclass
class Lab:
    """The plugin, namespaces and time of one check, and the calls that it made.

    :param deadline: of :func:`time.monotonic`: when the time of the check is over.
    :param running: holds the process of each execution while it lasts.
    :param is_cancelled: asked before each step.
    :param has_removed: whether the namespace of a container was removed.
    :param shows: shell commands that print what was compared, in order.
    :param substitutes: for texts in the steps, what stands for them in a shell.
    """

    subject: Subject
    probe: Probe
    machine: Machine
    deadline: float
    running: set[Process] = field(default_factory=set["Process"])
    is_cancelled: Callable[[], bool] = lambda: False
    steps: list[Step] = field(default_factory=list[Step])
    paths: list[str] = field(default_factory=list[str])
    shows: dict[str, None] = field(default_factory=dict[str, None])
    substitutes: dict[str, str] = field(default_factory=dict[str, str])
    _results: dict[str, JSONObject] = field(default_factory=dict[str, "JSONObject"])
    has_removed: bool = False
    _prepared: bool = False
    _number: int = 0

    def __post_init__(self) -> None:
        self.paths = self.paths or list(self.subject.bin_dirs)

    # ------------------------------------------------------------------------------------------------------ containers

    def container(self, name: str = "", *, folder: Path | None = None) -> Container:
        """Make a container: a namespace, and for a chained plugin the interface of the plugin before it."""
        self.prepare()
        self._number += 1
        number = self._number
        container_id = name or f"container-{number}"
        if not self.has_namespaces:
            return Container(container_id, number, None, self.subject.ifname)
        path = (
            self.machine.add_namespace(f"ns-{number}", folder) if folder else self.machine.add_namespace(f"ns-{number}")
        )
        self.steps.append(Step(f"ip netns add ns-{number}"))
        container = Container(container_id, number, path, self.subject.ifname)
        if self.subject.kind is not Kind.CHAINED:
            return container
        host, inside, before = prepare_interface(number, path, self.subject.ifname, families=self.subject.families)
        self.ip(host)
        self.ip(inside, container)
        return Container(container_id, number, path, self.subject.ifname, before)

    def containers(self, count: int) -> list[Container]:
        """Make several."""
        return [self.container() for _ in range(count)]

    @property
    def count(self) -> int:
        """How many containers there were."""
        return self._number

    @property
    def has_namespaces(self) -> bool:
        """Whether the check has namespaces of its own."""
        return bool(self.machine.is_entered)

    def prepare(self) -> None:
        """Make what the configuration refers to, once."""
        if not self._prepared and self.has_namespaces:
            self._prepared = True
            self.ip("link set lo up\n")
            if self.subject.prepare:
                self.ip("".join(f"{line}\n" for line in self.subject.prepare))

    def remove_namespace(self, container: Container) -> None:
        """Remove the namespace of a container, as a runtime does that cleans up too early."""
        self.machine.remove_namespace(f"ns-{container.number}")
        self.has_removed = True
        self.steps.append(Step(f"ip netns delete ns-{container.number}"))

    def ip(self, batch: str, container: Container | None = None) -> None:
        """Run lines of ``ip`` commands on the host or in a container."""
        prefix = f"nsenter --net={container.netns} ip" if container else "ip"
        self.steps += [Step(f"{prefix} {line}") for line in batch.splitlines()]
        kernel.run_ip(batch, container.netns if container else None)

    def shell(self, line: str) -> None:
        """Run a shell command of the check itself.

        :raises CNIError: if it fails.
        """
        self.note(line)
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=20)
        if done.returncode != 0:
            raise CNIError(f"{line}: {done.stderr.strip()}")

    def look(self, container: Container | None = None) -> Snapshot:
        """Read the kernel, of the host or of a container."""
        self._show(container, _SHOW_SHORTLY)
        return kernel.look(container.netns if container else None)

    def _show(self, container: Container | None, commands: str) -> None:
        line = f"nsenter --net={container.netns} sh -c {shlex.quote(commands)}" if container else commands
        self.shows[line] = None

    def state(self, container: Container | None = None) -> Snapshot:
        """Read the kernel in full, firewall and sysctls included, of the host or of a container."""
        self._show(container, _SHOW_ALL)
        if container is None:
            return kernel.look_closely(None, kernel.sysctls())
        with self.machine.inside(f"ns-{container.number}"):
            return kernel.look_closely(None, kernel.sysctls())

    def sysctls(self) -> dict[str, str]:
        """Return the sysctls of the host."""
        return kernel.sysctls()

    def left_on_host(self, before: Snapshot) -> list[str]:
        """Return what is on the host that was not there before.

        The kernel removes the links of a namespace that is gone a while later, and has time for that.
        """
        deadline = min(self.deadline, time.monotonic() + _KERNEL_TAKES) if self.has_removed else 0.0
        while (left := before.additions(self.state())) and time.monotonic() < deadline:
            if not any(item.startswith(_OF_LINKS) for item in left):
                break
            time.sleep(0.05)
        return left

    def note(self, shell: str) -> None:
        """Keep a shell command that does what the check did otherwise."""
        self.steps.append(Step(shell))

    def open_namespace(self, container: Container) -> str:
        """Return a path below ``/proc`` for the namespace of a container."""
        path = f"/proc/{os.getpid()}/fd/{self.machine.open_namespace(f'ns-{container.number}')}"
        self.note(f"exec 9< {container.netns}")
        self.substitutes[path] = "/proc/$$/fd/9"
        return path

    # -------------------------------------------------------------------------------------------------------- requests

    def supports(self, version: str) -> bool:
        """Return whether the plugin lists a version at least that new."""
        return is_at_least(self.probe.newest, version)

    def config(self, number: int = 1, version: str = "") -> JSONObject:
        """Return the plugin's configuration, as the runtime completes it."""
        members = self.subject.members(self.machine.data, number)
        return {"cniVersion": version or self.probe.newest, "name": NETWORK, **members}

    def request(self, verb: str, container: Container | None = None, version: str = "") -> Request:
        """Return a correct request; a check that wants a wrong one changes it."""
        config = self.config(container.number if container else 1, version)
        environment = self._base() | {CNI_COMMAND: verb, CNI_PATH: os.pathsep.join(self.paths)}
        if container is not None and verb in _ATTACHMENT_VERBS:
            environment |= {
                CNI_CONTAINERID: container.id,
                CNI_NETNS: str(container.netns or self.machine.root / "no-namespace"),
                CNI_IFNAME: container.ifname,
                CNI_ARGS: "",
            }
            previous = self._previous(verb, container, config["cniVersion"])
            if previous is not None:
                config["prevResult"] = previous
        return Request(self.probe.path, environment, json.dumps(config).encode())

    def version_request(self, version: str = "1.1.0") -> Request:
        """Return the request for VERSION that runtimes make, with values that satisfy old plugins."""
        dummies = dict.fromkeys((CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME), "dummy")
        environment = self._base() | {
            CNI_COMMAND: "VERSION",
            **dummies,
            CNI_ARGS: "",
            CNI_PATH: os.pathsep.join(self.paths),
        }
        return Request(self.probe.path, environment, json.dumps({"cniVersion": version}).encode())

    def _base(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": str(self.machine.scratch), "LC_ALL": "C"}

    def _previous(self, verb: str, container: Container, version: str) -> JSONObject | None:
        if verb in _WITH_PREV_RESULT and container.id in self._results:
            # SPEC 3: from 0.4.0 on the runtime hands the result of the ADD to CHECK and DEL.
            return self._results[container.id] if is_at_least(version, "0.4.0") else None
        return None if container.before is None else interface_result(container.before, version)

    # ----------------------------------------------------------------------------------------------------------- calls

    def send(self, request: Request, manner: Manner | None = None) -> Answer:
        """Execute the plugin and keep the call as evidence.

        :param manner: how to treat the process; without one as a runtime does.
        """
        answer = self._execute(request, manner)
        self.steps.append(Step(request.shell, answer))
        return answer

    def send_all(self, requests: Iterable[Request]) -> list[Answer]:
        """Execute the plugin for all requests at once."""
        several = list(requests)
        with ThreadPoolExecutor(len(several)) as pool:
            answers = list(pool.map(self._execute, several))
        self.steps += [Step(f"{answer.request.shell} &", answer) for answer in answers]
        self.note("wait")
        return answers

    def _execute(self, request: Request, manner: Manner | None = None) -> Answer:
        if self.is_cancelled():
            raise CancelledError
        left = self.deadline - time.monotonic()
        timeout = max(0.05, min(left, 2 * self.subject.seconds))
        started: list[Process] = []

        def note(pid: int) -> None:
            started.append(own_child(pid))
            self.running.update(started)
            if self.is_cancelled():  # between start and note: the cancelling thread did not see this process
                raise CancelledError

        try:
            call = HookedCall(request.path, request.stdin, request.environment, timeout, on_start=note)
            return Answer(request, run_call(call, manner))
        finally:
            self.running.difference_update(started)

    def add(self, container: Container, version: str = "", **members: Any) -> Answer:
        """ADD a container as a step towards something else, and keep the result for CHECK and DEL.

        :raises BlockedError: if it fails, or prints no result.
        """
        request = self.request("ADD", container, version)
        answer = self.send(request.with_config(**members) if members else request)
        if not answer.is_success or answer.document is None:
            raise BlockedError("ADD to succeed, which this check builds on", answer.summary, answer)
        self._results[container.id] = answer.document
        return answer

    def add_known(self, container: Container, answer: Answer) -> None:
        """Keep the result of an ADD that a check made itself."""
        self._results[container.id] = answer.document or {}

    def delete(self, container: Container) -> Answer:
        """DEL a container as a step towards something else; whether it succeeds is another check's business."""
        return self.send(self.request("DEL", container))

    def result(self, container: Container) -> JSONObject:
        """Return the result of the last ADD of a container."""
        return self._results[container.id]

    def addresses(self, container: Container) -> list[str]:
        """Return the addresses in a result.

        :raises NotApplicableError: if there is none.
        """
        found = [
            entry["address"]
            for entry in members(self.result(container), "ips")
            if isinstance(entry.get("address"), str)
        ]
        if not found:
            raise NotApplicableError("the configuration gives no address")
        return found

    def files(self) -> dict[str, bytes]:
        """Return the contents of the files in which the plugin keeps state, by path."""
        self.shows[f"find {self.machine.data} -type f -exec tail -v -n +1 {{}} +"] = None
        return state_files(self.subject, self.machine)

    def mentions(self, container: Container) -> dict[str, int]:
        """Return how often each file of state mentions a container, in its name and inside."""
        needle = container.id.encode()
        found: dict[str, int] = {}
        for path, text in self.files().items():
            number = text.count(needle) + path.rpartition("/")[2].count(container.id)
            if number:
                found[path] = number
        return found

    def traces(self, container: Container) -> list[str]:
        """Return the files of state that mention a container, in their name or inside."""
        return list(self.mentions(container))


def members(document: JSONObject, name: str) -> list[JSONObject]:
    """Return the objects of a list in a document, whatever else stands there.

    >>> members({"ips": [{"address": "10.0.0.2/24"}, 7]}, "ips")
    [{'address': '10.0.0.2/24'}]
    """
    return [item for item in elements(document.get(name)) if is_object(item)]


def elements(value: object) -> list[object]:
    """Return the elements of an array, none of something else."""
    return list(value) if _is_list(value) else []


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
