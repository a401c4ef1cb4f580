"""Conformance beside processes of others, whose namespaces get the numbers that those of a check had."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.outcome import Status
from libcni.conformance.session import Session
from libcni.conformance.subject import Kind, Subject
from tests.faults.trials import size

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.conformance.outcome import Outcome
    from tests.faults.trials import Trials

ALIVE = 12
"""Bystanders that are there at a time: more than checks, so that some have a number that a check gave back."""

PACE = 0.03
"""Seconds between two: all of them together see some hundred checks end."""

SLOW_PLUGIN = """\
#!/bin/sh
case $CNI_COMMAND in
VERSION) echo '{{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}}' ;;
ADD) stat --dereference --format='net:[%i]' "$CNI_NETNS" >>{numbers}; echo '{{"cniVersion": "1.0.0"}}' ;;
DEL) sleep 0.2 ;;
esac
"""


class Checks(threading.Thread):
    """Runs the check whose namespace goes before DEL, four at the same time, until it is told to end."""

    def __init__(self, plugin: Path) -> None:
        super().__init__()
        self.is_over = threading.Event()
        self.outcomes: list[Outcome] = []
        self._plugin = Subject(str(plugin), Kind.INTERFACE)

    def run(self) -> None:
        """Run."""
        checks = select(load_checks(), ["del-netns-gone"]) * 8
        while not self.is_over.is_set():
            self.outcomes += Session(jobs=4).run([self._plugin], checks).outcomes


def start_bystander() -> tuple[subprocess.Popen[bytes], str]:
    """Start a process with a network namespace of its own, and return it and that namespace."""
    here = Path("/proc/self/ns/net").readlink()
    process = subprocess.Popen(["unshare", "--net", "sleep", "300"])
    deadline = time.monotonic() + 30
    while (there := Path(f"/proc/{process.pid}/ns/net").readlink()) == here:
        assert time.monotonic() < deadline, "unshare did not come up"
        time.sleep(0.001)
    return process, str(there)


def end_bystander(process: subprocess.Popen[bytes]) -> list[str]:
    """End it in the way that belongs to this test; return what is wrong if it has ended before."""
    process.terminate()
    status = process.wait(30)
    return [] if status == -signal.SIGTERM else [f"ended with {status}"]


@pytest.mark.usefixtures("root")
def test_conformance_kills_no_process_of_others(tmp_path: Path, trials_of: Callable[[str], Trials]) -> None:
    bystanders = trials_of("conformance: a process in a namespace that was made while checks ran")
    own = trials_of("conformance: a plugin with a slow DEL beside others of its kind")
    numbers, plugin = tmp_path / "numbers", tmp_path / "slow"
    plugin.write_text(SLOW_PLUGIN.format(numbers=numbers))
    plugin.chmod(0o755)
    alive: deque[subprocess.Popen[bytes]] = deque()
    namespaces: set[str] = set()
    checks = Checks(plugin)
    checks.start()
    try:
        for number in range(size(200, 5_000)):
            process, namespace = start_bystander()
            namespaces.add(namespace)
            alive.append(process)
            time.sleep(PACE)
            if len(alive) > ALIVE:
                bystanders.check(end_bystander(alive.popleft()), f"bystander {number - ALIVE}")
    finally:
        for process in alive:
            bystanders.check(end_bystander(process), "one of the last bystanders")
        checks.is_over.set()
        checks.join()
    for outcome in checks.outcomes:
        own.check([] if outcome.status is Status.PASSED else [outcome.seen or outcome.reason], "check")
    assert namespaces & set(numbers.read_text().split()), "no number was given again, and nothing was tried"
