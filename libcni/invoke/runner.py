"""One execution of a plugin as data: the call, its output, and the runner between them.

Owns :class:`PluginCall`, :class:`PluginOutput` and the :class:`Runner` protocol, the only seam between the library and
the world: every process, file, lock and wait of an operation passes through a runner. Nothing here does any I/O. Go
counterpart: ``invoke.Exec``. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from libcni.invoke.steps import finish

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from libcni.invoke.steps import Steps

__all__ = ["FileRunner", "HookedCall", "PluginCall", "PluginOutput", "Runner", "do_steps", "run_shielded", "runs_hooks"]

T = TypeVar("T")

STDOUT_LIMIT = 16 * 1024 * 1024
"""Bytes: a plugin that prints more on stdout is stopped and has failed."""

STDERR_LIMIT = 1024 * 1024
"""Bytes: of stderr the last that many are kept."""


@dataclass(frozen=True, slots=True)
class PluginCall:
    """One execution of a plugin: binary, request and environment.

    ``timeout`` is in seconds, ``None`` for none. ``on_stderr`` gets each line that the plugin writes to stderr, as it
    comes and without its line end. Request and environment may hold secrets and stay out of ``repr()``.
    """

    path: str
    stdin: bytes = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)
    timeout: float | None = None
    on_stderr: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class HookedCall(PluginCall):
    """A call with hooks, which the library's own runners run; any other runner takes it for a :class:`PluginCall`.

    ``on_start`` gets the process id as soon as there is one; when it has returned the plugin gets its request, when it
    raises the plugin is ended without. ``before`` is file work that is done while the plugin starts, and must succeed
    before it gets its request: only a runner that :func:`runs_hooks` is given any. ``on_slow`` gets the process id when
    the plugin still runs after some milliseconds, and again if it lives on at the end of the call.
    """

    on_start: Callable[[int], None] | None = None
    on_slow: Callable[[int], None] | None = None
    before: Steps[None] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class PluginOutput:
    """The end of one execution and its output.

    One of ``exit_status`` and ``signal`` is set, and neither when it is not known how the process ended: it could not
    be killed and lives on, as process ``pid``, or a process that traces it keeps its exit status. ``stderr`` is the
    last :data:`STDERR_LIMIT` bytes. ``duration`` and ``cpu_seconds`` are in seconds, ``max_rss`` in bytes; it is never
    below that of this process, with whose memory a plugin starts. ``timed_out``: the deadline passed, and the process
    was ended, or was to be. ``overflow``: it printed more than :data:`STDOUT_LIMIT` bytes and was ended; ``stdout`` is
    cut there.
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
    pid: int | None = None


class Runner(Protocol):
    """The seam: runs every plugin and does every wait of an operation.

    A runner that wraps another one, or a subclass that replaces :meth:`run`, sees each plugin call: nothing runs a
    plugin but :meth:`run` of the object itself.

    It does what an operation decides, and is all that an operation can wait for.

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


class FileRunner(Protocol):
    """Optional abilities of a runner, looked up on its type, so that a wrapper does not inherit them."""

    run_with_hooks: ClassVar[Callable[[Any, PluginCall], Coroutine[Any, Any, PluginOutput]]]
    """The function ``run`` that runs the hooks of a :class:`HookedCall`; a function in its place may not."""

    async def do(self, steps: Steps[T]) -> T:
        """Do small pieces of file work, and the syncs between them where they hold up no event loop."""
        ...


def runs_hooks(runner: Runner) -> bool:
    """Return whether the runner runs the hooks of a :class:`HookedCall`."""
    run: object = getattr(type(runner), "run", None)
    is_own = run is not None and run is getattr(type(runner), "run_with_hooks", None)
    return is_own and "run" not in getattr(runner, "__dict__", ())


async def do_steps(runner: Runner, steps: Steps[T]) -> T:
    """Do small pieces of file work, and what syncs there are between them.

    A runner that has no :meth:`FileRunner.do` has it done as one piece that may block.
    """
    do: Callable[[Runner, Steps[T]], Coroutine[Any, Any, T]] | None = getattr(type(runner), "do", None)
    return await runner.call(partial(finish, steps)) if do is None else await do(runner, steps)


async def run_shielded(runner: Runner, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a job to its end, also when an interrupt comes in the moment before the shield of the runner is up."""
    begun: list[bool] = []

    def begin() -> Coroutine[Any, Any, T]:
        begun.append(True)
        return job()

    try:
        return await runner.shielded(begin)
    except BaseException:
        if not begun:
            await runner.shielded(job)
        raise
