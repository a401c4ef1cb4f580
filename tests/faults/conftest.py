"""What all fault tests share: trials that are counted, scripted plugins, and processes that are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.processes import Zygote
from tests.faults.scripted import StartingRunner
from tests.faults.trials import COUNTS, FULL, Trials
from tests.faults.world import World
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the machine's network before the first test, and give long runs their time."""
    if kernel.missing_requirement() is None:
        kernel.enter_own_host()
    for item in items:
        if FULL and "tests/faults" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(3600))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS.trials:
        terminalreporter.section(f"faults, {'full size' if FULL else 'bounded'}")
        for line in COUNTS.lines():
            terminalreporter.write_line(line)


@pytest.fixture
def trials_of() -> Iterator[Callable[[str], Trials]]:
    """Return a factory of counters, whose results are judged at the end of the test."""
    made: list[Trials] = []

    def make(fault: str) -> Trials:
        made.append(Trials(fault))
        return made[-1]

    yield make
    assert made, "nothing was counted"
    for trials in made:
        trials.finish()


@pytest.fixture(params=[False, True], ids=["files-first", "files-at-start"])
def moment_of_file_work(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have file work done before scripted plugins start, or while they do."""
    if not request.param:
        monkeypatch.delattr(StartingRunner, "run_with_hooks")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.make(tmp_path)
    yield made
    made.end_plugins()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A process without threads that forks the runtime processes: a thousand starts of Python would take minutes.

    It ends with the module: tests elsewhere look for children that were left behind.
    """
    with Zygote() as made:
        yield made


@pytest.fixture
def root() -> None:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
