"""Bringing what was written to the disk: one sync, syncs that threads share, and file work in steps between syncs.

File work is a generator that yields each :class:`Sync` before it goes on: a runner does it where it holds up no other
task. Go counterpart: none; Go libcni syncs nothing. Source: ``fdatasync(2)``, ``fsync(2)``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from libcni.storage.fork_safe_lock import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["SharedSync", "Steps", "Sync", "finish"]

T = TypeVar("T")

Steps: TypeAlias = "Generator[Sync, None, T]"
"""File work that returns a ``T``; it raises what a sync raises, unless it handles that."""


def finish(steps: Steps[T]) -> T:
    """Do file work to its end, each sync at once, and return its value.

    >>> def work():
    ...     yield from ()
    ...     return "done"
    >>> finish(work())
    'done'
    """
    failure: BaseException | None = None
    try:
        while True:
            sync = next(steps) if failure is None else steps.throw(failure)
            try:
                sync.now()
            except BaseException as error:  # noqa: BLE001  # raised in the work, which passes it on
                failure = error
            else:
                failure = None
    except StopIteration as stop:
        value: T = stop.value
        return value
    finally:
        # Now, and not with the last reference: an exception that came between two steps holds one.
        steps.close()


class SharedSync:
    """Syncs of one thing: threads that ask while one is under way share the next. A disk does not do many at once."""

    __slots__ = ("_asked", "_done", "_turn")

    def __init__(self) -> None:
        self._turn = ForkSafeLock()
        self._asked = itertools.count(1)
        self._done = 0

    def sync(self, work: Callable[[], object]) -> None:
        """Do the work, unless another thread has begun and ended it since this was called.

        :raises OSError: if it fails.
        """
        asked = next(self._asked)
        with self._turn.lock:
            if self._done > asked:
                return
            covered = next(self._asked)
            work()
            self._done = covered


class Sync:
    """One sync that is to be done: of the content of an open file, or of the names in an open folder.

    :param do: the system call, of :class:`libcni.storage.operations.FileOperations`.
    :param shared: what syncs of the same thing share, if there may be several.
    """

    __slots__ = ("_descriptor", "_do", "_shared")

    def __init__(self, do: Callable[[int], None], descriptor: int, shared: SharedSync | None = None) -> None:
        self._do = do
        self._descriptor = descriptor
        self._shared = shared

    def now(self) -> None:
        """Do it.

        :raises OSError: if it fails.
        """
        if self._shared is None:
            self._do(self._descriptor)
        else:
            self._shared.sync(self._call)

    def _call(self) -> None:
        self._do(self._descriptor)
