"""Containers on two networks each, many at a time, with reference plugins: traffic flows, and nothing is left."""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import PluginError, netns
from libcni.capabilities import ContainerOptions, PortMapping
from libcni.networks import BlockingNetworks, Join, Networks
from tests.real.networks import PORTMAP, leases
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcni.networks import Setup
    from tests.real.flavours import Folders

CONTAINERS = 100 if os.environ.get("LIBCNI_FAULTS") == "full" else 8
AT_ONCE = 16
FIRST_PORT = 20000
GATEWAYS = ("10.232.0.1", "10.233.0.1")


@pytest.fixture
def configured(folders: Folders, tmp_path: Path) -> Iterator[Folders]:
    """Write two networks, with a bridge and an allocator each; the first maps ports."""
    with kernel.bridge_name() as front, kernel.bridge_name() as back:
        for file, bridge, subnet, others in (
            ("10-front.conflist", front, "10.232.0.0/16", [PORTMAP]),
            ("20-back.conflist", back, "10.233.0.0/16", []),
        ):
            routes = [{"dst": "0.0.0.0/0"}] if others else []
            allocator: dict[str, Any] = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "routes": routes}
            allocator["dataDir"] = str(tmp_path / "leases")
            plugin = {"type": "bridge", "bridge": bridge, "isGateway": True, "ipam": allocator}
            name = file[3:].partition(".")[0]
            document = {"cniVersion": "1.0.0", "name": name, "plugins": [plugin, *others]}
            (folders.conf / file).write_text(json.dumps(document))
        yield folders


def options(number: int) -> ContainerOptions:
    return ContainerOptions(port_mappings=[PortMapping(FIRST_PORT + number, 80)], strict=True)


JOINS = ("front", Join("back", ifname="back0"))


def set_up_all(flavour: str, folders: Folders, boxes: dict[str, netns.NetNS]) -> list[Setup]:
    """Set all containers up, so many at once as the limit lets."""
    if flavour == "sync":
        with (
            BlockingNetworks(folders.conf, [folders.bin], cache_dir=folders.cache, limit=AT_ONCE) as networks,
            ThreadPoolExecutor(AT_ONCE * 2) as pool,
        ):
            jobs = [
                pool.submit(networks.setup, name, box, networks=JOINS, options=options(number))
                for number, (name, box) in enumerate(boxes.items())
            ]
            return [job.result() for job in jobs]

    async def run() -> list[Setup]:
        found: dict[str, Setup] = {}
        async with Networks(folders.conf, [folders.bin], cache_dir=folders.cache, limit=AT_ONCE) as networks:

            async def one(number: int, name: str, box: netns.NetNS) -> None:
                found[name] = await networks.setup(name, box, networks=JOINS, options=options(number))

            async with anyio.create_task_group() as group:
                for number, (name, box) in enumerate(boxes.items()):
                    group.start_soon(one, number, name, box)
        return [found[name] for name in boxes]

    return anyio.run(run, backend=flavour)


def remove_all(flavour: str, folders: Folders, boxes: dict[str, netns.NetNS]) -> None:
    if flavour == "sync":
        with (
            BlockingNetworks(folders.conf, [folders.bin], cache_dir=folders.cache, watch=False) as networks,
            ThreadPoolExecutor(AT_ONCE) as pool,
        ):
            list(pool.map(networks.remove, boxes))
        return

    async def run() -> None:
        async with (
            Networks(folders.conf, [folders.bin], cache_dir=folders.cache, watch=False) as networks,
            anyio.create_task_group() as group,
        ):
            for name in boxes:
                group.start_soon(networks.remove, name)

    anyio.run(run, backend=flavour)


@contextmanager
def answering(box: netns.NetNS, text: bytes) -> Iterator[None]:
    """Answer one connection to port 80 of a namespace."""
    with box.inside():
        server = socket.create_server(("0.0.0.0", 80))  # noqa: S104 -- in a namespace of the test

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(text)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with server:
        yield
        thread.join(10)


