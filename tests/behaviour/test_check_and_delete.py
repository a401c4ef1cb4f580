"""CHECK and DEL: what is stored decides, and nothing damaged stops a DEL."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libcni import AttachmentNotFoundError, CacheError, CheckNotSupportedError, PluginError, PluginNotFoundError
from libcni.testing import ScriptedRunner, failure, success

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Runtime

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}], "own": 1}


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner({("two", "ADD"): success(RESULT)})


def results(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "results"


def test_check_gives_every_plugin_the_stored_result(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment())
    runtime.check_network_list(network("one", "two"), attachment())
    checks = runner.calls[2:]
    assert [(call.command, call.plugin) for call in checks] == [("CHECK", "one"), ("CHECK", "two")]
    assert [call.request["prevResult"] for call in checks] == [RESULT, RESULT]


def test_check_stops_at_the_first_error(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment())
    runner.answer("one", "CHECK", failure(100, "address is gone"))
    with pytest.raises(PluginError, match="address is gone"):
        runtime.check_network_list(network("one", "two"), attachment())
    assert runner.history[-1] == ("CHECK", "one")


def test_check_of_what_was_not_added_is_refused(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    with pytest.raises(AttachmentNotFoundError) as caught:
        make(runner).check_network_list(network("one"), attachment())
    assert caught.value.container_id == "box"
    assert runner.calls == []


def test_check_below_0_4_0_is_not_supported(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    with pytest.raises(CheckNotSupportedError, match="does not support the CHECK command"):
        make(runner).check_network_list(network("one", version="0.3.1"), attachment())


def test_disabled_check_comes_before_the_version(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    make(runner).check_network_list(network("one", version="0.3.1", disableCheck=True), attachment())
    assert runner.calls == []


def test_check_converts_a_result_that_is_stored_in_another_version(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment())
    runtime.check_network_list(network("one", version="0.4.0"), attachment())
    assert runner.calls[-1].request["prevResult"] == {
        "cniVersion": "0.4.0",
        "ips": [{"version": "4", "address": "10.0.0.2/24"}],
        "own": 1,
    }


def test_check_with_damaged_file_is_a_cache_error(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    (results(tmp_path) / "net-box-eth0").write_text("")
    with pytest.raises(CacheError, match="net-box-eth0"):
        runtime.check_network_list(network("one"), attachment())


def test_delete_runs_in_reverse_with_stored_result_and_forgets(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment())
    runtime.del_network_list(network("one", "two"), attachment())
    assert runner.history[2:] == [("DEL", "two"), ("DEL", "one")]
    assert [call.request["prevResult"] for call in runner.calls[2:]] == [RESULT, RESULT]
    assert list(results(tmp_path).iterdir()) == []
    assert runtime.pending() == []


def test_delete_uses_the_stored_configuration_and_arguments(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runtime = make(runner)
    stored = attachment(args=[("K", "V")], capability_args={"mac": "m"}, netns="/run/netns/stored")
    runtime.add_network_list(network({"type": "one", "capabilities": {"mac": True}}, "two"), stored)
    runtime.del_network_list(network("changed"), attachment())
    deleted = runner.calls[2:]
    assert [call.plugin for call in deleted] == ["two", "one"]
    assert deleted[1].request["runtimeConfig"] == {"mac": "m"}
    assert deleted[1].environment["CNI_ARGS"] == "K=V"
    assert deleted[1].netns == "/run/netns/stored"


def test_delete_leaves_out_a_namespace_that_is_another_one_now(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    path = tmp_path / "netns"
    path.write_text("")
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment(netns=str(path)))
    keep_inode = tmp_path / "old"
    path.rename(keep_inode)
    path.write_text("")
    runtime.del_network_list(network("one"), attachment())
    assert runner.calls[-1].netns == ""


def test_delete_uses_the_namespace_that_it_is_given(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment(netns="/run/netns/a"))
    runtime.del_network_list(network("one"), attachment(netns="/run/netns/b"))
    assert runner.calls[-1].netns == "/run/netns/b"


@pytest.mark.parametrize("version", ["0.1.0", "0.3.1"])
def test_delete_below_0_4_0_has_no_prev_result(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    version: str,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", version=version), attachment())
    runtime.del_network_list(network("one", version=version), attachment())
    assert "prevResult" not in runner.calls[-1].request


def test_delete_of_something_unknown_asks_the_plugins_and_succeeds(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
) -> None:
    runtime = make(runner)
    runtime.del_network_list(network("one", "two"), attachment())
    assert runner.history == [("DEL", "two"), ("DEL", "one")]
    assert "prevResult" not in runner.calls[0].request
    assert runtime.pending() == []


def test_failed_delete_of_something_unknown_leaves_nothing_behind(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
) -> None:
    runner.missing.add("one")
    runtime = make(runner)
    with pytest.raises(PluginNotFoundError):
        runtime.del_network_list(network("one"), attachment())
    assert runtime.pending() == []


def test_failed_delete_keeps_everything_until_it_succeeds(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", "two"), attachment())
    runner.answer("one", "DEL", [failure(100, "busy"), success()])
    with pytest.raises(PluginError, match="busy"):
        runtime.del_network_list(network("one", "two"), attachment())
    assert (results(tmp_path) / "net-box-eth0").exists()
    assert [item.container_id for item in runtime.pending()] == ["box"]
    runtime.del_network_list(network("one", "two"), attachment())
    assert runtime.pending() == []
    assert runtime.get_cached_attachments() == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="truncated"),
        pytest.param('{"kind":"other"}', id="kind"),
        pytest.param("[]", id="array"),
        pytest.param(
            '{"kind":"cniCacheV1","containerId":"../x","config":"e30=","ifName":"eth0","networkName":"net"}', id="names"
        ),
    ],
)
def test_damaged_file_never_stops_a_delete(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
    content: str,
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment(args=[("K", "V")]))
    (results(tmp_path) / "net-box-eth0").write_text(content)
    runtime.del_network_list(network("given"), attachment())
    # The record of the ADD still knows what the file does not.
    assert (runner.calls[-1].plugin, runner.calls[-1].environment["CNI_ARGS"]) == ("one", "K=V")
    assert list(results(tmp_path).iterdir()) == []


def test_delete_without_any_cache_directory_succeeds(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    make(runner).del_network_list(network("one"), attachment())
    assert runner.history == [("DEL", "one")]


@pytest.mark.parametrize("is_finished", [True, False])
def test_attachment_is_immutable_and_compares_by_value(
    make: Callable[..., Runtime], runner: ScriptedRunner, is_finished: bool
) -> None:
    runtime = make(runner)
    rt = attachment(args=[("A", "1")], capability_args={"ports": [80]})
    runtime.add_network_list(network("one"), rt)
    if not is_finished:
        runner.answer("one", "DEL", failure(1, "stuck"))
        with pytest.raises(PluginError):
            runtime.del_network_list(network("one"), rt)
    read = runtime.get_cached_attachments if is_finished else runtime.pending
    (stored,) = read()
    assert {stored} == set(read())
    with pytest.raises(TypeError, match="immutable"):
        stored.capability_args["x"] = 1
    with pytest.raises(TypeError, match="immutable"):
        stored.capability_args["ports"].append(81)


def test_stored_configuration_of_a_foreign_writer_is_used(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    """What Go libcni 1.1 writes has neither a namespace nor a record."""
    folder = results(tmp_path)
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    document = {
        "kind": "cniCacheV1",
        "containerId": "box",
        "config": "eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoibmV0IiwicGx1Z2lucyI6W3sidHlwZSI6InN0b3JlZCJ9XX0=",
        "ifName": "eth0",
        "networkName": "net",
        "result": {"cniVersion": "1.0.0", "dns": {}},
    }
    (folder / "net-box-eth0").write_text(json.dumps(document))
    runtime = make(runner)
    runtime.check_network_list(network("stored", version="1.0.0"), attachment())
    runtime.del_network_list(network("given"), attachment(netns="/run/netns/a"))
    assert [(call.command, call.plugin, call.netns) for call in runner.calls] == [
        ("CHECK", "stored", ""),
        ("DEL", "stored", "/run/netns/a"),
    ]
    assert runner.calls[1].request["prevResult"] == document["result"]
    assert list(folder.iterdir()) == []


def test_legacy_file_is_a_bare_result(make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path) -> None:
    folder = results(tmp_path)
    folder.mkdir(parents=True)
    legacy = {"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.0.0.9/24"}]}
    (folder / "net-box-eth0").write_text(json.dumps(legacy))
    runtime = make(runner)
    cached = runtime.get_network_list_cached_result(network("one", version="0.4.0"), attachment())
    assert cached is not None
    assert cached.to_dict() == legacy
    assert runtime.get_network_list_cached_config(network("one"), attachment()) is None
    runtime.del_network_list(network("one", version="0.4.0"), attachment())
    assert runner.calls[-1].request["prevResult"] == legacy
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("is_legacy", [True, False], ids=["bare-result", "entry"])
def test_stored_result_in_the_old_shape_without_a_version_keeps_its_address(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, is_legacy: bool
) -> None:
    runtime = make(runner)
    given = network("one", version="0.4.0")
    runtime.add_network_list(given, attachment())
    (file,) = results(tmp_path).iterdir()
    old = {"ip4": {"ip": "192.0.2.7/24"}}
    file.write_text(json.dumps(old if is_legacy else json.loads(file.read_text()) | {"result": old}))
    cached = runtime.get_network_list_cached_result(given, attachment())
    assert (cached.cni_version, [str(ip.address) for ip in cached.ips]) == ("0.4.0", ["192.0.2.7/24"])
    for item in runtime.get_cached_attachments():
        assert [str(ip.address) for ip in item.result.ips] == ["192.0.2.7/24"]
    runtime.check_network_list(given, attachment())
    runtime.del_network_list(given, attachment())
    for call in runner.calls[1:]:
        assert call.request["prevResult"] == {
            "cniVersion": "0.4.0",
            "ips": [{"version": "4", "address": "192.0.2.7/24"}],
        }


def test_names_that_make_one_file_name_are_kept_apart(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
) -> None:
    runtime = make(runner)
    first, second = attachment("b-c"), attachment("c")
    runtime.add_network_list(network("one", name="a"), first)
    runtime.add_network_list(network("one", name="a-b"), second)
    assert (results(tmp_path) / "a-b-c-eth0").exists()
    assert len(list(results(tmp_path).iterdir())) == 2
    found = {(item.network, item.container_id) for item in runtime.get_cached_attachments()}
    assert found == {("a", "b-c"), ("a-b", "c")}
    assert [item.network for item in runtime.get_cached_attachments("c")] == ["a-b"]
    runtime.del_network_list(network("one", name="a"), first)
    assert runtime.get_network_list_cached_result(network("one", name="a-b"), second) is not None
    runtime.check_network_list(network("one", name="a-b"), second)
    runtime.del_network_list(network("one", name="a-b"), second)
    assert list(results(tmp_path).iterdir()) == []


def test_cached_config_is_what_the_add_was_called_with(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    loaded, rt = network("one"), attachment(netns="/run/netns/a", args=[("K", "V")], capability_args={"mac": "m"})
    runtime.add_network_list(loaded, rt)
    assert runtime.get_network_list_cached_config(loaded, attachment()) == (loaded.raw, rt)
    assert runtime.get_network_list_cached_config(loaded, attachment("other")) is None
    assert runtime.get_network_list_cached_result(loaded, attachment("other")) is None


def test_cached_attachments_of_one_container(
    make: Callable[..., Runtime],
    runner: ScriptedRunner,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime = make(runner)
    for container_id in ("box", "box-2", "other"):
        runtime.add_network_list(network("one", "two"), attachment(container_id))
    (results(tmp_path) / "net-bad-eth0").write_text("{")
    found = runtime.get_cached_attachments("box")
    assert [(item.container_id, item.network, item.ifname) for item in found] == [("box", "net", "eth0")]
    assert found[0].result.to_dict() == RESULT
    with caplog.at_level("WARNING", logger="libcni.cache"):
        assert len(runtime.get_cached_attachments()) == 3
    assert "net-bad-eth0" in caplog.text
