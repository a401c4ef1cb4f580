"""The main job: a chain of five reference plugins, shown for every way to use the library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.real import networks
from tests.real.flavours import Attachment, RefusedError, refusal_of
from tests.support import kernel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.flavours import Runtime
    from tests.support.kernel import Namespace


def chain(name: str, bridge: str, tmp_path: Path, *, portmap: bool) -> dict[str, Any]:
    first = networks.bridged(bridge, networks.host_local(tmp_path))
    ports = [networks.PORTMAP] if portmap else []
    return networks.network(name, first, networks.TUNING, *ports, networks.FIREWALL, networks.BANDWIDTH)


def made_on_host(result: dict[str, Any]) -> set[str]:
    """Return the links that are this container's alone: one end of its veth, and the one that shapes its traffic."""
    names = {interface["name"] for interface in result["interfaces"] if interface["name"].startswith(("veth", "bwp"))}
    assert len(names) == 2
    return names


def assert_nothing_left(network: str, result: dict[str, Any], namespace: Namespace, tmp_path: Path) -> None:
    assert "eth0" not in namespace.links()
    assert networks.leases(tmp_path) == set()
    rules = kernel.firewall_rules()
    assert networks.FIRST_ADDRESS not in rules
    assert network not in rules
    assert made_on_host(result).isdisjoint(kernel.HOST.links())


def test_full_chain_add_matches_kernel_and_delete_removes_everything(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    network = runtime.folders.write(chain(kernel.random_name("net"), bridge, tmp_path, portmap=True))
    attachment = replace(attachment, capability_args=networks.PORT_MAPPINGS)

    result = runtime.add(network, attachment)

    assert [ip["address"] for ip in result["ips"]] == [f"{networks.FIRST_ADDRESS}/24"]
    networks.assert_kernel_has(result, namespace)
    link = namespace.links()["eth0"]
    assert (link["address"], link["mtu"]) == (networks.MAC, 1400)
    assert namespace.run("cat", "/proc/sys/net/core/somaxconn").strip() == "500"
    assert namespace.reaches(networks.GATEWAY)
    assert networks.leases(tmp_path) == {networks.FIRST_ADDRESS}
    rules = kernel.firewall_rules()
    assert f"--dport 18080 -j DNAT --to-destination {networks.FIRST_ADDRESS}:80" in rules
    assert f"-A CNI-FORWARD -s {networks.FIRST_ADDRESS}/32 -j ACCEPT" in rules
    assert f"-A POSTROUTING -s {networks.FIRST_ADDRESS}/32" in rules
    for name in made_on_host(result):
        assert "rate 8Mbit" in kernel.run("tc", "qdisc", "show", "dev", name)

    runtime.delete(network, attachment)
    assert_nothing_left(network, result, namespace, tmp_path)
    runtime.delete(network, attachment)
    assert_nothing_left(network, result, namespace, tmp_path)


def test_full_chain_check_when_portmap_refuses_gives_its_complete_error(
    runtime: Runtime, attachment: Attachment, bridge: str, tmp_path: Path
) -> None:
    network = runtime.folders.write(chain(kernel.random_name("net"), bridge, tmp_path, portmap=True))
    attachment = replace(attachment, capability_args=networks.PORT_MAPPINGS)
    runtime.add(network, attachment)

    refusal = refusal_of(runtime.check, network, attachment)

    # Version 1.1.1 of the plugin looks for a chain that it makes for IPv6 addresses only; a later one may not refuse.
    if refusal is not None:
        assert refusal.code == 999
        assert refusal.msg.startswith("could not check ipv6 dnat: chain CNI-DN-")
        assert refusal.msg.endswith("not found in iptables table nat")
        assert refusal.msg in refusal.text
        assert "portmap" in refusal.text
        assert refusal.plugin in {"portmap", None}
    runtime.delete(network, attachment)


def test_chain_check_after_address_is_removed_by_hand_fails_with_the_plugins_message(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    network = runtime.folders.write(chain(kernel.random_name("net"), bridge, tmp_path, portmap=False))
    address = f"{networks.FIRST_ADDRESS}/24"

    result = runtime.add(network, attachment)
    runtime.check(network, attachment)

    namespace.run("ip", "address", "delete", address, "dev", "eth0")
    with pytest.raises(RefusedError) as failed:
        runtime.check(network, attachment)
    assert failed.value.code == 999
    assert failed.value.msg == f"Failed to match addr {address} on interface eth0"
    assert failed.value.msg in failed.value.text
    for part in ("bridge", network, attachment.container_id, "eth0"):
        assert part in failed.value.text

    # The plugin reads the address to masquerade from the interface when it cleans up.
    namespace.run("ip", "address", "add", address, "dev", "eth0")
    runtime.delete(network, attachment)
    runtime.delete(network, attachment)
    assert_nothing_left(network, result, namespace, tmp_path)


def test_delete_after_namespace_is_gone_frees_the_lease(runtime: Runtime, bridge: str, tmp_path: Path) -> None:
    network = runtime.folders.write(chain(kernel.random_name("net"), bridge, tmp_path, portmap=False))
    with kernel.named_namespace() as namespace:
        attachment = Attachment(kernel.random_name("c"), namespace.path)
        runtime.add(network, attachment)
        assert networks.leases(tmp_path) == {networks.FIRST_ADDRESS}

    runtime.delete(network, attachment)

    assert networks.leases(tmp_path) == set()


def test_gc_deletes_only_the_attachment_that_is_not_kept(
    runtime: Runtime, attachment: Attachment, namespace: Namespace, bridge: str, tmp_path: Path
) -> None:
    plugin = networks.bridged(bridge, networks.host_local(tmp_path))
    network = runtime.folders.write(networks.network(kernel.random_name("net"), plugin))
    with kernel.named_namespace() as other:
        stale = Attachment(kernel.random_name("c"), other.path)
        runtime.add(network, attachment)
        runtime.add(network, stale)
        assert namespace.reaches("10.231.7.3")

        runtime.collect_garbage(network, [(attachment.container_id, attachment.ifname)])

        assert "eth0" not in other.links()
        assert networks.leases(tmp_path) == {networks.FIRST_ADDRESS}
        runtime.check(network, attachment)
        runtime.delete(network, attachment)


def test_add_into_missing_namespace_leaves_no_lease(runtime: Runtime, bridge: str, tmp_path: Path) -> None:
    plugin = networks.bridged(bridge, networks.host_local(tmp_path))
    network = runtime.folders.write(networks.network(kernel.random_name("net"), plugin))
    with pytest.raises(RefusedError) as failed:
        runtime.add(network, Attachment("nowhere", "/run/netns/of-nobody"))
    assert failed.value.msg.startswith('failed to open netns "/run/netns/of-nobody"')
    assert networks.leases(tmp_path) == set()
