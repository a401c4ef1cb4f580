"""Turns in Python: one thread at a time has one, what waits is between them, and nothing waits long for one."""

from __future__ import annotations

import os
import threading
import time
import types
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import pytest

from libcni.disk import FileOperations, Sync
from libcni.invoke.blocking import BlockingRunner, complete
from libcni.invoke.child import IN_PYTHON, Turns, encoded_environment, new_cells, processes
from libcni.invoke.portable import CLOSED
from tests.process.conftest import PATIENCE, SOON, as_sync, eventually, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcni.steps import Steps
    from tests.process.conftest import Plugins

T = TypeVar("T")


@pytest.fixture
def turns() -> Iterator[Turns]:
    if not processes.in_c:
        pytest.skip("the C part was not built: no compiler, or no headers of Python")
    yield processes.turns
    processes.turns.end()


def in_thread(work: Callable[[], T]) -> T:
    """Do something in another thread."""
    done: list[T] = []
    thread = threading.Thread(target=lambda: done.append(work()))
    thread.start()
    thread.join()
    return done[0]


def is_taken(turns: Turns) -> bool:
    """Say whether a thread has the turn: another one gets none."""
    return not in_thread(lambda: turns.begin() and turns.end())


def test_one_thread_has_the_turn(turns: Turns) -> None:
    assert turns.begin()
    assert is_taken(turns)
    assert turns.end()
    assert not is_taken(turns)


def test_turn_is_begun_and_ended_once(turns: Turns) -> None:
    assert turns.begin()
    assert turns.begin()
    assert turns.end()
    assert not turns.end()
    assert not is_taken(turns)


def test_end_of_a_thread_without_a_turn_ends_none(turns: Turns) -> None:
    assert turns.begin()
    assert in_thread(turns.end) is False
    assert is_taken(turns)


def test_there_are_no_turns_in_python() -> None:
    assert [IN_PYTHON.turns.begin(), IN_PYTHON.turns.end()] == [False, False]


def test_who_waits_gets_the_turn_when_it_ends(turns: Turns) -> None:
    assert turns.begin()
    got: list[bool] = []

    def wait() -> None:
        while not got:  # without one, if that of the other thread is late
            got.extend([True] * (turns.begin() and turns.end()))

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.01)
    assert not got
    turns.end()
    thread.join()


def test_nobody_waits_for_a_turn_that_is_late(turns: Turns) -> None:
    assert turns.begin()
    started = time.monotonic()
    assert not any(in_thread(lambda: [turns.begin() for _ in range(5000)]))
    assert time.monotonic() - started < SOON  # 100 s, if each of them waited
    turns.end()
    assert not is_taken(turns)


def test_turns_are_of_one_thread_at_a_time(turns: Turns) -> None:
    inside: list[int] = []
    most: list[int] = []
    numbers: list[int] = []

    def work(number: int) -> None:
        for _ in range(300):
            if turns.begin():
                inside.append(number)
                os.stat("/")  # noqa: PTH116  # gives the interpreter lock away
                most.append(len(inside))
                numbers.append(inside.pop())
                turns.end()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert set(numbers) == set(range(8))


