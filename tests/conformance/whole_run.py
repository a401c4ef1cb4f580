"""Checks of the 16 reference plugins, and the machine before and after: run in namespaces that nobody else is in.

Each plugin is run with what did not pass when that was written down, and with a share of the other checks; each check
with a share of the plugins. With ``LIBCNI_ALL_MUTANTS=1`` all are run with all, as ``tox -e mutants`` does.
``unshare --net --mount python -m tests.conformance.whole_run FILE`` writes what was seen.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.conformance.catalogue import load_checks
from libcni.conformance.kernel import firewall
from libcni.conformance.outcome import Status
from libcni.conformance.session import Session
from libcni.conformance.subject import profile_names, ready_subject
from tests.conformance import bench
from tests.support import kernel

if TYPE_CHECKING:
    from libcni.conformance.catalogue import Check
    from libcni.conformance.outcome import Outcome
    from libcni.conformance.subject import Subject

RECORDED = bench.TESTDATA / "debian.json"
SHARE = 1 if bench.RUN_ALL else 4
"""One in so many."""

_COMMANDS = {
    "links": ["ip", "-brief", "link"],
    "addresses": ["ip", "-brief", "address"],
    "routes": ["ip", "route", "show", "table", "all"],
    "rules": ["ip", "rule"],
    "mounts": ["cat", "/proc/self/mounts"],
    "files": ["find", "/run", "/var/lib/cni", "/etc/cni", "/var/tmp", "."],  # the last is where the tests run
}


def subjects() -> list[Subject]:
    found = [ready_subject(name) for name in profile_names()]
    return [replace(subject, bin_dirs=(str(kernel.PLUGIN_DIR),)) for subject in found if subject is not None]


_MAKE_SHARED_CHAIN = frozenset({"firewall", "portmap"})


def depends_on_timing(plugin: str, check_id: str) -> bool:
    """An ADD that is ended by a signal may be anywhere; whether DEL copes depends on where.

    Two plugins look whether a chain of iptables is there before they make it: of several at once, one may fail.
    """
    return check_id.startswith("sigterm-") or (plugin in _MAKE_SHARED_CHAIN and check_id.startswith("parallel-"))


def matrix(outcomes: list[Outcome]) -> dict[str, dict[str, str]]:
    """Return what did not pass, by plugin and check."""
    found: dict[str, dict[str, str]] = {name: {} for name in profile_names()}
    for outcome in outcomes:
        if outcome.status is not Status.PASSED and not depends_on_timing(outcome.subject, outcome.check):
            found[outcome.subject][outcome.check] = str(outcome.status)
    return found


def machine_state() -> dict[str, Any]:
    """Return everything that the plugins could have left."""
    said = {
        name: sorted(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())
        for name, command in _COMMANDS.items()
    }
    # What measures coverage writes beside the sources all the time.
    said["files"] = [path for path in said["files"] if not path.startswith(("./.coverage", "./.git"))]
    return {
        **said,
        "firewall": list(firewall()),
        "processes": processes(),
        "namespaces": thread_namespaces(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
    }


def processes() -> list[int]:
    """Return the processes that run in the mount namespace of this one, or below it."""
    own = str(Path("/proc/self/ns/mnt").readlink())
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_here = str((path / "ns" / "mnt").readlink()) == own
            is_child = int((path / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
        except OSError:  # it ended meanwhile
            continue
        if is_here or is_child:
            found.append(int(path.name))
    return sorted(found)


def thread_namespaces() -> list[str]:
    """Return the namespaces that threads of this process are in."""
    return sorted(
        {str((task / "ns" / kind).readlink()) for task in Path("/proc/self/task").iterdir() for kind in ("net", "mnt")}
    )


def chosen() -> list[tuple[Subject, list[Check]]]:
    """Return what to run: plugins, each with its checks."""
    recorded = json.loads(RECORDED.read_text())["outcomes"]
    return [
        (
            subject,
            [each for place, each in enumerate(load_checks(), number) if is_due(place, each, recorded[subject.name])],
        )
        for number, subject in enumerate(subjects())
    ]


def is_due(place: int, check: Check, recorded: dict[str, str]) -> bool:
    return place % SHARE == 0 or check.id in recorded


def main(target: str) -> None:
    for folder in ("/run", "/var/tmp"):
        kernel.run("mount", "-t", "tmpfs", "tmpfs", folder)
    kernel.run("ip", "link", "set", "lo", "up")
    before = machine_state()
    started = time.monotonic()
    outcomes = [outcome for subject, checks in chosen() for outcome in Session(jobs=3).run([subject], checks).outcomes]
    seconds = time.monotonic() - started
    time.sleep(0.5)
    without = [item.name for item in subjects() if any(not kernel.has_link_type(kind) for kind in item.links)]
    document = {
        "before": before,
        "after": machine_state(),
        "seconds": seconds,
        "checks": len(outcomes),
        "withoutLinks": without,
        "outcomes": matrix(outcomes),
    }
    Path(target).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
