"""GC, recovery, STATUS, VERSION and validation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    CacheError,
    CNIErrorGroup,
    GCAttachment,
    IncompatibleVersionError,
    InvalidParameterError,
    PluginError,
    PluginNotFoundError,
    inject_conf,
)
from libcni.attachment import AttachmentKey
from libcni.record import State
from libcni.store import Store
from libcni.testing import ScriptedRunner, failure, success
from tests.records import as_file, mark_record, sealed

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Runtime


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


def add(runtime: Runtime, *container_ids: str, name: str = "net", version: str = "1.1.0") -> None:
    for container_id in container_ids:
        runtime.add_network_list(network("one", name=name, version=version), attachment(container_id))


def cut_off(cache_dir: Path, container_id: str) -> None:
    """Leave an ADD as a crash before its end leaves it."""
    (cache_dir / "results" / f"net-{container_id}-eth0").unlink()
    journal = Store(str(cache_dir), durable=False).journal
    assert mark_record(journal, AttachmentKey("net", container_id, "eth0"), State.ADDING)


def test_gc_deletes_what_is_stale_and_asks_the_plugins(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a", "b", "c")
    deleted = runtime.gc_network_list(network("one"), [GCAttachment("b", "eth0"), ("x", "eth1")])
    assert sorted(item.container_id for item in deleted) == ["a", "c"]
    assert sorted(call.container_id for call in runner.calls if call.command == "DEL") == ["a", "c"]
    collect = runner.calls[-1]
    expected = [{"containerID": "b", "ifname": "eth0"}, {"containerID": "x", "ifname": "eth1"}]
    assert collect.command == "GC"
    assert collect.request["cni.dev/valid-attachments"] == expected
    assert collect.request["cni.dev/attachments"] == expected
    assert not {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"} & collect.environment.keys()
    assert [item.container_id for item in runtime.get_cached_attachments()] == ["b"]


def test_gc_with_nothing_to_keep_sends_an_empty_array(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    make(runner).gc_network_list(network("one"), [])
    assert runner.calls[-1].request["cni.dev/valid-attachments"] == []


def test_gc_needs_the_keep_list(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    with pytest.raises(TypeError):
        make(runner).gc_network_list(network("one"))


def test_gc_checks_the_names_in_the_keep_list(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    with pytest.raises(InvalidParameterError):
        make(runner).gc_network_list(network("one"), [GCAttachment("../x", "eth0")])


@pytest.mark.parametrize(
    "keep", [["a1"], ["box"], "a1", {"a1": "eth0"}, [("a1", "eth0", "x")], [("a1", 1)], [None]], ids=repr
)
def test_gc_refuses_a_keep_list_that_could_be_misread(
    make: Callable[..., Runtime], runner: ScriptedRunner, keep: Any
) -> None:
    runtime = make(runner)
    add(runtime, "a1")
    with pytest.raises(InvalidParameterError) as caught:
        runtime.gc_network_list(network("one"), keep)
    assert caught.value.name == "valid_attachments"
    assert runner.history == [("ADD", "one")]


def test_gc_below_1_1_0_deletes_and_does_not_ask(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a", version="1.0.0")
    assert len(runtime.gc_network_list(network("one", version="1.0.0"), [])) == 1
    assert runner.history == [("ADD", "one"), ("DEL", "one")]


def test_disabled_gc_does_nothing(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a")
    assert runtime.gc_network_list(network("one", disableGC=True), []) == []
    assert runner.history == [("ADD", "one")]


def test_gc_leaves_other_networks_alone(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a")
    add(runtime, "b", name="other")
    runtime.gc_network_list(network("one"), [])
    assert [item.network for item in runtime.get_cached_attachments()] == ["other"]


def test_gc_goes_on_after_errors_and_raises_all(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a", "b", "c")
    runner.answer("one", "DEL", lambda call: failure(100, "stuck") if call.container_id == "b" else success())
    runner.answer("one", "GC", failure(101, "no"))
    with pytest.raises(CNIErrorGroup) as caught:
        runtime.gc_network_list(network("one", "two"), [])
    messages = [error.msg for error in caught.value.exceptions if isinstance(error, PluginError)]
    assert sorted(messages) == ["no", "stuck"]
    assert caught.value.deleted == (("net", "a", "eth0"), ("net", "c", "eth0"))
    part, _ = caught.value.split(PluginError)
    assert isinstance(part, CNIErrorGroup)
    assert part.deleted == caught.value.deleted
    assert runner.history[-1] == ("GC", "two")
    assert [item.container_id for item in runtime.get_cached_attachments()] == ["b"]
    assert [item.container_id for item in runtime.pending()] == ["b"]


def test_gc_dry_run_changes_nothing(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    add(runtime, "a", "b")
    would = runtime.gc_network_list(network("one"), [("a", "eth0")], dry_run=True)
    assert [item.container_id for item in would] == ["b"]
    assert runner.history == [("ADD", "one")] * 2
    assert len(runtime.get_cached_attachments()) == 2


def test_gc_sets_damaged_files_aside_and_reports_them_once(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    (tmp_path / "cache" / "results" / "net-x-eth0").write_text("{")
    with pytest.raises(CNIErrorGroup) as caught:
        runtime.gc_network_list(network("one"), [("a", "eth0")])
    assert "net-x-eth0" in str(caught.value)
    assert len(list((tmp_path / "cache" / "damaged").iterdir())) == 1
    assert runtime.gc_network_list(network("one"), [("a", "eth0")]) == []


def test_gc_with_damaged_stored_configuration_uses_the_given_one(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    result, record = tmp_path / "cache" / "results" / "net-a-eth0", as_file(tmp_path / "cache", "net@a@eth0")
    text = result.read_text()
    config = text.split('"config":"')[1].split('"')[0]
    result.write_text(text.replace(config, "e30="))
    record.write_bytes(sealed(json.loads(record.read_text()) | {"config": "e30="}))
    with pytest.raises(CNIErrorGroup) as caught:
        runtime.gc_network_list(network("given"), [])
    for text in ("'a'", "'eth0'", "'net'", "is required"):
        assert text in str(caught.value)
    assert isinstance(caught.value.exceptions[0], CacheError)
    assert ("DEL", "given") in runner.history
    assert runtime.get_cached_attachments() == []


def test_gc_with_a_stray_folder_among_the_results_reports_it_and_goes_on(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    (tmp_path / "cache" / "results" / "net-b-eth0").mkdir()
    with pytest.raises(CNIErrorGroup) as caught:
        runtime.gc_network_list(network("one"), [])
    assert ["net-b-eth0" in str(error) for error in caught.value.exceptions] == [True]
    assert runner.history == [("ADD", "one"), ("DEL", "one"), ("GC", "one")]
    assert runtime.gc_network_list(network("one"), []) == []


def test_gc_touches_only_its_owners_attachments(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    mine, other = make(runner, owner="mine"), make(runner, owner="other")
    add(mine, "a")
    add(other, "b")
    deleted = mine.gc_network_list(network("one"), [])
    assert [item.container_id for item in deleted] == ["a"]
    assert runner.calls[-1].request["cni.dev/valid-attachments"] == [{"containerID": "b", "ifname": "eth0"}]


def test_gc_of_all_networks_deletes_what_has_no_network_any_more(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
) -> None:
    runtime = make(runner)
    add(runtime, "a", "b")
    add(runtime, "c", "d", name="gone")
    deleted = runtime.gc_networks([network("one")], [("a", "eth0"), ("d", "eth0")])
    assert sorted((item.network, item.container_id) for item in deleted) == [("gone", "c"), ("net", "b")]
    assert [call.request["name"] for call in runner.calls if call.command == "GC"] == ["net"]


def test_recover_finishes_an_add_that_was_cut_off(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment(args=[("K", "V")]))
    cut_off(tmp_path / "cache", "box")
    assert [item.cni_args for item in runtime.pending()] == [(("K", "V"),)]
    reports = runtime.recover()
    assert [(r.network, r.container_id, r.ifname, r.done, r.error) for r in reports] == [
        ("net", "box", "eth0", True, None)
    ]
    assert runner.history[2:] == [("DEL", "two"), ("DEL", "one")]
    assert runner.calls[-1].environment["CNI_ARGS"] == "K=V"
    assert runtime.recover() == []


def test_recover_deletes_what_was_added_with_a_changed_network(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    given = network("one", "two")
    changed = replace(given, plugins=[inject_conf(plugin, {"own": 1}) for plugin in given.plugins])
    runner.answer("two", "ADD", failure(1, "no"))
    runtime = make(runner)
    with pytest.raises(PluginError):
        runtime.add_network_list(changed, attachment(), rollback=False)
    assert [report.done for report in runtime.recover()] == [True]
    deleted = [(call.plugin, call.request["own"]) for call in runner.calls if call.command == "DEL"]
    assert deleted == [("two", 1), ("one", 1)]


def test_list_that_has_a_type_is_deleted_as_a_list(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two", type="other"), attachment())
    assert len(runtime.gc_networks([], [])) == 1
    assert runner.history[2:] == [("DEL", "two"), ("DEL", "one")]


def test_recover_keeps_what_it_cannot_finish_and_says_why(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    cut_off(tmp_path / "cache", "a")
    runner.missing.add("one")
    (report,) = runtime.recover()
    assert not report.done
    assert isinstance(report.error, PluginNotFoundError)
    assert [item.container_id for item in runtime.pending()] == ["a"]


def test_recover_sets_damaged_records_aside_and_reports_them(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    (tmp_path / "cache" / "journal" / "net@x@eth0").write_text("{")
    (report,) = runtime.recover()
    assert isinstance(report.error, CacheError)
    assert len(list((tmp_path / "cache" / "damaged").iterdir())) == 1
    assert runtime.recover() == []


def test_recover_does_not_delete_what_only_lost_its_result(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    add(runtime, "a")
    (tmp_path / "cache" / "results" / "net-a-eth0").write_text("")
    (report,) = runtime.recover()
    assert isinstance(report.error, CacheError)
    assert runner.history == [("ADD", "one")]
    assert runtime.pending() == []
    runtime.del_network_list(network("one"), attachment("a"))
    assert runner.history == [("ADD", "one"), ("DEL", "one")]


def test_status_stops_at_the_first_plugin_that_is_not_ready(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
) -> None:
    runner.answer("two", "STATUS", failure(50, "not ready"))
    with pytest.raises(PluginError, match="not ready") as caught:
        make(runner).get_status_network_list(network("one", "two", "three"))
    assert caught.value.code == 50
    assert runner.history == [("STATUS", "one"), ("STATUS", "two")]
    assert runner.calls[0].request == {"cniVersion": "1.1.0", "name": "net", "type": "one"}
    assert not {"CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"} & runner.calls[0].environment.keys()


def test_status_below_1_1_0_does_nothing(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    make(runner).get_status_network_list(network("one", version="1.0.0"))
    assert runner.calls == []


def test_version_is_asked_with_harmless_values(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runner.answer("one", "VERSION", success({"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}))
    assert make(runner).get_version_info("one") == ("1.0.0", ("0.4.0", "1.0.0"))
    call = runner.calls[0]
    assert call.request == {"cniVersion": "1.1.0"}
    assert [call.environment[f"CNI_{name}"] for name in ("CONTAINERID", "NETNS", "IFNAME")] == ["dummy"] * 3


def test_plugin_that_does_not_know_version_supports_0_1_0(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runner.answer("one", "VERSION", failure(4, "unknown CNI_COMMAND: VERSION"))
    assert make(runner).get_version_info("one").supported_versions == ("0.1.0",)


def test_version_of_0_2_0_may_list_nothing(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runner.answer("one", "VERSION", [success({"cniVersion": "0.2.0"}), success({"cniVersion": "0.3.0"})])
    runtime = make(runner)
    assert runtime.get_version_info("one").supported_versions == ("0.1.0", "0.2.0")
    with pytest.raises(PluginError, match="supportedVersions"):
        runtime.get_version_info("one")


@pytest.mark.parametrize("answer", [{"supportedVersions": ["1.0.0"]}, {"cniVersion": 1}, [], {"cniVersion": "1"}])
def test_bad_version_answer_is_an_error(make: Callable[..., Runtime], runner: ScriptedRunner, answer: object) -> None:
    runner.answer("one", "VERSION", success(answer))
    with pytest.raises(PluginError):
        make(runner).get_version_info("one")


def test_validate_returns_the_capabilities_in_use_sorted(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    supported = success({"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]})
    for plugin in ("one", "two"):
        runner.answer(plugin, "VERSION", supported)
    first = {"type": "one", "capabilities": {"portMappings": True, "dns": False}}
    second = {"type": "two", "capabilities": {"mac": True, "portMappings": True}}
    assert make(runner).validate_network_list(network(first, second)) == ["mac", "portMappings"]


def test_validate_raises_every_failure_of_its_own_class(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runner.answer("old", "VERSION", success({"cniVersion": "0.3.0", "supportedVersions": ["0.3.0"]}))
    runner.missing.add("gone")
    with pytest.raises(CNIErrorGroup) as caught:
        make(runner).validate_network_list(network("old", "gone"))
    assert [type(error) for error in caught.value.exceptions] == [IncompatibleVersionError, PluginNotFoundError]
