"""Other attachments on the node: none of them suffers from an ADD, a DEL or a collection that is not its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from libcni import AsyncCNIConfig, CNIConfig, CNIError, RuntimeConf, network_conf_from_bytes
from libcni.jsontext.encode import dump
from libcni.testing import ScriptedRunner
from tests.faults.trials import size
from tests.faults.world import environ
from tests.real.networks import bridged, host_local, network
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni import NetworkConfigList
    from tests.faults.trials import Trials


def real(name: str, bridge: str, folder: Path) -> NetworkConfigList:
    return network_conf_from_bytes(dump(network(name, bridged(bridge, host_local(folder)) | {"ipMasq": False})))


def runtime(folder: Path) -> CNIConfig:
    return CNIConfig([str(kernel.PLUGIN_DIR)], cache_dir=folder / "cache", environ=environ())


@pytest.mark.usefixtures("root")
def test_second_network_or_container_in_a_namespace_takes_nothing_down(
    tmp_path: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("ADD over the interface of a running container, bridge and host-local")
    config = runtime(tmp_path)
    with kernel.bridge_name() as bridge, kernel.named_namespace() as namespace:
        first, second = (real(name, bridge, tmp_path / name) for name in ("first", "second"))
        rt = RuntimeConf("box", namespace.path, "eth0")
        config.add_network_list(first, rt)
        before = namespace.links()["eth0"], namespace.addresses("eth0")
        for number in range(size(3, 50)):
            for other in (rt, RuntimeConf(f"other{number}", namespace.path, "eth0")):
                with pytest.raises(CNIError):
                    config.add_network_list(second, other)
                after = namespace.links().get("eth0"), namespace.addresses("eth0")
                trials.check([] if after == before else [f"eth0 is {after}"], str(number))
        trials.check([str(item) for item in config.pending()], "pending")
        config.del_network_list(first, rt)


@pytest.mark.usefixtures("root")
@pytest.mark.alone
@pytest.mark.parametrize("verb", ["del", "gc", "recover"])
def test_namespace_with_path_and_number_of_a_dead_one_keeps_its_interface(
    tmp_path: Path, trials_of: Callable[[str], Trials], verb: str
) -> None:
    trials = trials_of("a namespace gets path and inode number of a dead one; DEL, GC and recovery of that")
    config = runtime(tmp_path)
    with kernel.bridge_name() as bridge, kernel.named_namespace() as namespace:
        made = real("net", bridge, tmp_path)
        for number in range(size(2, 20)):
            rt = RuntimeConf(f"box{number}", namespace.path, "eth0")
            config.add_network_list(made, rt)
            if verb == "recover":
                with pytest.raises(CNIError):
                    CNIConfig(["/nowhere"], cache_dir=tmp_path / "cache").del_network_list(made, rt)
            if not kernel.replace_namespace(namespace.path):  # another process on the machine was first
                config.del_network_list(made, rt)
                continue
            namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
            before = namespace.links()["eth0"]
            if verb == "del":
                config.del_network_list(made, rt)
            elif verb == "gc":
                config.gc_network_list(made, [])
            else:
                config.recover()
            trials.check([] if namespace.links().get("eth0") == before else ["eth0 is gone"], str(number))
            trials.check([str(item) for item in config.pending() + config.get_cached_attachments()], "left")
            namespace.run("ip", "link", "delete", "eth0")


def test_listings_at_once_see_everything_and_collection_tells_the_plugins_all(
    tmp_path: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("listings at once: each complete, and every keep-list that a plugin gets")
    runner = ScriptedRunner()
    made = network_conf_from_bytes('{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"one"}]}')
    options = {"cache_dir": tmp_path / "cache", "durable": False}
    mine = CNIConfig(["/bin"], runner=runner, owner="mine", **options)  # type: ignore[arg-type]  # a mapping of both
    for number in range(20):
        mine.add_network_list(made, RuntimeConf(f"box{number}", "", "eth0"))

    async def work() -> None:
        config = AsyncCNIConfig(["/bin"], owner="other", **options)  # type: ignore[arg-type]  # as above
        collector = AsyncCNIConfig(["/bin"], owner="other", runner=_Offloading(runner), **options)  # type: ignore[arg-type]  # as above
        for _ in range(size(25, 400)):
            listings = [config.get_cached_attachments() for _ in range(8)]
            found, _ = await asyncio.gather(asyncio.gather(*listings), collector.gc_network_list(made, []))
            for listing in found:
                trials.check([] if len(listing) == 20 else [f"{len(listing)} of 20"], "listing")
            kept = runner.calls[-1].request["cni.dev/valid-attachments"]
            trials.check([] if len(kept) == 20 else [f"{len(kept)} of 20"], "keep-list")
            runner.calls.clear()

    asyncio.run(work())


class _Offloading(ScriptedRunner):
    """A scripted runner whose file work goes to threads, as that of an event loop does."""

    def __init__(self, answers: ScriptedRunner) -> None:
        super().__init__()
        self.calls = answers.calls

    async def call(self, work: Callable[[], object]) -> object:  # type: ignore[override]  # of whatever the work returns
        return await asyncio.to_thread(work)
