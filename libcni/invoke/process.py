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
from contextlib import suppress
from itertools import starmap
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from libcni.invoke import child
from libcni.invoke.child import encoded_environment, encoded_path, new_cells
from libcni.invoke.plugin import PluginOutput
from libcni.invoke.portable import (
    CHUNK,
    CLOSED,
    CPU,
    DESCRIPTORS,
    ENDED,
    MAX_RSS,
    PID,
    PIDFD,
    STARTED,
    STATUS,
    STDERR_READ,
    STDIN_READ,
    STDIN_WRITE,
    STDOUT_READ,
    close_end,
    feed,
    give,
)
from libcni.invoke.schedule import Schedule, Step
from libcni.invoke.stderr import StderrLog
from libcni.invoke.tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcni.invoke.plugin import PluginCall
    from libcni.invoke.portable import Start, Taken
    from libcni.invoke.schedule import Limits

__all__ = ["Execution", "Poller"]

_BUSY_PAUSE = _EXIT_PAUSE = 0.01
_QUIET = 0.02
"""Seconds: at first only the exit is waited for. A plugin that answers at once wakes its caller only once."""
_LONGEST_WAIT = 86400.0
"""Seconds: a poll takes no more than 24 days, a timeout of the caller may be anything."""


class Poller(Protocol):
    """What :func:`select.poll` and :class:`select.epoll` have in common; their event masks are the same numbers."""

    def register(self, fd: int, eventmask: int = ..., /) -> object:
        """Watch a descriptor."""

    def unregister(self, fd: int, /) -> object:
        """Watch it no more."""


P = TypeVar("P", bound=Poller)


