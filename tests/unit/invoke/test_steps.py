"""Work in steps: what is done between the syncs, in what order, and what a sync that fails does to it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from libcni.invoke.steps import Walk, finish, one_step
from libcni.storage.operations import FileOperations
from libcni.storage.sync import Sync

if TYPE_CHECKING:
    from libcni.invoke.steps import Steps


class _Noting(FileOperations):
    """Notes what is synced, and fails for some descriptors."""

    def __init__(self, *failing: int, error: BaseException | None = None) -> None:
        self.done: list[object] = []
        self._failing = failing
        self._error = error or OSError(errno.EIO, "Input/output error")

    def sync(self, descriptor: int) -> None:
        self.done.append(descriptor)
        if descriptor in self._failing:
            raise self._error


def _work(operations: _Noting) -> Steps[str]:
    try:
        operations.done.append("begun")
        yield Sync(operations.sync, 1)
        operations.done.append("between")
        try:
            yield Sync(operations.sync, 2)
        except OSError:
            operations.done.append("caught")
        return "value"
    finally:
        operations.done.append("released")


def test_steps_are_done_in_order_each_sync_between() -> None:
    operations = _Noting()
    assert finish(_work(operations)) == "value"
    assert operations.done == ["begun", 1, "between", 2, "released"]


def test_sync_that_fails_is_raised_in_the_work() -> None:
    operations = _Noting(2)
    assert finish(_work(operations)) == "value"
    assert operations.done == ["begun", 1, "between", 2, "caught", "released"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_what_the_work_does_not_catch_passes_through(error: BaseException) -> None:
    operations = _Noting(1, error=error)
    with pytest.raises(type(error)) as caught:
        finish(_work(operations))
    assert caught.value is error
    assert operations.done == ["begun", 1, "released"]


def test_work_without_a_sync_is_done_at_once() -> None:
    assert finish(one_step(lambda: 42)) == 42
    walk = Walk(one_step(lambda: 42))
    assert walk.sync is None
    assert walk.finish() == 42


def test_walk_that_is_closed_releases_what_the_work_holds() -> None:
    operations = _Noting()
    walk = Walk(_work(operations))
    assert operations.done == ["begun"]
    walk.close()
    walk.close()
    assert operations.done == ["begun", "released"]


def test_walk_goes_on_after_what_somebody_else_has_synced() -> None:
    operations = _Noting()
    walk = Walk(_work(operations))
    walk.go_on()
    walk.go_on(OSError(errno.EIO, "Input/output error"))
    assert walk.sync is None
    assert walk.finish() == "value"
    assert operations.done == ["begun", "between", "caught", "released"]
