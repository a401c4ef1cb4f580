"""One plugin process from its start to its end: everything that both runners share.

Owns :class:`Execution`, which holds the process, its pipes and its output. A runner only waits: for what ``Execution``
watches, and for as long as it says. Go counterpart: ``invoke.RawExec``. Source: SPEC 1.1.0, section 2, "Execution
protocol".
"""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import time
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from libcni.invoke.process import backend as child
from libcni.invoke.process.backend import encoded_environment, encoded_path, new_cells
from libcni.invoke.process.backend_python import (
    CHUNK,
    CLOSED,
    DESCRIPTORS,
    ENDED,
    PID,
    PIDFD,
    STARTED,
    STATUS,
    STDERR_READ,
    STDIN_READ,
    STDIN_WRITE,
    STDOUT_READ,
    UNREAPED,
    WRITTEN,
    close_end,
    feed,
    give,
)
from libcni.invoke.process.deadlines import Schedule, Step
from libcni.invoke.process.ending import Ending, Fate
from libcni.invoke.process.stderr_log import StderrLog
from libcni.invoke.process.unreaped import unreaped
from libcni.invoke.runner import HookedCall, PluginOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcni.invoke.process.backend_python import Taken
    from libcni.invoke.process.deadlines import ExecutionLimits
    from libcni.invoke.runner import PluginCall

__all__ = ["Execution", "Poller"]

_BUSY_PAUSE = _EXIT_PAUSE = 0.01
_QUIET = 0.02
"""Seconds: at first only the exit is waited for. A plugin that answers at once wakes its caller only once."""
_LONGEST_WAIT = 1.0
"""Seconds. A forked child that ends may undo in the kernel what its parent waits for: both share that."""

_IGNORED = "was not started: this process ignores SIGCHLD, and would not learn how it ends"
_REAPED = "ran, and how it ended is not known: something else in this process reaps its children"


class Poller(Protocol):
    """The interface of both :func:`select.poll` and :class:`select.epoll`, whose event masks are the same numbers."""

    def register(self, fd: int, eventmask: int = ..., /) -> object:
        """Watch a descriptor."""

    def unregister(self, fd: int, /) -> object:
        """Stop watching a descriptor."""


P = TypeVar("P", bound=Poller)


