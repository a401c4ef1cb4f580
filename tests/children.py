"""The child processes of the one that runs the tests, and the check that no test leaves one behind."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from libcni.conformance.processes import Process

if TYPE_CHECKING:
    from collections.abc import Generator

_THREADS = Path("/proc/self/task")
_IS_LISTED = (_THREADS / str(os.getpid()) / "children").exists()


def children() -> set[int]:
    """Return the process ids of the direct children, zombies included."""
    if not _IS_LISTED:  # a kernel without CONFIG_PROC_CHILDREN: reads every process of the machine
        return {child.pid for child in psutil.Process().children()}
    found: set[int] = set()
    for thread in _THREADS.iterdir():
        try:
            found.update(map(int, (thread / "children").read_text().split()))
        except OSError:  # the thread has ended; another one has its children
            continue
    return found


@contextmanager
def no_new_child() -> Generator[None]:
    """Fail if there is a child afterwards that was not there before."""
    before = children()
    yield
    left = children() - before
    assert not left, f"left behind: {', '.join(map(describe, sorted(left)))}"


def end_noted_process(path: Path, mark: str) -> None:
    """Kill the process whose number a script wrote into a file, if that still is a process with the mark.

    :param mark: a part of the script's environment that nothing else has; the number may be that of another process.
    """
    with suppress(OSError, ValueError):  # it has ended, or wrote no number
        process = Process(int(path.read_text()))
        if mark.encode() in process.read("environ"):
            process.kill()


def describe(pid: int) -> str:
    """Return the id, state and command line of a process, as far as it still has them."""
    try:
        process = psutil.Process(pid)
        return f"{pid} ({process.status()}) {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(pid)
