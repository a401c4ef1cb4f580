"""The runners for tests: scripted answers, and what was recorded once and is replayed."""

from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import (
    AsyncCNIConfig,
    CNIConfig,
    GCAttachment,
    InvalidParameterError,
    PluginError,
    PluginNotFoundError,
    RuntimeConf,
)
from libcni import network_conf_from_bytes as parse
from libcni.invoke import AnyioRunner, BlockingRunner
from libcni.testing import RecordingRunner, ReplayError, ReplayRunner, ScriptedRunner, failure, success

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """\
#!/bin/sh
cat > /dev/null
printf 'log \\377' >&2
case $CNI_COMMAND in
ADD) echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}], "own": "ä"}' ;;
CHECK) echo '{"code": 100, "msg": "gone"}'; exit 1 ;;
VERSION) echo '{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}' ;;
esac
"""
NETWORK = parse('{"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "real"}]}')
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1")])


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "real"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    path.chmod(0o755)
    return path.parent


def _tour_blocking(config: CNIConfig) -> list[Any]:
    seen: list[Any] = [config.get_version_info("real"), config.add_network_list(NETWORK, RT)]
    with pytest.raises(PluginError) as caught:
        config.check_network_list(NETWORK, RT)
    seen += [str(caught.value).replace(caught.value.path, ""), caught.value.stderr]
    config.del_network_list(NETWORK, RT)
    seen.append([item.ifname for item in config.gc_network_list(NETWORK, [GCAttachment("box", "eth1")])])
    return seen


def _tour_async(config: AsyncCNIConfig) -> list[Any]:
    async def tour() -> list[Any]:
        seen: list[Any] = [await config.get_version_info("real"), await config.add_network_list(NETWORK, RT)]
        with pytest.raises(PluginError) as caught:
            await config.check_network_list(NETWORK, RT)
        seen += [str(caught.value).replace(caught.value.path, ""), caught.value.stderr]
        await config.del_network_list(NETWORK, RT)
        seen.append([item.ifname for item in await config.gc_network_list(NETWORK, [GCAttachment("box", "eth1")])])
        return seen

    return anyio.run(tour)


def test_recorded_executions_are_replayed_without_plugins(tmp_path: Path, bin_dir: Path) -> None:
    path = tmp_path / "recording.jsonl"
    recorder = RecordingRunner(BlockingRunner(), path)
    real = _tour_blocking(CNIConfig([bin_dir], cache_dir=tmp_path / "one", runner=recorder, durable=False))
    for number in range(2):
        replay = ReplayRunner(path)
        options: dict[str, Any] = {"cache_dir": tmp_path / f"replayed-{number}", "runner": replay, "durable": False}
        if number:
            replayed = _tour_async(AsyncCNIConfig(["/missing"], **options))
        else:
            replayed = _tour_blocking(CNIConfig(["/missing"], **options))
        assert replayed == real
        assert [call.command for call in replay.calls] == ["VERSION", "ADD", "CHECK", "DEL", "GC"]
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["environment"]["CNI_COMMAND"] for record in records] == ["VERSION", "ADD", "CHECK", "DEL", "GC"]
    assert all(name.startswith("CNI_") for record in records for name in record["environment"])


def test_asynchronous_executions_are_recorded_as_well(tmp_path: Path, bin_dir: Path) -> None:
    path = tmp_path / "recording.jsonl"
    recorder = RecordingRunner(AnyioRunner(), path)
    real = _tour_async(AsyncCNIConfig([bin_dir], cache_dir=tmp_path / "one", runner=recorder, durable=False))
    replay = ReplayRunner(path)
    assert _tour_blocking(CNIConfig(["/missing"], cache_dir=tmp_path / "two", runner=replay, durable=False)) == real


def test_replay_without_execution_left_is_an_error(tmp_path: Path, bin_dir: Path) -> None:
    path = tmp_path / "recording.jsonl"
    recorder = RecordingRunner(BlockingRunner(), path)
    CNIConfig([bin_dir], cache_dir=tmp_path / "one", runner=recorder).del_network_list(NETWORK, RT)
    config = CNIConfig(["/missing"], cache_dir=tmp_path / "two", runner=ReplayRunner(path))
    config.del_network_list(NETWORK, RT)
    with pytest.raises(ReplayError, match="left for real DEL box eth0"):
        config.del_network_list(NETWORK, RT)
    with pytest.raises(PluginNotFoundError, match="not in the recording"):
        config.get_version_info("other")


def test_replay_of_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ReplayRunner(tmp_path / "missing")


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"{}", b"5", b"\xff", b'{"plugin": "a", "environment": {}, "output": {"stdout": {}}}']
)
def test_replay_of_something_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "recording.jsonl"
    path.write_bytes(data)
    with pytest.raises(ReplayError, match="line 1 is not a recorded execution"):
        ReplayRunner(path)


def test_recording_is_private(tmp_path: Path, bin_dir: Path) -> None:
    path = tmp_path / "recording.jsonl"
    recorder = RecordingRunner(BlockingRunner(), path)
    CNIConfig([bin_dir], cache_dir=tmp_path / "one", runner=recorder).get_version_info("real")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "requests and answers may hold secrets"


def test_scripted_answers_come_in_turn_and_the_last_one_stays() -> None:
    runner = ScriptedRunner({("p", "STATUS"): [failure(50, "starting"), success()]})
    config = CNIConfig(["/bin"], runner=runner)
    network = parse('{"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "p"}]}')
    with pytest.raises(PluginError, match="starting"):
        config.get_status_network_list(network)
    for _ in range(2):
        config.get_status_network_list(network)
    assert runner.history == [("STATUS", "p")] * 3


def test_scripted_call_shows_what_the_plugin_would_see(tmp_path: Path) -> None:
    runner = ScriptedRunner(missing=["absent"])
    CNIConfig(["/bin"], cache_dir=tmp_path, runner=runner, durable=False).add_network_list(NETWORK, RT)
    call = runner.calls[0]
    assert (call.plugin, call.command, call.container_id, call.ifname, call.netns, call.args) == (
        "real",
        "ADD",
        "box",
        "eth0",
        "/run/netns/blue",
        (("A", "1"),),
    )
    assert call.request == {"cniVersion": "1.1.0", "name": "net", "type": "real"}
    with pytest.raises(PluginNotFoundError):
        runner.find("absent", ["/bin"])


@pytest.mark.parametrize("name", ["../bridge", "a/b", "", ".."])
def test_scripted_lookup_refuses_what_a_real_one_refuses(name: str) -> None:
    with pytest.raises(InvalidParameterError):
        ScriptedRunner().find(name, ["/opt/cni/bin"])


def test_scripted_exception_is_raised() -> None:
    runner = ScriptedRunner({("p", "VERSION"): OSError(8, "Exec format error")})
    with pytest.raises(PluginError, match="is not a program"):
        CNIConfig(["/bin"], runner=runner).get_version_info("p")
