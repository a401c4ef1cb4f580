"""Plugins that have to be ended, and callers that are: written once, tested blocking, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from libcni.invoke.anyio_runner import AnyioRunner
from libcni.invoke.blocking_runner import BlockingRunner, complete
from tests.process.conftest import LONG, PATIENCE, SOON, Flavour, Interrupted, Plugins, eventually, is_gone, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# What has to be ended.


def test_run_hanging_plugin_is_terminated_at_the_deadline(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call(f"echo partial; exec sleep {LONG}", timeout=0.2), grace=LONG)
    assert output.timed_out
    assert (output.exit_status, output.signal) == (None, signal.SIGTERM)
    assert output.stdout == b"partial\n"
    assert 0.2 <= output.duration < SOON


def test_plugin_that_ended_in_time_did_not_time_out(flavour: Flavour, plugins: Plugins) -> None:
    def be_late(pid: int) -> None:
        (plugins.folder / "go").touch()
        assert eventually(lambda: is_gone(pid))
        time.sleep(1)

    output = flavour.run(plugins.call(f"{wait_for('go')}; echo answer", on_slow=be_late, timeout=1))
    assert (output.stdout, output.exit_status, output.timed_out) == (b"answer\n", 0, False)


def test_run_plugin_that_handles_sigterm_has_the_grace(flavour: Flavour, plugins: Plugins) -> None:
    body = f"trap 'sleep 0.1; echo cleaned; exit 7' TERM; sleep {LONG} & wait"
    output = flavour.run(plugins.call(body, timeout=0.2), grace=PATIENCE)
    assert output.timed_out
    assert (output.stdout, output.exit_status) == (b"cleaned\n", 7)


def test_run_plugin_that_ignores_sigterm_is_killed_after_the_grace(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("trap '' TERM; while :; do sleep 1; done", timeout=0.2), grace=0.2)
    assert output.timed_out
    assert output.signal == signal.SIGKILL
    assert 0.4 <= output.duration < SOON


def test_run_deadline_of_zero_ends_the_plugin(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call(f"exec sleep {LONG}", timeout=0))
    assert output.timed_out


def test_run_child_that_holds_the_pipes_is_waited_for_briefly(flavour: Flavour, plugins: Plugins) -> None:
    body = f'sleep {LONG} & echo $! >"$HERE/child.pid"; echo answer; printf said >&2'
    lines: list[str] = []
    output = flavour.run(plugins.call(body, stdin=b"x" * (1 << 20), on_stderr=lines.append), linger=0.2)
    assert (output.stdout, output.exit_status, output.timed_out) == (b"answer\n", 0, False)
    assert (output.stderr, lines) == (b"said", ["said"])
    assert 0.2 <= output.duration < SOON
    assert not is_gone(plugins.pid("child.pid"))


def test_run_child_that_holds_the_pipes_does_not_pass_the_deadline(flavour: Flavour, plugins: Plugins) -> None:
    body = f'sleep {LONG} & echo $! >"$HERE/child.pid"; echo answer'
    output = flavour.run(plugins.call(body, timeout=0.5), linger=LONG)
    assert (output.stdout, output.exit_status, output.timed_out) == (b"answer\n", 0, False)
    assert output.duration < SOON


def test_run_child_that_writes_for_ever_is_left_alone(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call('yes >&2 & echo $! >"$HERE/child.pid"; echo answer'), linger=0.2)
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)
    assert output.duration < SOON


def test_run_late_answer_of_a_child_counts(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("(sleep 0.1; echo late) & exit 0"), linger=PATIENCE)
    assert output.stdout == b"late\n"


def test_run_after_a_kill_the_pipes_are_not_waited_for(flavour: Flavour, plugins: Plugins) -> None:
    # Its parent is dead and its group another one: nothing shows that it came from the plugin.
    body = f"""
        setsid sh -c 'sleep {LONG} & echo $! >"$HERE/child.pid"'
        trap '' TERM
        while :; do sleep 1; done
    """
    output = flavour.run(plugins.call(body, timeout=0.3), grace=0.1, linger=LONG)
    assert (output.timed_out, output.signal) == (True, signal.SIGKILL)
    assert output.duration < SOON


@pytest.mark.parametrize("ignored", ["", 'trap "" TERM; '], ids=["obedient", "stubborn"])
@pytest.mark.parametrize("start", ["", "setsid "], ids=["group", "session"])
def test_run_children_are_ended_with_the_plugin(flavour: Flavour, plugins: Plugins, start: str, ignored: str) -> None:
    body = f"{start}sh -c '{ignored}echo $$ >\"$HERE/child.pid\"; exec sleep {LONG}' >/dev/null 2>&1 &\n wait"
    output = flavour.run(plugins.call(body, timeout=0.4), grace=0.2)
    assert (output.timed_out, output.signal) == (True, signal.SIGTERM), output
    assert output.duration < SOON
    assert eventually(lambda: is_gone(plugins.pid("child.pid")))


def test_run_too_much_stdout_ends_the_plugin(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call(f"yes; exec sleep {LONG}"), stdout_limit=100_001)
    assert output.overflow
    assert not output.timed_out
    assert output.signal == signal.SIGTERM
    assert output.stdout == (b"y\n" * 50_001)[:100_001]
    assert output.duration < SOON


def test_run_stdout_at_the_limit_is_no_overflow(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("head -c 100000 /dev/zero"), stdout_limit=100_000)
    assert (output.overflow, output.stdout) == (False, bytes(100_000))


def test_run_too_much_stdout_before_the_exit_is_an_overflow(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("echo too much"), stdout_limit=3)
    assert (output.overflow, output.stdout, output.exit_status) == (True, b"too", 0)


# Interrupts and cancellation.


@pytest.mark.parametrize("trap", ['sleep 0.2; echo bye >"$HERE/bye"; exit', ""], ids=["obedient", "stubborn"])
@pytest.mark.parametrize("thread", [False, True], ids=["callback", "thread"])
def test_run_interrupted_ends_the_plugin_and_its_children(
    flavour: Flavour, plugins: Plugins, trap: str, *, thread: bool
) -> None:
    body = f"""
        trap '{trap}' TERM
        setsid sleep {LONG} & echo $! >"$HERE/child.pid"
        echo $$ >"$HERE/parent.pid"; echo ready >&2
        while :; do sleep 0.05; done
    """
    timers: list[threading.Timer] = []

    async def run(interrupt: Callable[[], None]) -> None:
        def hit(line: str) -> None:
            if line != "ready":  # the shell may say that its sleep was terminated
                return
            timers.append(threading.Timer(0.05, interrupt))
            timers[-1].start() if thread else interrupt()

        await flavour.runner(grace=PATIENCE if trap else 0.2).run(plugins.call(body, on_stderr=hit))

    with pytest.raises(Interrupted):
        flavour.interruptible(run)
    if thread:
        timers[0].join()
    assert (plugins.folder / "bye").exists() == bool(trap)
    assert is_gone(plugins.pid("parent.pid"))
    assert eventually(lambda: is_gone(plugins.pid("child.pid")))


def test_run_interrupted_while_the_file_is_busy_starts_nothing(flavour: Flavour, plugins: Plugins, busy: Path) -> None:
    async def run(interrupt: Callable[[], None]) -> None:
        timer = threading.Timer(0.1, interrupt)
        timer.start()
        try:
            await flavour.runner(busy=PATIENCE).run(plugins.call_of(str(busy)))
        finally:
            timer.join()

    with busy.open("r+b"), pytest.raises(Interrupted):
        flavour.interruptible(run)


def test_run_second_keyboard_interrupt_skips_the_grace(plugins: Plugins) -> None:
    def interrupt_twice() -> None:
        for name in ("ready", "again"):
            eventually((plugins.folder / name).exists)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    body = "trap ': >$HERE/again' TERM; : >$HERE/ready; while :; do sleep 0.05; done"
    thread = threading.Thread(target=interrupt_twice)
    thread.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        complete(BlockingRunner(grace=LONG).run(plugins.call(body)))
    thread.join()
    assert time.monotonic() - started < SOON


@pytest.mark.parametrize("times", [1, 2])
def test_run_cancelled_asyncio_task_ends_the_plugin(plugins: Plugins, times: int) -> None:
    async def main() -> None:
        def hit(_: str) -> None:
            task.cancel()

        trap = "trap '' TERM; " if times == 1 else "trap 'echo again >&2' TERM; "
        call = plugins.call(f"{trap}echo ready >&2; while :; do sleep 0.05; done", on_stderr=hit)
        task = asyncio.ensure_future(AnyioRunner(grace=0.2 if times == 1 else LONG).run(call))
        with pytest.raises(asyncio.CancelledError):
            await task

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < SOON


def test_run_coroutine_thrown_away_kills_the_plugin(plugins: Plugins) -> None:
    async def main() -> None:
        coroutine = AnyioRunner(grace=LONG).run(plugins.call(f'echo $$ >"$HERE/a.pid"; exec sleep {LONG}'))
        coroutine.send(None)
        while not (plugins.folder / "a.pid").exists() or not (plugins.folder / "a.pid").read_text():
            await anyio.sleep(0.01)
        coroutine.close()

    asyncio.run(main())
    assert is_gone(plugins.pid("a.pid"))


def test_run_without_pidfd_notices_exit_and_deadline(
    flavour: Flavour, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    body = f'sleep {LONG} & echo $! >"$HERE/child.pid"; cat; exit 3'
    output = flavour.run(plugins.call(body, stdin=b"asked"), linger=0.1)
    assert (output.stdout, output.exit_status) == (b"asked", 3)
    output = flavour.run(plugins.call(f"exec sleep {LONG}", timeout=0.1))
    assert (output.timed_out, output.signal) == (True, signal.SIGTERM)


def test_run_child_reaped_by_somebody_else_raises(flavour: Flavour, plugins: Plugins) -> None:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(ChildProcessError):
            flavour.run(plugins.call("exit 3"))
    finally:
        signal.signal(signal.SIGCHLD, previous)
