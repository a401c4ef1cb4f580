"""The deadlines of one execution: when a plugin is ended, and how long each wait may take.

Owns :class:`ExecutionLimits`, the numbers, and :class:`Schedule`, the decisions. Pure: no clock, no process. Go
counterpart: none, Go libcni leaves time to the caller's context. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from libcni.invoke.runner import STDERR_LIMIT, STDOUT_LIMIT

__all__ = ["BUSY", "GRACE", "LINGER", "REAPING", "UNKILLABLE", "ExecutionLimits", "Schedule", "Step"]

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""

LINGER = 1.0
"""Seconds: how long the pipes of a plugin that has exited are waited for when a child of it holds them open."""

BUSY = 5.0
"""Seconds: how long a binary that is open for writing ("Text file busy") is tried again."""

UNKILLABLE = 4.5
"""Seconds after SIGKILL until a plugin that does not die is left: the call ends within 5 s."""

REAPING = 1.0
"""Seconds: how long the exit status of a dead plugin is waited for, which a process that traces it may keep."""

_TICK = 0.02
"""Seconds between two looks at what was signalled."""


class ExecutionLimits(NamedTuple):
    """The limits of one execution. Times are in seconds, sizes in bytes."""

    grace: float = GRACE
    linger: float = LINGER
    busy: float = BUSY
    stdout: int = STDOUT_LIMIT
    stderr: int = STDERR_LIMIT
    unkillable: float = UNKILLABLE
    reaping: float = REAPING


class Step(Enum):
    """The next action of a runner."""

    WAIT = "wait"
    TERMINATE = "terminate"
    KILL = "kill"
    LOOK = "look"
    DONE = "done"


class _Phase(Enum):
    """The phase of an escalation: the last signal that was sent."""

    RUNNING = "running"
    TERMINATED = "terminated"
    KILLED = "killed"


_ESCALATION = {_Phase.RUNNING: Step.TERMINATE, _Phase.TERMINATED: Step.KILL, _Phase.KILLED: Step.DONE}
"""The step at the end of each phase, while the plugin has not exited."""


class Schedule:
    """The schedule of one execution: deadline, escalation, and the wait for the pipes, on a monotonic clock.

    >>> schedule = Schedule(ExecutionLimits(grace=2, linger=1), 100.0, timeout=10)
    >>> schedule.step(101.0, drained=False, alone=True)
    (<Step.WAIT: 'wait'>, 110.0)
    >>> schedule.step(110.0, drained=False, alone=True)[0], schedule.timed_out
    (<Step.TERMINATE: 'terminate'>, True)
    """

    def __init__(self, limits: ExecutionLimits, started: float, timeout: float | None) -> None:
        self._limits = limits
        self._started = started
        self._deadline = math.inf if timeout is None else started + timeout
        self._phase = _Phase.RUNNING
        self._next_phase_at = self._deadline
        self._is_asked_to_end = False
        self._exited_at: float | None = None
        self.timed_out = False

    @property
    def has_exited(self) -> bool:
        """Whether the plugin process itself is dead. What it started may live on."""
        return self._exited_at is not None

    def may_retry(self, at: float) -> bool:
        """Return whether a start may be tried again at that time."""
        return at < min(self._deadline, self._started + self._limits.busy)

    def is_overdue(self, now: float) -> bool:
        """Return whether the next step ends a plugin that still runs, for its deadline."""
        return (
            self._phase is _Phase.RUNNING
            and now >= self._deadline
            and not self._is_asked_to_end
            and self._exited_at is None
        )

    def exited(self, now: float) -> None:
        """Note that the plugin process is dead."""
        self._exited_at = now

    def end(self) -> None:
        """End the plugin with the next step, whatever its deadline."""
        self._is_asked_to_end = True

    def hurry(self) -> None:
        """End the plugin without the rest of its grace."""
        if self._phase is _Phase.TERMINATED:
            self._next_phase_at = -math.inf

    def step(self, now: float, *, drained: bool, alone: bool | None) -> tuple[Step, float]:
        """Return the next step, and the time until which a wait lasts. TERMINATE and KILL are taken as done.

        :param drained: nothing holds the output pipes open any more.
        :param alone: nothing else that was signalled is alive; ``None`` to have LOOK find that out.
        """
        step, until = self._running(now) if self._exited_at is None else self._gone(now, drained=drained, alone=alone)
        if step is Step.TERMINATE:
            self.timed_out = not self._is_asked_to_end
            self._phase, self._next_phase_at = _Phase.TERMINATED, now + self._limits.grace
        elif step is Step.KILL:
            self._phase, self._next_phase_at = _Phase.KILLED, now + self._limits.unkillable
        return step, until

    def _running(self, now: float) -> tuple[Step, float]:
        is_ended_now = self._is_asked_to_end and self._phase is _Phase.RUNNING
        is_wait = now < self._next_phase_at and not is_ended_now
        return (Step.WAIT if is_wait else _ESCALATION[self._phase]), self._next_phase_at

    def _gone(self, now: float, *, drained: bool, alone: bool | None) -> tuple[Step, float]:
        # A plugin that exits in time may leave a daemon behind; what it leaves behind at its deadline is ended with it.
        if self._phase is _Phase.RUNNING:
            exited_at = now if self._exited_at is None else self._exited_at
            last = min(exited_at + self._limits.linger, self._deadline)
            is_over = drained or self._is_asked_to_end or now >= last
            return (Step.DONE, now) if is_over else (Step.WAIT, last)
        if self._phase is _Phase.KILLED:
            return Step.DONE, now
        if now >= self._next_phase_at:
            return Step.KILL, now
        if alone is None:
            return Step.LOOK, now
        # What holds the pipes now, and is not known to descend from the plugin, is waited for no more.
        return (Step.DONE, now) if alone else (Step.WAIT, min(now + _TICK, self._next_phase_at))
