"""What Go libcni adds is checked and deleted here, and the other way round, with one cache directory for both."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig, RuntimeConf, load_network_conf
from tests.real import networks
from tests.real.flavours import Attachment, Folders, make_runtime
from tests.support import kernel
from tests.support.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.interop.driver import GoDriver
    from tests.support.recorder import Call

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/proc/self/ns/net"}],
    "ips": [{"interface": 0, "address": "10.231.5.2/24", "gateway": "10.231.5.1"}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {},
}
CONTAINER = Attachment(
    "shared-container",
    "/proc/self/ns/net",
    args=(("K8S_POD_NAME", "web=1"), ("IgnoreUnknown", "true")),
    capability_args={"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}], "unknown": {"a": 1}},
)


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    recorder = Recorder.make(tmp_path / "plugins")
    recorder.plugin("first", json.dumps(RESULT))
    recorder.plugin("second", json.dumps({**RESULT, "routes": []}))
    return recorder


@pytest.fixture
def scripted(tmp_path: Path, recorder: Recorder) -> Folders:
    folders = Folders(tmp_path / "net.d", recorder.bin_dir, tmp_path / "cache")
    folders.conf.mkdir()
    chained = {"type": "second", "capabilities": {"portMappings": True, "bandwidth": False}, "level": 3}
    folders.write(networks.network("shared", {"type": "first", "kept": {"deep": [1, "two"]}}, chained))
    return folders


def runner_of(side: str, go: GoDriver, folders: Folders) -> Callable[[str, str, Attachment], Any]:
    if side == "go":
        return lambda verb, network, attachment: go.run(verb, network, attachment, folders)
    runtime = make_runtime(side, folders)
    verbs = {"add": runtime.add, "check": runtime.check, "del": runtime.delete}
    return lambda verb, network, attachment: verbs[verb](network, attachment)


def comparable(calls: list[Call]) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    # Go libcni 1.1.2 also sends ``capabilities``, which the specification keeps for the runtime.
    decoded = [(call, json.loads(call.stdin)) for call in calls if call.verb != "VERSION"]
    for _, request in decoded:
        request.pop("capabilities", None)
    return [(call.plugin, call.cni_environ, request) for call, request in decoded]


@pytest.mark.parametrize("ours", ["sync", "cnitool"])
@pytest.mark.parametrize("adder_is_go", [True, False], ids=["go-adds", "we-add"])
def test_scripted_chain_gets_the_same_requests_from_either_side(
    go: GoDriver, recorder: Recorder, scripted: Folders, ours: str, *, adder_is_go: bool
) -> None:
    def record(adder: str, other: str) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
        runner_of(adder, go, scripted)("add", "shared", CONTAINER)
        run = runner_of(other, go, scripted)
        run("check", "shared", CONTAINER)
        run("del", "shared", CONTAINER)
        return comparable(recorder.take())

    expected = record("go", "go")
    mixed = record("go", ours) if adder_is_go else record(ours, "go")

    assert [(plugin, environ["CNI_COMMAND"]) for plugin, environ, _ in expected] == [
        ("first", "ADD"),
        ("second", "ADD"),
        ("first", "CHECK"),
        ("second", "CHECK"),
        ("second", "DEL"),
        ("first", "DEL"),
    ]
    assert expected[1][1]["CNI_ARGS"] == "K8S_POD_NAME=web=1;IgnoreUnknown=true"
    assert expected[1][2]["runtimeConfig"] == {"portMappings": CONTAINER.capability_args["portMappings"]}
    assert expected[4][2]["prevResult"]["ips"] == RESULT["ips"]
    assert mixed == expected
    assert list((scripted.cache / "results").iterdir()) == []


def test_delete_of_what_go_added_uses_the_stored_arguments(go: GoDriver, recorder: Recorder, scripted: Folders) -> None:
    go.run("add", "shared", CONTAINER, scripted)
    recorder.take()

    cni = CNIConfig([str(scripted.bin)], cache_dir=scripted.cache)
    network = load_network_conf(scripted.conf, "shared")
    cni.del_network_list(network, RuntimeConf(CONTAINER.container_id, CONTAINER.netns, CONTAINER.ifname))

    last, first = recorder.take()
    assert (last.plugin, first.plugin) == ("second", "first")
    assert last.environ["CNI_ARGS"] == first.environ["CNI_ARGS"] == "K8S_POD_NAME=web=1;IgnoreUnknown=true"
    assert json.loads(last.stdin)["runtimeConfig"] == {"portMappings": CONTAINER.capability_args["portMappings"]}


def test_stored_result_and_config_read_alike_whoever_added(go: GoDriver, scripted: Folders) -> None:
    cni = CNIConfig([str(scripted.bin)], cache_dir=scripted.cache)
    network = load_network_conf(scripted.conf, "shared")
    rt = CONTAINER.runtime_conf()

    for add in (lambda: go.run("add", "shared", CONTAINER, scripted), lambda: cni.add_network_list(network, rt)):
        add()
        result = cni.get_network_list_cached_result(network, rt)
        assert result is not None
        theirs = go.run("cached-result", "shared", CONTAINER, scripted)
        assert theirs.pop("dns") == {}  # Go libcni always writes the member
        assert result.to_dict() == theirs
        config = cni.get_network_list_cached_config(network, rt)
        assert config is not None
        document, stored = config
        theirs = go.run("cached-config", "shared", CONTAINER, scripted)
        assert json.loads(document) == theirs["config"]
        assert [list(pair) for pair in stored.args] == theirs["args"]
        assert stored.capability_args == theirs["capabilityArgs"]
        (entry,) = cni.get_cached_attachments()
        assert (entry.container_id, entry.network, entry.ifname) == (CONTAINER.container_id, "shared", "eth0")
        cni.del_network_list(network, rt)
        assert go.run("cached-result", "shared", CONTAINER, scripted) is None


@pytest.fixture
def namespace() -> Iterator[kernel.Namespace]:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    with kernel.named_namespace() as made:
        yield made


@pytest.mark.parametrize("ours", ["sync", "asyncio", "trio", "cnitool"])
@pytest.mark.parametrize("adder_is_go", [True, False], ids=["go-adds", "we-add"])
def test_bridge_added_by_one_side_is_checked_and_deleted_by_the_other(
    go: GoDriver, namespace: kernel.Namespace, tmp_path: Path, ours: str, *, adder_is_go: bool
) -> None:
    folders = Folders(tmp_path / "net.d", kernel.PLUGIN_DIR, tmp_path / "cache")
    folders.conf.mkdir()
    attachment = replace(CONTAINER, netns=namespace.path, args=(("IgnoreUnknown", "1"),))
    sides = (runner_of("go", go, folders), runner_of(ours, go, folders))
    adder, other = sides if adder_is_go else sides[::-1]
    with kernel.bridge_name() as bridge:
        plugin = networks.bridged(bridge, networks.host_local(tmp_path))
        name = folders.write(networks.network(kernel.random_name("net"), plugin, networks.PORTMAP))

        networks.assert_kernel_has(adder("add", name, attachment), namespace)
        assert namespace.reaches(networks.GATEWAY)
        plain = folders.write(networks.network(kernel.random_name("net"), plugin))
        second = replace(attachment, ifname="eth1")
        adder("add", plain, second)
        other("check", plain, second)

        other("del", plain, second)
        other("del", name, attachment)

        assert set(namespace.links()) == {"lo"}
        assert networks.leases(tmp_path) == set()
        assert name not in kernel.firewall_rules()
        assert list((folders.cache / "results").iterdir()) == []
