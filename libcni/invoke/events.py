"""Events of plugin calls and of the operations that make them, and the observers that get them.

Loaded only where there is an observer: without one a plugin call costs nothing more. Go counterpart: none.
"""

from __future__ import annotations

import itertools
import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from libcni.invoke.environment import PluginEnvironment
from libcni.log import Log
from libcni.protocol.names import is_encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from libcni.invoke.output import Invocation
    from libcni.invoke.runner import PluginOutput
    from libcni.results.result import Result

__all__ = [
    "Observer",
    "Operation",
    "OperationEvent",
    "PluginEvent",
    "PluginStart",
    "WatchedCall",
    "Watcher",
    "current_operation",
]

T = TypeVar("T")

_log = Log("libcni")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One verb that the caller asked for, or that another operation needs: the parent of its plugin calls.

    ``verb`` is ``ADD``, ``CHECK``, ``DEL``, ``GC``, ``STATUS``, ``VERSION`` or ``RECOVER``, or ``SETUP`` or ``REMOVE``
    of a container with all its networks; ``network``, ``container_id`` and ``ifname`` are empty where it concerns none.
    ``number`` is another one for each operation of this process. ``parent`` is the operation that began it: the GC of a
    DEL, for example.
    """

    number: int
    verb: str
    network: str = ""
    container_id: str = ""
    ifname: str = ""
    parent: Operation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationEvent:
    """The end of an operation; ``result`` is that of an ADD. ``duration`` is in seconds, with the wait for locks."""

    operation: Operation
    duration: float
    error: BaseException | None = None
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStart:
    """A plugin call that is about to be made; ``number`` is another one for each call of this process."""

    number: int
    network: str
    plugin: str
    path: str
    verb: str
    container_id: str
    ifname: str
    operation: Operation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEvent(PluginStart):
    """The end of a plugin call.

    ``started`` is in seconds since 1970, ``duration`` and ``cpu_seconds`` in seconds, ``max_rss`` in bytes.
    ``exit_status`` or ``signal`` is set when the plugin ran and its end is known. ``error`` is what the call raises:
    the plugin's own error, an answer that cannot be used, or a cancellation. ``request`` and ``answer`` are what went
    in and came out; they may hold secrets, and stay out of ``repr()``.
    """

    started: float
    duration: float
    exit_status: int | None = None
    signal: int | None = None
    cpu_seconds: float = 0.0
    max_rss: int = 0
    error: BaseException | None = None
    request: bytes = field(default=b"", repr=False)
    answer: bytes = field(default=b"", repr=False)

    @property
    def request_size(self) -> int:
        """Bytes of the request."""
        return len(self.request)

    @property
    def answer_size(self) -> int:
        """Bytes of the answer."""
        return len(self.answer)


class Observer:
    """Gets what happens; a base class whose methods do nothing.

    A plain callable in its place gets the end of each plugin call. All methods are called in the thread of the verb,
    must not block, and cannot hurt it: what they raise is logged.
    """

    def __call__(self, event: PluginEvent, /) -> None:
        """Take the end of a plugin call."""

    def plugin_starts(self, start: PluginStart, /) -> Mapping[str, str]:
        """Take the start of a plugin call, and return more variables for the plugin's environment."""
        del start
        return {}

    def operation_starts(self, operation: Operation, /) -> None:
        """Take the start of an operation."""

    def operation_ended(self, event: OperationEvent, /) -> None:
        """Take the end of an operation."""


_operation: ContextVar[Operation | None] = ContextVar("libcni_operation", default=None)


def current_operation() -> Operation | None:
    """Return the operation that runs in this task or thread; ``None`` if none is observed."""
    return _operation.get()


class Watcher:
    """The side of the library that tells an observer."""

    def __init__(self, on_event: Callable[[PluginEvent], object]) -> None:
        self._tell = on_event
        self._observer = on_event if isinstance(on_event, Observer) else Observer()

    async def operation(
        self, work: Coroutine[Any, Any, T], verb: str, *, network: str, container_id: str, ifname: str
    ) -> T:
        """Do the work of an operation between its two events."""
        operation = Operation(
            number=next(_numbers),
            verb=verb,
            network=network,
            container_id=container_id,
            ifname=ifname,
            parent=_operation.get(),
        )
        token = _operation.set(operation)
        self._safely(self._observer.operation_starts, operation)
        begun = time.perf_counter()
        error: BaseException | None = None
        result: object = None
        try:
            result = answer = await work
        except BaseException as raised:
            error = raised
            raise
        finally:
            _operation.reset(token)
            event = OperationEvent(
                operation=operation,
                duration=time.perf_counter() - begun,
                error=error,
                result=result if verb == "ADD" else None,  # type: ignore[arg-type]  # an ADD returns one
            )
            self._safely(self._observer.operation_ended, event)
        return answer

    def call(self, invocation: Invocation, request: bytes) -> WatchedCall:
        """Return the context of one plugin call; its two events are told at its ends."""
        start = PluginStart(
            number=next(_numbers),
            network=invocation.network,
            plugin=invocation.plugin,
            path=invocation.path,
            verb=invocation.command,
            container_id=invocation.container_id,
            ifname=invocation.ifname,
            operation=_operation.get(),
        )
        return WatchedCall(self, start, request)

    def starts(self, start: PluginStart) -> Mapping[str, str]:
        """Tell the start of a plugin call, and return the variables for its environment that can be there."""
        given: Mapping[str, str] = self._safely(self._observer.plugin_starts, start) or {}
        return {name: text for name, text in given.items() if name and "=" not in name and is_encodable(name + text)}

    def ended(self, event: PluginEvent) -> None:
        """Tell the end of a plugin call."""
        self._safely(self._tell, event)

    def _safely(self, tell: Callable[[Any], T], event: object) -> T | None:
        try:
            return tell(event)
        except Exception:  # noqa: BLE001 -- logged; it is the observer's
            _log.exception("on_event raised; the operation goes on")
            return None


class WatchedCall:
    """A plugin call that is observed: a context whose end makes the event."""

    def __init__(self, watcher: Watcher, start: PluginStart, request: bytes) -> None:
        self._watcher = watcher
        self._start = start
        self._request = request
        self._variables: Mapping[str, str] = {}
        self._started = time.time()
        self._begun = time.perf_counter()
        self.output: PluginOutput | None = None
        """Set by the caller when there is one."""

    def environment(self, given: PluginEnvironment) -> PluginEnvironment:
        """Return the environment of the plugin with the variables of the observer."""
        if not self._variables:
            return given
        allowed = {name: text for name, text in self._variables.items() if name not in given.own}
        return PluginEnvironment({**given.passed_on, **allowed}, given.own)

    def __enter__(self) -> Self:
        self._variables = self._watcher.starts(self._start)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        start, output = self._start, self.output
        duration = time.perf_counter() - self._begun if output is None else output.duration
        event = PluginEvent(
            number=start.number,
            network=start.network,
            plugin=start.plugin,
            path=start.path,
            verb=start.verb,
            container_id=start.container_id,
            ifname=start.ifname,
            operation=start.operation,
            started=self._started,
            duration=duration,
            exit_status=None if output is None else output.exit_status,
            signal=None if output is None else output.signal,
            cpu_seconds=0.0 if output is None else output.cpu_seconds,
            max_rss=0 if output is None else output.max_rss,
            error=exc,
            request=self._request,
            answer=b"" if output is None else output.stdout,
        )
        self._watcher.ended(event)
