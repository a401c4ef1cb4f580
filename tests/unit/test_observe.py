from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from libcni import CNIConfig, MissingExtraError, PluginError, RuntimeConf, network_conf_from_bytes
from libcni.invoke.events import WatchedCall, Watcher
from libcni.invoke.output import Invocation
from libcni.invoke.runner import PluginOutput
from libcni.observe import Observer, PluginEvent, combine, to_logging, to_opentelemetry, to_prometheus
from libcni.observe.metrics import CONTENT_TYPE
from libcni.testing import ScriptedRunner, failure, success

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.5/16"}, {"address": "fd00::5/64"}]}
NETWORK = network_conf_from_bytes(
    '{"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "one"}, {"type": "two"}]}'
)
ROOT = Path(__file__).parents[2]
BOX = RuntimeConf("box", "", "eth0")


@pytest.fixture
def runner() -> ScriptedRunner:
    answer = PluginOutput(success(RESULT).stdout, duration=0.02, cpu_seconds=0.5, max_rss=1000)
    return ScriptedRunner({("one", "ADD"): answer, ("two", "ADD"): success(RESULT)})


@pytest.fixture
def make(runner: ScriptedRunner, tmp_path: Path) -> Callable[..., CNIConfig]:
    def build(on_event: Any) -> CNIConfig:
        return CNIConfig(["/p"], cache_dir=tmp_path / "cache", runner=runner, durable=False, on_event=on_event)

    return build


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> trace.Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider.get_tracer("tests")


def fail_second(runner: ScriptedRunner) -> None:
    runner.answer("two", "ADD", failure(11, "busy"))


def test_log_has_a_line_for_each_operation_and_each_call(
    make: Callable[..., CNIConfig], caplog: pytest.LogCaptureFixture
) -> None:
    config = make(to_logging())
    with caplog.at_level(logging.DEBUG, "libcni.events"):
        config.add_network_list(NETWORK, BOX)
        config.check_network_list(NETWORK, BOX)
        config.del_network_list(NETWORK, BOX)
    lines: dict[int, list[str]] = {logging.INFO: [], logging.DEBUG: []}
    for record in caplog.records:
        lines[record.levelno].append(record.message)
    added, deleted = lines[logging.INFO]
    assert added.startswith("ADD net box/eth0: 10.1.0.5/16, fd00::5/64 in 0.0")
    assert deleted.startswith("DEL net box/eth0: done in 0.0")
    assert len(lines[logging.DEBUG]) == 7
    assert lines[logging.DEBUG][0] == "plugin one ADD net box/eth0: exit status 0 in 0.020 s"
    assert lines[logging.DEBUG][4].startswith("CHECK net box/eth0: done")


