"""The end of one plugin process: the signals to it and its descendants, and how it ended.

Owns :class:`Ending` and :class:`Fate`. Nothing here waits for a process without an end: one in an uninterruptible
sleep, or of another user, outlives SIGKILL, and a process that traces a plugin (``gdb``, ``strace``) may keep its exit
status for as long as it likes. Go counterpart: ``os.Process``, which waits.
"""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import suppress
from enum import Enum
from itertools import starmap
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from libcni.invoke.process.backend_python import CLOSED, CPU, MAX_RSS, PID, STATUS
from libcni.invoke.process.deadlines import Step
from libcni.invoke.process.process_tree import ProcessTree, read_process
from libcni.invoke.process.unreaped import unreaped

if TYPE_CHECKING:
    from libcni.invoke.process.backend_python import Cells
    from libcni.invoke.process.deadlines import ExecutionLimits

__all__ = ["Ending", "Fate"]

_PAUSE = 0.001
_PID_OF = itemgetter(0)
"""The process id in the result of ``wait4``: 0 for a process that cannot be reaped now."""


class Fate(Enum):
    """The fate of a process: the last three are final."""

    OPEN = "open"
    """It runs, or is dead and not reaped."""
    REAPED = "reaped"
    LOST = "lost"
    """Something else in this program reaped it: its exit status is not known."""
    LEFT = "left"
    """It was left to a later reaper: it lives on, or a process that traces it keeps its exit status."""


class Ending:
    """Signals a process and reaps it. The process is a child of the one that made this object, and of no other.

    :param cells: of the process, as :mod:`libcni.invoke.process.backend` has them.
    """

    def __init__(self, cells: Cells, limits: ExecutionLimits) -> None:
        self._cells = cells
        self._limits = limits
        self._owner = os.getpid()
        self._ended: list[tuple[int, int, Any]] = []
        self._tree: ProcessTree | None = None
        self._is_alone: bool | None = None
        self._until = math.inf
        self._given_up: Literal[Fate.LOST, Fate.LEFT] | None = None

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that started the plugin, and no forked child of it."""
        return self._owner == os.getpid()

    @property
    def fate(self) -> Fate:
        """The fate of the process so far."""
        if self._given_up is not None:
            return self._given_up
        return Fate.REAPED if self._ended or self._cells[STATUS] != CLOSED else Fate.OPEN

    def act(self, step: Step) -> None:
        """Do the step TERMINATE, KILL or LOOK, with the plugin and all that descends from it."""
        if not self.is_ours:
            return
        if self._tree is None:
            self._tree = ProcessTree(self._cells[PID])
        if step is Step.LOOK:
            self._is_alone = self._tree.is_alone()
        else:
            self._tree.signal(signal.SIGTERM if step is Step.TERMINATE else signal.SIGKILL)

    def take_alone(self) -> bool | None:
        """Return whether nothing that was signalled still runs; ``None`` if there was no look since the last call."""
        alone, self._is_alone = self._is_alone, None
        return True if self._tree is None else alone

    def may_reap(self, now: float) -> bool:
        """Reap the process, which is dead; return whether that may still come true, and is to be tried again."""
        self._until = min(self._until, now + self._limits.reaping)
        return not self.reap() and now < self._until

    def reap(self) -> bool:
        """Reap the process if it can be reaped now, and return whether that is done.

        The handler of a signal may raise between a call and an assignment, but not within one built-in call: that the
        process is gone is known before a KeyboardInterrupt can hit.
        """
        if self.fate is Fate.OPEN:
            try:
                self._ended.extend(filter(_PID_OF, starmap(os.wait4, ((self._cells[PID], os.WNOHANG),))))
            except ChildProcessError:  # the number may be another process's by now
                self._given_up = Fate.LOST
        return self.fate is not Fate.OPEN

    def leave(self) -> None:
        """Leave the process to a later reaper."""
        self._given_up = Fate.LEFT
        unreaped.add(self._cells[PID])

    def kill(self) -> None:
        """Kill the process at once, and wait a moment for its end: the caller can wait for nothing any more."""
        try:
            self.act(Step.KILL)
        finally:
            until = time.monotonic() + self._limits.reaping
            while not self.reap() and time.monotonic() < until:
                time.sleep(_PAUSE)
            if self.fate is Fate.OPEN:
                self.leave()

    def is_dead(self) -> bool:
        """Return whether the process is dead, where the system has no descriptor that tells."""
        pid = self._cells[PID]
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return _has_ended(pid)  # the system does not tell of one that another process traces
        return True

    def exit_code(self) -> int | None:
        """Return the exit status, or a signal as a negative number; ``None`` if the process was left."""
        if self.fate is Fate.LEFT:
            return None
        return os.waitstatus_to_exitcode(self._ended[0][1] if self._ended else self._cells[STATUS])

    def usage(self) -> tuple[int, float]:
        """Return the most memory that the process had, in bytes, and its processor time in seconds."""
        if not self._ended:  # it was reaped in C, or not at all
            return self._cells[MAX_RSS] * 1024, self._cells[CPU] / 1e6
        usage = self._ended[0][2]
        return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def _has_ended(pid: int) -> bool:
    try:
        process = read_process(pid)
    except OSError:  # no descriptor is left, say
        return False
    return process is None or process.has_ended
