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
from itertools import chain, starmap
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from libcni.invoke.plugin import PluginOutput
from libcni.invoke.schedule import Schedule, Step
from libcni.invoke.spawn import Child, spawn
from libcni.invoke.stderr import StderrLog
from libcni.invoke.tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from libcni.invoke.plugin import PluginCall
    from libcni.invoke.schedule import Limits

__all__ = ["Execution", "Poller"]

T = TypeVar("T")

_BUSY_PAUSE = 0.01
_EXIT_PAUSE = 0.01
_QUIET = 0.02
"""Seconds: at first only the exit is waited for. A plugin that answers at once wakes its caller only once."""
_LONGEST_WAIT = 86400.0
"""Seconds: a poll takes no more than 24 days, a timeout of the caller may be anything."""
_CHUNK = 64 * 1024
_DRAIN_READS = 32
"""Twice what the largest pipe of an ordinary user holds, 1 MiB: a child that never stops writing is left alone."""
_SURE_TO_FIT = select.PIPE_BUF
"""Bytes: what an empty pipe takes at once, however little the system gives it."""

_STDIN_READ, _STDIN_WRITE, _STDOUT_READ, _STDOUT_WRITE, _STDERR_READ, _STDERR_WRITE, _PIDFD = range(7)
_CLOSED = -1


class Poller(Protocol):
    """What :func:`select.poll` and :class:`select.epoll` have in common; their event masks are the same numbers."""

    def register(self, fd: int, eventmask: int = ..., /) -> object:
        """Watch a descriptor."""
        ...

    def unregister(self, fd: int, /) -> object:
        """Watch it no more."""
        ...


P = TypeVar("P", bound=Poller)


