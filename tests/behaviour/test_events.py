"""Events: each plugin call is told with all that is known of it, belongs to an operation, and hurts nothing."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from libcni import InvalidParameterError, LockTimeoutError, PluginError, PluginNotFoundError
from libcni.invoke.runner import PluginOutput
from libcni.observe import Observer, Operation, OperationEvent, PluginEvent, PluginStart, current_operation
from libcni.storage.locks import container_lock
from libcni.storage.store import Store
from libcni.testing import ScriptedRunner, failure, success

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from .conftest import Runtime

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.5/16"}]}


class Notes(Observer):
    """Keeps all that it gets, in order."""

    def __init__(self) -> None:
        self.calls: list[PluginEvent] = []
        self.begun: list[Operation] = []
        self.operations: list[OperationEvent] = []
        self.variables: dict[str, str] = {}

    def __call__(self, event: PluginEvent, /) -> None:
        self.calls.append(event)

    def plugin_starts(self, start: PluginStart, /) -> Mapping[str, str]:
        assert start.operation == current_operation()
        return self.variables

    def operation_starts(self, operation: Operation, /) -> None:
        self.begun.append(operation)

    def operation_ended(self, event: OperationEvent, /) -> None:
        self.operations.append(event)

    def verbs(self) -> list[str]:
        return [f"{event.plugin} {event.verb}" for event in self.calls]


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner({("one", "ADD"): success(RESULT), ("two", "ADD"): success(RESULT)})


@pytest.fixture
def notes() -> Notes:
    return Notes()


def test_plain_callable_gets_one_event_for_each_plugin_call(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    events: list[PluginEvent] = []
    answer = PluginOutput(success(RESULT).stdout, duration=0.25, max_rss=4096, cpu_seconds=0.125)
    runner.answer("one", "ADD", answer)
    make(runner, on_event=events.append).add_network_list(network("one", "two"), attachment(netns="/run/netns/x"))
    first, second = events
    assert (first.plugin, first.verb, first.network, first.path) == ("one", "ADD", "net", "/scripted/one")
    assert (first.container_id, first.ifname) == ("box", "eth0")
    assert (first.exit_status, first.signal, first.error) == (0, None, None)
    assert (first.duration, first.max_rss, first.cpu_seconds) == (0.25, 4096, 0.125)
    assert first.request == runner.calls[0].stdin
    assert first.answer == answer.stdout
    assert (first.request_size, first.answer_size) == (len(first.request), len(first.answer))
    assert first.answer.decode() not in repr(first)
    assert first.operation == second.operation
    assert first.number != second.number
    assert second.started >= first.started > 1e9


def test_operation_is_told_at_its_ends_with_its_result(
    make: Callable[..., Runtime], runner: ScriptedRunner, notes: Notes
) -> None:
    runner.answer("one", "VERSION", success({"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}))
    runtime = make(runner, on_event=notes)
    result = runtime.add_network_list(network("one"), attachment())
    runtime.check_network_list(network("one"), attachment())
    runtime.del_network_list(network("one"), attachment())
    runtime.get_status_network_list(network("one"))
    runtime.get_version_info("one")
    added, *others = notes.operations
    assert (added.operation.verb, added.operation.network) == ("ADD", "net")
    assert (added.operation.container_id, added.operation.ifname) == ("box", "eth0")
    assert added.result == result
    assert added.duration > 0
    assert [event.operation.verb for event in others] == ["CHECK", "DEL", "STATUS", "VERSION"]
    assert all(event.result is None and event.error is None for event in others)
    assert notes.begun == [event.operation for event in notes.operations]
    assert len({event.operation.number for event in notes.operations}) == 5
    assert current_operation() is None


def test_failed_call_and_its_roll_back_belong_to_one_operation(
    make: Callable[..., Runtime], runner: ScriptedRunner, notes: Notes
) -> None:
    runner.answer("two", "ADD", failure(11, "busy", status=3))
    with pytest.raises(PluginError) as caught:
        make(runner, on_event=notes).add_network_list(network("one", "two"), attachment())
    assert notes.verbs() == ["one ADD", "two ADD", "two DEL", "one DEL"]
    assert {event.operation for event in notes.calls} == {notes.begun[0]}
    assert [event.error for event in notes.calls] == [None, caught.value, None, None]
    assert notes.calls[1].exit_status == 3
    assert notes.operations[0].error is caught.value


@pytest.mark.parametrize(
    ("answer", "exit_status", "signal"),
    [
        (PluginOutput(b"no JSON"), 0, None),
        (PluginOutput(exit_status=None, signal=9), None, 9),
        (OSError("cannot start"), None, None),
    ],
    ids=["bad-answer", "signal", "not-started"],
)
def test_call_that_did_not_go_well_has_its_error(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    notes: Notes,
    answer: Any,
    exit_status: int | None,
    signal: int | None,
) -> None:
    runner.answer("one", "ADD", answer)
    with pytest.raises(PluginError) as caught:
        make(runner, on_event=notes).add_network_list(network("one"), attachment(), rollback=False)
    (event,) = notes.calls
    assert (event.exit_status, event.signal, event.error) == (exit_status, signal, caught.value)


def test_operation_that_runs_no_plugin_is_told_too(
    make: Callable[..., Runtime], runner: ScriptedRunner, notes: Notes, tmp_path: Path
) -> None:
    runner.missing.add("one")
    runtime = make(runner, on_event=notes, lock_timeout=0)
    with pytest.raises(PluginNotFoundError):
        runtime.add_network_list(network("one"), attachment())
    held = Store(str(tmp_path / "cache"), durable=False).locks.try_lock(container_lock("box"))
    assert held is not None
    with pytest.raises(LockTimeoutError):
        runtime.del_network_list(network("two"), attachment())
    held.release()
    assert [type(event.error) for event in notes.operations] == [PluginNotFoundError, LockTimeoutError]
    assert notes.calls == []


def test_collection_and_recovery_are_the_parents_of_what_they_delete(
    make: Callable[..., Runtime], notes: Notes, tmp_path: Path
) -> None:
    # Real plugins: the runners of the library, whose threads and tasks run several containers at once.
    plugin = tmp_path / "one"
    plugin.write_text('#!/bin/sh\nread -r request\n[ "$CNI_COMMAND" != ADD ] || echo \'{"cniVersion": "1.1.0"}\'\n')
    plugin.chmod(0o755)
    runtime = make(on_event=notes)
    runtime.config._context.caller = runtime.config._context.caller._replace(paths=(str(tmp_path),))
    for container_id in ("a", "b", "c"):
        runtime.add_network_list(network("one"), attachment(container_id))
    notes.calls.clear()
    notes.operations.clear()
    assert len(runtime.gc_network_list(network("one"), [])) == 3
    *deleted, collected = notes.operations
    assert (collected.operation.verb, collected.operation.network) == ("GC", "net")
    assert {event.operation.verb for event in deleted} == {"DEL"}
    assert {event.operation.parent for event in deleted} == {collected.operation}
    assert {event.operation.container_id for event in deleted} == {"a", "b", "c"}
    own = {event.container_id: event.operation for event in notes.calls if event.verb == "DEL"}
    assert own == {event.operation.container_id: event.operation for event in deleted}
    assert [event.operation for event in notes.calls if event.verb == "GC"] == [collected.operation]


def test_recovery_is_the_parent_of_its_deletions(
    make: Callable[..., Runtime], runner: ScriptedRunner, notes: Notes
) -> None:
    runtime = make(runner, on_event=notes)
    runner.answer("one", "ADD", failure(7, "no"))
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one"), attachment(), rollback=False)
    notes.operations.clear()
    assert [report.done for report in runtime.recover()] == [True]
    deleted, recovered = notes.operations
    assert (deleted.operation.verb, deleted.operation.parent) == ("DEL", recovered.operation)
    assert recovered.operation.verb == "RECOVER"


def test_observer_that_raises_hurts_no_verb_and_is_logged(
    make: Callable[..., Runtime], runner: ScriptedRunner, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Observer):
        def __call__(self, event: PluginEvent, /) -> None:
            raise ValueError(f"cannot take {event.verb}")

        plugin_starts = operation_starts = operation_ended = __call__  # type: ignore[assignment]  # all of them raise

    with caplog.at_level(logging.ERROR, "libcni"):
        make(runner, on_event=Broken()).add_network_list(network("one"), attachment())
    assert [record.message for record in caplog.records] == ["on_event raised; the operation goes on"] * 4
    assert "cannot take ADD" in caplog.text or "has no attribute" in caplog.text


def test_variables_of_an_observer_reach_the_plugin_and_change_nothing_of_the_protocol(
    make: Callable[..., Runtime], runner: ScriptedRunner, notes: Notes
) -> None:
    notes.variables = {"TRACEPARENT": "00-1", "CNI_COMMAND": "DEL", "a=b": "c", "": "d", "NUL": "\0"}
    make(runner, on_event=notes, environ={"HOME": "/x", "TRACEPARENT": "old"}).add_network_list(
        network("one"), attachment()
    )
    environment = dict(runner.calls[0].environment)
    assert environment.pop("CNI_COMMAND") == "ADD"
    assert {name: text for name, text in environment.items() if not name.startswith("CNI_")} == {
        "HOME": "/x",
        "TRACEPARENT": "00-1",
    }


def test_what_is_no_callable_is_refused(make: Callable[..., Runtime]) -> None:
    with pytest.raises(InvalidParameterError, match="on_event"):
        make(on_event="print")
