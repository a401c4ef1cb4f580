"""A plugin and everything it started, as something that can be signalled.

Owns :class:`ProcessTree`. The package psutil is imported when the first process has to be ended, and not before. Go
counterpart: none, Go libcni kills the plugin alone.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psutil

__all__ = ["ProcessTree"]


class ProcessTree:
    """The process group that ``leader`` leads, and all that descends from it, in the group or not.

    The leader must not be reaped while the object is in use: a dead leader that nobody waited for keeps its process id
    and its group id from being given to others. The other processes are known by id and start time together.
    """

    __slots__ = ("_leader", "_members")

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._members: set[psutil.Process] = set()

    def signal(self, number: int) -> None:
        """Send a signal to all of them.

        Looks first and signals then: the children of a dead process no longer show where they come from, so what an
        earlier call has seen is remembered.
        """
        import psutil  # noqa: PLC0415  # 20 ms that a plugin in time never pays

        self._members |= _look(self._leader, self._members)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)
        for process in self._members:
            with suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getpgid(process.pid) != self._leader:
                    process.send_signal(number)

    def is_alone(self) -> bool:
        """Tell whether nothing that was signalled still runs, the leader aside."""
        return not any(_is_running(process) for process in self._members if process.pid != self._leader)


def _look(leader: int, known: Iterable[psutil.Process]) -> set[psutil.Process]:
    import psutil  # noqa: PLC0415

    roots = set(known)
    for pid in psutil.pids():
        with suppress(psutil.Error, ProcessLookupError, PermissionError):
            if pid == leader or os.getpgid(pid) == leader:
                roots.add(psutil.Process(pid))
    found = set(roots)
    for process in roots:
        with suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return found


def _is_running(process: psutil.Process) -> bool:
    import psutil  # noqa: PLC0415

    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
