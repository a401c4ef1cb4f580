"""Events of plugin calls and operations, and the places that they can be sent to: logs, traces and metrics.

``CNIConfig(..., on_event=...)`` takes a callable, which gets a :class:`PluginEvent` for each plugin call, or one of the
observers made here. Each loads what it needs when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.invoke.events import Observer, Operation, OperationEvent, PluginEvent, PluginStart, current_operation

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from opentelemetry.trace import Tracer

    from libcni.observe.metrics import Metrics

__all__ = [
    "Observer",
    "Operation",
    "OperationEvent",
    "PluginEvent",
    "PluginStart",
    "combine",
    "current_operation",
    "to_logging",
    "to_opentelemetry",
    "to_prometheus",
]


def combine(*receivers: Callable[[PluginEvent], object]) -> Observer:
    """Return an observer that hands each event to several; what one of them raises, the others do not notice."""
    from libcni.observe.several import Several  # noqa: PLC0415 -- loaded when it is asked for, as all below

    return Several(receivers)


def to_logging(logger: logging.Logger | None = None) -> Observer:
    """Return an observer that writes one line for each ADD and DEL at INFO, and all else at DEBUG.

    :param logger: ``libcni.events`` when left out.
    """
    from libcni.observe.log_lines import LogLines  # noqa: PLC0415 -- as above

    return LogLines(logger)


def to_opentelemetry(tracer: Tracer | None = None) -> Observer:
    """Return an observer that makes a span of each operation and of each plugin call in it.

    The plugins get ``TRACEPARENT``, and ``TRACESTATE`` and ``BAGGAGE`` where there are any, in their environment.

    :param tracer: that of the global provider when left out.
    :raises MissingExtraError: if opentelemetry-api is not installed.
    """
    from libcni.observe.tracing import make_tracing  # noqa: PLC0415 -- as above

    return make_tracing(tracer)


def to_prometheus() -> Metrics:
    """Return an observer that counts: its text is for a scrape, and it is a collector for ``prometheus_client``."""
    from libcni.observe.metrics import Metrics  # noqa: PLC0415 -- as above

    return Metrics()
