"""Checking a runtime tool: a chain of recording plugins, and the tool called as the Go project's ``cnitool`` is.

Owns :class:`RuntimeSession` and :class:`RuntimeLab`. Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcni.conformance import isolation
from libcni.conformance.calls import Answer, Request, Step, printing
from libcni.conformance.chain import interface_result
from libcni.conformance.delegates import Recorder
from libcni.conformance.expect import BlockedError
from libcni.conformance.lab import Lab, Probe
from libcni.conformance.session import Session
from libcni.conformance.subject import Kind, Subject
from libcni.errors import CNIError, InvalidParameterError
from libcni.protocol.versions import SUPPORTED_VERSIONS, is_at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from libcni.conformance.catalogue import Check
    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.isolation import Machine
    from libcni.conformance.outcome import Report
    from libcni.jsontext.scan import JSONObject

__all__ = ["CHAIN", "RuntimeLab", "RuntimeSession", "runtime_subject"]

CHAIN = ("first", "second", "third")
_TRIED = 3
"""Versions, from the newest on, of which a runtime takes one."""
NETWORK = "chain"
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}

_ADDRESS = {"address": "10.96.0.2/24", "gateway": "10.96.0.1", "interface": 0}


def runtime_subject(command: Sequence[str]) -> Subject:
    """Return a description of a runtime tool.

    :raises InvalidParameterError: if there is no such program.
    """
    path = shutil.which(command[0]) if command else None
    if path is None:
        raise InvalidParameterError("runtime", " ".join(command), "is no program")
    return Subject(os.path.abspath(path), Kind.INTERFACE, {"arguments": list(command[1:])}, seconds=20)  # noqa: PTH100 -- a link is not followed: programs look at their name


class RuntimeSession(Session):
    """A run of checks of a runtime tool."""

    def run(self, subjects: Sequence[Subject], checks: Sequence[Check]) -> Report:
        """Run every check; all of them need a namespace.

        :raises CNIError: if this machine lacks what the checks need.
        """
        if not isolation.is_possible():
            raise CNIError("the checks of runtimes need root, for network namespaces")
        return super().run(subjects, checks)

    def probe(self, subject: Subject) -> Probe:
        """Return the facts before the first check: the file of the program, and the newest version that it takes."""
        if not isolation.is_possible():
            return Probe(subject.plugin, SUPPORTED_VERSIONS)
        with ThreadPoolExecutor(1) as pool:  # a thread of its own, which ends: it has left the host's namespaces
            return pool.submit(self._ask, subject).result()

    def _ask(self, subject: Subject) -> Probe:
        """Add a container to a network of the newest version, and to one of the version before that."""
        every = Probe(subject.plugin, SUPPORTED_VERSIONS, SUPPORTED_VERSIONS)
        folders = dict.fromkeys((*isolation.PRIVATE_FOLDERS, *subject.private))
        with isolation.open_machine(isolation.ROOT, folders, subject.visible) as machine:
            lab = self._lab(subject, every, machine)
            for newest in reversed(SUPPORTED_VERSIONS[-_TRIED:]):
                lab.configure(newest)
                answer, calls = lab.run("add")
                if answer.is_success and calls:
                    versions = tuple(version for version in SUPPORTED_VERSIONS if is_at_least(newest, version))
                    return Probe(subject.plugin, versions, versions)
        return every

    def _lab(self, subject: Subject, probe: Probe, machine: Machine) -> RuntimeLab:
        deadline = time.monotonic() + self.limit
        return RuntimeLab(subject, probe, machine, deadline, self._running, self._is_cancelled.is_set)


@dataclass
class RuntimeLab(Lab):
    """A bench with a chain of recording plugins and a directory of network configurations."""

    version: str = "1.0.0"
    variables: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        super().__post_init__()
        self.conf_dir.mkdir(parents=True, exist_ok=True)
        self.note(f"mkdir -p {self.conf_dir}")
        self.recorder = Recorder.make(self.bin_dir, *CHAIN, note=self.note)
        self.shows[self.recorder.showing] = None
        self.ifname = "eth0"

    @property
    def bin_dir(self) -> Path:
        """The plugin directory."""
        return self.machine.tools / "bin"

    @property
    def conf_dir(self) -> Path:
        """The directory of network configurations."""
        return self.machine.root / "net.d"

    def configure(self, version: str = "1.0.0", plugins: Sequence[JSONObject] = (), **members: Any) -> None:
        """Write the network's configuration, and let the plugins answer in its version.

        :param plugins: members of the configuration of each plugin beside its type; by default three that are plain.
        """
        self.version = version
        sections = [{"type": name, **section} for name, section in zip(CHAIN, plugins or ({}, {}, {}), strict=False)]
        document = {"cniVersion": version, "name": NETWORK, **members, "plugins": sections}
        kept = {name: value for name, value in document.items() if value is not None}
        (self.conf_dir / f"10-{NETWORK}.conflist").write_text(json.dumps(kept))
        self.note(f"{printing(json.dumps(kept).encode(), {})} > {self.conf_dir}/10-{NETWORK}.conflist")
        for number, name in enumerate(CHAIN):
            self.recorder.answers("ADD", self.result_of(number), name=name)
            listed = {"cniVersion": "1.1.0", "supportedVersions": list(SUPPORTED_VERSIONS)}
            self.recorder.answers("VERSION", listed, name=name)

    def result_of(self, number: int) -> JSONObject:
        """Return the result of the plugin at that position in the chain: each adds a route."""
        routes = [{"dst": f"198.51.{place}.0/24", "gw": "10.96.0.1"} for place in range(number + 1)]
        interfaces = [{"name": "eth0", "mac": "02:cf:00:00:04:01", "sandbox": "/run/netns/ns-1"}]
        result: JSONObject = {
            "cniVersion": "1.1.0",
            "interfaces": interfaces,
            "ips": [_ADDRESS],
            "routes": routes,
            "dns": {},
        }
        return interface_result(result, self.version)

    def error(self, msg: str, code: int = 123) -> JSONObject:
        """Return an error document for a plugin to print."""
        return {"cniVersion": self.version, "code": code, "msg": msg, "details": ""}

    @property
    def namespace(self) -> str:
        """The path of the container's namespace, which is made when it is first asked for."""
        if "ns-1" not in self.machine.namespaces:
            self.container()
        return str(self.machine.namespaces["ns-1"])

    def run(self, verb: str, *arguments: str) -> tuple[Answer, list[RecordedCall]]:
        """Call the tool, and return how it ended and the calls that the plugins got, VERSION aside."""
        before = len(self.recorder.calls())
        words = [self.probe.path, *self.subject.config["arguments"], verb, NETWORK, *(arguments or (self.namespace,))]
        script = self.machine.tools / "run"
        script.write_text(f"#!/bin/sh\nexec {shlex.join(words)}\n")
        script.chmod(0o755)
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.machine.scratch),
            "CNI_PATH": str(self.bin_dir),
            "NETCONFPATH": str(self.conf_dir),
            "CNI_IFNAME": self.ifname,
            **self.variables,
        }
        answer = self._execute(Request(str(script), environment, b""))
        assignments = shlex.join(f"{name}={value}" for name, value in environment.items())
        self.steps.append(Step(f"env -i {assignments} {shlex.join(words)}", answer))
        calls = [call for call in self.recorder.calls()[before:] if call.verb != "VERSION"]
        return answer, calls

    def attached(self) -> list[RecordedCall]:
        """Add the container, as a step towards something else.

        :raises BlockedError: if that fails.
        """
        answer, calls = self.run("add")
        if not answer.is_success:
            raise BlockedError("add to succeed, which this check builds on", answer.summary, answer)
        if not calls:
            raise BlockedError("add to call the plugins, which this check looks at", "no call", answer)
        return calls
