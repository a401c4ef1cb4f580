"""A container that was started without a network gets one afterwards, by the process id, as people do it for Docker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.real import networks
from tests.real.flavours import Attachment
from tests.support import kernel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.real.flavours import Runtime


def bridge_network(runtime: Runtime, bridge: str, tmp_path: Path) -> str:
    plugin = networks.bridged(bridge, networks.host_local(tmp_path))
    return runtime.folders.write(networks.network(kernel.random_name("net"), plugin))


def test_process_gets_an_interface_and_loses_it(runtime: Runtime, bridge: str, tmp_path: Path) -> None:
    network = bridge_network(runtime, bridge, tmp_path)
    with kernel.process_namespace() as (namespace, process):
        attachment = Attachment(f"process-{process.pid}", f"/proc/{process.pid}/ns/net")
        result = runtime.add(network, attachment)
        networks.assert_kernel_has(result, namespace)
        assert namespace.reaches(networks.GATEWAY)
        assert kernel.HOST.reaches(networks.FIRST_ADDRESS)
        runtime.check(network, attachment)

        runtime.delete(network, attachment)
        assert set(namespace.links()) == {"lo"}
    assert networks.leases(tmp_path) == set()


def test_two_processes_on_one_bridge_reach_each_other(runtime: Runtime, bridge: str, tmp_path: Path) -> None:
    network = bridge_network(runtime, bridge, tmp_path)
    with kernel.process_namespace() as (first, one), kernel.process_namespace() as (second, two):
        runtime.add(network, Attachment(f"process-{one.pid}", first.path))
        runtime.add(network, Attachment(f"process-{two.pid}", second.path))
        assert first.reaches("10.231.7.3")
        assert second.reaches(networks.FIRST_ADDRESS)
        runtime.delete(network, Attachment(f"process-{one.pid}", first.path))
        runtime.delete(network, Attachment(f"process-{two.pid}", second.path))


def test_process_that_ended_before_the_delete_leaves_nothing(runtime: Runtime, bridge: str, tmp_path: Path) -> None:
    network = bridge_network(runtime, bridge, tmp_path)
    with kernel.process_namespace() as (namespace, process):
        attachment = Attachment(f"process-{process.pid}", namespace.path)
        runtime.add(network, attachment)
    assert networks.leases(tmp_path) == {networks.FIRST_ADDRESS}

    runtime.delete(network, attachment)

    assert networks.leases(tmp_path) == set()
