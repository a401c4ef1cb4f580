"""Each of the other reference plugins, alone or in the shortest chain that it works in."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig, PluginError, RuntimeConf, network_conf_from_bytes
from tests.real import networks
from tests.real.flavours import RefusedError, refusal_of
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.real.flavours import Attachment, Folders, Runtime
    from tests.support.kernel import Namespace

STATIC_IPAM = {
    "type": "static",
    "addresses": [{"address": "10.231.8.5/24", "gateway": "10.231.8.1"}, {"address": "fd23:18::5/64"}],
    "routes": [{"dst": "10.99.0.0/16", "gw": "10.231.8.1"}],
}
GATEWAY_IPAM = {"type": "static", "addresses": [{"address": "10.231.8.6/24", "gateway": "10.231.8.1"}]}


@dataclass(frozen=True)
class Place:
    """What a case may use on the host."""

    bridge: str
    veth: tuple[str, str]
    tmp_path: Path


@dataclass(frozen=True)
class Case:
    """A network, how to damage it by hand, and what its CHECK then says.

    ``first_check``, ``second_delete``: the message of version 1.1.1 of the plugin where it refuses what should succeed,
    a CHECK of what is in order or a DEL of what is gone.
    """

    plugins: Callable[[Place], list[dict[str, Any]]]
    damage: tuple[str, ...] = ("ip", "address", "flush", "dev", "eth0")
    complaint: str = f"Failed to match addr {networks.FIRST_ADDRESS}/24 on interface eth0"
    ifname: str = "eth0"
    first_check: str = ""
    second_delete: str = ""


CASES = {
    "ptp": Case(lambda place: [{"type": "ptp", "ipMasq": True, "ipam": networks.host_local(place.tmp_path)}]),
    "macvlan": Case(
        lambda place: [
            {
                "type": "macvlan",
                "master": place.veth[0],
                "mode": "bridge",
                "mtu": 1400,
                "ipam": networks.host_local(place.tmp_path),
            }
        ]
    ),
    "host-device": Case(
        lambda place: [{"type": "host-device", "device": place.veth[1], "ipam": networks.host_local(place.tmp_path)}],
        second_delete='failed to find "eth0": Link not found',
    ),
    "loopback": Case(
        lambda _: [{"type": "loopback"}],
        damage=("ip", "link", "set", "lo", "down"),
        complaint="loopback interface is down",
        ifname="lo",
    ),
    "static": Case(
        lambda place: [{"type": "bridge", "bridge": place.bridge, "ipam": STATIC_IPAM}],
        complaint="Failed to match addr 10.231.8.5/24 on interface eth0",
    ),
    "sbr": Case(
        lambda place: [{"type": "bridge", "bridge": place.bridge, "ipam": GATEWAY_IPAM}, {"type": "sbr"}],
        # The bridge plugin looks for the route of the subnet in the main table, which sbr has emptied.
        first_check="Failed to find Gateway 10.231.8.1 for interface eth0",
        complaint="Failed to match addr 10.231.8.6/24 on interface eth0",
        second_delete="Failed to get link eth0: Link not found",
    ),
}


@pytest.fixture
def place(bridge: str, veth: tuple[str, str], tmp_path: Path) -> Place:
    return Place(bridge, veth, tmp_path)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_plugin_add_check_delete_match_the_kernel(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, place: Place, case: Case
) -> None:
    network = runtime.folders.write(networks.network(kernel.random_name("net"), *case.plugins(place)))
    attachment = replace(attachment, ifname=case.ifname)

    result = runtime.add(network, attachment)
    networks.assert_kernel_has(result, namespace)
    assert_done_or_refused(refusal_of(runtime.check, network, attachment), case.first_check)

    namespace.run(*case.damage)
    with pytest.raises(RefusedError) as failed:
        runtime.check(network, attachment)
    assert failed.value.msg == case.complaint
    assert failed.value.msg in failed.value.text

    runtime.delete(network, attachment)
    assert case.ifname == "lo" or case.ifname not in namespace.links()
    assert networks.leases(place.tmp_path) == set()

    assert_done_or_refused(refusal_of(runtime.delete, network, attachment), case.second_delete)


def assert_done_or_refused(refusal: RefusedError | None, message: str) -> None:
    if refusal is not None:
        assert refusal.msg == message
        assert message in refusal.text


def test_host_device_delete_gives_the_device_back(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, place: Place
) -> None:
    case = CASES["host-device"]
    network = runtime.folders.write(networks.network(kernel.random_name("net"), *case.plugins(place)))
    device = place.veth[1]

    runtime.add(network, attachment)
    assert device not in kernel.HOST.links()
    assert "eth0" in namespace.links()

    runtime.delete(network, attachment)
    assert device in kernel.HOST.links()


def test_sbr_add_routes_by_source_and_delete_drops_the_rule(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, place: Place
) -> None:
    bridge = networks.bridged(place.bridge, networks.host_local(place.tmp_path))
    network = runtime.folders.write(networks.network(kernel.random_name("net"), bridge, {"type": "sbr"}))

    runtime.add(network, attachment)
    assert [rule["table"] for rule in namespace.rules() if rule["src"] == networks.FIRST_ADDRESS] == ["100"]
    assert namespace.routes("100").items() >= {("default", networks.GATEWAY), ("10.231.7.0/24", "")}
    assert "default" not in namespace.routes()

    runtime.delete(network, attachment)
    assert [rule for rule in namespace.rules() if rule["src"] == networks.FIRST_ADDRESS] == []


# Each needs a link type that not every kernel has: the plugins, and their error where it is missing.
LINK_TYPES: dict[str, tuple[Callable[[Place], list[dict[str, Any]]], str]] = {
    "ipvlan": (
        lambda place: [{"type": "ipvlan", "master": place.veth[0], "ipam": networks.host_local(place.tmp_path)}],
        "failed to create ipvlan: operation not supported",
    ),
    "vlan": (
        lambda place: [
            {"type": "vlan", "master": place.veth[0], "vlanId": 7, "ipam": networks.host_local(place.tmp_path)}
        ],
        "failed to create vlan: operation not supported",
    ),
    "vrf": (
        lambda place: [
            networks.bridged(place.bridge, networks.host_local(place.tmp_path)),
            {"type": "vrf", "vrfname": "blue"},
        ],
        "cmdAdd failed: could not add VRF blue: operation not supported",
    ),
}


@pytest.mark.parametrize("kind", LINK_TYPES)
def test_plugin_of_optional_link_type_matches_the_kernel_or_gives_its_complete_error(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, place: Place, kind: str
) -> None:
    plugins, refusal = LINK_TYPES[kind]
    network = runtime.folders.write(networks.network(kernel.random_name("net"), *plugins(place)))

    if kernel.has_link_type(kind):
        result = runtime.add(network, attachment)
        shown = namespace.links()
        if kind == "vrf":
            assert shown["blue"]["linkinfo"]["info_kind"] == "vrf"
            assert shown["eth0"]["master"] == "blue"
        else:
            assert shown["eth0"]["linkinfo"]["info_kind"] == kind
            networks.assert_kernel_has(result, namespace)
        runtime.check(network, attachment)
        runtime.delete(network, attachment)
        assert "blue" not in namespace.links()
    else:
        with pytest.raises(RefusedError) as failed:
            runtime.add(network, attachment)
        assert (failed.value.code, failed.value.msg) == (999, refusal)
        assert refusal in failed.value.text
        assert kind in failed.value.text
    assert "eth0" not in namespace.links()
    assert networks.leases(place.tmp_path) == set()


def test_dhcp_without_its_daemon_gives_its_complete_error(
    runtime: Runtime, attachment: Attachment, place: Place
) -> None:
    socket = place.tmp_path / "dhcp.sock"
    ipam = {"type": "dhcp", "daemonSocketPath": str(socket)}
    plugin = {"type": "macvlan", "master": place.veth[0], "ipam": ipam}
    network = runtime.folders.write(networks.network(kernel.random_name("net"), plugin))
    with pytest.raises(RefusedError) as failed:
        runtime.add(network, attachment)
    assert failed.value.msg == f"error dialing DHCP daemon: dial unix {socket}: connect: no such file or directory"
    assert failed.value.msg in failed.value.text


def test_static_takes_the_address_from_cni_args(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, place: Place
) -> None:
    plugin = {"type": "bridge", "bridge": place.bridge, "ipam": {"type": "static"}}
    network = runtime.folders.write(networks.network(kernel.random_name("net"), plugin))
    asked = (("IgnoreUnknown", "1"), ("IP", "10.231.9.9/24"), ("GATEWAY", "10.231.9.1"))
    attachment = replace(attachment, args=asked)

    result = runtime.add(network, attachment)

    assert result["ips"][0]["address"] == "10.231.9.9/24"
    networks.assert_kernel_has(result, namespace)
    runtime.delete(network, attachment)


@pytest.mark.parametrize("plugin", kernel.REFERENCE_PLUGINS)
def test_version_of_each_reference_plugin_is_read(folders: Folders, plugin: str) -> None:
    info = CNIConfig([str(folders.bin)], cache_dir=folders.cache).get_version_info(plugin)
    assert "1.0.0" in info.supported_versions
    assert info.cni_version in info.supported_versions


def test_validate_of_full_chain_names_the_capability(folders: Folders, place: Place) -> None:
    first = networks.bridged(place.bridge, networks.host_local(place.tmp_path))
    folders.write(networks.network("checked", first, networks.PORTMAP))
    network = network_conf_from_bytes((folders.conf / "checked.conflist").read_bytes())
    assert CNIConfig([str(folders.bin)], cache_dir=folders.cache).validate_network_list(network) == ["portMappings"]


def test_plugin_error_carries_plugin_verb_and_place(folders: Folders) -> None:
    network = network_conf_from_bytes(
        json.dumps(networks.network("broken", {"type": "host-device", "device": "nosuchlink"}))
    )
    runtime = RuntimeConf("c1", "/proc/self/ns/net", "eth0")
    with pytest.raises(PluginError) as failed:
        CNIConfig([str(folders.bin)], cache_dir=folders.cache).add_network_list(network, runtime)
    error = failed.value
    assert (error.plugin, error.command, error.network) == ("host-device", "ADD", "broken")
    assert (error.container_id, error.ifname, error.exit_status) == ("c1", "eth0", 1)
    assert error.path == str(kernel.PLUGIN_DIR / "host-device")
    assert error.msg == "failed to find host device: Link not found"
