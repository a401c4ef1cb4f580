"""Events as metrics of Prometheus: counted here, written as text, or handed to its client library.

Labels are networks, plugins, verbs and outcomes; containers are none, as there is no end of them. Source: the text
format of Prometheus, version 0.0.4.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from libcni.invoke.events import Observer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from libcni.invoke.events import Operation, OperationEvent, PluginEvent

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the answer to a scrape."""

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds in seconds: a chain of plugins takes 0.015 s or so, and one plugin 120 s at the most by default."""


class _Family(NamedTuple):
    """A metric: its name, its type, its labels, and a sentence about it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


_CALLS = _Family(
    "libcni_plugin_calls", "counter", ("plugin", "verb", "network", "outcome"), "Plugin calls that have ended."
)
_CALL_SECONDS = _Family(
    "libcni_plugin_duration_seconds", "histogram", ("plugin", "verb"), "Wall time of a plugin call."
)
_CPU_SECONDS = _Family(
    "libcni_plugin_cpu_seconds", "counter", ("plugin", "verb"), "Processor time of plugins, in seconds."
)
_MEMORY = _Family(
    "libcni_plugin_max_rss_bytes", "gauge", ("plugin", "verb"), "Largest resident memory of a plugin call so far."
)
_OPERATIONS = _Family("libcni_operations", "counter", ("verb", "network", "outcome"), "Operations that have ended.")
_OPERATION_SECONDS = _Family(
    "libcni_operation_duration_seconds", "histogram", ("verb", "network"), "Wall time of an operation, locks included."
)
_RUNNING = _Family("libcni_operations_running", "gauge", ("verb",), "Operations that have begun and not ended.")

_FAMILIES = (_CALLS, _CALL_SECONDS, _CPU_SECONDS, _MEMORY, _OPERATIONS, _OPERATION_SECONDS, _RUNNING)


class _Sample(NamedTuple):
    """One line: suffix of the name, labels, value."""

    suffix: str
    labels: dict[str, str]
    value: float


class _Histogram:
    """The number of values in each bucket, and their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def note(self, value: float) -> None:
        self._counts[bisect_left(_BUCKETS, value)] += 1
        self._sum += value

    def samples(self, labels: dict[str, str]) -> Iterator[_Sample]:
        totals = list(accumulate(self._counts))
        for bound, total in zip([*map(str, _BUCKETS), "+Inf"], totals, strict=True):
            yield _Sample("_bucket", labels | {"le": bound}, total)
        yield _Sample("_sum", labels, self._sum)
        yield _Sample("_count", labels, totals[-1])


class Metrics(Observer):
    """Counts what it is told; safe to share between threads, and between several ``CNIConfig``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: dict[_Family, dict[tuple[str, ...], float]] = {each: {} for each in _FAMILIES}
        self._histograms: dict[_Family, dict[tuple[str, ...], _Histogram]] = {each: {} for each in _FAMILIES}

    def __call__(self, event: PluginEvent, /) -> None:
        """Count a plugin call."""
        place = event.plugin, event.verb
        with self._lock:
            self._add(_CALLS, (*place, event.network, _outcome(event.error)))
            self._note(_CALL_SECONDS, place, event.duration)
            self._add(_CPU_SECONDS, place, event.cpu_seconds)
            memory = self._numbers[_MEMORY]
            memory[place] = max(memory.get(place, 0), event.max_rss)

    def operation_starts(self, operation: Operation, /) -> None:
        """Count an operation that runs."""
        with self._lock:
            self._add(_RUNNING, (operation.verb,))

    def operation_ended(self, event: OperationEvent, /) -> None:
        """Count an operation."""
        verb, network = event.operation.verb, event.operation.network
        with self._lock:
            self._add(_RUNNING, (verb,), -1)
            self._add(_OPERATIONS, (verb, network, _outcome(event.error)))
            self._note(_OPERATION_SECONDS, (verb, network), event.duration)

    def _add(self, family: _Family, labels: tuple[str, ...], value: float = 1) -> None:
        numbers = self._numbers[family]
        numbers[labels] = numbers.get(labels, 0) + value

    def _note(self, family: _Family, labels: tuple[str, ...], value: float) -> None:
        self._histograms[family].setdefault(labels, _Histogram()).note(value)

    def _samples(self, family: _Family) -> list[_Sample]:
        suffix = "_total" if family.kind == "counter" else ""
        with self._lock:
            found = [
                _Sample(suffix, _named(family, values), number) for values, number in self._numbers[family].items()
            ]
            for values, histogram in self._histograms[family].items():
                found += histogram.samples(_named(family, values))
        return found

    def text(self) -> str:
        """Return everything in the text format; its content type is :data:`CONTENT_TYPE`."""
        lines: list[str] = []
        for family in _FAMILIES:
            name = f"{family.name}_total" if family.kind == "counter" else family.name
            lines += [f"# HELP {name} {family.text}", f"# TYPE {name} {family.kind}"]
            lines += [
                f"{family.name}{suffix}{_written(labels)} {value:.17g}"
                for suffix, labels, value in self._samples(family)
            ]
        return "\n".join([*lines, ""])

    def collect(self) -> Iterator[Metric]:
        """Go through everything as ``prometheus_client`` wants it: ``REGISTRY.register(metrics)``."""
        from prometheus_client import Metric  # noqa: PLC0415 -- it calls this

        for family in _FAMILIES:
            metric = Metric(family.name, family.text, family.kind)
            for suffix, labels, value in self._samples(family):
                metric.add_sample(f"{family.name}{suffix}", labels, value)
            yield metric


def _outcome(error: BaseException | None) -> str:
    return "success" if error is None else "failure"


def _named(family: _Family, values: Sequence[str]) -> dict[str, str]:
    return dict(zip(family.labels, values, strict=True))


def _written(labels: dict[str, str]) -> str:
    pairs = [f'{name}="{_escaped(text)}"' for name, text in labels.items()]
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