class Execution(Generic[P]):
    """One plugin process: started, fed, read, ended, reaped. Its user calls :meth:`release` in a ``finally``.

    Nothing blocks but :meth:`act`, which looks at the processes of the machine, and :meth:`release` when there is still
    something to kill. Once the plugin is started, a runner does what :meth:`step` says until that is DONE. In a
    forked child there is nothing to do: the plugin is its parent's.

    :param poller: gets the descriptors to wait for when there is more than an exit to wait for.
    """

    def __init__(self, call: PluginCall, limits: ExecutionLimits, poller: P) -> None:
        self._call = call
        self.hooks = call if isinstance(call, HookedCall) else None
        self._limits = limits
        self.poller = poller
        self._made_schedule: Schedule | None = None
        self._stdout = bytearray()
        self._overflow = False
        self._made_log: StderrLog | None = None
        self._cells = new_cells()
        self._ending = Ending(self._cells, limits)
        self._handlers: dict[int, Callable[[], object]] = {}
        self._watches_pipes = False

    def start(self) -> float:
        """Start the plugin.

        :returns: 0 if it runs, else after how many seconds to try again, because the binary is open for writing.
        :raises OSError: if it cannot be started, or is still busy at the deadline or after ``limits.busy`` seconds.
        :raises ValueError: if its path or environment cannot be expressed in C.
        """
        call, hooks = self._call, self.hooks
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            raise ChildProcessError(errno.ECHILD, _IGNORED, call.path)
        if unreaped:
            unreaped.reap()
        is_held = hooks is not None and (hooks.on_start is not None or hooks.before is not None)
        path, environment = encoded_path(call.path), encoded_environment(call.environment)
        try:
            child.processes.start(self._cells, path, environment, None if is_held else call.stdin)
        except OSError as error:
            return self._pause_after(error)
        return 0

    def _pause_after(self, error: OSError) -> float:
        if self._cells[UNREAPED]:
            unreaped.add(self._cells[UNREAPED])
            self._cells[UNREAPED] = 0
        if error.errno != errno.ETXTBSY or not self._schedule.may_retry(time.monotonic() + _BUSY_PAUSE):
            raise OSError(error.errno, error.strerror, self._call.path) from None
        return _BUSY_PAUSE

    @property
    def _log(self) -> StderrLog:
        if self._made_log is None:
            self._made_log = StderrLog(self._limits.stderr, self._call.on_stderr)
        return self._made_log

    @property
    def _schedule(self) -> Schedule:
        if self._made_schedule is None:
            self._made_schedule = Schedule(self._limits, self._cells[STARTED] / 1e9, self._call.timeout)
        return self._made_schedule

    @property
    def is_started(self) -> bool:
        """Whether the process was started."""
        return self._cells[PID] != 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to do: the plugin is reaped, and its pipes are closed."""
        return self._cells[STATUS] != CLOSED

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that started the plugin, and no forked child of it."""
        return self._ending.is_ours

    def announce(self) -> None:
        """Call ``on_start`` with the process id. What it raises passes through."""
        if self.hooks is not None and self.hooks.on_start is not None:
            self.hooks.on_start(self._cells[PID])

    def give(self) -> None:
        """Write the request, if that was held back."""
        if self._cells[STDIN_WRITE] != CLOSED and self._cells[WRITTEN] == 0:
            give(self._cells, self._call.stdin)

    def announce_slow(self) -> None:
        """Call ``on_slow`` with the process id, unless the plugin has exited. What it raises passes through."""
        if self.hooks is not None and self.hooks.on_slow is not None and not self.has_exited:
            self.hooks.on_slow(self._cells[PID])

    @property
    def pidfd(self) -> int:
        """The descriptor that is readable when the plugin has exited; -1 where the system has none."""
        return self._cells[PIDFD]

    def quiet(self) -> float | None:
        """Return how many seconds to wait for the exit alone; ``None`` if there is more to wait for."""
        if self._cells[STDIN_WRITE] != CLOSED or self.pidfd == CLOSED:
            return None
        return self.patience

    @property
    def patience(self) -> float:
        """Seconds of the wait for the exit alone."""
        timeout = self._call.timeout
        if timeout is None or timeout > _QUIET:
            return _QUIET
        return max(0.0, timeout)  # a poll takes less than nothing for as long as it takes

    def wait_for_exit(self, seconds: float, interrupt: int = CLOSED) -> None:
        """Wait for the exit alone, at most so long and until the descriptor ``interrupt`` is readable.

        What the call's ``on_stderr`` raises passes through.
        """
        self.take(child.processes.wait_for_exit(self._cells, math.ceil(seconds * 1000), interrupt))

    def take(self, taken: Taken | None) -> None:
        """Take what the plugin had written when it exited, if it has; what ``on_stderr`` raises passes through."""
        if taken is None:
            return
        if not self.is_over:
            self._note_exit()
        self._keep_both(taken)

    @property
    def has_exited(self) -> bool:
        """Whether the plugin process itself is dead. What it started may live on."""
        return self._schedule.has_exited

    def exited(self) -> None:
        """Note that the plugin has exited, and take what it has written."""
        if self.has_exited:
            return
        for end in (STDOUT_READ, STDERR_READ):
            self.unwatch(self._cells[end])  # first: a number that was closed may be another file's at once
        taken = child.processes.drain(self._cells)
        self._note_exit()
        self._keep_both(taken)
        if self._watches_pipes:
            self._watch_pipes()

    def _note_exit(self) -> None:
        self._schedule.exited(time.monotonic())
        for end in (PIDFD, STDIN_READ, STDIN_WRITE):
            self._close(end)

    def _keep_both(self, taken: Taken) -> None:
        if taken[0]:
            self._keep(taken[0])
        if taken[1]:
            self._log.feed(taken[1])

    def watch(self, fd: int, handler: Callable[[], object], events: int = select.POLLIN) -> None:
        """Have :meth:`handle` call ``handler`` when the descriptor is ready."""
        self._handlers[fd] = handler
        self.poller.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Undo :meth:`watch`, if it was done."""
        # A poller of the system is shared with a forked child, which must take nothing from it.
        if self._handlers.pop(fd, None) is not None and self.is_ours:
            self.poller.unregister(fd)

    def end(self) -> None:
        """Make the next step end the plugin, whatever its deadline."""
        self._schedule.end()

    def hurry(self) -> None:
        """Make the next step kill the plugin, if it was told to end before."""
        self._schedule.hurry()

    def step(self) -> tuple[Step, float | None]:
        """Return the next step, and for a wait how many seconds it may last.

        What the call's ``on_slow`` raises passes through.
        """
        cells = self._cells
        # One that was reaped is not signalled any more: the number may belong to another process by now.
        if not self.is_started or self._ending.fate is not Fate.OPEN or not self.is_ours:
            return Step.DONE, None
        now = time.monotonic()
        if self._schedule.is_overdue(now):
            self._look_for_exit()  # it may have exited in time, while this thread did something else
        drained = cells[STDOUT_READ] == cells[STDERR_READ] == CLOSED
        step, until = self._schedule.step(now, drained=drained, alone=self._ending.take_alone())
        if step is Step.DONE:
            return self._last_step(now)
        if step is Step.WAIT and not self._watches_pipes:
            self._watch_everything()
        if self.pidfd == CLOSED and not self._schedule.has_exited:
            until = min(until, now + _EXIT_PAUSE)
        return step, min(max(0.0, until - now), _LONGEST_WAIT)

    def _last_step(self, now: float) -> tuple[Step, float | None]:
        """Reap the process, as long as that may take; leave it when it took too long."""
        if self.has_exited and self._ending.may_reap(now):
            return Step.WAIT, _EXIT_PAUSE
        if self._ending.fate is Fate.OPEN:
            self._ending.leave()
            self.announce_slow()
        return Step.DONE, None

    def act(self, step: Step) -> None:
        """Do the step TERMINATE, KILL or LOOK: look at all processes, and signal the plugin and its descendants.

        Takes some milliseconds: not in an event loop.
        """
        self._ending.act(step)

    def handle(self, ready: Iterable[tuple[int, int]]) -> None:
        """Feed, read and notice the exit. What the call's ``on_stderr`` raises passes through."""
        for fd, _ in ready:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier one of the same round may have closed it
                handler()
        if self.pidfd == CLOSED and not self._schedule.has_exited:
            self._look_for_exit()

    def output(self) -> PluginOutput:
        """Return the output, after the last step.

        :raises ChildProcessError: if something else reaped the process, so that it is not known how it ended.
        """
        if self._made_log is not None:
            self._made_log.flush()
        if self._ending.fate is Fate.LOST:
            raise ChildProcessError(errno.ECHILD, _REAPED, self._call.path)
        code = self._ending.exit_code()
        max_rss, cpu_seconds = self._ending.usage()
        return PluginOutput(
            stdout=bytes(self._stdout),
            stderr=b"" if self._made_log is None else self._made_log.tail,
            exit_status=None if code is None or code < 0 else code,
            signal=None if code is None or code >= 0 else -code,
            duration=((self._cells[ENDED] or time.monotonic_ns()) - self._cells[STARTED]) / 1e9,
            max_rss=max_rss,
            cpu_seconds=cpu_seconds,
            timed_out=self._made_schedule is not None and self._made_schedule.timed_out,
            overflow=self._overflow,
            pid=self.left_running,
        )

    @property
    def left_running(self) -> int | None:
        """The process id of a plugin that could not be killed and lives on; else ``None``."""
        return self._cells[PID] if self._ending.fate is Fate.LEFT and not self.has_exited else None

    def release(self) -> None:
        """Kill and reap what still runs, and close every descriptor."""
        if self.is_over:  # with all of its descriptors
            self._handlers.clear()
            return
        try:
            if self.is_started and self.is_ours and self._ending.fate is Fate.OPEN:
                self._ending.kill()
        finally:
            for end in DESCRIPTORS:
                self._close(end)
            self._handlers.clear()  # they refer to this object, which would wait for the garbage collector

    def _watch_everything(self) -> None:
        self._watches_pipes = True
        self._watch_pipes()
        if self._cells[STDIN_WRITE] != CLOSED:
            self.watch(self._cells[STDIN_WRITE], self._feed, select.POLLOUT)
        if self.pidfd != CLOSED:
            self.watch(self.pidfd, self.exited)

    def _watch_pipes(self) -> None:
        for end, handler in ((STDOUT_READ, self._read_stdout), (STDERR_READ, self._read_stderr)):
            fd = self._cells[end]
            if fd != CLOSED:
                os.set_blocking(fd, False)
                self.watch(fd, handler)

    def _feed(self) -> None:
        if feed(self._cells, self._call.stdin):
            self._close(STDIN_WRITE)

    def _read_stdout(self) -> None:
        self._read(STDOUT_READ, self._keep)

    def _read_stderr(self) -> None:
        self._read(STDERR_READ, self._log.feed)

    def _read(self, end: int, take: Callable[[bytes], None]) -> None:
        """Take the next part; close the descriptor when every writer has closed its own."""
        try:
            data = os.read(self._cells[end], CHUNK)
        except BlockingIOError:
            return
        if data:
            take(data)
        else:
            self._close(end)

    def _keep(self, data: bytes) -> None:
        self._stdout += data
        if len(self._stdout) > self._limits.stdout:
            del self._stdout[self._limits.stdout :]
            self._overflow = True
            self._close(STDOUT_READ)
            self.end()

    def _look_for_exit(self) -> None:
        if self._ending.is_dead():
            self.exited()

    def _close(self, end: int) -> None:
        if self._cells[end] != CLOSED:
            self.unwatch(self._cells[end])
        close_end(self._cells, end)