def test_forked_child_begins_anew(turns: Turns) -> None:
    assert turns.begin()
    pid = os.fork()
    if not pid:
        os._exit(0 if (turns.end(), turns.begin(), turns.end()) == (False, True, True) else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_run_is_between_two_turns(turns: Turns, plugins: Plugins) -> None:
    environment = encoded_environment({"PATH": os.environ["PATH"], "HERE": str(plugins.folder)})
    start = new_cells(), b"/bin/sh", environment, f"touch $HERE/started; {wait_for('go')}\n".encode(), b""

    def work() -> list[bool]:
        before = turns.begin()
        assert processes.run([start], int(PATIENCE * 1000), CLOSED, None) == [(b"", b"")]
        return [before, turns.end()]

    had: list[list[bool]] = []
    thread = threading.Thread(target=lambda: had.append(work()))
    thread.start()
    try:
        assert eventually((plugins.folder / "started").exists)
        assert turns.begin()
        assert turns.end()
    finally:
        (plugins.folder / "go").touch()
        thread.join()
    assert had == [[True, True]]


def test_run_without_a_turn_begins_none(turns: Turns) -> None:
    start = new_cells(), b"/bin/true", encoded_environment({}), b"", b""
    assert processes.run([start], int(PATIENCE * 1000), CLOSED, None) == [(b"", b"")]
    assert not turns.end()


def test_what_is_done_while_a_program_runs_is_in_a_turn(turns: Turns) -> None:
    start = new_cells(), b"/bin/true", encoded_environment({}), b"", b""
    seen: list[bool] = []
    turns.begin()
    processes.run([start], int(PATIENCE * 1000), CLOSED, None, lambda: seen.append(is_taken(turns)))
    assert seen == [True]
    assert turns.end()


def test_work_in_advance_does_not_wait_for_its_turn(turns: Turns) -> None:
    done: list[bool] = []
    is_over = threading.Event()

    def work() -> bool:
        """Run a program, and say whether work in advance was left because another thread had the turn."""
        start = new_cells(), b"/bin/true", encoded_environment({}), b"", b""
        done.clear()
        is_over.clear()
        turns.begin()
        thread = threading.Thread(target=lambda: turns.begin() and is_over.wait() and turns.end())
        thread.start()
        processes.run([start], int(PATIENCE * 1000), CLOSED, None, lambda: done.append(True))
        turns.end()
        is_over.set()
        thread.join()
        return not done

    assert eventually(work)


def test_what_may_wait_is_between_two_turns(turns: Turns, plugins: Plugins, tmp_path: Path) -> None:
    runner = BlockingRunner()
    seen: dict[str, bool] = {}

    def look(place: str, _: object = None) -> None:
        seen[place] = is_taken(turns) or seen.get(place, False)  # one of several jobs has it

    async def job() -> None:
        look("job")

    def let_go(_: int) -> None:
        look("slow")
        (tmp_path / "go").touch()

    async def work() -> None:
        look("verb")
        await runner.call(partial(look, "call"))
        await runner.do(as_sync(partial(look, "sync")))
        await runner.gather([job, job], limit=2)
        await runner.run(plugins.call("exit 0", on_start=partial(look, "start")))
        await runner.run(
            plugins.call(f"{wait_for('go')}; echo line >&2", on_slow=let_go, on_stderr=partial(look, "line"))
        )
        look("end")

    complete(work())
    look("afterwards")
    in_a_turn = {"verb", "job", "slow", "end"}
    assert seen == {place: place in in_a_turn for place in (*in_a_turn, "call", "sync", "start", "line", "afterwards")}


def test_steps_go_on_in_a_turn_after_a_sync(turns: Turns, tmp_path: Path) -> None:
    seen: list[bool] = []
    with (tmp_path / "file").open("wb") as file:

        def steps() -> Steps[None]:
            seen.append(is_taken(turns))
            yield Sync(FileOperations(), file.fileno())
            seen.append(is_taken(turns))

        complete(BlockingRunner().do(steps()))
    assert seen == [True, True]


def test_thread_of_c_is_waited_for_between_two_turns(turns: Turns, plugins: Plugins) -> None:
    assert processes.threads is not None
    environment = encoded_environment({"PATH": os.environ["PATH"], "HERE": str(plugins.folder)})
    start = new_cells(), b"/bin/sh", environment, f"{wait_for('go')}\n".encode(), b""
    job = processes.threads.submit([start], int(PATIENCE * 1000), CLOSED, None)
    got: list[bool] = []

    def look() -> None:
        got.append(eventually(lambda: turns.begin() and turns.end()))
        (plugins.folder / "go").touch()

    assert turns.begin()
    thread = threading.Thread(target=look)
    thread.start()
    processes.threads.collect(job)
    thread.join()
    assert got == [True]
    assert turns.end()


def test_pause_is_between_two_turns(turns: Turns) -> None:
    had: list[bool] = []
    sleeps = threading.Event()

    async def work() -> None:
        sleeps.set()
        await BlockingRunner().sleep(2)
        had.append(turns.end())

    thread = threading.Thread(target=lambda: complete(work()))
    thread.start()
    sleeps.wait()
    assert eventually(lambda: turns.begin() and turns.end())
    assert not had
    thread.join()
    assert had == [True]


def test_interrupt_as_a_turn_begins_ends_it(turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
    def begin() -> bool:
        turns.begin()
        raise KeyboardInterrupt

    async def nothing() -> None:
        raise AssertionError

    monkeypatch.setattr("libcni.invoke.child.processes", processes._replace(turns=Turns(begin, turns.end)))
    with pytest.raises(KeyboardInterrupt):
        complete(nothing())
    assert not is_taken(turns)


def test_turn_ends_whatever_the_end_of_a_coroutine_raises(turns: Turns) -> None:
    @types.coroutine
    def pause() -> Iterator[None]:
        yield

    async def work() -> None:
        try:
            await pause()
        finally:
            raise KeyError("last")

    with pytest.raises(KeyError, match="last"):
        complete(work())
    assert not is_taken(turns)


def test_function_of_the_user_may_wait_for_another_thread(plugins: Plugins) -> None:
    runner = BlockingRunner()
    quiet = plugins.call_of(plugins.script("exit 0", "quiet"))
    outputs: list[object] = []

    def wait(_: str) -> None:
        in_thread(lambda: outputs.append(complete(runner.run(quiet)).exit_status))

    started = time.monotonic()
    complete(runner.run(plugins.call("echo line >&2", on_stderr=wait)))
    assert outputs == [0]
    assert time.monotonic() - started < SOON
