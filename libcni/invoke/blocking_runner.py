"""Plugins for synchronous callers: no event loop, and no thread unless several jobs run at once.

Owns :class:`BlockingRunner` and :func:`complete`. Go counterpart: ``invoke.DefaultExec``. Source: SPEC 1.1.0,
section 2, "Execution protocol".
"""

from __future__ import annotations

import math
import os
import select
import signal
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from libcni.invoke.find import find_in_path
from libcni.invoke.process.backend_python import CLOSED
from libcni.invoke.process.deadlines import BUSY, GRACE, LINGER, ExecutionLimits, Step
from libcni.invoke.process.execution import Execution
from libcni.invoke.runner import STDOUT_LIMIT
from libcni.invoke.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from types import FrameType

    from libcni.invoke.runner import PluginCall, PluginOutput
    from libcni.invoke.steps import Steps

__all__ = ["BlockingRunner", "complete"]

T = TypeVar("T")


def complete(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits to its end and return its value.

    :raises RuntimeError: if it does wait: it was given a runner that is not a blocking one.

    >>> async def answer() -> int:
    ...     return 42
    >>> complete(answer())
    42
    """
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        coroutine.close()
    raise RuntimeError(f"{coroutine!r} waits for an event loop, and a blocking runner has none")


class BlockingRunner:
    """Runs plugins at once, in the thread of the caller; its coroutines never wait, so :func:`complete` runs them.

    An instance may be shared by any number of threads.

    :param grace: seconds between SIGTERM and SIGKILL for a plugin that has to be ended.
    :param linger: seconds that the pipes of an exited plugin are waited for when a child of it holds them open.
    :param busy: seconds during which a binary that is open for writing ("Text file busy") is tried again.
    :param stdout_limit: bytes; a plugin that prints more is ended.
    """

    def __init__(
        self, *, grace: float = GRACE, linger: float = LINGER, busy: float = BUSY, stdout_limit: int = STDOUT_LIMIT
    ) -> None:
        self._limits = ExecutionLimits(grace=grace, linger=linger, busy=busy, stdout=stdout_limit)
        self._here = _ThreadState()

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of the plugin binary: see :func:`libcni.invoke.find.find_in_path`."""
        return find_in_path(plugin, paths)

    async def run(self, call: PluginCall) -> PluginOutput:
        """Execute a plugin and wait for it.

        Whatever is raised meanwhile, a KeyboardInterrupt too, ends the plugin and what descends from it first: SIGTERM,
        then SIGKILL. A second KeyboardInterrupt skips the grace.

        :raises OSError: if the process cannot be started.
        """
        execution = Execution(call, self._limits, select.poll())
        try:
            self._start(execution)
            if not execution.is_over:
                self._wait_for_interrupt(execution)
                execution.announce_slow()
                _drive(execution)
            return execution.output()
        except BaseException:
            execution.end()
            _drive(execution)
            raise
        finally:
            execution.release()

    run_with_hooks = run

    def _start(self, execution: Execution[select.poll]) -> None:
        """Start a plugin, and wait for the exit of one that answers at once."""
        while pause := execution.start():
            self._pause(pause)
        execution.announce()
        if execution.hooks is not None and execution.hooks.before is not None:
            finish(execution.hooks.before)
        execution.give()
        seconds = execution.quiet()
        if seconds is not None:
            interrupt = self._here.interrupt
            execution.wait_for_exit(seconds, CLOSED if interrupt is None else interrupt.fd)

    def _wait_for_interrupt(self, execution: Execution[select.poll]) -> None:
        interrupt = self._here.interrupt
        if interrupt is not None:
            execution.watch(interrupt.fd, partial(_stop, execution, interrupt.fd))

    async def do(self, steps: Steps[T]) -> T:
        """Do file work in steps: see :func:`libcni.invoke.runner.do_steps`."""
        return finish(steps)

    async def call(self, work: Callable[[], T]) -> T:
        """Do a piece of file work."""
        return work()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        interrupt = self._here.interrupt
        if interrupt is None:
            time.sleep(seconds)
        elif interrupt.wait(seconds):
            raise KeyboardInterrupt

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, limit: int) -> list[T]:
        """Run the jobs, at most ``limit`` at once, each in a thread of its own, and return their results in order.

        One job, or a limit of one, needs no thread. A KeyboardInterrupt, or a job that raises, ends the plugins of all
        jobs, whose threads see a KeyboardInterrupt; it is raised when they are done.
        """
        if limit <= 1 or len(jobs) <= 1:
            return [await job() for job in jobs]
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # logging, queue: 8 ms for those who need none
        from contextvars import Context, copy_context  # noqa: PLC0415  # as below

        interrupt = self._here.interrupt or _Interrupt()
        failures: list[BaseException] = []

        def work(context: Context, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
            self._here.interrupt = interrupt
            try:
                return context.run(complete, job())
            except BaseException as error:
                failures.append(error)
                interrupt.set()
                raise

        with ThreadPoolExecutor(min(limit, len(jobs))) as pool:
            try:
                # Each thread has the context variables of the caller: the operation that its events belong to, for one.
                contexts = [copy_context() for _ in jobs]
                return list(pool.map(work, contexts, jobs))
            except BaseException as error:
                interrupt.set()
                if any(error is failure for failure in failures):
                    raise failures[0] from None  # those after it only say that they were interrupted
                raise  # Ctrl-C here, which no failure of a job may hide

    async def shielded(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the job to its end although SIGINT comes meanwhile; it takes effect afterwards.

        Python gives SIGINT to the main thread only: other threads have nothing to hold back but that of :meth:`gather`.
        """
        interrupt, self._here.interrupt = self._here.interrupt, None
        try:
            with _sigint_held():
                return await job()
        finally:
            self._here.interrupt = interrupt


def _stop(execution: Execution[select.poll], fd: int) -> NoReturn:
    execution.unwatch(fd)
    raise KeyboardInterrupt


def _drive(execution: Execution[select.poll]) -> None:
    """Wait for a started plugin, and end it in time; an execution that did not start is done at once."""
    while True:
        step, seconds = execution.step()
        if step is Step.DONE:
            return
        if step is Step.WAIT:
            execution.handle(execution.poller.poll(None if seconds is None else math.ceil(seconds * 1000)))
        else:
            execution.act(step)


class _Interrupt:
    """A flag that can be polled. Threads may outlive its maker: it is closed with its last reference."""

    fd = CLOSED

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        os.eventfd_write(self.fd, 1)

    def wait(self, seconds: float) -> bool:
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(math.ceil(seconds * 1000)))

    def __del__(self) -> None:
        if self.fd != CLOSED:
            os.close(self.fd)


class _ThreadState(threading.local):
    """Thread-local state of a runner: the flag with which the caller of ``gather`` interrupts a thread."""

    interrupt: _Interrupt | None = None


@contextmanager
def _sigint_held() -> Generator[None]:
    """Hold SIGINT back in the main thread, and deliver it at the end."""
    previous = signal.getsignal(signal.SIGINT)
    if previous is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        seen.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        if seen:
            signal.raise_signal(signal.SIGINT)
