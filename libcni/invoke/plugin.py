"""One execution of a plugin as data: what goes in, what comes out, and who runs it.

Owns :class:`PluginCall`, :class:`PluginOutput` and the :class:`Runner` protocol, the only seam between the library and
the world: every process, file, lock and wait of an operation passes through a runner. Nothing here does any I/O. Go
counterpart: ``invoke.Exec``. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from libcni.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from libcni.invoke.filework import FileWork
    from libcni.steps import Steps

__all__ = ["PluginCall", "PluginOutput", "Runner", "do_steps", "does_file_work", "is_own", "run_in_turn"]

T = TypeVar("T")

STDOUT_LIMIT = 16 * 1024 * 1024
"""Bytes: a plugin that prints more on stdout is stopped and has failed."""

STDERR_LIMIT = 1024 * 1024
"""Bytes: of stderr the last that many are kept."""


@dataclass(frozen=True, slots=True)
class PluginCall:
    """One execution of a plugin: binary, request and environment.

    ``timeout`` is in seconds, ``None`` for none. ``on_stderr`` gets each line that the plugin writes to stderr, as it
    comes and without its line end. ``on_start`` gets the process id as soon as there is one; when it has returned the
    plugin gets its request, when it raises the plugin is ended without. ``on_slow`` gets the process id only when the
    plugin still runs after some milliseconds. ``file_work`` is done while the plugin starts and runs, before
    :meth:`Runner.run` returns, by a runner that :func:`does_file_work`; others know nothing of it.
    ``meanwhile`` may be called while the plugin runs, to do in advance what is done after it otherwise.
    ``expected_stdout`` is what it must print for the calls after it to be right: see :func:`run_in_turn`. Request and
    environment may hold secrets and stay out of ``repr()``.
    """

    path: str
    stdin: bytes = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    timeout: float | None = None
    on_stderr: Callable[[str], None] | None = None
    on_start: Callable[[int], None] | None = None
    on_slow: Callable[[int], None] | None = None
    file_work: FileWork | None = field(default=None, repr=False)
    meanwhile: Callable[[], Steps[None]] | None = field(default=None, repr=False)
    expected_stdout: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class PluginOutput:
    """How one execution ended and what it printed.

    Exactly one of ``exit_status`` and ``signal`` is set. ``stderr`` is the last :data:`STDERR_LIMIT` bytes.
    ``duration`` and ``cpu_seconds`` are in seconds, ``max_rss`` in bytes; it is never below that of this process, with
    whose memory a plugin starts. ``timed_out``: the deadline passed and the
    process was ended. ``overflow``: it printed more than :data:`STDOUT_LIMIT` bytes and was ended; ``stdout`` is cut
    there.
    """

    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int | None = 0
    signal: int | None = None
    duration: float = 0.0
    max_rss: int = 0
    cpu_seconds: float = 0.0
    timed_out: bool = False
    overflow: bool = False


class Runner(Protocol):
    """Does what an operation decides, and is all that an operation can wait for.

    A blocking runner does the work at once and returns awaitables that are already finished, so that the same coroutine
    serves synchronous callers without an event loop.
    """

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return the path of the plugin binary.

        :raises InvalidParameterError: if ``plugin`` is not a plain file name.
        :raises PluginNotFoundError: if no directory has an executable file of that name.
        """
        ...

    async def run(self, call: PluginCall) -> PluginOutput:
        """Execute a plugin and wait for it.

        :raises OSError: if the process cannot be started.
        """
        ...

    async def call(self, work: Callable[[], T]) -> T:
        """Do a piece of file work that may block."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, limit: int) -> list[T]:
        """Run the jobs, at most ``limit`` at once, and return their results in order.

        A job must not raise an ``Exception`` of its own; it returns it.
        """
        ...

    async def shielded(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the job to its end although the caller is cancelled or interrupted meanwhile.

        The cancellation or interrupt takes effect afterwards. The job bounds its own time.
        """
        ...


async def run_in_turn(runner: Runner, calls: Sequence[PluginCall]) -> list[PluginOutput]:
    """Execute plugins one after the other, the next only if the one before has succeeded and printed what is expected.

    A runner may have a method ``run_in_turn(calls)`` that does so at the price of one call; of any other one only the
    first plugin is executed.

    :param calls: at least one.
    :returns: the outputs of those that ran, at least of the first; of the last, whatever it was.
    :raises OSError: if the first process cannot be started.
    """
    in_turn: Callable[[Sequence[PluginCall]], Coroutine[Any, Any, list[PluginOutput]]] | None
    in_turn = getattr(runner, "run_in_turn", None)
    return [await runner.run(calls[0])] if in_turn is None or len(calls) == 1 else await in_turn(calls)


def does_file_work(runner: Runner) -> bool:
    """Say whether a runner does the ``file_work`` of a call."""
    return getattr(runner, "does_file_work", False) is True


async def do_steps(runner: Runner, steps: Steps[T]) -> T:
    """Do small pieces of file work, and what syncs there are between them.

    A runner may have a method ``do(steps)`` for that, which need not keep the caller's event loop from the pieces; any
    other one has it done as one piece that may block.
    """
    do: Callable[[Steps[T]], Coroutine[Any, Any, T]] | None = getattr(runner, "do", None)
    return await runner.call(partial(finish, steps)) if do is None else await do(steps)


def is_own(method: object, function: object) -> bool:
    """Say whether a bound method is this function, and not what a subclass or a test has put in its place."""
    return getattr(method, "__func__", None) is function
