"""The check that no test leaves a child process behind, which every test goes through."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.children import children, no_new_child


def test_children_are_those_of_every_thread_that_were_not_waited_for() -> None:
    with subprocess.Popen(["sleep", "60"]) as sleeper, subprocess.Popen(["true"], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        assert not zombie.stdout.read()  # it has closed everything: it ended, or does so now
        assert {sleeper.pid, zombie.pid} <= children()
        sleeper.kill()

    assert not {sleeper.pid, zombie.pid} & children()


def test_child_that_is_left_fails_and_is_named() -> None:
    with pytest.raises(AssertionError, match=r"left behind: \d+ \([\w-]+\) .*python.* -c input\(\)"), no_new_child():
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    process.kill()
    process.communicate()


def test_child_that_was_there_before_fails_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        with no_new_child():
            pass
        process.kill()
