"""Runners apart from a single plugin: many at once, shields, file work, waiting."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from libcni.invoke.anyio_runner import AnyioRunner, _Work
from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.invoke.runner import do_steps
from libcni.invoke.steps import one_step
from libcni.storage.operations import FileOperations
from libcni.storage.sync import SharedSync, Sync
from tests.process.conftest import LONG, SOON, Flavour, Interrupted, Plugins, as_sync, eventually, is_gone
from tests.support.descriptors import no_new_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from libcni.invoke.runner import Runner
    from libcni.invoke.steps import Steps


# Many at once.


def test_run_from_many_threads_mixes_nothing_up(plugins: Plugins) -> None:
    # A pipe that leaked into another plugin would keep the answer of a quick one waiting for a slow one.
    runner = BlockingRunner(linger=LONG)
    path = plugins.script("read n; echo $n; [ $n = 0 ] && exec >&- 2>&- sleep 2; exit 0")

    def run(number: int) -> tuple[bytes, float]:
        output = complete(runner.run(plugins.call_of(path, stdin=b"%d\n" % number)))
        return output.stdout, output.duration

    with ThreadPoolExecutor(16) as pool:
        outputs = list(pool.map(run, range(64)))
    assert [stdout for stdout, _ in outputs] == [b"%d\n" % number for number in range(64)]
    assert max(duration for _, duration in outputs[16:]) < 1.9


@pytest.mark.parametrize("limit", [1, 3])
def test_gather_keeps_order_and_limit(flavour: Flavour, limit: int) -> None:
    runner = flavour.runner()
    lock = threading.Lock()
    running = most = 0

    async def job(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        await runner.sleep(0.05 if number % 2 else 0.02)
        with lock:
            running -= 1
        return number

    jobs = [partial(job, number) for number in range(9)]
    assert flavour.drive(lambda: runner.gather(jobs, limit=limit)) == list(range(9))
    assert most == limit


def test_gather_of_nothing_is_empty(flavour: Flavour) -> None:
    assert flavour.drive(lambda: flavour.runner().gather([], limit=4)) == []


def test_gather_runs_plugins_side_by_side(flavour: Flavour, plugins: Plugins) -> None:
    runner = flavour.runner()
    call = plugins.call("sleep 0.3; echo $$")
    started = time.monotonic()
    outputs = flavour.drive(lambda: runner.gather([lambda: runner.run(call)] * 8, limit=8))
    assert time.monotonic() - started < 8 * 0.3
    assert len({output.stdout for output in outputs}) == 8


def test_gather_in_threads_leaves_no_descriptor_to_the_garbage_collector(plugins: Plugins) -> None:
    runner = BlockingRunner()
    call = plugins.call("exit 0")
    with no_new_descriptor():
        complete(runner.gather([lambda: runner.run(call)] * 3, limit=3))


def test_gather_interrupted_ends_every_plugin(flavour: Flavour, plugins: Plugins) -> None:
    started: list[int] = []
    finished: list[int] = []

    async def gather(interrupt: Callable[[], None]) -> None:
        runner = flavour.runner(grace=0.2)
        call = plugins.call(f"exec sleep {LONG}", on_start=started.append)

        async def run() -> None:
            await runner.run(call)
            finished.append(1)

        async def sleep() -> None:
            await runner.sleep(LONG)

        def hit() -> None:
            eventually(lambda: len(started) == 3)
            interrupt()

        thread = threading.Thread(target=hit)
        thread.start()
        try:
            await runner.gather([run, run, run, sleep, run], limit=4)
        finally:
            thread.join()

    with pytest.raises(Interrupted):
        flavour.interruptible(gather)
    assert not finished
    assert all(is_gone(pid) for pid in started)


def test_gather_job_that_raises_ends_the_others(flavour: Flavour, plugins: Plugins) -> None:
    runner = flavour.runner()

    async def fail() -> None:
        raise LookupError

    async def run() -> None:
        await runner.run(plugins.call(f"exec sleep {LONG}"))

    started = time.monotonic()
    with pytest.raises((LookupError, ExceptionGroup)):
        flavour.drive(lambda: runner.gather([run, fail], limit=2))
    assert time.monotonic() - started < SOON


# Shields.


def test_shielded_job_ends_before_the_interrupt(flavour: Flavour, plugins: Plugins) -> None:
    done: list[bytes] = []
    reached: list[str] = []

    async def main(interrupt: Callable[[], None]) -> None:
        runner = flavour.runner()

        async def job() -> None:
            output = await runner.run(
                plugins.call("echo go >&2; sleep 0.2; echo done", on_stderr=lambda _: interrupt())
            )
            await runner.sleep(0.01)
            done.append(output.stdout)

        await runner.shielded(job)
        await runner.sleep(0.01)
        reached.append("after")

    with pytest.raises(Interrupted):
        flavour.interruptible(main)
    assert done == [b"done\n"]
    assert reached == []


def test_shielded_returns_and_raises_what_the_job_does(flavour: Flavour) -> None:
    runner = flavour.runner()

    async def answer() -> int:
        return 42

    async def fail() -> int:
        raise LookupError("from the job")

    assert flavour.drive(lambda: runner.shielded(answer)) == 42
    with pytest.raises(LookupError, match="from the job"):
        flavour.drive(lambda: runner.shielded(fail))


def test_shielded_job_in_a_gathered_thread_ends_before_the_interrupt(flavour: Flavour, plugins: Plugins) -> None:
    done: list[int | None] = []

    async def main(interrupt: Callable[[], None]) -> None:
        runner = flavour.runner(grace=0.1)
        call = plugins.call("echo go >&2; sleep 0.2; exit 5", on_stderr=lambda _: interrupt())

        async def job() -> None:
            done.append((await runner.run(call)).exit_status)

        async def other() -> None:
            await runner.sleep(LONG)

        await runner.gather([lambda: runner.shielded(job), other], limit=2)

    with pytest.raises(Interrupted):
        flavour.interruptible(main)
    assert done == [5]


def test_shielded_job_survives_cancelled_asyncio_task() -> None:
    done: list[str] = []

    async def main() -> None:
        async def job() -> None:
            for _ in range(2):
                task.cancel()
                await anyio.sleep(0.05)
            done.append("done")

        task = asyncio.ensure_future(AnyioRunner().shielded(job))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert done == ["done"]


def test_shielded_interrupt_calls_the_previous_handler() -> None:
    calls: list[int] = []
    runner = BlockingRunner()

    async def job() -> str:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert calls == []
        return "done"

    previous = signal.signal(signal.SIGINT, lambda number, _: calls.append(number))
    handler = signal.getsignal(signal.SIGINT)
    try:
        assert complete(runner.shielded(job)) == "done"
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, previous)
    assert calls == [signal.SIGINT]


# Small things.


def test_call_returns_and_raises_what_the_work_does(flavour: Flavour) -> None:
    runner = flavour.runner()
    assert flavour.drive(lambda: runner.call(lambda: 42)) == 42
    with pytest.raises(ZeroDivisionError):
        flavour.drive(lambda: runner.call(lambda: 1 // 0))


@pytest.mark.parametrize("offload", [True, False])
def test_do_offload_decides_on_the_thread(offload: bool) -> None:
    runner = AnyioRunner(offload=offload)
    thread = anyio.run(lambda: runner.do(one_step(threading.get_ident)))
    assert (thread != threading.get_ident()) == offload
    assert anyio.run(lambda: runner.call(threading.get_ident)) != threading.get_ident()


async def _cancelled(coroutine: Coroutine[Any, Any, object], begun: threading.Event, times: int) -> None:
    """Cancel a task of asyncio so many times, once its work has begun, and wait for its end."""
    task = asyncio.ensure_future(coroutine)
    while not begun.is_set():
        await asyncio.sleep(0.01)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.02)
    with pytest.raises(asyncio.CancelledError):
        await task


class _SlowDisk(FileOperations):
    """Syncs take a while; some fail."""

    def __init__(self, *failing: int) -> None:
        self.begun = threading.Event()
        self.done: list[object] = []
        self._failing = failing

    def sync(self, descriptor: int) -> None:
        self.begun.set()
        time.sleep(0.1)
        self.done.append(descriptor)
        if descriptor in self._failing:
            raise OSError(errno.EIO, "Input/output error")

    def work(self) -> Steps[str]:
        yield Sync(self.sync, 1)
        self.done.append("between")
        yield Sync(self.sync, 2)
        self.done.append("end")
        return "value"


def test_do_returns_what_the_work_does(flavour: Flavour) -> None:
    disk = _SlowDisk()
    assert flavour.drive(lambda: do_steps(flavour.runner(), disk.work())) == "value"
    assert disk.done == [1, "between", 2, "end"]


def test_do_raises_what_a_sync_does(flavour: Flavour) -> None:
    disk = _SlowDisk(2)
    with pytest.raises(OSError, match="Input/output error"):
        flavour.drive(lambda: do_steps(flavour.runner(), disk.work()))
    assert disk.done == [1, "between", 2]


@pytest.mark.parametrize("is_shared", [True, False])
def test_do_syncs_real_files_and_names(flavour: Flavour, tmp_path: Path, is_shared: bool) -> None:
    folder, shared = os.open(tmp_path, os.O_RDONLY), SharedSync() if is_shared else None
    reading, writing = os.pipe()

    def work() -> Steps[str]:
        file = os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
        os.write(file, b"content")
        yield Sync(FileOperations().sync, file, shared)
        os.close(file)
        yield Sync(FileOperations().sync_folder, folder, shared)
        with pytest.raises(OSError, match="Invalid argument"):  # no pipe can be synced
            yield Sync(FileOperations().sync, writing, shared)
        return "value"

    assert flavour.drive(lambda: do_steps(flavour.runner(), work())) == "value"
    for descriptor in (folder, reading, writing):
        os.close(descriptor)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_do_keeps_the_loop_free_while_a_sync_lasts(backend: str) -> None:
    ticks: list[float] = []

    async def main() -> None:
        async with anyio.create_task_group() as tasks:

            async def tick() -> None:
                while True:
                    ticks.append(time.monotonic())
                    await anyio.sleep(0.005)

            tasks.start_soon(tick)
            await AnyioRunner().do(_SlowDisk().work())
            tasks.cancel_scope.cancel()

    anyio.run(main, backend=backend)
    assert len(ticks) >= 8


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_do_cancelled_scope_waits_for_the_whole_work(backend: str, fails: bool) -> None:
    disk = _SlowDisk(*[2] * fails)
    seen: list[bool] = []

    async def main() -> None:
        with anyio.move_on_after(0.05) as scope:
            await AnyioRunner().do(disk.work())
        seen.append(scope.cancelled_caught)

    anyio.run(main, backend=backend)
    assert seen == [True]
    assert disk.done == ([1, "between", 2] if fails else [1, "between", 2, "end"])


@pytest.mark.parametrize("times", [1, 2])
def test_do_cancelled_asyncio_task_waits_for_the_whole_work(times: int) -> None:
    disk = _SlowDisk()

    async def main() -> None:
        await _cancelled(AnyioRunner().do(disk.work()), disk.begun, times)

    asyncio.run(main())
    assert disk.done == [1, "between", 2, "end"]


def test_do_without_a_thread_for_it_raises_and_does_not_try_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(anyio.to_thread, "run_sync", fail)
    disk = _SlowDisk()
    with pytest.raises(RuntimeError, match="new thread"):
        anyio.run(AnyioRunner().do, disk.work())
    assert disk.done == []


def test_do_thrown_away_releases_what_the_work_holds() -> None:
    disk, released = _SlowDisk(), list[str]()

    def work() -> Steps[None]:
        try:
            yield Sync(disk.sync, 1)
        finally:
            released.append("released")

    async def main() -> None:
        coroutine = AnyioRunner().do(work())
        while coroutine.send(None) is None:  # until it waits for the thread
            pass
        assert disk.begun.wait(SOON)
        coroutine.close()
        assert released == ["released"]
        await asyncio.sleep(0.2)

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 3])
def test_call_cancelled_asyncio_task_waits_for_work_that_has_begun(times: int) -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    async def main() -> None:
        await _cancelled(AnyioRunner().call(work), begun, times)
        assert ended.is_set()

    asyncio.run(main())


@pytest.mark.parametrize("times", [1, 3])
def test_call_cancelled_asyncio_task_calls_off_work_that_has_not_begun(times: int) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        assert go_on.wait(SOON)

    async def main() -> None:
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        runner = AnyioRunner(offload=True)  # with the limit above
        held = asyncio.ensure_future(runner.call(first))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(runner.call(lambda: done.append("second")))
        await asyncio.sleep(0.05)
        for _ in range(times):
            waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        await held

    asyncio.run(main())
    assert done == []


def test_work_that_was_called_off_never_begins() -> None:
    done: list[str] = []
    piece = _Work(lambda: done.append("done"))
    assert piece.is_over()
    with pytest.raises(RuntimeError, match="called off"):
        piece()
    assert done == []


def test_work_that_has_begun_is_over_when_it_has_ended() -> None:
    seen: list[bool] = []
    piece = _Work(lambda: seen.append(piece.is_over()))
    piece()
    assert (seen, piece.is_over()) == ([False], True)


def test_call_thrown_away_waits_for_nothing() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert go_on.wait(SOON)

    async def main() -> None:
        coroutine = AnyioRunner().call(work)
        while coroutine.send(None) is None:  # until it waits for the thread
            pass
        assert begun.wait(SOON)
        started = time.monotonic()
        coroutine.close()
        assert time.monotonic() - started < SOON / 2
        go_on.set()

    asyncio.run(main())


def test_sleep_waits(flavour: Flavour) -> None:
    started = time.monotonic()
    flavour.drive(lambda: flavour.runner().sleep(0.1))
    assert 0.1 <= time.monotonic() - started < SOON


def test_complete_coroutine_that_waits_raises() -> None:
    closed: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            closed.append(True)

    async def wait_bare() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError):
        complete(wait())
    with pytest.raises(RuntimeError, match="event loop"):
        complete(wait_bare())
    assert closed == [True, True]


def test_runners_satisfy_the_protocol() -> None:
    runners: list[Runner] = [BlockingRunner(), AnyioRunner()]
    assert len(runners) == 2


def test_import_of_the_blocking_runner_is_light() -> None:
    code = "import sys, libcni.invoke.blocking_runner; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"anyio", "asyncio", "concurrent.futures", "logging", "psutil", "subprocess", "trio"} & set(output)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("offload", [False, True])
def test_call_leaves_the_interpreter_to_the_loop_unless_files_are_slow(backend: str, offload: bool) -> None:
    lock, enough = threading.Lock(), threading.Event()
    running = most = 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            if most > 4:
                enough.set()
        enough.wait(SOON if offload else 0.1)
        with lock:
            running -= 1

    async def run() -> None:
        runner = AnyioRunner(offload=offload)
        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(runner.call, work)

    anyio.run(run, backend=backend)
    assert (most > 4) == offload


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_syncs_of_many_tasks_are_waited_for_at_once(backend: str) -> None:
    together = threading.Barrier(8, timeout=SOON)

    async def run() -> None:
        runner = AnyioRunner()
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(runner.do, as_sync(together.wait))

    anyio.run(run, backend=backend)
    assert not together.broken