def state_of_host() -> dict[str, Any]:
    rules = [line for line in kernel.firewall_rules().splitlines() if not line.startswith(("#", ":"))]
    return {"links": sorted(kernel.HOST.links()), "rules": rules}


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
def test_containers_on_two_networks_reach_each_other_and_leave_nothing(
    flavour: str, configured: Folders, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        boxes = {
            f"box-{number}": stack.enter_context(netns.create(kernel.random_name("cni-")))
            for number in range(CONTAINERS)
        }
        # The bridges and the chains of the firewall stay: one container makes them before the host is looked at.
        first = {"warm": stack.enter_context(netns.create(kernel.random_name("cni-")))}
        set_up_all(flavour, configured, first)
        remove_all(flavour, configured, first)
        before = state_of_host()

        setups = set_up_all(flavour, configured, boxes)

        every = [address for setup in setups for address in setup.addresses]
        assert len(set(every)) == len(every) == 2 * CONTAINERS
        for setup, box in zip(setups, boxes.values(), strict=True):
            assert [(each.network, each.ifname) for each in setup.interfaces] == [("front", "eth0"), ("back", "back0")]
            assert [str(each.gateways[0]) for each in setup.interfaces] == list(GATEWAYS)
            for each in setup.interfaces:
                assert {str(found) for found in kernel.Namespace(box.path).addresses(each.ifname)} >= {
                    str(address) for address in each.addresses
                }
            lo = kernel.Namespace(box.path).links()["lo"]
            assert "UP" in lo["flags"]
        one, other = kernel.Namespace(boxes["box-0"].path), setups[1]
        for address in other.addresses:
            assert one.reaches(str(address.ip))
            assert kernel.HOST.reaches(str(address.ip))
        with (
            answering(boxes["box-1"], b"box-1"),
            socket.create_connection((GATEWAYS[1], FIRST_PORT + 1), timeout=10) as client,
        ):
            assert client.recv(100) == b"box-1"

        remove_all(flavour, configured, boxes)
        assert state_of_host() == before
        assert leases(tmp_path) == set()
        for box in boxes.values():
            assert set(kernel.Namespace(box.path).links()) == {"lo"}


def test_failed_network_takes_the_others_of_the_container_down(configured: Folders, tmp_path: Path) -> None:
    allocator = {"type": "host-local", "ranges": [[{"subnet": "10.234.0.0/24"}]], "dataDir": str(tmp_path / "leases")}
    plugins = [{"type": "ptp", "ipam": allocator}, {"type": "tuning", "sysctl": {"net.not.there": "1"}}]
    broken = {"cniVersion": "1.0.0", "name": "broken", "plugins": plugins}
    (configured.conf / "30-broken.conflist").write_text(json.dumps(broken))
    with (
        netns.create() as box,
        BlockingNetworks(configured.conf, [configured.bin], cache_dir=configured.cache, watch=False) as networks,
    ):
        with pytest.raises(PluginError, match="'broken'"):
            networks.setup("box", box, networks=["front", "back", "broken"])
        assert set(kernel.Namespace(box.path).links()) == {"lo"}
        assert leases(tmp_path) == set()
        assert networks.attachments() == []


def test_container_whose_namespace_was_replaced_is_added_to_the_new_one(configured: Folders, tmp_path: Path) -> None:
    from libcni.networks import ReconcilePolicy  # noqa: PLC0415 -- for this test alone

    name = kernel.random_name("cni-")
    make = functools.partial(netns.create, name)
    with BlockingNetworks(configured.conf, [configured.bin], cache_dir=configured.cache, watch=False) as networks:
        with make() as box:
            path = box.path
            networks.setup("box", box)
            assert [step.finding for step in networks.reconcile(["box"], policy=ReconcilePolicy(check=False))] == [
                "in order"
            ]
        with make() as box:
            assert box.path == path
            (step,) = networks.reconcile(["box"], policy=ReconcilePolicy(namespace_gone="re-add"))
            assert (step.finding, step.action, step.done, step.error) == ("namespace gone", "re-add", True, None)
            assert "eth0" in kernel.Namespace(path).links()
            assert len(leases(tmp_path)) == 1
            networks.remove("box")
    assert leases(tmp_path) == set()
