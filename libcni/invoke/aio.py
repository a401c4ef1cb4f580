"""Plugins for asynchronous callers, on asyncio and trio.

Owns :class:`AnyioRunner`; no other module imports anyio. Go counterpart: ``invoke.DefaultExec``. Source: SPEC 1.1.0,
section 2, "Execution protocol".
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio
import anyio.to_thread

from libcni.invoke import child
from libcni.invoke.filework import outcome_in_c, sync_in_c
from libcni.invoke.find import find_in_path
from libcni.invoke.plugin import STDOUT_LIMIT, is_own
from libcni.invoke.schedule import BUSY, GRACE, LINGER, Limits, Step
from libcni.invoke.series import Series
from libcni.steps import Walk, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from libcni.disk import Sync
    from libcni.invoke.child import Threads
    from libcni.invoke.filework import WorkInC
    from libcni.invoke.plugin import PluginCall, PluginOutput
    from libcni.invoke.process import Execution
    from libcni.invoke.series import Job
    from libcni.steps import Steps

__all__ = ["AnyioRunner"]

T = TypeVar("T")

_PAUSE = 0.001


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
        self._limits = Limits(grace=grace, linger=linger, busy=busy, stdout=stdout_limit)
        self._offload = offload

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of the plugin binary: see :func:`libcni.invoke.find.find_in_path`."""
        return find_in_path(plugin, paths)

    @property
    def does_file_work(self) -> bool:
        """Whether the file work of a call is done; see :func:`libcni.invoke.plugin.does_file_work`."""
        return is_own(self.run, AnyioRunner.run)

    async def run(self, call: PluginCall) -> PluginOutput:
        """Execute a plugin and wait for it.

        Whatever is raised meanwhile, a cancellation too, ends the plugin and what descends from it first: SIGTERM, then
        SIGKILL. A second cancellation of an asyncio task skips the grace.

        :raises OSError: if the process cannot be started.
        """
        return (await self._run([call]))[0]

    async def run_in_turn(self, calls: Sequence[PluginCall]) -> list[PluginOutput]:
        """Execute plugins one after the other: see :func:`libcni.invoke.plugin.run_in_turn`.

        :raises OSError: if the first process cannot be started.
        """
        if not self.does_file_work:  # but has a run of its own, which knows of one plugin only
            return [await self.run(calls[0])]
        return await self._run(calls)

    async def _run(self, calls: Sequence[PluginCall]) -> list[PluginOutput]:
        pollers: list[select.epoll] = []
        series = Series(calls, self._limits, partial(_epoll, pollers))
        try:
            return await self._execute(series)
        finally:
            series.release()
            for poller in pollers:
                poller.close()

    async def _execute(self, series: Series[select.epoll]) -> list[PluginOutput]:
        try:
            threads = series.threads
            if threads is None:
                await self._start(series.last)
            else:
                await _start_in_thread(series, threads)
            if not series.last.is_over:
                series.last.announce_slow()
                await _drive(series.last)
            return series.outputs()
        except GeneratorExit:  # the coroutine is thrown away, and may not wait any more
            raise
        except BaseException:
            series.last.end()
            with anyio.CancelScope(shield=True):
                await _drive(series.last)
            raise

    async def _start(self, execution: Execution[select.epoll]) -> None:
        """Start a plugin, and wait for the exit of one that answers at once."""
        while pause := execution.start():  # noqa: ASYNC110  # nothing tells that a file is no longer open for writing
            await anyio.sleep(pause)
        if execution.file_work is None:
            execution.announce()
        else:
            await self.call(execution.announce)
        seconds = execution.quiet()
        if seconds is not None:
            with anyio.move_on_after(seconds):
                await anyio.wait_readable(execution.pidfd)
                execution.finish(0)

    async def do(self, steps: Steps[T]) -> T:
        """Do file work in steps: see :func:`libcni.invoke.plugin.do_steps`.

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
        """Do a sync, and return why it failed, if it did; what interrupts the wait for it is kept for later."""
        in_c, threads = sync_in_c(sync), child.processes.threads
        job = _SyncInPython(self, sync) if in_c is None or threads is None else _SyncInC(threads, in_c)
        try:
            while not job.is_over:
                try:
                    if interruptions:
                        with anyio.CancelScope(shield=True):
                            await job.wait()
                    else:
                        await job.wait()
                except GeneratorExit:  # the coroutine is thrown away, and may not wait any more
                    raise
                except BaseException as error:  # noqa: BLE001  # raised at the end of the work
                    interruptions.append(error)
            return job.outcome()
        finally:
            job.close()

    async def call(self, work: Callable[[], T]) -> T:
        """Do a piece of file work that may take long, in a worker thread.

        A cancellation waits for work that has begun: once this raises, the work is over or never begins.
        """
        piece = _Work(work)
        try:
            return await anyio.to_thread.run_sync(piece)
        except GeneratorExit:
            raise
        except BaseException:
            # Of an asyncio task alone, whose thread cannot wake it now; it may be cancelled again.
            while not piece.is_over():
                with contextlib.suppress(anyio.get_cancelled_exc_class()), anyio.CancelScope(shield=True):
                    await anyio.sleep(_PAUSE)
            raise

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


class _Work(Generic[T]):
    """A piece of work that one thread may begin, or another one call off before that."""

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
        """Tell whether the work is done. Work that has not begun is called off."""
        if self._claim.acquire(blocking=False):
            self._over = True
        return self._over


class _SyncInPython:
    """A sync in a worker thread."""

    def __init__(self, runner: AnyioRunner, sync: Sync) -> None:
        self._runner = runner
        self._sync = sync
        self._outcomes: list[BaseException | None] = []

    @property
    def is_over(self) -> bool:
        return bool(self._outcomes)

    async def wait(self) -> None:
        await self._runner.call(self._do)

    def _do(self) -> None:
        try:
            self._sync.now()
        except BaseException as error:  # noqa: BLE001  # raised in the work
            self._outcomes.append(error)
        else:
            self._outcomes.append(None)

    def outcome(self) -> BaseException | None:
        return self._outcomes[0]

    def close(self) -> None:
        """Nothing is left to close."""


class _SyncInC:
    """A sync in a thread without Python."""

    def __init__(self, threads: Threads, work: WorkInC) -> None:
        self._threads = threads
        self._work = work
        self._event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._job: object = None
        try:
            self._job = threads.submit([], 0, self._event, work)
        except BaseException:
            self.close()
            raise
        self.is_over = False

    async def wait(self) -> None:
        await anyio.wait_readable(self._event)
        self.is_over = True

    def outcome(self) -> BaseException | None:
        self._threads.collect(self._job)
        return outcome_in_c(self._work)

    def close(self) -> None:
        # The thread is done first, whatever has ended the wait: it writes to the descriptor, whose number is then free.
        self._job = None
        os.close(self._event)


def _epoll(made: list[select.epoll]) -> select.epoll:
    poller = select.epoll()
    made.append(poller)
    return poller


async def _start_in_thread(series: Series[select.epoll], threads: Threads) -> None:
    """Have a thread start plugins, and wait for the exit of those that answer at once."""
    event = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        while True:
            job = series.submit(threads, event)
            await _done(job, event)
            pause = series.collect(job)
            if not pause:
                return
            await anyio.sleep(pause)
    finally:
        os.close(event)


async def _done(job: Job, event: int) -> None:
    try:
        await anyio.wait_readable(event)
    except BaseException:
        # The thread is done in some milliseconds. Until then, nothing is known of the process that it starts.
        with contextlib.suppress(OSError):
            job()
        raise
    os.eventfd_read(event)


async def _drive(execution: Execution[select.epoll]) -> None:
    """Wait for a started plugin, and end it in time; an execution that did not start is done at once."""
    while True:
        step, seconds = execution.step()
        if step is Step.FINISH:
            return
        if step is Step.WAIT:
            with anyio.move_on_after(seconds):
                await anyio.wait_readable(execution.poller)  # readable itself when something it watches is ready
            execution.handle(execution.poller.poll(0))
        else:
            execution.signal(step)
