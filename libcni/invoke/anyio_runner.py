"""Plugins for asynchronous callers, on asyncio and trio.

Owns :class:`AnyioRunner`; no other module imports anyio. Go counterpart: ``invoke.DefaultExec``. Source: SPEC 1.1.0,
section 2, "Execution protocol".
"""

from __future__ import annotations

import contextlib
import select
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from libcni.invoke.find import find_in_path
from libcni.invoke.process.deadlines import BUSY, GRACE, LINGER, ExecutionLimits, Step
from libcni.invoke.process.execution import Execution
from libcni.invoke.runner import STDOUT_LIMIT
from libcni.invoke.steps import Walk, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from libcni.invoke.runner import PluginCall, PluginOutput
    from libcni.invoke.steps import Steps, Sync

__all__ = ["AnyioRunner"]

T = TypeVar("T")

_PAUSE = 0.001

_WORKERS = 4
"""Threads that do file work beside an event loop."""

_HOLD = 0.004
"""Seconds that starts of processes may hold up the other tasks of an event loop."""


class AnyioRunner:
    """Runs plugins from an event loop, without a thread or a child watcher per process.

    :param grace: seconds between SIGTERM and SIGKILL for a plugin that has to be ended.
    :param linger: seconds that the pipes of an exited plugin are waited for when a child of it holds them open.
    :param busy: seconds during which a binary that is open for writing ("Text file busy") is tried again.
    :param stdout_limit: bytes; a plugin that prints more is ended.
    :param offload: do all file work in worker threads. Otherwise the event loop itself reads and writes the few small
        files of one attachment, and what may take long is done beside it: syncs, and what goes through many files. A
        worker thread costs about 0.1 ms for each piece of work, and keeps the loop free where even small files take
        long: a cache directory on a network file system.
    """

    def __init__(
        self,
        *,
        grace: float = GRACE,
        linger: float = LINGER,
        busy: float = BUSY,
        stdout_limit: int = STDOUT_LIMIT,
        offload: bool = False,
    ) -> None:
        self._limits = ExecutionLimits(grace=grace, linger=linger, busy=busy, stdout=stdout_limit)
        self._offload = offload

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of the plugin binary: see :func:`libcni.invoke.find.find_in_path`."""
        return find_in_path(plugin, paths)

    async def run(self, call: PluginCall) -> PluginOutput:
        """Execute a plugin and wait for it.

        Whatever is raised meanwhile, a cancellation too, ends the plugin and what descends from it first: SIGTERM, then
        SIGKILL. A second cancellation of an asyncio task skips the grace.

        :raises OSError: if the process cannot be started.
        """
        with select.epoll() as poller:  # first: there may be no descriptor for it when a plugin has to be ended
            execution = Execution(call, self._limits, poller)
            try:
                await self._execute(execution)
                return execution.output()
            finally:
                execution.release()

    run_with_hooks = run

    async def _execute(self, execution: Execution[select.epoll]) -> None:
        try:
            await self._start(execution)
            if not execution.is_over:
                execution.announce_slow()
                await self._drive(execution)
        except GeneratorExit:  # the coroutine is thrown away, and may not wait any more
            raise
        except BaseException:
            execution.end()
            await self._end(execution)
            raise

    async def _start(self, execution: Execution[select.epoll]) -> None:
        """Start a plugin, and wait for the exit of one that answers at once."""
        while pause := await _in_turn(execution.start):  # noqa: ASYNC110  # nothing tells that a file is free
            await anyio.sleep(pause)
        execution.announce()
        if execution.hooks is not None and execution.hooks.before is not None:
            await self.do(execution.hooks.before)
        execution.give()
        seconds = execution.quiet()
        if seconds is not None:
            with anyio.move_on_after(seconds):
                await anyio.wait_readable(execution.pidfd)
                execution.wait_for_exit(0)

    async def _drive(self, execution: Execution[select.epoll]) -> None:
        """Wait for a started plugin, and end it in time; an execution that did not start is done at once."""
        while True:
            step, seconds = execution.step()
            if step is Step.DONE:
                return
            if step is Step.WAIT:
                with anyio.move_on_after(seconds):
                    await anyio.wait_readable(execution.poller)  # readable itself when something it watches is ready
                execution.handle(execution.poller.poll(0))
            else:
                # A thread of its own: whatever else has all of them taken must not keep a plugin alive.
                await _in_thread(partial(execution.act, step), anyio.CapacityLimiter(1))

    async def _end(self, execution: Execution[select.epoll]) -> None:
        """End a plugin, whatever interrupts that: one more cancellation of an asyncio task skips the grace."""
        interruptions: list[BaseException] = []
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    await self._drive(execution)
                break
            except anyio.get_cancelled_exc_class() as error:
                execution.hurry()
                interruptions.append(error)
        if interruptions:
            raise interruptions[0]

    async def do(self, steps: Steps[T]) -> T:
        """Do file work in steps: see :func:`libcni.invoke.runner.do_steps`.

        A cancellation waits for the end of the work.
        """
        if self._offload:
            return await self.call(partial(finish, steps))
        walk = Walk(steps)
        interruptions: list[BaseException] = []
        try:
            while walk.sync is not None:
                walk.go_on(await self._outcome(walk.sync, interruptions))
        except Exception:
            if interruptions:
                raise interruptions[0] from None
            raise
        finally:
            walk.close()
        if interruptions:
            raise interruptions[0]
        return walk.finish()

    async def _outcome(self, sync: Sync, interruptions: list[BaseException]) -> BaseException | None:
        """Do a sync, and return its error, if it failed; an interruption of the wait is kept for later."""
        outcomes: list[BaseException | None] = []
        while not outcomes:
            try:
                with anyio.CancelScope(shield=bool(interruptions)):
                    await _in_thread(partial(_try, sync, outcomes))  # any number: they wait for the disk, and share
            except (Exception, GeneratorExit):  # no thread for it, or the coroutine is thrown away and may not wait
                raise
            except BaseException as error:  # noqa: BLE001  # raised at the end of the work
                interruptions.append(error)
        return outcomes[0]

    async def call(self, work: Callable[[], T]) -> T:
        """Do a piece of file work that may take long, in a worker thread.

        A cancellation waits for work that has begun: once this raises, the work is over or never begins. Without
        ``offload``, a few threads do it: more of them would take the interpreter lock from the event loop.
        """
        return await _in_thread(work, None if self._offload else _turns().workers)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await anyio.sleep(seconds)

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, limit: int) -> list[T]:
        """Run the jobs, at most ``limit`` at once, and return their results in order."""
        if limit <= 1 or len(jobs) <= 1:
            return [await job() for job in jobs]
        results: dict[int, T] = {}
        waiting = iter(enumerate(jobs))

        async def work() -> None:
            for index, job in waiting:
                results[index] = await job()

        async with anyio.create_task_group() as tasks:
            for _ in range(min(limit, len(jobs))):
                tasks.start_soon(work)
        return [results[index] for index in range(len(jobs))]

    async def shielded(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the job to its end although the caller is cancelled meanwhile; the cancellation takes effect afterwards.

        The job runs in a task of its own: a shield holds off the cancellation of a scope, but not that of an asyncio
        task.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        async def work() -> None:
            with anyio.CancelScope(shield=True):
                try:
                    results.append(await job())
                except BaseException as error:  # noqa: BLE001  # raised below, as itself and not in a group
                    errors.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work)
        if errors:
            raise errors[0]
        return results[0]


class _Turns:
    """The queue of process starts in one event loop, which gets control back after each few milliseconds of starts.

    And the limiter of the threads that run Python beside it.

    A start lasts until the kernel has executed the program: 0.3 ms, and ten times that where the processors are busy.
    Otherwise all tasks that are ready would start theirs in one round of the loop: 32 ADDs held it up for 0.1 s.
    """

    def __init__(self) -> None:
        self.lock = anyio.Lock(fast_acquire=True)
        self.spent = 0.0
        """Seconds of starts since a round of the loop was waited for."""
        self.workers = anyio.CapacityLimiter(_WORKERS)


_turns_of_loop = anyio.lowlevel.RunVar[_Turns]("libcni_turns")


def _turns() -> _Turns:
    """Return the queue of the running event loop."""
    turns = _turns_of_loop.get(None)
    if turns is None:
        turns = _Turns()
        _turns_of_loop.set(turns)
    return turns


async def _in_turn(start: Callable[[], T]) -> T:
    """Start a process at its turn, after the event loop got control back, if it was blocked for long."""
    turns = _turns()
    async with turns.lock:
        if turns.spent > _HOLD:
            turns.spent = 0.0
            await anyio.lowlevel.checkpoint()
        begun = time.monotonic()
        try:
            return start()
        finally:
            turns.spent += time.monotonic() - begun


class _Work(Generic[T]):
    """A piece of work that a worker thread may begin, or its caller cancel before that."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._claim = threading.Lock()
        self._over = False

    def __call__(self) -> T:
        if not self._claim.acquire(blocking=False):
            raise RuntimeError("the work was called off")
        try:
            return self._work()
        finally:
            self._over = True

    def is_over(self) -> bool:
        """Return whether the work is done. Work that has not begun is cancelled."""
        if self._claim.acquire(blocking=False):
            self._over = True
        return self._over


def _try(sync: Sync, outcomes: list[BaseException | None]) -> None:
    try:
        sync.now()
    except BaseException as error:  # noqa: BLE001  # raised in the work
        outcomes.append(error)
    else:
        outcomes.append(None)


async def _in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter | None = None) -> T:
    """Do work in a worker thread; a cancellation waits for work that has begun."""
    piece = _Work(work)
    try:
        return await anyio.to_thread.run_sync(piece, limiter=limiter)
    except GeneratorExit:
        raise
    except BaseException:
        # Of an asyncio task alone, whose thread cannot wake it now; it may be cancelled again.
        while not piece.is_over():
            with contextlib.suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
                await anyio.sleep(_PAUSE)
        raise