class Execution(Generic[P]):
    """One plugin process: started, fed, read, ended, reaped. Its user calls :meth:`release` in a ``finally``.

    Nothing blocks but :meth:`signal`, which looks at the processes of the machine, and :meth:`release` when there is
    still something to kill. Once it is started, by :meth:`start` or in a series, a runner does what :meth:`step` says
    until that is to finish.

    :param make_poller: returns the ``poller`` that gets the descriptors to wait for; called when there is more than an
        exit to wait for. The poller belongs to the caller.
    """

    def __init__(self, call: PluginCall, limits: Limits, make_poller: Callable[[], P]) -> None:
        self._call = call
        self.file_work = work = call.file_work
        self.is_held = call.on_start is not None or not (work is None or (child.processes.in_c and work.is_for_c))
        """Whether the plugin gets its request only after something was done in Python."""
        self._limits = limits
        self._make_poller = make_poller
        self._poller: P | None = None
        self._made_schedule: Schedule | None = None
        self._stdout = bytearray()
        self._overflow = False
        self._made_log: StderrLog | None = None
        self._cells = new_cells()
        self._handlers: dict[int, Callable[[], object]] = {}
        self._ended: list[tuple[int, int, Any]] = []
        self._tree: ProcessTree | None = None
        self._watches_pipes = False
        self._is_lost = False

    def start(self) -> float:
        """Start the plugin.

        :returns: 0 if it runs, else after how many seconds to try again, because the binary is open for writing.
        :raises OSError: if it cannot be started, or is still busy at the deadline or after ``limits.busy`` seconds.
        :raises ValueError: if its path or environment cannot be expressed in C.
        """
        cells, path, environment, request, _ = self.encoded()
        try:
            child.processes.start(cells, path, environment, None if self.is_held else request)
        except OSError as error:
            return self.pause_after(error)
        return 0

    def encoded(self) -> Start:
        """Return what the functions of :mod:`libcni.invoke.child` start.

        :raises ValueError: if its path or environment cannot be expressed in C.
        """
        call = self._call
        path, environment = encoded_path(call.path), encoded_environment(call.environment)
        return self._cells, path, environment, call.stdin, call.expected_stdout

    def pause_after(self, error: OSError) -> float:
        """Say what :meth:`start` does about an error: after how many seconds to try again, or the error."""
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
        """Whether there is nothing more to do: the plugin and whoever had its pipes are gone."""
        return self._cells[STATUS] != CLOSED

    def announce(self) -> None:
        """Call ``on_start``, give the request, do the file work that is left; what any of it raises passes through."""
        if self._call.on_start is not None:
            self._call.on_start(self._cells[PID])
        if self.file_work is not None:
            self.file_work.before()
        if self._cells[STDIN_WRITE] != CLOSED:
            give(self._cells, self._call.stdin)
        if self.file_work is not None:
            self.file_work.during()

    def announce_slow(self) -> None:
        """Tell the call's ``on_slow`` which process runs on. What it raises passes through."""
        if self._call.on_slow is not None and not self.has_exited:
            self._call.on_slow(self._cells[PID])

    @property
    def pidfd(self) -> int:
        """The descriptor that is readable when the plugin has exited; -1 where the system has none."""
        return self._cells[PIDFD]

    def quiet(self) -> float | None:
        """Say how many seconds to wait for nothing but the exit; ``None`` if there is more to wait for."""
        if self._cells[STDIN_WRITE] != CLOSED or self.pidfd == CLOSED:
            return None
        return self.patience

    @property
    def patience(self) -> float:
        """How many seconds are waited for nothing but the exit."""
        timeout = self._call.timeout
        if timeout is None or timeout > _QUIET:
            return _QUIET
        return max(0.0, timeout)  # a poll takes less than nothing for as long as it takes

    def finish(self, seconds: float, interrupt: int = CLOSED) -> None:
        """Wait for nothing but the exit, at most so long and until the descriptor ``interrupt`` is readable.

        What the call's ``on_stderr`` raises passes through.
        """
        self.take(child.processes.finish(self._cells, math.ceil(seconds * 1000), interrupt))

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

    @property
    def poller(self) -> P:
        """What is to be asked for the descriptors that :meth:`handle` takes."""
        if self._poller is None:
            self._poller = self._make_poller()
        return self._poller

    def watch(self, fd: int, handler: Callable[[], object], events: int = select.POLLIN) -> None:
        """Have :meth:`handle` call ``handler`` when the descriptor is ready."""
        self._handlers[fd] = handler
        self.poller.register(fd, events)

    def unwatch(self, fd: int) -> None:
        """Undo :meth:`watch`, if it was done."""
        if self._handlers.pop(fd, None) is not None and self._poller is not None:
            self._poller.unregister(fd)

    def end(self) -> None:
        """Make the next step end the plugin, whatever its deadline."""
        self._schedule.end()

    def step(self) -> tuple[Step, float | None]:
        """Say what to do next, and for a wait how many seconds it may last (``None``: as long as it takes)."""
        cells = self._cells
        # Who was reaped is not signalled any more: the number may belong to another process by now.
        if not self.is_started or self.is_over or self._is_lost:
            return Step.FINISH, None
        now = time.monotonic()
        if self._schedule.is_overdue(now):
            self._look_for_exit()  # it may have ended in time, and nobody was there to see it
        drained = cells[STDOUT_READ] == cells[STDERR_READ] == CLOSED
        alone = self._tree is None or not self._schedule.has_exited or self._tree.is_alone()
        step, until = self._schedule.step(now, drained=drained, alone=alone)
        if step is Step.WAIT and not self._watches_pipes:
            self._watch_everything()
        if self.pidfd == CLOSED and not self._schedule.has_exited:
            until = min(until, now + _EXIT_PAUSE)
        return step, None if until == math.inf else min(max(0.0, until - now), _LONGEST_WAIT)

    def signal(self, step: Step) -> None:
        """Do the step TERMINATE or KILL to the plugin and all that descends from it."""
        if self._tree is None:
            self._tree = ProcessTree(self._cells[PID])
        self._tree.signal(signal.SIGTERM if step is Step.TERMINATE else signal.SIGKILL)

    def handle(self, ready: Iterable[tuple[int, int]]) -> None:
        """Feed, read and notice the exit. What the call's ``on_stderr`` raises passes through."""
        for fd, _ in ready:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier one of the same round may have closed it
                handler()
        if self.pidfd == CLOSED and not self._schedule.has_exited:
            self._look_for_exit()

    def output(self) -> PluginOutput:
        """Reap the process, which must have exited, and say how it went.

        :raises ChildProcessError: if the process was reaped by somebody else, so that nobody knows how it ended.
        """
        if self._made_log is not None:
            self._made_log.finish()
        if not self.is_over:
            self._reap()
        if self._is_lost:
            raise ChildProcessError(errno.ECHILD, "exit status lost, something else reaps children", self._call.path)
        status, max_rss, microseconds = self._how_it_ended()
        code = os.waitstatus_to_exitcode(status)
        return PluginOutput(
            stdout=bytes(self._stdout),
            stderr=b"" if self._made_log is None else self._made_log.tail,
            exit_status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            duration=((self._cells[ENDED] or time.monotonic_ns()) - self._cells[STARTED]) / 1e9,
            max_rss=max_rss * 1024,
            cpu_seconds=microseconds / 1e6,
            timed_out=self._made_schedule is not None and self._made_schedule.timed_out,
            overflow=self._overflow,
        )

    def release(self) -> None:
        """Kill and reap what still runs, and close every descriptor."""
        if self.is_over:  # with all of its descriptors
            self._handlers.clear()
            return
        try:
            if self.is_started and not self._ended and not self._is_lost:
                self.signal(Step.KILL)
                self._reap()
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
        """Take the next part; close the end when nobody can write any more."""
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
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, self._cells[PID], os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return
        self.exited()

    def _reap(self) -> None:
        """Wait for the process, if nobody has yet.

        The handler of a signal may raise between a call and an assignment, but not within one built-in call: that the
        process is gone is known before a KeyboardInterrupt can hit.
        """
        if self._ended:
            return
        try:
            self._ended.extend(starmap(os.wait4, ((self._cells[PID], 0),)))
        except ChildProcessError:  # somebody else reaped it, and the number may belong to another process by now
            self._is_lost = True

    def _how_it_ended(self) -> tuple[int, int, float]:
        if not self._ended:
            return self._cells[STATUS], self._cells[MAX_RSS], self._cells[CPU]
        _, status, usage = self._ended[0]
        return status, usage.ru_maxrss, (usage.ru_utime + usage.ru_stime) * 1e6

    def _close(self, end: int) -> None:
        fd = self._cells[end]
        if fd != CLOSED and self._poller is not None:
            self.unwatch(fd)
        close_end(self._cells, end)
