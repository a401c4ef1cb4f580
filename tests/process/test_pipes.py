"""Requests and answers of every size, pipes that are closed early or held open, and the exit of which nothing tells."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import select
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from libcni.invoke.blocking_runner import BlockingRunner, _drive, _Interrupt, complete
from libcni.invoke.process.backend import IN_PYTHON
from libcni.invoke.process.backend_python import _DRAIN_READS
from libcni.invoke.process.deadlines import ExecutionLimits, Step
from libcni.invoke.process.execution import Execution
from libcni.invoke.runner import STDERR_LIMIT
from tests.process.conftest import LONG, PATIENCE, SOON, Flavour, Plugins, eventually, is_gone, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.invoke.runner import PluginCall

PIPE = 64 * 1024
"""Bytes that a pipe holds."""


@pytest.fixture(params=[True, False], ids=["pidfd", "no-pidfd"])
def _pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with the descriptor that tells of an exit, and without."""

    def fail(*_: int) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    if not request.param:
        monkeypatch.setattr("libcni.invoke.process.backend.processes", IN_PYTHON)
        monkeypatch.setattr(os, "pidfd_open", fail)


# Sizes.


@pytest.mark.usefixtures("_pidfd")
@pytest.mark.parametrize("size", [0, 1, PIPE - 1, PIPE, PIPE + 1, 2 * PIPE, 3 * PIPE + 1])
def test_answer_of_any_size_comes_whole(flavour: Flavour, plugins: Plugins, size: int) -> None:
    data = random.randbytes(size)
    (plugins.folder / "answer").write_bytes(data)
    output = flavour.run(plugins.call('cat "$HERE/answer"; cat "$HERE/answer" >&2'))
    assert (output.stdout, output.stderr, output.exit_status) == (data, data, 0)


@pytest.mark.usefixtures("_pidfd")
@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, PIPE, PIPE + 1, 5 * PIPE])
def test_request_of_any_size_comes_whole(flavour: Flavour, plugins: Plugins, size: int) -> None:
    data = random.randbytes(size)
    output = flavour.run(plugins.call('cat >"$HERE/asked"; echo answer', stdin=data))
    assert (plugins.folder / "asked").read_bytes() == data
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


@pytest.mark.parametrize("size", [4096, 4097, PIPE, PIPE + 1])
def test_request_that_is_not_read_does_no_harm(flavour: Flavour, plugins: Plugins, size: int) -> None:
    output = flavour.run(plugins.call("exec <&-; sleep 0.05; echo answer", stdin=bytes(size)))
    assert (output.stdout, output.exit_status) == (b"answer\n", 0)


def test_answer_that_waits_in_a_pipe_of_the_largest_size_comes_whole(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = _DRAIN_READS * PIPE // 2
    pipe = os.pipe2

    def large(flags: int) -> tuple[int, int]:
        ends = pipe(flags)
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, size)
        return ends

    monkeypatch.setattr(os, "pipe2", large)
    lines: list[str] = []
    body = f"head -c {size} /dev/zero; head -c {size} /dev/zero >&2"
    output = complete(BlockingRunner(linger=0).run(plugins.call(body, on_stderr=lines.append)))
    assert output.stdout == bytes(size)
    assert output.stderr == bytes(STDERR_LIMIT)


# Pipes that are closed early, or held.


@pytest.mark.usefixtures("_pidfd")
def test_plugin_that_closes_its_pipes_and_lives_on_is_waited_for(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call('echo answer; exec >&- 2>&-; sleep 0.2; echo late >"$HERE/late"; exit 3'))
    assert (output.stdout, output.exit_status) == (b"answer\n", 3)
    assert (plugins.folder / "late").exists()
    assert output.duration >= 0.2


def test_plugin_that_closes_its_pipes_and_hangs_is_ended(flavour: Flavour, plugins: Plugins) -> None:
    output = flavour.run(plugins.call(f"echo answer; exec >&- 2>&-; exec sleep {LONG}", timeout=0.3))
    assert (output.stdout, output.timed_out) == (b"answer\n", True)


@pytest.mark.usefixtures("_pidfd")
@pytest.mark.parametrize("kept", ["2>/dev/null", ">/dev/null"], ids=["stdout", "stderr"])
def test_grandchild_that_holds_a_pipe_is_waited_for_briefly(flavour: Flavour, plugins: Plugins, kept: str) -> None:
    body = f'sleep {LONG} {kept} & echo $! >"$HERE/child.pid"; echo answer; echo said >&2'
    output = flavour.run(plugins.call(body), linger=0.2)
    assert (output.stdout, output.stderr, output.exit_status) == (b"answer\n", b"said\n", 0)
    assert 0.2 <= output.duration < SOON
    assert not is_gone(plugins.pid("child.pid"))


def test_grandchild_that_holds_a_full_pipe_loses_nothing(flavour: Flavour, plugins: Plugins) -> None:
    size = PIPE + 1
    body = f'(head -c {size} /dev/zero; echo >"$HERE/written"; exec sleep {LONG}) & echo $! >"$HERE/child.pid"; exit 0'
    output = flavour.run(plugins.call(body), linger=1)
    assert output.stdout == bytes(size)


