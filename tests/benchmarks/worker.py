"""A worker that measures libcni from inside: a mode prints one JSON object of seconds, as the Go worker does."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni import AsyncCNIConfig, CNIConfig, GCAttachment, RuntimeConf, load_network_conf

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni import NetworkConfigList

Times = dict[str, float]


def own_cpu() -> float:
    """Return the processor seconds of this process, without those of plugins."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def runtime_conf(prefix: str, number: int) -> RuntimeConf:
    return RuntimeConf(f"{prefix}{number:06d}", "/proc/self/ns/net", "eth0")


def measure(times: Times, name: str, rounds: int, each: Callable[[int], object]) -> None:
    """Time a function over the rounds, and note wall and processor seconds for each."""
    cpu, start = own_cpu(), time.perf_counter()
    for number in range(rounds):
        each(number)
    times[name] = (time.perf_counter() - start) / rounds
    times[f"{name}_cpu"] = (own_cpu() - cpu) / rounds


def verbs(config: CNIConfig, network: NetworkConfigList, options: argparse.Namespace) -> Times:
    times: Times = {}
    add = lambda prefix, i: config.add_network_list(network, runtime_conf(prefix, i))  # noqa: E731 -- three of a kind
    check = lambda i: config.check_network_list(network, runtime_conf("c", i))  # noqa: E731 -- three of a kind
    delete = lambda prefix, i: config.del_network_list(network, runtime_conf(prefix, i))  # noqa: E731 -- three of a kind
    measure({}, "add", 10, partial(add, "w"))
    measure({}, "del", 10, partial(delete, "w"))
    measure(times, "add", options.rounds, partial(add, "c"))
    measure(times, "check", options.rounds, check)
    measure(times, "del", options.rounds, partial(delete, "c"))
    return times


def parallel(config: CNIConfig, network: NetworkConfigList, options: argparse.Namespace) -> Times:
    def cycle(number: int) -> None:
        rt = runtime_conf("p", number)
        config.add_network_list(network, rt)
        config.del_network_list(network, rt)

    def work(worker: int) -> None:
        for number in range(options.rounds):
            cycle(worker * options.rounds + number)

    cycle(0)
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(options.parallel)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"cycle": (time.perf_counter() - start) / (options.parallel * options.rounds)}


def parallel_tasks(network: NetworkConfigList, options: argparse.Namespace) -> Times:
    import anyio  # noqa: PLC0415 -- only this mode pays for it

    async def cycle(config: AsyncCNIConfig, number: int) -> None:
        rt = runtime_conf("p", number)
        await config.add_network_list(network, rt)
        await config.del_network_list(network, rt)

    async def work(config: AsyncCNIConfig, worker: int) -> None:
        for number in range(options.rounds):
            await cycle(config, worker * options.rounds + number)

    async def run() -> Times:
        config = AsyncCNIConfig([options.bin_dir], cache_dir=options.cache_dir, durable=options.durable)
        await cycle(config, 0)
        start = time.perf_counter()
        async with anyio.create_task_group() as group:
            for worker in range(options.parallel):
                group.start_soon(work, config, worker)
        return {"cycle": (time.perf_counter() - start) / (options.parallel * options.rounds)}

    return anyio.run(run, backend=options.backend)


def load(options: argparse.Namespace) -> Times:
    times: Times = {}
    measure(times, "load", options.rounds, lambda _: load_network_conf(options.conf_dir, options.network))
    return times


def attachments(config: CNIConfig, options: argparse.Namespace) -> Times:
    """List everything for the first time, and again, as a runtime does that collects garbage now and then."""
    times: Times = {}

    def one(_: int) -> None:
        if len(config.get_cached_attachments("s000007")) != 1:
            raise RuntimeError("attachment not found")

    def everything(_: int) -> None:
        if not config.get_cached_attachments():
            raise RuntimeError(f"no attachments in {options.cache_dir}")

    measure(times, "list_first", 1, everything)
    measure(times, "list", options.rounds, everything)
    measure(times, "list_one", options.rounds, one)
    return times


def fill(config: CNIConfig, network: NetworkConfigList, options: argparse.Namespace) -> Times:
    for number in range(options.rounds):
        config.add_network_list(network, runtime_conf("s", number))
    return {}


def collect(config: CNIConfig, network: NetworkConfigList, options: argparse.Namespace) -> Times:
    start = time.perf_counter()
    deleted = config.gc_network_list(network, list[GCAttachment]())
    if len(deleted) != options.rounds:
        raise RuntimeError(f"{len(deleted)} of {options.rounds} were deleted")
    return {"gc": time.perf_counter() - start}


def memory(config: CNIConfig, network: NetworkConfigList, options: argparse.Namespace) -> Times:
    """Add and delete, and note the peak memory in bytes after a twentieth of the rounds and after all."""
    times: Times = {}
    for number in range(options.rounds):
        rt = runtime_conf("m", number)
        config.add_network_list(network, rt)
        config.del_network_list(network, rt)
        if number + 1 == options.rounds // 20:
            times["first"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times["last"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return times


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode")
    parser.add_argument("--conf-dir", default="")
    parser.add_argument("--bin-dir", default="")
    parser.add_argument("--cache-dir", default="")
    parser.add_argument("--network", default="bench")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--backend", default="asyncio")
    options = parser.parse_args()
    config = CNIConfig([options.bin_dir], cache_dir=Path(options.cache_dir), durable=options.durable)
    network = (
        load_network_conf(options.conf_dir, options.network) if options.mode not in {"load", "attachments"} else None
    )
    modes: dict[str, Callable[[], Times]] = {
        "verbs": lambda: verbs(config, _given(network), options),
        "parallel": lambda: parallel(config, _given(network), options),
        "tasks": lambda: parallel_tasks(_given(network), options),
        "load": lambda: load(options),
        "attachments": lambda: attachments(config, options),
        "fill": lambda: fill(config, _given(network), options),
        "collect": lambda: collect(config, _given(network), options),
        "memory": lambda: memory(config, _given(network), options),
    }
    json.dump(modes[options.mode](), sys.stdout)


def _given(network: Any) -> NetworkConfigList:
    if network is None:
        raise RuntimeError("this mode needs a network")
    return network  # type: ignore[no-any-return]  # the one loaded above


if __name__ == "__main__":
    main()