def test_log_says_why_something_failed_and_for_what_it_was_done(
    make: Callable[..., CNIConfig], runner: ScriptedRunner, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("of.mine")
    config = make(to_logging(logger))
    runner.answer("two", "ADD", [PluginOutput(exit_status=None, signal=9), PluginOutput(exit_status=None)])
    with caplog.at_level(logging.DEBUG, "of.mine"):
        for container_id in ("box", "other"):
            with pytest.raises(PluginError):
                config.add_network_list(NETWORK, RuntimeConf(container_id, "", "eth0"), rollback=False)
        config.recover()
    text = caplog.text
    assert "plugin two ADD net box/eth0: signal 9 in 0.000 s: plugin 'two'" in text
    assert "plugin two ADD net other/eth0: no exit status in" in text
    assert "ADD net box/eth0: failed: plugin 'two'" in text
    assert "DEL net box/eth0 (for RECOVER): done" in text
    assert "RECOVER: done" in text


def test_error_without_a_text_is_named_by_its_class(caplog: pytest.LogCaptureFixture) -> None:
    watcher = Watcher(to_logging())

    async def interrupted() -> None:
        raise KeyboardInterrupt

    with caplog.at_level(logging.INFO, "libcni.events"), pytest.raises(KeyboardInterrupt):
        watcher.operation(interrupted(), "DEL", network="net", container_id="", ifname="").send(None)
    assert "DEL net: failed: KeyboardInterrupt in" in caplog.text


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


def test_spans_follow_the_tree_of_calls(
    make: Callable[..., CNIConfig], spans: InMemorySpanExporter, tracer: trace.Tracer
) -> None:
    with tracer.start_as_current_span("start container") as outer:
        make(to_opentelemetry(tracer)).add_network_list(NETWORK, BOX)
    found = by_name(spans)
    add, one = found["cni ADD"], found["cni plugin one ADD"]
    assert add.parent is not None
    assert add.parent.span_id == outer.get_span_context().span_id
    assert one.parent == add.context == found["cni plugin two ADD"].parent
    assert dict(add.attributes or {}) == {
        "cni.verb": "ADD",
        "cni.network": "net",
        "cni.container_id": "box",
        "cni.ifname": "eth0",
        "cni.addresses": ("10.1.0.5/16", "fd00::5/64"),
    }
    attributes = dict(one.attributes or {})
    assert attributes["cni.plugin"] == "one"
    assert attributes["process.executable.path"] == "/scripted/one"
    assert (attributes["process.exit.code"], attributes["cni.max_rss"]) == (0, 1000)
    assert attributes["cni.cpu_seconds"] == 0.5
    assert one.status.is_unset


def test_failed_call_is_a_failed_span(
    make: Callable[..., CNIConfig], runner: ScriptedRunner, spans: InMemorySpanExporter, tracer: trace.Tracer
) -> None:
    runner.answer("two", "ADD", PluginOutput(exit_status=None, signal=9))
    with pytest.raises(PluginError):
        make(to_opentelemetry(tracer)).add_network_list(NETWORK, BOX)
    found = by_name(spans)
    for name in ("cni ADD", "cni plugin two ADD"):
        assert found[name].status.status_code is trace.StatusCode.ERROR
        assert found[name].events[0].name == "exception"
    assert dict(found["cni plugin two ADD"].attributes or {})["cni.signal"] == 9
    assert found["cni plugin two DEL"].parent == found["cni ADD"].context


def test_plugin_gets_the_context_of_its_span(
    make: Callable[..., CNIConfig], runner: ScriptedRunner, spans: InMemorySpanExporter, tracer: trace.Tracer
) -> None:
    state = trace.TraceState([("vendor", "value")])
    remote = trace.SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=trace.TraceFlags(1), trace_state=state)
    here = trace.set_span_in_context(trace.NonRecordingSpan(remote), baggage.set_baggage("tenant", "blue"))
    token = context.attach(here)
    try:
        make(to_opentelemetry(tracer)).add_network_list(NETWORK, BOX)
    finally:
        context.detach(token)
    one = by_name(spans)["cni plugin one ADD"].context
    assert one is not None
    environment = runner.calls[0].environment
    assert environment["TRACEPARENT"] == f"00-{one.trace_id:032x}-{one.span_id:016x}-01"
    assert one.trace_id == 0x1234
    assert environment["TRACESTATE"] == "vendor=value"
    assert environment["BAGGAGE"] == "tenant=blue"
    assert runner.calls[1].environment["TRACEPARENT"] != environment["TRACEPARENT"]


def test_tracer_is_the_global_one_when_none_is_given(make: Callable[..., CNIConfig], runner: ScriptedRunner) -> None:
    make(to_opentelemetry()).add_network_list(NETWORK, BOX)  # there is none, and no context to hand on
    assert "TRACEPARENT" not in runner.calls[0].environment


def test_end_without_a_start_is_left_out(spans: InMemorySpanExporter, tracer: trace.Tracer) -> None:
    tracing = to_opentelemetry(tracer)
    watched = WatchedCall(Watcher(tracing), Watcher(tracing).call(Invocation("one", "", "ADD"), b"")._start, b"")
    watched.__exit__(None, None, None)
    assert spans.get_finished_spans() == ()


