"""Both runners on real processes: each behaviour is written once, and tested blocking, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import anyio
import pytest

from libcni.invoke.aio import AnyioRunner
from libcni.invoke.blocking import BlockingRunner, complete
from libcni.invoke.plugin import STDERR_LIMIT, Runner
from libcni.invoke.stderr import LINE_LIMIT
from tests.process.conftest import PATIENCE, Flavour, Interrupted, Plugins, eventually, is_gone

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = PATIENCE / 2
"""Seconds: far more than a loaded machine needs, far less than what must not have been waited for."""

LONG = 300
"""Seconds that a fake plugin sleeps when it has to be ended."""


# What comes out.


def test_run_answer_is_returned_with_usage(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call('cat; echo " $HERE" ; echo said >&2; exit 3', stdin=b"asked"))
    assert output.stdout == f"asked {plugins.folder}\n".encode()
    assert output.stderr == b"said\n"
    assert (output.exit_status, output.signal) == (3, None)
    assert (output.timed_out, output.overflow) == (False, False)
    assert 0 < output.duration < SOON
    assert 0 <= output.cpu_seconds < SOON
    assert output.max_rss >= 256 * 1024


def test_run_signal_is_returned(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("kill -KILL $$"))
    assert (output.exit_status, output.signal) == (None, signal.SIGKILL)
    assert not output.timed_out


def test_run_invalid_utf8_passes_as_bytes(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []
    output = flavour.run(plugins.call(r"printf '\377\n\376'; printf '\377\n\376' >&2", on_stderr=lines.append))
    assert output.stdout == output.stderr == b"\xff\n\xfe"
    assert lines == ["\ufffd", "\ufffd"]


def test_run_large_request_and_answer_pass_at_the_same_time(flavour: Flavour, plugins: Plugins) -> None:
    data = random.randbytes(1 << 21)
    output = flavour.run(plugins.call("exec cat", stdin=data))
    assert output.stdout == data


def test_run_large_request_that_is_never_read_does_no_harm(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("echo answer", stdin=b"x" * (1 << 21)))
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


def test_run_answer_before_the_request_is_read_counts(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call("echo answer; exec cat >/dev/null", stdin=b"x" * (1 << 21)))
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


def test_run_request_not_read_with_default_sigpipe_does_not_kill_the_caller(flavour: Flavour, plugins: Plugins) -> None:
    previous = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        output = flavour.run(plugins.call("exec <&-; sleep 0.1; echo answer", stdin=b"x" * (1 << 20)))
    finally:
        signal.signal(signal.SIGPIPE, previous)
    assert output.stdout == b"answer\n"


def test_run_on_start_gets_the_process_id(flavour: Flavour, plugins: Plugins) -> None:
    started: list[int] = []
    output = flavour.run(plugins.call("echo $$", on_start=started.append))
    assert started == [int(output.stdout)]


# What the plugin finds.


def test_run_plugin_leads_a_group_with_clean_signals(flavour: Flavour, plugins: Plugins) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
    try:
        output = flavour.run(
            plugins.call("cut -d' ' -f1,5 /proc/$$/stat; exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
        )
    finally:
        signal.signal(signal.SIGHUP, previous)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    pid, group, *masks = output.stdout.split()
    assert pid == group
    assert (masks[0], masks[2]) == (b"SigBlk:", b"SigIgn:")
    own_of_libc = 0b11 << 31  # signals 32 and 33: glibc has them ignored in everything it spawns
    assert [int(mask, 16) & ~own_of_libc for mask in masks[1::2]] == [0, 0]


def test_run_plugin_inherits_no_descriptor(flavour: Flavour, plugins: Plugins) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        output = flavour.run(plugins.call("ls -l /proc/$$/fd"))
        assert os.get_inheritable(writer)
        assert str(Path(f"/proc/self/fd/{writer}").readlink()) not in output.stdout.decode()
    finally:
        os.close(reader)
        os.close(writer)


def test_run_with_closed_standard_streams_works(flavour: Flavour, plugins: Plugins) -> None:
    code = f"""
        from pathlib import Path
        from tests.process.conftest import Flavour, Plugins
        plugins = Plugins(Path({str(plugins.folder)!r}))
        output = Flavour({flavour.name!r}).run(plugins.call("cat; echo said >&2", stdin=b"asked"))
        (plugins.folder / "result").write_bytes(output.stdout + output.stderr)
    """
    subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, textwrap.dedent(code)],
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert (plugins.folder / "result").read_bytes() == b"askedsaid\n"


# What cannot be started.


def test_run_missing_file_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = str(plugins.folder / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        flavour.run(plugins.call_of(path, stdin=b"x" * (1 << 20)))
    assert caught.value.filename == path


def test_run_file_without_execute_bit_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.chmod(0o644)
    with pytest.raises(PermissionError):
        flavour.run(plugins.call_of(str(path)))


def test_run_file_without_shebang_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.write_text("exit 0\n")
    with pytest.raises(OSError, match="Exec format error") as caught:
        flavour.run(plugins.call_of(str(path)))
    assert caught.value.errno == errno.ENOEXEC


def test_run_missing_interpreter_raises(flavour: Flavour, plugins: Plugins) -> None:
    path = Path(plugins.script("exit 0"))
    path.write_text("#!/nonexistent/interpreter\n")
    with pytest.raises(FileNotFoundError):
        flavour.run(plugins.call_of(str(path)))


def test_run_without_descriptors_left_raises(flavour: Flavour, plugins: Plugins) -> None:
    call = plugins.call("exit 0")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def attempt() -> None:
        runner = flavour.runner()
        extra = 0 if flavour.is_blocking else 1  # the poller of the asynchronous runner
        free = [os.dup(0) for _ in range(extra + 3)]  # room for one pipe and a half
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(free) + 1, hard))
        for fd in free:
            os.close(fd)
        try:
            with pytest.raises(OSError, match="Too many open files"):
                await runner.run(call)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    flavour.drive(attempt)


@pytest.fixture
def busy(plugins: Plugins) -> Path:
    return Path(shutil.copy("/bin/cat", plugins.folder / "busy"))


def test_run_busy_file_is_tried_again(flavour: Flavour, plugins: Plugins, busy: Path) -> None:
    writer = busy.open("r+b")
    timer = threading.Timer(0.15, writer.close)
    timer.start()
    output = flavour.run(plugins.call_of(str(busy), stdin=b"asked"))
    timer.join()
    assert (output.stdout, output.exit_status) == (b"asked", 0)
    assert output.duration >= 0.1


@pytest.mark.parametrize(("limit", "timeout"), [(0.1, PATIENCE), (PATIENCE, 0.1)], ids=["limit", "deadline"])
def test_run_file_that_stays_busy_raises(
    flavour: Flavour, plugins: Plugins, busy: Path, limit: float, timeout: float
) -> None:
    started = time.monotonic()
    with busy.open("r+b"), pytest.raises(OSError, match="Text file busy") as caught:
        flavour.run(plugins.call_of(str(busy), timeout=timeout), busy=limit)
    assert caught.value.errno == errno.ETXTBSY
    assert time.monotonic() - started < SOON


def test_run_file_replaced_meanwhile_answers_as_the_old_one(flavour: Flavour, plugins: Plugins) -> None:
    new = plugins.script("echo new", "new")

    def replace(_: str) -> None:
        Path(new).replace(path)
        (plugins.folder / "go").touch()

    path = plugins.script(f"echo ready >&2\n{wait_for('go')}\necho old", "plugin")
    call = plugins.call_of(path, on_stderr=replace)
    assert flavour.run(call).stdout == b"old\n"
    assert flavour.run(plugins.call_of(path)).stdout == b"new\n"


def wait_for(name: str) -> str:
    return f'while [ ! -e "$HERE/{name}" ]; do sleep 0.01; done'


# What has to be ended.


def test_run_hanging_plugin_is_terminated_at_the_deadline(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call(f"echo partial; exec sleep {LONG}", timeout=0.2), grace=LONG)
    assert output.timed_out
    assert (output.exit_status, output.signal) == (None, signal.SIGTERM)
    assert output.stdout == b"partial\n"
    assert 0.2 <= output.duration < SOON


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
    assert (output.timed_out, output.signal) == (True, signal.SIGTERM)
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


# What the plugin logs.


def test_run_stderr_lines_come_while_the_plugin_runs(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        (plugins.folder / line).touch()

    body = f"echo one >&2\n{wait_for('one')}\nprintf 'two\\r\\n\\nthr' >&2; printf ee >&2"
    output = flavour.run(plugins.call(body, on_stderr=lambda line: note(line or "empty")))
    assert lines == ["one", "two", "empty", "three"]
    assert output.stderr == b"one\ntwo\r\n\nthree"


def test_run_flood_of_stderr_keeps_the_tail_in_bounded_memory(flavour: Flavour, plugins: Plugins) -> None:
    size = 100_000_000
    seen = longest = 0

    def note(line: str) -> None:
        nonlocal seen, longest
        seen, longest = seen + len(line), max(longest, len(line))

    call = plugins.call(f"head -c {size} /dev/zero | tr '\\0' x >&2; printf end >&2", on_stderr=note, timeout=60)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = flavour.run(call)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    assert output.stderr == b"x" * (STDERR_LIMIT - 3) + b"end"
    assert (seen, longest) == (size + 3, LINE_LIMIT)
    assert output.exit_status == 0


def test_run_long_line_is_not_cut_inside_a_character(flavour: Flavour, plugins: Plugins) -> None:
    lines: list[str] = []
    text = "x" + "ä" * LINE_LIMIT
    flavour.run(plugins.call("cat >&2; echo >&2; echo end >&2", stdin=text.encode(), on_stderr=lines.append))
    assert "".join(lines) == text + "end"
    assert lines[-1] == "end"
    assert all(len(line.encode()) <= LINE_LIMIT for line in lines)


@pytest.mark.parametrize("hook", ["on_stderr", "on_start"])
def test_run_callback_that_raises_ends_the_plugin(flavour: Flavour, plugins: Plugins, hook: str) -> None:
    started: list[float] = []

    def fail(_: object) -> NoReturn:
        started.append(time.monotonic())
        raise LookupError("from the callback")

    hooks: dict[str, Any] = {hook: fail}
    with pytest.raises(LookupError, match="from the callback"):
        flavour.run(plugins.call("trap 'echo bye >&2; exit' TERM; echo said >&2; while :; do sleep 0.05; done", **hooks))
    assert len(started) == 1
    assert time.monotonic() - started[0] < SOON


# Interrupts and cancellation.


@pytest.mark.parametrize("trap", ['echo bye >"$HERE/bye"; exit', ""], ids=["obedient", "stubborn"])
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
    gc.collect()
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        complete(runner.gather([lambda: runner.run(call)] * 3, limit=3))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        gc.enable()


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
def test_call_offload_decides_on_the_thread(offload: bool) -> None:
    runner = AnyioRunner(offload=offload)
    thread = anyio.run(lambda: runner.call(threading.get_ident))
    assert (thread != threading.get_ident()) == offload


def test_call_cancelled_asyncio_task_waits_for_work_that_has_begun() -> None:
    begun, ended = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        time.sleep(0.2)
        ended.set()

    async def main() -> None:
        task = asyncio.ensure_future(AnyioRunner().call(work))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()

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
    code = "import sys, libcni.invoke.blocking; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"anyio", "asyncio", "concurrent.futures", "logging", "psutil", "subprocess", "trio"} & set(output)
