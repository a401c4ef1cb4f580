"""Containers on their networks: all or nothing, in order, with names chosen; removed from what is stored."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CNIErrorGroup,
    ConfigError,
    InvalidParameterError,
    LockTimeoutError,
    NetworkNotFoundError,
    NoConfigsFoundError,
    PluginError,
    PluginTimeoutError,
    network_conf_from_bytes,
)
from libcni.capabilities import ContainerOptions, Pod, PortMapping
from libcni.invoke.blocking_runner import complete
from libcni.jsontext.encode import dump
from libcni.networks import Join
from libcni.storage.locks import setup_lock
from libcni.testing import ScriptedRunner, failure, success
from tests.networks.conftest import conflist, networks_of, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.networks.conftest import Addresses, Directory, Face

NETNS = "/run/netns/of-nobody"


def calls(runner: ScriptedRunner) -> list[tuple[str, str]]:
    return [(call.command, call.ifname) for call in runner.calls]


def test_setup_joins_the_default_network_as_eth0(
    conf: Directory, make: Callable[..., Face], addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    found = make().setup("box", NETNS)
    assert [(item.network, item.ifname) for item in found.interfaces] == [("a", "eth0")]
    assert str(found.primary_address) == addresses.in_use["box", "eth0"]
    assert found.dns.resolv_conf() == "search a.example\nnameserver 10.1.0.1\n"


def test_setup_runs_serially_in_the_order_given_and_removal_in_reverse(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    networks = make()
    found = networks.setup("box", NETNS, networks=["b", Join("a", ifname="net1"), "a"])
    assert [(item.network, item.ifname) for item in found.interfaces] == [("b", "eth0"), ("a", "net1"), ("a", "eth1")]
    assert list(found.results) == ["eth0", "net1", "eth1"]
    assert found.dns.search == ("b.example", "a.example")
    networks.check("box")
    networks.remove("box")
    assert calls(runner) == [
        *[("ADD", name) for name in ("eth0", "net1", "eth1")],
        *[("CHECK", name) for name in ("eth0", "net1", "eth1")],
        *[("DEL", name) for name in ("eth1", "net1", "eth0")],
    ]
    assert not addresses.in_use
    assert networks.attachments() == []


def test_container_that_joins_later_gets_the_next_free_name(conf: Directory, make: Callable[..., Face]) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    networks.setup("box", NETNS)
    found = networks.setup("box", NETNS, networks=[Join("a", ifname="eth2"), "a", "a"])
    assert [item.ifname for item in found.interfaces] == ["eth2", "eth1", "eth3"]
    with pytest.raises(AttachmentExistsError, match="eth2"):
        networks.setup("box", NETNS, networks=[Join("a", ifname="eth2")])


@pytest.mark.parametrize(
    ("networks", "error"),
    [
        ([Join("a", ifname="eth5"), Join("a", ifname="eth5")], InvalidParameterError),
        ([Join("a", ifname="not/a name")], InvalidParameterError),
        (["a", "missing"], NetworkNotFoundError),
        ([], InvalidParameterError),
    ],
    ids=["one-name-twice", "no-name", "no-network", "none"],
)
def test_mistake_is_found_before_anything_runs(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, networks: Any, error: type[Exception]
) -> None:
    conf.network("10-a.conflist", "a")
    with pytest.raises(error):
        make().setup("box", NETNS, networks=networks)
    assert runner.calls == []


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"networks": "a"}, "networks"),
        ({"networks": b"a"}, "networks"),
        ({"networks": []}, "networks"),
        ({"networks": [b"a"]}, "network"),
        ({"networks": ["a", 3]}, "network"),
        ({"netns": None}, "netns"),
        ({"netns": b"/x"}, "netns"),
    ],
)
def test_argument_of_another_type_is_refused(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, arguments: dict[str, Any], field: str
) -> None:
    conf.network("10-a.conflist", "a")
    with pytest.raises(InvalidParameterError) as caught:
        make().setup("box", **{"netns": NETNS} | arguments)
    assert caught.value.name == field
    assert runner.calls == []


@pytest.mark.parametrize("members", [{"network": None}, {"ifname": 5}, {"options": {"mac": "0a:00:00:00:00:01"}}])
def test_join_of_another_type_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameterError, match="is of type"):
        Join(**{"network": "a"} | members)


def test_options_of_another_kind_are_refused(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    with pytest.raises(InvalidParameterError, match="options"):
        make().setup("box", NETNS, options={"mac": "0a:00:00:00:00:01"})
    assert runner.calls == []


def test_setup_without_a_network_says_why(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    networks = make()
    with pytest.raises(NoConfigsFoundError):
        networks.setup("box", NETNS)
    conf.write("10-a.conflist", "{")
    networks.reload()
    with pytest.raises(ConfigError, match=r"10-a\.conflist"):
        networks.setup("box", NETNS)
    runner.missing.add("later")
    conf.network("20-b.conflist", "b", "later")
    networks.reload()
    with pytest.raises(ConfigError, match="waits for plugin 'later'"):
        networks.setup("box", NETNS)


def test_failed_setup_leaves_nothing(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "bridge", "portmap")
    runner.answer("portmap", "ADD", failure(7, "no"))
    networks = make()
    with pytest.raises(PluginError, match="no"):
        networks.setup("box", NETNS, networks=["a", "b", "a"])
    assert not addresses.in_use
    assert networks.attachments() == []
    assert "eth2" not in {call.ifname for call in runner.calls}


def test_clean_up_of_a_failed_setup_that_fails_is_noted_and_stays_stored(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")
    runner.answer("other", "ADD", failure(7, "no"))
    runner.answer("bridge", "DEL", [failure(7, "stuck"), success()])
    networks = make()
    with pytest.raises(PluginError) as caught:
        networks.setup("box", NETNS, networks=["a", "b"])
    assert any("clean-up of the other networks" in note and "stuck" in note for note in caught.value.__notes__)
    networks.remove("box")
    assert networks.attachments() == []


def test_plugin_that_says_try_again_later_is_tried_again(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    runner.answer("bridge", "ADD", [failure(11, "busy"), failure(11, "busy"), addresses.add])
    runner.answer("bridge", "DEL", [success(), success(), failure(11, "busy"), addresses.delete])
    networks = make()
    assert networks.setup("box", NETNS).primary_address is not None
    networks.remove("box")
    assert not addresses.in_use


def test_plugin_that_always_says_try_again_later_fails_at_the_deadline(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    runner.answer("bridge", "ADD", [failure(11, "busy")] * 50)
    networks = make()
    with pytest.raises(PluginError, match="busy"):
        networks.setup("box", NETNS, timeout=0.1)
    assert networks.attachments() == []


def test_clean_up_that_fails_is_no_reason_to_hide_the_cause(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    runner.answer("bridge", "ADD", failure(11, "busy"))
    runner.answer("bridge", "DEL", [failure(7, "stuck")] * 9)
    with pytest.raises(PluginError, match="busy") as caught:
        make().setup("box", NETNS)
    assert any("stuck" in note for note in caught.value.__notes__)


def test_removal_goes_on_after_an_error_and_can_be_repeated(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")
    networks = make()
    networks.setup("box", NETNS, networks=["a", "b", "a"])
    runner.answer("other", "DEL", [failure(7, "stuck"), success()])
    with pytest.raises(CNIErrorGroup, match="box") as caught:
        networks.remove("box")
    assert networks_of(caught.value) == ["b"]
    assert not addresses.in_use
    assert [item.network for item in networks.attachments("box")] == ["b"]
    networks.remove("box")
    assert networks.attachments() == []
    networks.remove("box")


def test_removal_needs_no_configuration(conf: Directory, make: Callable[..., Face], runner: ScriptedRunner) -> None:
    conf.network("10-a.conflist", "a", {"type": "bridge", "bridge": "cni7"})
    networks = make()
    networks.setup("box", NETNS)
    conf.remove("10-a.conflist")
    networks.reload()
    networks.remove("box")
    assert runner.calls[-1].command == "DEL"
    assert runner.calls[-1].request["bridge"] == "cni7"


def test_removal_tells_plugins_another_path_of_the_namespace(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    networks.setup("box", NETNS)
    networks.remove("box", netns="/run/netns/elsewhere")
    assert runner.calls[-1].netns == "/run/netns/elsewhere"


def test_check_names_every_network_that_is_not_in_order(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")
    conf.network("30-old.conflist", "old", "ancient", version="0.3.1")
    networks = make()
    with pytest.raises(AttachmentNotFoundError, match="box"):
        networks.check("box")
    networks.setup("box", NETNS, networks=["a", "b", "old"])
    runner.answer("other", "CHECK", failure(100, "gone"))
    with pytest.raises(CNIErrorGroup) as caught:
        networks.check("box")
    assert networks_of(caught.value) == ["b"]
    assert ("ancient", "CHECK") not in {(call.plugin, call.command) for call in runner.calls}


def test_setup_that_is_left_unfinished_fails_its_check_and_is_recovered(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    runner.answer("bridge", "ADD", failure(7, "no"))
    runner.answer("bridge", "DEL", [failure(7, "stuck"), addresses.delete])
    with pytest.raises(PluginError):
        networks.setup("box", NETNS)
    with pytest.raises(CNIErrorGroup):
        networks.check("box")
    assert [item.done for item in networks.recover()] == [True]
    assert networks.attachments() == []


def test_network_from_elsewhere_is_joined_and_removed(conf: Directory, make: Callable[..., Face]) -> None:
    conf.network("10-a.conflist", "a")
    networks = make()
    other = network_conf_from_bytes(dump(conflist("from-elsewhere")))
    found = networks.setup("box", NETNS, networks=["a", Join(other)])
    assert [item.network for item in found.interfaces] == ["a", "from-elsewhere"]
    networks.remove("box")
    assert networks.attachments() == []


def test_options_reach_the_plugins_that_declare_them(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, caplog: pytest.LogCaptureFixture
) -> None:
    declared = {"type": "bridge", "capabilities": {"portMappings": True, "mac": True, "aliases": True}}
    conf.network("10-a.conflist", "a", declared)
    conf.network("20-b.conflist", "b", declared)
    options = ContainerOptions(
        port_mappings=[PortMapping(8080, 80)],
        aliases=["web"],
        labels={"app": "web"},
        pod=Pod("default", "web-1"),
        args={"MINE": "1"},
        device_id="0000:01:00.0",
    )
    own = ContainerOptions(mac="0a:00:00:00:00:09", labels={"tier": "back"}, args={"MINE": "2"}, infiniband_guid="")
    make().setup("box", NETNS, networks=["a", Join("b", options=own)], options=options)
    first, second = (call.request for call in runner.calls)
    ports = [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]
    assert first["runtimeConfig"] == {"portMappings": ports, "aliases": ["web"]}
    assert second["runtimeConfig"] == {"aliases": ["web"], "mac": "0a:00:00:00:00:09"}
    assert first["args"] == {"cni": {"labels": [{"key": "app", "value": "web"}]}}
    assert second["args"]["cni"]["labels"] == [{"key": "app", "value": "web"}, {"key": "tier", "value": "back"}]
    assert [dict(call.args)["MINE"] for call in runner.calls] == ["1", "2"]
    assert dict(runner.calls[0].args)["K8S_POD_INFRA_CONTAINER_ID"] == "box"
    assert "no plugin declares the capability 'deviceID' (network a, b)" in caplog.text


def test_members_of_args_reach_every_plugin_and_need_no_capability(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, caplog: pytest.LogCaptureFixture
) -> None:
    conf.network("10-a.conflist", "a", {"type": "bridge", "args": {"cni": {"x": 1, "y": 2}, "mine": 3}}, "other")
    shared = ContainerOptions(labels={"app": "web"}, ips=["10.1.0.5"], cni_args={"y": [4], "ips": ["10.1.0.5"]})
    own = ContainerOptions(mac="0a:00:00:00:00:09", cni_args={"mac": "0a:00:00:00:00:09", "y": None})
    make().setup("box", NETNS, networks=["a", Join("a", options=own)], options=shared)
    labels = [{"key": "app", "value": "web"}]
    of_all = {"ips": ["10.1.0.5"], "labels": labels}
    assert [call.request["args"] for call in runner.calls] == [
        {"cni": {"x": 1, "y": [4], **of_all}, "mine": 3},
        {"cni": {"y": [4], **of_all}},
        {"cni": {"x": 1, "y": None, "mac": "0a:00:00:00:00:09", **of_all}, "mine": 3},
        {"cni": {"y": None, "mac": "0a:00:00:00:00:09", **of_all}},
    ]
    assert "no plugin declares" not in caplog.text


def test_strict_option_that_no_plugin_declares_is_an_error(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    strict = ContainerOptions(aliases=["web"], strict=True)
    networks = make()
    with pytest.raises(InvalidParameterError, match="aliases"):
        networks.setup("box", NETNS, options=strict)
    with pytest.raises(InvalidParameterError, match="aliases"):
        networks.setup("box", NETNS, networks=[Join("a", options=strict)])
    assert runner.calls == []


def test_plugin_calls_of_a_setup_are_events_below_it(conf: Directory, make: Callable[..., Face]) -> None:
    conf.network("10-a.conflist", "a")
    events: list[Any] = []
    networks = make(on_event=events.append)
    networks.setup("box", NETNS)
    networks.remove("box")
    operations = [event.operation for event in events]
    assert [(each.verb, each.parent.verb, each.parent.container_id) for each in operations] == [
        ("ADD", "SETUP", "box"),
        ("DEL", "REMOVE", "box"),
    ]


def test_setup_over_an_interface_of_another_network_is_refused_whatever_was_tried(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b")
    networks = make()
    networks.setup("box", NETNS)
    store = networks.networks._embedding.operations.context.store
    with pytest.raises(AttachmentExistsError):
        networks.setup("box", NETNS, networks=[Join("b", ifname="eth0")])
    assert len(store.attachments()) == 1
    assert [call.command for call in runner.calls] == ["ADD"]


def test_plugin_that_was_ended_at_its_deadline_is_not_tried_again(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner
) -> None:
    conf.network("10-a.conflist", "a")
    timed_out = PluginTimeoutError("too slow", timeout=1.0, plugin="bridge", path="", command="ADD")
    runner.answer("bridge", "ADD", timed_out)
    with pytest.raises(PluginTimeoutError):
        make(timeout=None).setup("box", NETNS)
    assert [call.command for call in runner.calls] == ["ADD", "DEL"]


def test_removal_of_a_container_that_is_set_up_waits_for_it(conf: Directory, make: Callable[..., Face]) -> None:
    conf.network("10-a.conflist", "a")
    networks = make(lock_timeout=0)
    operations = networks.networks._embedding.operations
    store = operations.context.store
    store.locks.folder.open(create=True)
    held = store.locks.try_lock(setup_lock("box"))
    try:
        for verb in (networks.remove, networks.check, lambda name: networks.setup(name, NETNS)):
            with pytest.raises(LockTimeoutError, match="setup or removal of container 'box'"):
                verb("box")
        networks.setup("other", NETNS)
    finally:
        held.release()
    networks.setup("box", NETNS)


def test_limit_bounds_the_chains_at_once(conf: Directory, tmp_path: Path) -> None:
    conf.network("10-a.conflist", "a")
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(2, timeout=30)

    def add(_call: object) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1
        return success({"cniVersion": "1.1.0"})

    runner = ScriptedRunner({("bridge", "ADD"): add})
    with opened("sync", conf, tmp_path, runner=runner, limit=2) as networks:
        threads = [threading.Thread(target=networks.setup, args=(f"box-{number}", NETNS)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(networks.attachments()) == len(threads)
    assert most == 2
    with pytest.raises(InvalidParameterError, match="limit"), opened("sync", conf, tmp_path, limit=0):
        pass


def test_blocking_layer_wants_no_event_loop(conf: Directory, tmp_path: Path) -> None:
    conf.network("10-a.conflist", "a")
    with opened("sync", conf, tmp_path, runner=ScriptedRunner()) as networks:
        snapshot = networks.snapshot
        assert complete(networks.networks._embedding.probe.probe(snapshot)).ready
