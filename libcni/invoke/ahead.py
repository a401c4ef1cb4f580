"""File work that is likely to be of use after plugins, begun while they run.

Owns :class:`Ahead`. Go counterpart: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.invoke import child
from libcni.invoke.filework import outcome_in_c, sync_in_c
from libcni.steps import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.invoke.filework import WorkInC
    from libcni.steps import Steps

__all__ = ["Ahead"]

_NO_EVENT = -1


class Ahead:
    """Work that is begun while plugins run: up to its first sync, and that by a thread without Python.

    A sync may take long, and the plugins have to be watched meanwhile: one that only Python can do is not done.

    :param make: returns the work.
    """

    def __init__(self, make: Callable[[], Steps[None]]) -> None:
        self._make = make
        self._walk: Walk[None] | None = None
        self._work: WorkInC | None = None
        self._job: object = None

    def begin(self) -> None:
        """Begin it; raise what it does."""
        walk = self._walk = Walk(self._make())
        threads = child.processes.threads
        self._work = None if walk.sync is None or threads is None else sync_in_c(walk.sync)
        if self._work is not None and threads is not None:
            self._job = threads.submit([], 0, _NO_EVENT, self._work)

    def end(self) -> None:
        """Wait for the thread, and leave what was not done."""
        walk, job, threads = self._walk, self._job, child.processes.threads
        self._walk = self._job = None
        if walk is None:
            return
        try:
            if job is not None and self._work is not None and threads is not None:
                threads.collect(job)
                walk.go_on(outcome_in_c(self._work))
        finally:
            walk.close()
