"""A cache directory that other programs use too: what they have done in between counts."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    AttachmentExistsError,
    CacheError,
    CNIErrorGroup,
    ConfigError,
    InvalidParameterError,
    LockTimeoutError,
    RuntimeConf,
    network_plugin_conf_from_bytes,
)
from libcni.storage.locks import network_lock
from libcni.storage.store import Store
from libcni.testing import ScriptedRunner, success
from tests.support.records import as_file

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Runtime

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}]}


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner({(name, "ADD"): success(RESULT) for name in ("one", "two")})


def written_by_another(cache_dir: Path, config: str, container_id: str = "box", **members: Any) -> None:
    """Write a cache file as Go libcni does."""
    document = {
        "kind": "cniCacheV1",
        "containerId": container_id,
        "config": base64.b64encode(config.encode()).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "result": RESULT,
    } | members
    (cache_dir / "results").mkdir(mode=0o700, parents=True, exist_ok=True)
    cache_dir.chmod(0o700)
    (cache_dir / "results" / f"net-{container_id}-eth0").write_text(json.dumps(document))


def test_list_with_a_stray_type_is_deleted_as_a_list(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    config = '{"cniVersion":"1.0.0","name":"net","type":"stray","plugins":[{"type":"one"},{"type":"two"}]}'
    written_by_another(tmp_path / "cache", config)
    deleted = make(runner).gc_networks([], [])
    assert [item.container_id for item in deleted] == ["box"]
    assert runner.history == [("DEL", "two"), ("DEL", "one")]


def test_single_plugin_with_plugins_of_its_own_is_deleted_as_one(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    text = '{"cniVersion":"0.4.0","name":"net","type":"one","plugins":[{"type":"two"}]}'
    runtime = make(runner)
    runtime.add_network(network_plugin_conf_from_bytes(text), attachment())
    assert [item.container_id for item in runtime.gc_networks([], [])] == ["box"]
    assert runner.history == [("ADD", "one"), ("DEL", "one")]


def test_what_another_program_deleted_is_not_pending_and_can_be_added_again(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    (tmp_path / "cache" / "results" / "net-box-eth0").unlink()
    assert runtime.pending() == runtime.recover() == []
    runtime.add_network_list(network("one"), attachment())
    runtime.del_network_list(network("one"), attachment())
    assert runner.history == [("ADD", "one"), ("ADD", "one"), ("DEL", "one")]


def test_what_another_program_added_anew_is_deleted_with_its_own_arguments(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment(args=[("IP", "old")], netns="/old"))
    config = '{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"two"}]}'
    written_by_another(tmp_path / "cache", config, cniArgs=[["IP", "new"]], netns="/new")
    runtime.gc_network_list(network("one"), [])
    deletion = next(call for call in runner.calls if call.command == "DEL")
    assert (deletion.plugin, deletion.environment["CNI_ARGS"]) == ("two", "IP=new")
    assert deletion.environment["CNI_NETNS"] == "/new"


def test_namespace_that_is_another_one_at_the_same_path_is_left_alone(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    netns, other = tmp_path / "netns", tmp_path / "other"
    other.touch()
    for given in (netns, other):
        netns.touch()
        runtime = make(runner)
        runtime.add_network_list(network("one"), attachment(netns=str(netns)))
        netns.rename(tmp_path / "gone")
        netns.touch()  # as the number of a process that has ended is another one's
        runtime.del_network_list(network("one"), attachment(netns=str(given)))
        assert runner.calls[-1].environment["CNI_NETNS"] == ""


@pytest.mark.parametrize("place", ["locks/all", "journal/net@box@eth0", "journal/slots"])
def test_hard_link_in_the_cache_directory_is_not_written_through(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, place: str
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    if place == "journal/net@box@eth0":
        as_file(tmp_path / "cache", "net@box@eth0")
    path = tmp_path / "cache" / place
    precious = path.read_bytes()
    (tmp_path / "precious").write_bytes(precious)
    path.unlink()
    path.hardlink_to(tmp_path / "precious")
    for verb, arguments in (("add", (attachment(),)), ("del", (attachment(),)), ("gc", ([],))):
        try:
            getattr(runtime, f"{verb}_network_list")(network("one"), *arguments)
        except (CacheError, CNIErrorGroup, AttachmentExistsError):
            continue  # some verbs cannot do without
    assert (tmp_path / "precious").read_bytes() == precious


def test_gc_that_waits_names_a_process_that_shares_the_network(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    held = Store(str(tmp_path / "cache"), durable=False).locks.try_lock(network_lock("net"), shared=True)
    assert held is not None
    with pytest.raises(LockTimeoutError) as caught:
        make(runner, lock_timeout=0.01).gc_network_list(network("one"), [])
    assert caught.value.holder == os.getpid()
    held.release()


@pytest.mark.parametrize("result", [{"ips": 7}, {"cniVersion": "9.9.9"}], ids=["ips", "version"])
def test_damaged_result_in_a_good_file_is_a_cache_error_that_names_the_file(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, result: dict[str, Any]
) -> None:
    written_by_another(tmp_path / "cache", network("one").raw.decode(), result=result)
    runtime = make(runner)
    for verb in ("check_network_list", "get_network_list_cached_result"):
        with pytest.raises(CacheError, match="damaged result") as caught:
            getattr(runtime, verb)(network("one"), attachment())
        assert caught.value.path == str(tmp_path / "cache" / "results" / "net-box-eth0")
    runtime.del_network_list(network("one"), attachment())
    assert runner.history == [("DEL", "one")]


def test_cached_runtime_conf_is_the_stored_one(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    given = attachment(netns="/given", args=[("A", "1")], capability_args={"mac": "x"})
    assert runtime.get_network_list_cached_config(network("one"), given)[1] == RuntimeConf("box", "", "eth0")


def test_validation_checks_the_list_itself(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    with pytest.raises(InvalidParameterError):
        runtime.validate_network_list(replace(network("one"), name="../x"))
    with pytest.raises(ConfigError, match="no plugins"):
        runtime.validate_network_list(replace(network("one"), plugins=()))


def test_changed_plugin_is_run_and_recovered_as_what_it_says(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    plugin = network_plugin_conf_from_bytes('{"cniVersion":"1.0.0","name":"net","type":"one","mtu":1.50}')
    changed = replace(plugin, type="two", capabilities={"mac": True})
    runtime = make(runner)
    runtime.add_network(changed, attachment(capability_args={"mac": "x"}))
    assert runner.calls[0].request == {
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "two",
        "mtu": 1.5,
        "runtimeConfig": {"mac": "x"},
    }
    assert b"1.50" in changed.raw
    runtime.gc_networks([], [])
    assert runner.history == [("ADD", "two"), ("DEL", "two")]
