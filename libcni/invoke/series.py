"""Plugins one after the other, each started as soon as the one before has succeeded and said what is expected.

Owns :class:`Series`, what both runners share of that. Go counterpart: none. Source: SPEC 1.1.0, section 3, "Checking an
attachment" and "Deleting an attachment": no plugin needs the answer of the one before; "Adding an attachment": it does,
and what many plugins answer is what they were given.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from libcni.invoke import child
from libcni.invoke.ahead import Ahead
from libcni.invoke.portable import CLOSED
from libcni.invoke.process import Execution, Poller

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libcni.invoke.child import Threads
    from libcni.invoke.plugin import PluginCall, PluginOutput
    from libcni.invoke.portable import Start, Taken
    from libcni.invoke.schedule import Limits

__all__ = ["Job", "Series"]

P = TypeVar("P", bound=Poller)

Job: TypeAlias = "Callable[[], list[Taken | None]]"
"""What a thread does: the call waits for it."""


class Series(Generic[P]):
    """Executions of plugins, at least one, that are to be started in turn.

    Its user calls :meth:`release` in a ``finally``.

    What a runner does::

        while pause := series.run():
            sleep(pause)
        ... whatever is left to do for series.last ...
        return series.outputs()

    :param make_poller: as that of :class:`libcni.invoke.process.Execution`.
    """

    def __init__(self, calls: Sequence[PluginCall], limits: Limits, make_poller: Callable[[], P]) -> None:
        # Of those that want to know their start, each is the first of a series.
        alike = takewhile(_wants_nothing, calls[1:])
        self._executions = [Execution(call, limits, make_poller) for call in (calls[0], *alike)]
        self._started = self._executions[:1]
        self._file_work = calls[0].file_work
        self._ahead = None if calls[0].meanwhile is None else Ahead(calls[0].meanwhile)
        self._work_in_c = None if self._file_work is None else self._file_work.in_c

    @property
    def last(self) -> Execution[P]:
        """The last that was started, or else the first: all before it are over."""
        return self._started[-1]

    @property
    def threads(self) -> Threads | None:
        """Threads that can do it; ``None`` where there are none, or a call wants to know the start itself."""
        return None if self._executions[0].is_held else child.processes.threads

    def _starts(self) -> tuple[list[Start], int]:
        """Return what is started, and how many milliseconds it may take."""
        patience = min([each.patience for each in self._executions])
        return [each.encoded() for each in self._executions], math.ceil(patience * 1000)

    def run(self, interrupt: int = CLOSED) -> float:
        """Start plugins until one is not done at once, and at the latest until ``interrupt`` is readable.

        What a call's ``on_stderr`` raises passes through.

        :returns: 0 if at least one was started, else after how many seconds to try again.
        :raises OSError: if the first cannot be started.
        :raises ValueError: if a path or environment cannot be expressed in C.
        """
        meanwhile = None if self._ahead is None else self._ahead.begin
        return self._take(partial(child.processes.run, *self._starts(), interrupt, self._work_in_c, meanwhile))

    def submit(self, threads: Threads, event: int) -> Job:
        """Have it done by a thread.

        :param event: a descriptor of :func:`os.eventfd` that is readable when what is returned can be collected.
        """
        return partial(threads.collect, threads.submit(*self._starts(), event, self._work_in_c))

    def collect(self, job: Job) -> float:
        """Wait for the thread, and return or raise what :meth:`run` does."""
        return self._take(job)

    def _take(self, job: Job) -> float:
        try:
            taken = job()
        except OSError as error:
            if self._executions[0].is_started:
                raise
            return self._executions[0].pause_after(error)
        finally:
            # Whatever is raised here, by the handler of a signal too: what the arrays say is true.
            self._started = [each for each in self._executions if each.is_started] or self._executions[:1]
        if self._file_work is not None:
            self._started[0].announce()
        for execution, each in zip(self._started, taken, strict=True):
            execution.take(each)
        return 0

    def outputs(self) -> list[PluginOutput]:
        """Return the outputs of those that were started, all of which must have exited."""
        return [each.output() for each in self._started]

    def release(self) -> None:
        """Kill and reap what still runs, and close every descriptor."""
        for execution in self._executions:
            execution.release()
        if self._file_work is not None:
            self._file_work.close()
        if self._ahead is not None:
            self._ahead.end()


def _wants_nothing(call: PluginCall) -> bool:
    """Say whether nothing is to be done for a call when its plugin starts."""
    return call.on_start is None and call.file_work is None and call.meanwhile is None