class Execution(Generic[P]):
    """One plugin process: started, fed, read, ended, reaped. Its user calls :meth:`release` in a ``finally``.

    Nothing blocks but :meth:`signal`, which looks at the processes of the machine, and :meth:`release` when there is
    still something to kill. What a runner does::

        while pause := execution.start():
            sleep(pause)
        execution.announce()
        if (seconds := execution.quiet()) is not None and wait_until_readable(execution.pidfd, seconds):
            execution.exited()
        while (decision := execution.step())[0] is not Step.FINISH:
            if decision[0] is Step.WAIT:
                execution.handle(poller.poll(decision[1]))
            else:
                execution.signal(decision[0])
        return execution.output()

    :param make_poller: returns the ``poller`` that gets the descriptors to wait for; called when there is more than an
        exit to wait for. The poller belongs to the caller.
    """

    def __init__(self, call: PluginCall, limits: Limits, make_poller: Callable[[], P]) -> None:
        self._call = call
        self._stdout_limit = limits.stdout
        self._make_poller = make_poller
        self._poller: P | None = None
        self._started = time.monotonic()
        self._schedule = Schedule(limits, self._started, call.timeout)
        self._input = memoryview(call.stdin)
        self._stdout = bytearray()
        self._overflow = False
        self._log = StderrLog(limits.stderr, call.on_stderr)
        self._fds: list[int] = []
        self._handlers: dict[int, Callable[[], object]] = {}
        self._child = Child()
        self._ended: list[tuple[int, int, Any]] = []
        self._tree: ProcessTree | None = None
        self._watches_pipes = False
        self._is_lost = False

    def start(self) -> float:
        """Start the plugin.

        :returns: 0 if it runs, else after how many seconds to try again, because the binary is open for writing.
        :raises OSError: if it cannot be started, or is still busy at the deadline or after ``limits.busy`` seconds.
        """
        if not self._fds:
            self._open_pipes()
        fds, call = self._fds, self._call
        descriptors = fds[_STDIN_READ], fds[_STDOUT_WRITE], fds[_STDERR_WRITE]
        try:
            spawn(self._child, call.path, call.environment, descriptors=descriptors)
        except OSError as error:
            if error.errno != errno.ETXTBSY or not self._schedule.may_retry(time.monotonic() + _BUSY_PAUSE):
                raise
            return _BUSY_PAUSE
        return 0

    def announce(self) -> None:
        """Tell the call's ``on_start`` which process runs. What it raises passes through."""
        if self._call.on_start is not None:
            self._call.on_start(self._child.pid)

    @property
    def pidfd(self) -> int:
        """The descriptor that is readable when the plugin has exited; -1 where the system has none."""
        return self._fds[_PIDFD]

    def quiet(self) -> float | None:
        """Say how many seconds to wait for nothing but the exit; ``None`` if there is more to wait for."""
        self._prepare()
        if self._input or self.pidfd == _CLOSED:
            return None
        # Never less than nothing, which a poll takes for as long as it takes.
        return _QUIET if self._call.timeout is None else max(0.0, min(_QUIET, self._call.timeout))

    @property
    def has_exited(self) -> bool:
        """Whether the plugin process itself is dead. What it started may live on."""
        return self._schedule.has_exited

    def exited(self) -> None:
        """Note that the plugin has exited, and take what it has written."""
        if self.has_exited:
            return
        self._schedule.exited(time.monotonic())
        for end in (_PIDFD, _STDIN_READ, _STDIN_WRITE):
            self._close(end)
        self._drain()

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
        if not self._child.pid or self._is_lost:
            return Step.FINISH, None
        if len(self._fds) == _PIDFD:
            self._prepare()
        now = time.monotonic()
        drained = self._fds[_STDOUT_READ] == self._fds[_STDERR_READ] == _CLOSED
        alone = self._tree is None or not self._schedule.has_exited or self._tree.is_alone()
        step, until = self._schedule.step(now, drained=drained, alone=alone)
        if step is Step.WAIT and not self._watches_pipes:
            self._watch_everything()
        if self.pidfd == _CLOSED and not self._schedule.has_exited:
            until = min(until, now + _EXIT_PAUSE)
        return step, None if until == math.inf else min(max(0.0, until - now), _LONGEST_WAIT)

    def signal(self, step: Step) -> None:
        """Do the step TERMINATE or KILL to the plugin and all that descends from it."""
        if self._tree is None:
            self._tree = ProcessTree(self._child.pid)
        self._tree.signal(signal.SIGTERM if step is Step.TERMINATE else signal.SIGKILL)

    def handle(self, ready: Iterable[tuple[int, int]]) -> None:
        """Feed, read and notice the exit. What the call's ``on_stderr`` raises passes through."""
        for fd, _ in ready:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier one of the same round may have closed it
                handler()
        if self.pidfd == _CLOSED and not self._schedule.has_exited:
            self._look_for_exit()

    def output(self) -> PluginOutput:
        """Reap the process, which must have exited, and say how it went.

        :raises ChildProcessError: if the process was reaped by somebody else, so that nobody knows how it ended.
        """
        self._log.finish()
        self._reap()
        if not self._ended:
            raise ChildProcessError(errno.ECHILD, "exit status lost, something else reaps children", self._call.path)
        _, status, usage = self._ended[0]
        code = os.waitstatus_to_exitcode(status)
        return PluginOutput(
            stdout=bytes(self._stdout),
            stderr=self._log.tail,
            exit_status=code if code >= 0 else None,
            signal=-code if code < 0 else None,
            duration=time.monotonic() - self._started,
            max_rss=usage.ru_maxrss * 1024,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            timed_out=self._schedule.timed_out,
            overflow=self._overflow,
        )

    def release(self) -> None:
        """Kill and reap what still runs, and close every descriptor."""
        try:
            if self._child.pid and not self._ended and not self._is_lost:
                self.signal(Step.KILL)
                self._reap()
        finally:
            for end, fd in enumerate(self._fds):
                if fd != _CLOSED:
                    self._close(end)
            self._handlers.clear()  # they refer to this object, which would wait for the garbage collector

    def _open_pipes(self) -> None:
        self._fds.extend(chain.from_iterable(map(os.pipe2, (os.O_CLOEXEC,) * 3)))
        if len(self._input) > _SURE_TO_FIT:
            os.set_blocking(self._fds[_STDIN_WRITE], False)
        self._feed()  # as a rule all of the request fits into the pipe: the plugin finds it there, and nobody waits

    def _prepare(self) -> None:
        """Give up what is the plugin's, and get what tells of its exit."""
        self._close(_STDOUT_WRITE)
        self._close(_STDERR_WRITE)
        if not self._input:
            self._close(_STDIN_READ)
        try:
            _store(self._fds, os.pidfd_open, self._child.pid)
        except (OSError, AttributeError):  # a kernel before 5.3, a sandbox, no descriptor left: look now and then
            self._fds.append(_CLOSED)

    def _watch_everything(self) -> None:
        self._watches_pipes = True
        for end, handler, events in (
            (_STDOUT_READ, self._read_stdout, select.POLLIN),
            (_STDERR_READ, self._read_stderr, select.POLLIN),
            (_STDIN_WRITE, self._feed, select.POLLOUT),
        ):
            if self._fds[end] != _CLOSED:
                os.set_blocking(self._fds[end], False)
                self.watch(self._fds[end], handler, events)
        if self.pidfd != _CLOSED:
            self.watch(self.pidfd, self.exited)

    def _feed(self) -> None:
        # Our own read end stays open until the exit: a plugin that does not read gives neither EPIPE nor SIGPIPE.
        try:
            while self._input:
                self._input = self._input[os.write(self._fds[_STDIN_WRITE], self._input) :]
        except BlockingIOError:
            return
        self._close(_STDIN_WRITE)

    def _read_stdout(self) -> None:
        self._read(_STDOUT_READ, self._keep)

    def _read_stderr(self) -> None:
        self._read(_STDERR_READ, self._log.feed)

    def _read(self, end: int, take: Callable[[bytes], None]) -> int:
        """Take the next part, and return its size; close the end when nobody can write any more."""
        try:
            data = os.read(self._fds[end], _CHUNK)
        except BlockingIOError:
            return 0
        if data:
            take(data)
        else:
            self._close(end)
        return len(data)

    def _drain(self) -> None:
        """Take what is in the pipes by now, and wait for nothing."""
        poller = select.poll()
        takers: dict[int, tuple[int, Callable[[bytes], None]]] = {
            self._fds[_STDOUT_READ]: (_STDOUT_READ, self._keep),
            self._fds[_STDERR_READ]: (_STDERR_READ, self._log.feed),
        }
        takers.pop(_CLOSED, None)
        for fd in takers:
            poller.register(fd, select.POLLIN)
        for _ in range(_DRAIN_READS):
            if not takers:
                return
            for fd, events in poller.poll(0):
                end, take = takers[fd]
                size = self._read(end, take) if events & select.POLLIN else 0
                # Without writers, a pipe that gives less than was asked for is empty.
                if size < _CHUNK and events & select.POLLHUP:
                    self._close(end)
                if self._fds[end] == _CLOSED:
                    poller.unregister(fd)
                    del takers[fd]

    def _keep(self, data: bytes) -> None:
        self._stdout += data
        if len(self._stdout) > self._stdout_limit:
            del self._stdout[self._stdout_limit :]
            self._overflow = True
            self._close(_STDOUT_READ)
            self.end()

    def _look_for_exit(self) -> None:
        with suppress(ChildProcessError):
            if os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return
        self.exited()

    def _reap(self) -> None:
        try:
            _store(self._ended, os.wait4, self._child.pid, 0)
        except ChildProcessError:  # somebody else reaped it, and the number may belong to another process by now
            self._is_lost = True

    def _close(self, end: int) -> None:
        fd = self._fds[end]
        if fd == _CLOSED:
            return
        self._fds[end] = _CLOSED
        if self._poller is not None:
            self.unwatch(fd)
        os.close(fd)


def _store(target: list[T], function: Callable[..., T], *arguments: object) -> None:
    """Call a function and keep what it returns, as one step.

    The handler of a signal may raise between a call and an assignment, but not within one built-in call: a process or a
    descriptor is known before a KeyboardInterrupt can hit.
    """
    target.extend(starmap(function, (arguments,)))
