"""Several observers in the place of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.invoke.events import Observer
from libcni.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcni.invoke.events import Operation, OperationEvent, PluginEvent, PluginStart

__all__ = ["Several"]

_log = Log("libcni")


class Several(Observer):
    """Hands each event to all receivers, in order."""

    def __init__(self, receivers: Sequence[Callable[[PluginEvent], object]]) -> None:
        self._receivers = tuple(receivers)
        self._observers = tuple(each for each in receivers if isinstance(each, Observer))

    def __call__(self, event: PluginEvent, /) -> None:
        """Take the end of a plugin call."""
        for receiver in self._receivers:
            _safely(receiver, event)

    def plugin_starts(self, start: PluginStart, /) -> Mapping[str, str]:
        """Take the start of a plugin call, and return the variables of all; of one name, those of the last."""
        variables: dict[str, str] = {}
        for observer in self._observers:
            variables |= _safely(observer.plugin_starts, start) or {}
        return variables

    def operation_starts(self, operation: Operation, /) -> None:
        """Take the start of an operation."""
        for observer in self._observers:
            _safely(observer.operation_starts, operation)

    def operation_ended(self, event: OperationEvent, /) -> None:
        """Take the end of an operation."""
        for observer in self._observers:
            _safely(observer.operation_ended, event)


def _safely(tell: Callable[[Any], Any], event: object) -> Any:
    try:
        return tell(event)
    except Exception:  # noqa: BLE001 -- logged; it is the observer's
        _log.exception("on_event raised; the operation and the other observers go on")
        return None
