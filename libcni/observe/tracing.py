"""Events as spans of OpenTelemetry, and the context of a span in the environment of a plugin.

Source: W3C Trace Context and Baggage, and the convention that carries them in environment variables.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from libcni.errors import MissingExtraError
from libcni.invoke.events import Observer

try:
    from opentelemetry import trace
    from opentelemetry.baggage.propagation import W3CBaggagePropagator
    from opentelemetry.context import get_current
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise MissingExtraError("tracing", "otel") from None

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from libcni.invoke.events import Operation, OperationEvent, PluginEvent, PluginStart

__all__ = ["Tracing", "make_tracing"]

_PROPAGATORS = TraceContextTextMapPropagator(), W3CBaggagePropagator()


class Tracing(Observer):
    """Makes spans: one for each operation, below the span that is current where it was called, and one for each call.

    The span of a plugin call carries exit status or signal, processor time, memory and sizes.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._lock = threading.Lock()
        self._open: dict[int, Span] = {}
        """By the number of the operation or of the call."""

    def operation_starts(self, operation: Operation, /) -> None:
        """Start the span of an operation."""
        span = self._tracer.start_span(
            f"cni {operation.verb}",
            context=self._context_below(operation.parent),
            attributes=_attributes(operation),
        )
        with self._lock:
            self._open[operation.number] = span

    def operation_ended(self, event: OperationEvent, /) -> None:
        """End the span of an operation."""
        span = self._taken(event.operation.number)
        if span is not None:
            if event.result is not None:
                span.set_attribute("cni.addresses", [str(ip.address) for ip in event.result.ips])
            _end(span, event.error)

    def plugin_starts(self, start: PluginStart, /) -> Mapping[str, str]:
        """Start the span of a plugin call, and return the variables that make it the parent of the plugin's spans."""
        context = self._context_below(start.operation)
        span = self._tracer.start_span(
            f"cni plugin {start.plugin} {start.verb}",
            context=context,
            kind=trace.SpanKind.CLIENT,
            attributes=_attributes(start) | {"cni.plugin": start.plugin, "process.executable.path": start.path},
        )
        with self._lock:
            self._open[start.number] = span
        carrier: dict[str, str] = {}
        for propagator in _PROPAGATORS:
            propagator.inject(carrier, trace.set_span_in_context(span, context))
        return {name.upper(): text for name, text in carrier.items()}

    def __call__(self, event: PluginEvent, /) -> None:
        """End the span of a plugin call."""
        span = self._taken(event.number)
        if span is None:
            return
        if event.exit_status is not None:
            span.set_attribute("process.exit.code", event.exit_status)
        if event.signal is not None:
            span.set_attribute("cni.signal", event.signal)
        span.set_attributes(
            {
                "cni.cpu_seconds": event.cpu_seconds,
                "cni.max_rss": event.max_rss,
                "cni.request_size": event.request_size,
                "cni.answer_size": event.answer_size,
            }
        )
        _end(span, event.error)

    def _context_below(self, operation: Operation | None) -> Context:
        """Return the current context, with the span of an operation in it as the parent."""
        with self._lock:
            parent = None if operation is None else self._open.get(operation.number)
        return get_current() if parent is None else trace.set_span_in_context(parent, get_current())

    def _taken(self, number: int) -> Span | None:
        with self._lock:
            return self._open.pop(number, None)


def _attributes(place: Operation | PluginStart) -> dict[str, str]:
    known = {
        "cni.verb": place.verb,
        "cni.network": place.network,
        "cni.container_id": place.container_id,
        "cni.ifname": place.ifname,
    }
    return {name: text for name, text in known.items() if text}


def _end(span: Span, error: BaseException | None) -> None:
    if error is not None:
        span.record_exception(error)
        span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
    span.end()


def make_tracing(tracer: Tracer | None) -> Tracing:
    """Return the observer; without a tracer, with that of the global provider."""
    return Tracing(trace.get_tracer("libcni") if tracer is None else tracer)
