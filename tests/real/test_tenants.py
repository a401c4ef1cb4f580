"""A plugin runs in the namespaces of the thread that calls: two tenants in one process never meet."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, RuntimeConf, network_conf_from_bytes
from libcni.document import dump
from tests import kernel
from tests.real import networks

if TYPE_CHECKING:
    from libcni import NetworkConfigList
    from tests.kernel import Namespace
    from tests.real.flavours import Folders

CLONE_NEWNET = 0x40000000
TENANTS = 2


def bridged(bridge: str, leases: Path) -> NetworkConfigList:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.231.9.0/24"}]], "dataDir": str(leases)}
    return network_conf_from_bytes(dump(networks.network("tenant", {"type": "bridge", "bridge": bridge, "ipam": ipam})))


class Tenant:
    """A thread that works in a network namespace of its own, as if that was its host."""

    def __init__(self, number: int, flavour: str, tmp_path: Path) -> None:
        self.number = number
        self.flavour = flavour
        self.bridge = f"tenant{number}"
        self.network = bridged(self.bridge, tmp_path / f"leases{number}")
        self.failure: BaseException | None = None

    def run(self, host: Namespace, containers: list[str], config: AsyncCNIConfig | CNIConfig) -> None:
        try:
            with Path(host.path).open("rb") as file:
                assert ctypes.CDLL(None).setns(file.fileno(), CLONE_NEWNET) == 0
            for number, netns in enumerate(containers):
                rt = RuntimeConf(f"box{self.number}-{number}", netns, "eth0")
                if isinstance(config, CNIConfig):
                    config.add_network_list(self.network, rt)
                else:
                    anyio.run(config.add_network_list, self.network, rt, backend=self.flavour)
        except BaseException as error:  # noqa: BLE001 -- raised by the test
            self.failure = error


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
def test_plugins_of_two_tenants_run_each_in_their_own_namespace(flavour: str, folders: Folders, tmp_path: Path) -> None:
    kind = CNIConfig if flavour == "sync" else AsyncCNIConfig
    config = kind([str(folders.bin)], cache_dir=tmp_path / "cache")
    before = set(kernel.HOST.links())
    with (
        kernel.named_namespace() as one,
        kernel.named_namespace() as other,
        kernel.named_namespace() as box_of_one,
        kernel.named_namespace() as box_of_other,
    ):
        # Used first in the main thread: whatever it keeps for later is of another namespace.
        elsewhere = RuntimeConf("warm", "", "eth9")
        warm = network_conf_from_bytes('{"cniVersion":"1.0.0","name":"warm","plugins":[{"type":"loopback"}]}')
        if isinstance(config, CNIConfig):
            config.del_network_list(warm, elsewhere)
        else:
            anyio.run(config.del_network_list, warm, elsewhere, backend=flavour)
        tenants = [Tenant(number, flavour, tmp_path) for number in range(TENANTS)]
        hosts, boxes = (one, other), (box_of_one, box_of_other)
        threads = [
            threading.Thread(target=tenant.run, args=(host, [box.path], config))
            for tenant, host, box in zip(tenants, hosts, boxes, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [tenant.failure for tenant in tenants] == [None, None]
        for tenant, host, box in zip(tenants, hosts, boxes, strict=True):
            links = host.links()
            assert tenant.bridge in links
            assert sum(name.startswith("veth") for name in links) == 1
            assert "eth0" in box.links()
        assert set(kernel.HOST.links()) == before