def test_tracing_without_its_package_names_the_extra() -> None:
    program = """
import sys
sys.modules["opentelemetry"] = None
from libcni import MissingExtraError
from libcni.observe import to_opentelemetry
try:
    to_opentelemetry()
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "libcni[otel]" in done.stdout
    assert issubclass(MissingExtraError, Exception)


def parsed(text: str) -> dict[str, float]:
    """Return each sample of an exposition, as the client library of Prometheus reads it."""
    return {
        f"{sample.name} {' '.join(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def samples(text: str) -> set[tuple[str, float, frozenset[tuple[str, str]]]]:
    return {
        (sample.name, sample.value, frozenset(sample.labels.items()))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_exposition_is_read_by_the_client_library(make: Callable[..., CNIConfig], runner: ScriptedRunner) -> None:
    metrics = to_prometheus()
    config = make(metrics)
    assert parsed(metrics.text()) == {}
    config.add_network_list(NETWORK, BOX)
    fail_second(runner)
    with pytest.raises(PluginError):
        config.add_network_list(NETWORK, RuntimeConf("other", "", "eth0"), rollback=False)
    found = parsed(metrics.text())
    assert found["libcni_plugin_calls_total one ADD net success"] == 2
    assert found["libcni_plugin_calls_total two ADD net failure"] == 1
    assert found["libcni_operations_total ADD net success"] == 1
    assert found["libcni_operations_total ADD net failure"] == 1
    assert found["libcni_operations_running ADD"] == 0
    assert found["libcni_plugin_max_rss_bytes one ADD"] == 1000
    assert found["libcni_plugin_cpu_seconds_total one ADD"] == 1.0
    assert found["libcni_plugin_duration_seconds_bucket one ADD 0.01"] == 0
    assert found["libcni_plugin_duration_seconds_bucket one ADD 0.025"] == 2
    assert found["libcni_plugin_duration_seconds_bucket one ADD +Inf"] == 2
    assert found["libcni_plugin_duration_seconds_count one ADD"] == 2
    assert found["libcni_plugin_duration_seconds_sum one ADD"] == pytest.approx(0.04)
    assert CONTENT_TYPE.startswith("text/plain; version=0.0.4")


def test_collector_gives_the_same_as_the_text(make: Callable[..., CNIConfig]) -> None:
    metrics = to_prometheus()
    make(metrics).add_network_list(NETWORK, BOX)
    registry = CollectorRegistry()
    registry.register(metrics)
    written = generate_latest(registry).decode()
    assert samples(written) == samples(metrics.text()) != set()
    assert registry.get_sample_value("libcni_operations_total", {"verb": "ADD", "network": "net", "outcome": "success"})


def test_label_with_signs_of_the_format_survives() -> None:
    metrics = to_prometheus()
    odd = 'a"b\\c\nd'
    with Watcher(metrics).call(Invocation(odd, "", "ADD"), b""):
        pass
    (sample,) = [
        sample
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
        if sample.name == "libcni_plugin_calls_total"
    ]
    assert sample.labels["plugin"] == odd


def test_several_observers_all_get_what_one_of_them_cannot_take(
    make: Callable[..., CNIConfig], runner: ScriptedRunner, tracer: trace.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: PluginEvent) -> None:
        raise ValueError(event.verb)

    class Tells(Observer):
        def plugin_starts(self, start: object, /) -> dict[str, str]:
            del start
            return {"MINE": "yes"}

    metrics = to_prometheus()
    config = make(combine(broken, Tells(), to_opentelemetry(tracer), metrics))
    with caplog.at_level(logging.ERROR, "libcni"):
        config.add_network_list(NETWORK, BOX)
    assert "ValueError: ADD" in caplog.text
    environment = runner.calls[0].environment
    assert environment["MINE"] == "yes"
    assert "TRACEPARENT" in environment
    assert parsed(metrics.text())["libcni_operations_total ADD net success"] == 1


def page() -> str:
    return (ROOT / "docs" / "observing.md").read_text(encoding="utf-8")


def test_examples_of_the_page_run() -> None:
    examples = re.findall(r"```python\n(.*?)```", page(), re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        subprocess.run([sys.executable, "-W", "error", "-c", example], check=True, timeout=60, capture_output=True)


def test_page_lists_every_metric() -> None:
    rows = re.findall(r"^\| `(libcni_\w+)`", page(), re.MULTILINE)
    assert rows == re.findall(r"^# TYPE (\S+)", to_prometheus().text(), re.MULTILINE)
