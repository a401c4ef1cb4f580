"""Events as lines of a log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from libcni.invoke.events import Observer

if TYPE_CHECKING:
    from libcni.invoke.events import Operation, OperationEvent, PluginEvent

__all__ = ["LogLines"]

_AT_INFO = frozenset({"ADD", "DEL"})


class LogLines(Observer):
    """Writes a line for each operation and each plugin call.

    :param logger: ``libcni.events`` when left out.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._log = logging.getLogger("libcni.events") if logger is None else logger

    def __call__(self, event: PluginEvent, /) -> None:
        """Write the line of a plugin call, such as ``plugin bridge ADD dbnet box-1/eth0: exit status 0 in 0.012 s``."""
        self._log.debug(
            "plugin %s %s: %s in %.3f s%s",
            event.plugin,
            _place(event),
            _end_of(event),
            event.duration,
            "" if event.error is None else f": {event.error}",
        )

    def operation_ended(self, event: OperationEvent, /) -> None:
        """Write the line of an operation, such as ``ADD dbnet box-1/eth0: 10.22.0.2/16 in 0.017 s``."""
        operation = event.operation
        level = logging.INFO if operation.verb in _AT_INFO else logging.DEBUG
        self._log.log(
            level,
            "%s%s: %s in %.3f s",
            _place(operation),
            _reason(operation.parent),
            _outcome(event),
            event.duration,
        )


def _place(what: Operation | PluginEvent) -> str:
    words = [what.verb, what.network, f"{what.container_id}/{what.ifname}" if what.container_id else ""]
    return " ".join(word for word in words if word)


def _reason(parent: Operation | None) -> str:
    return "" if parent is None else f" (for {parent.verb})"


def _end_of(event: PluginEvent) -> str:
    if event.signal is not None:
        return f"signal {event.signal}"
    return "no exit status" if event.exit_status is None else f"exit status {event.exit_status}"


def _outcome(event: OperationEvent) -> str:
    if event.error is not None:
        return f"failed: {str(event.error) or type(event.error).__name__}"
    if event.result is not None and event.result.ips:
        return ", ".join(str(ip.address) for ip in event.result.ips)
    return "done"