def test_grandchild_that_lets_go_ends_the_wait(flavour: Flavour, plugins: Plugins) -> None:
    body = f"({wait_for('go')}; echo late) & exit 0"
    timer = threading.Timer(0.2, (plugins.folder / "go").touch)
    timer.start()
    output = flavour.run(plugins.call(body), linger=LONG)
    timer.join()
    assert output.stdout == b"late\n"
    assert output.duration < SOON


# Deadlines.


@pytest.mark.usefixtures("_pidfd")
@pytest.mark.parametrize("timeout", [0, -1, -1e9, 0.001])
def test_deadline_that_has_passed_ends_the_plugin_at_once(flavour: Flavour, plugins: Plugins, timeout: float) -> None:
    output = flavour.run(plugins.call(f"exec sleep {LONG}", timeout=timeout))
    assert output.timed_out
    assert output.duration < SOON


# One execution by hand.


@pytest.fixture
def executions() -> Iterator[list[Execution[select.poll]]]:
    made: list[Execution[select.poll]] = []
    yield made
    for execution in made:
        execution.release()


@pytest.fixture
def begin(executions: list[Execution[select.poll]]) -> Any:
    def begin(call: PluginCall) -> Execution[select.poll]:
        executions.append(Execution(call, ExecutionLimits(), select.poll()))
        assert executions[-1].start() == 0
        return executions[-1]

    return begin


def _wait_for_exit(execution: Execution[select.poll]) -> None:
    poller = select.poll()
    poller.register(execution.pidfd, select.POLLIN)
    assert poller.poll(PATIENCE * 1000)


def test_exit_that_is_noted_twice_is_one_exit(begin: Any, plugins: Plugins) -> None:
    execution = begin(plugins.call("echo answer"))
    assert execution.quiet() is not None
    _wait_for_exit(execution)
    execution.exited()
    assert execution.has_exited
    first = execution._schedule._exited_at
    execution.exited()
    assert execution._schedule._exited_at == first
    assert execution.step()[0] is Step.DONE
    assert execution.output().stdout == b"answer\n"


def test_descriptor_that_is_not_ready_after_all_is_no_end(begin: Any, plugins: Plugins) -> None:
    execution = begin(plugins.call(f"{wait_for('go')}; echo answer"))
    assert execution.step()[0] is Step.WAIT
    execution.handle([(fd, select.POLLIN) for fd in list(execution._handlers) if fd != execution.pidfd])
    (plugins.folder / "go").touch()
    _drive(execution)
    assert execution.output().stdout == b"answer\n"


def test_descriptor_that_is_not_watched_is_passed(begin: Any, plugins: Plugins) -> None:
    execution = begin(plugins.call("echo answer"))
    assert execution.step()[0] is Step.WAIT
    execution.handle([(12345, select.POLLIN)])
    execution.unwatch(12345)
    _drive(execution)
    assert execution.output().stdout == b"answer\n"


def test_quiet_wait_is_for_nothing_but_the_exit(begin: Any, plugins: Plugins) -> None:
    small = begin(plugins.call("exit 0", timeout=PATIENCE))
    assert 0 < small.quiet() < 1
    large = begin(plugins.call("exit 0", stdin=bytes(1 << 20)))
    assert large.quiet() is None


# Interrupts of several at once.


def test_gather_job_that_raises_ends_the_wait_for_what_another_plugin_left(plugins: Plugins) -> None:
    """The plugin has exited, and a child of it holds the pipes: this wait is interrupted like any other."""
    runner = BlockingRunner(linger=LONG)
    call = plugins.call(f'sleep {LONG} & echo $! >"$HERE/child.pid"; exit 0')

    async def run() -> None:
        await runner.run(call)

    async def fail() -> None:
        path = plugins.folder / "child.pid"
        assert eventually(lambda: path.exists() and bool(path.read_text()))
        await runner.sleep(0.1)
        raise LookupError

    started = time.monotonic()
    with pytest.raises(LookupError):
        complete(runner.gather([run, fail], limit=2))
    assert time.monotonic() - started < SOON


def test_gather_ctrl_c_is_not_hidden_by_the_failure_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    failed = threading.Event()

    async def fail() -> None:
        failed.set()
        raise LookupError

    def interrupted(pool: ThreadPoolExecutor, work: Any, *jobs: Any) -> NoReturn:
        for future in [pool.submit(work, *job) for job in zip(*jobs, strict=True)]:
            assert isinstance(future.exception(PATIENCE), LookupError)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "map", interrupted)
    with pytest.raises(KeyboardInterrupt):
        complete(BlockingRunner().gather([fail, fail], limit=2))
    assert failed.is_set()


def test_gather_without_descriptors_left_raises_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "eventfd", fail)
    with pytest.raises(OSError, match="Too many open files"):
        _Interrupt()
