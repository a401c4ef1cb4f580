"""The process tree of a plugin, which can be signalled as one.

Owns :class:`ProcessTree`, and :func:`read_process` and :func:`read_processes`, what ``/proc`` says of processes. Go
counterpart: none, Go libcni kills the plugin alone.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Process", "ProcessTree", "read_process", "read_processes"]

_PROC = "/proc"
_STAT_SIZE = 4096
"""Bytes: more than the line has, whatever the numbers in it are."""
_STARTED = 19
"""Place of the start time behind the name of the program."""


class Process(NamedTuple):
    """One process: its id and start time, in clock ticks since boot, tell it from every other one."""

    pid: int
    started: int
    parent: int
    group: int
    state: str

    @property
    def has_ended(self) -> bool:
        """Whether it is dead, although its parent has not waited for it."""
        return self.state in {"Z", "X"}


def read_process(pid: int) -> Process | None:
    """Return the state of a process, ``None`` if there is none.

    :raises OSError: if that cannot be read.
    """
    try:
        descriptor = os.open(f"{_PROC}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        line = os.read(descriptor, _STAT_SIZE)
    except ProcessLookupError:  # it has ended since
        return None
    finally:
        os.close(descriptor)
    # The name of the program comes before, in parentheses, and may have spaces and parentheses in it.
    fields = line.rpartition(b")")[2].split()
    return Process(pid, int(fields[_STARTED]), int(fields[1]), int(fields[2]), fields[0].decode())


def read_processes() -> dict[int, Process]:
    """Return the processes of the machine that this one may see, by id, in one pass.

    :raises OSError: if they cannot be read.
    """
    found: dict[int, Process] = {}
    for name in os.listdir(_PROC):  # noqa: PTH208  # some thousand
        if name.isdigit():
            with suppress(PermissionError):  # /proc is mounted with hidepid
                process = read_process(int(name))
                if process is not None:
                    found[process.pid] = process
    return found


class ProcessTree:
    """The process group that ``leader`` leads, and all that descends from it, in the group or not.

    The leader must not be reaped while the object is in use: a dead leader that was not waited for keeps its process id
    and its group id from being given to others. The other processes are known by id and start time together. A look
    goes through all processes of the machine, some 20 ms for a thousand: not in an event loop. Threads may share one.
    """

    __slots__ = ("_leader", "_lock", "_members")

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._lock = threading.Lock()
        self._members: frozenset[tuple[int, int]] = frozenset()
        """Id and start time of what was seen so far, the leader aside."""

    def signal(self, number: int) -> None:
        """Send a signal to all of them: first to the group, then to what has left it.

        Looks before that: the children of a dead process no longer show where they come from, so what an earlier call
        has seen is remembered. A look that fails, without a descriptor left say, keeps the group from nothing.
        """
        with self._lock:
            strays: list[int] = []
            try:
                with suppress(OSError):
                    strays = self._look()
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._leader, number)
            for pid in strays:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _look(self) -> list[int]:
        """Remember what belongs to the tree, and return the ids of what is not in the group."""
        processes = read_processes()
        known = {pid for pid, started in self._members if pid in processes and processes[pid].started == started}
        group = {process.pid for process in processes.values() if process.group == self._leader}
        found = _with_descendants(known | group | {self._leader}, processes)
        self._members |= {(pid, processes[pid].started) for pid in found - {self._leader}}
        return [pid for pid in found if pid in processes and processes[pid].group != self._leader]

    def is_alone(self) -> bool:
        """Return whether nothing that was signalled still runs, the leader aside."""
        return not any(_is_running(pid, started) for pid, started in self._members)


def _with_descendants(roots: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process.pid)
    found: set[int] = set()
    left = list(roots)
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left += children.get(pid, ())
    return found


def _is_running(pid: int, started: int) -> bool:
    try:
        process = read_process(pid)
    except OSError:  # no descriptor is left, say: it may
        return True
    return process is not None and process.started == started and not process.has_ended
