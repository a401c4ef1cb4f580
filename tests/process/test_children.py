"""The check that no test leaves a child process behind, which every test goes through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.children import children, end_noted_process, no_new_child

if TYPE_CHECKING:
    from pathlib import Path


def _running(*command: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process that writes a line, and wait for that: before, the kernel may not show its command."""
    process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def test_children_are_those_of_every_thread_that_were_not_waited_for() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper, subprocess.Popen(["true"], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        assert not zombie.stdout.read()  # it has closed everything: it ended, or does so now
        assert {sleeper.pid, zombie.pid} <= children()
        sleeper.kill()

    assert not {sleeper.pid, zombie.pid} & children()


def test_child_that_is_left_fails_and_is_named() -> None:
    named = r"left behind: \d+ \([\w-]+\) .*python.* -c print.* input\(\)"
    with pytest.raises(AssertionError, match=named), no_new_child():
        process = _running(sys.executable, "-c", "print(flush=True); input()")

    process.kill()
    process.communicate()


def test_child_that_was_there_before_fails_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        with no_new_child():
            pass
        process.kill()


@pytest.mark.parametrize(("mark", "is_killed"), [("HERE=/one", True), ("HERE=/other", False)], ids=["own", "another's"])
def test_noted_number_is_that_of_a_process_with_the_mark(tmp_path: Path, mark: str, *, is_killed: bool) -> None:
    with _running("sh", "-c", "echo; read line", env={"PATH": os.environ["PATH"], "HERE": "/one"}) as process:
        (tmp_path / "noted.pid").write_text(f"{process.pid}\n")
        end_noted_process(tmp_path / "noted.pid", mark)
        try:
            assert is_killed == (process.wait(0.5) == -signal.SIGKILL)
        except subprocess.TimeoutExpired:
            assert not is_killed
        process.kill()


@pytest.mark.parametrize("text", ["", f"{2**30}\n"], ids=["nothing", "of none"])
def test_noted_number_of_no_process_ends_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "noted.pid").write_text(text)
    end_noted_process(tmp_path / "noted.pid", "")
