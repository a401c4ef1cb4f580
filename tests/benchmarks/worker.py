"""A worker that measures libcni from inside: a mode prints one JSON object of seconds, as the Go worker does."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if "--pure" in sys.argv:  # before anything loads it: the backend takes Python when the C part cannot be imported
    sys.modules["libcni.invoke.process._spawn"] = None  # type: ignore[assignment]  # what makes an import fail

from libcni import AsyncCNIConfig, CNIConfig, GCAttachment, RuntimeConf, load_network_conf
from libcni.invoke.process.backend import IN_PYTHON, processes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from libcni import NetworkConfigList

Times = dict[str, float]

VERBS = {"add": "add_network_list", "check": "check_network_list", "del": "del_network_list"}
BEAT = 0.001
"""Seconds that the heart of an event loop sleeps."""


class Work:
    """What the options ask for: the network, the containers, how many at once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.parallel: int = options.parallel
        self.backend: str = options.backend
        paths = Path(options.netns).read_text().split() if options.netns else ["/proc/self/ns/net"]
        self.containers = [_container(f"{options.prefix}{i}", paths[i % len(paths)]) for i in range(options.containers)]
        self.warm = _container("w0", paths[0])

    @property
    def network(self) -> NetworkConfigList:
        return load_network_conf(self.options.conf_dir, "bench")

    def blocking(self) -> CNIConfig:
        return CNIConfig([self.options.bin_dir], cache_dir=self.options.cache_dir, durable=self.options.durable)

    def asynchronous(self) -> AsyncCNIConfig:
        return AsyncCNIConfig([self.options.bin_dir], cache_dir=self.options.cache_dir, durable=self.options.durable)


def _container(name: str, netns: str) -> RuntimeConf:
    # An interface of its own: one namespace may stand for all containers.
    return RuntimeConf(f"container-{name}", netns, f"b{name}")


@contextmanager
def timed(times: Times, name: str, count: int) -> Iterator[None]:
    """Note wall seconds, and processor seconds of this process without its children, for each of so many."""
    usage, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    yield
    wall, now = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    times[name], times[f"{name}_cpu"] = wall / count, cpu / count


def verbs(work: Work) -> Times:
    """Do ADD for all containers, then CHECK, then DEL: one at a time or several at once, in one of the flavours."""
    if work.backend != "sync":
        return verbs_in_loop(work)
    times: Times = {}
    config, network = work.blocking(), work.network
    for verb in VERBS.values():
        getattr(config, verb)(network, work.warm)
    for name, verb in VERBS.items():
        method = getattr(config, verb)
        with timed(times, name, len(work.containers)):
            in_threads(lambda rt, method=method: method(network, rt), work.containers, work.parallel)  # type: ignore[misc]  # bound at once
    return times


def in_threads(each: Callable[[RuntimeConf], object], containers: Sequence[RuntimeConf], parallel: int) -> None:
    """Do a piece of work for each container, so many at once."""
    waiting = iter(containers)
    failures: list[BaseException] = []

    def take() -> None:
        try:
            for rt in waiting:
                each(rt)
        except BaseException as error:  # noqa: BLE001 -- raised below
            failures.append(error)

    threads = [threading.Thread(target=take) for _ in range(parallel)] if parallel > 1 else []
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not threads:
        take()
    if failures:
        raise failures[0]


async def in_tasks(each: Callable[[RuntimeConf], Awaitable[object]], work: Work) -> None:
    """Do a piece of work for each container, as many at once as was asked for."""
    import anyio  # noqa: PLC0415 -- only these modes pay for it

    waiting = iter(work.containers)

    async def take() -> None:
        for rt in waiting:
            await each(rt)

    if work.parallel == 1:
        await take()
        return
    async with anyio.create_task_group() as group:
        for _ in range(work.parallel):
            group.start_soon(take)


def verbs_in_loop(work: Work) -> Times:
    import anyio  # noqa: PLC0415 -- only these modes pay for it

    async def run() -> Times:
        times: Times = {}
        config, network = work.asynchronous(), work.network
        for verb in VERBS.values():
            await getattr(config, verb)(network, work.warm)
        for name, verb in VERBS.items():
            method = getattr(config, verb)
            with timed(times, name, len(work.containers)):
                await in_tasks(lambda rt, method=method: method(network, rt), work)  # type: ignore[misc]  # bound at once
        return times

    return anyio.run(run, backend=work.backend)


def gap(work: Work) -> Times:
    """Return the longest gap between two beats of a task that does nothing else while all ADDs run at once."""
    import anyio  # noqa: PLC0415 -- only these modes pay for it

    async def run() -> Times:
        config, network = work.asynchronous(), work.network
        for verb in VERBS.values():
            await getattr(config, verb)(network, work.warm)
        beats: list[float] = []
        async with anyio.create_task_group() as group:
            group.start_soon(beat, beats)
            await in_tasks(lambda rt: config.add_network_list(network, rt), work)
            group.cancel_scope.cancel()
        times = longest(beats)
        await in_tasks(lambda rt: config.del_network_list(network, rt), work)
        return times

    return anyio.run(run, backend=work.backend)


def gap_beside(work: Work) -> Times:
    """Return the longest gap of a loop that has nothing to do, while another process runs as many plugins at once."""
    import anyio  # noqa: PLC0415 -- only these modes pay for it

    async def run() -> Times:
        beats: list[float] = []
        async with anyio.create_task_group() as group:
            group.start_soon(beat, beats)
            await anyio.run_process(work.options.command)
            group.cancel_scope.cancel()
        return longest(beats)

    return anyio.run(run, backend=work.backend)


async def beat(beats: list[float]) -> None:
    """Note the time whenever the loop gives this task its turn."""
    import anyio  # noqa: PLC0415 -- only these modes pay for it

    while True:
        beats.append(time.perf_counter())
        await anyio.sleep(BEAT)


def longest(beats: Sequence[float]) -> Times:
    return {"gap": max(late - early for early, late in pairwise(beats))}


def load(work: Work) -> Times:
    times: Times = {}
    with timed(times, "load", work.options.containers):
        for _ in range(work.options.containers):
            load_network_conf(work.options.conf_dir, "bench")
    return times


def attachments(work: Work) -> Times:
    """List everything for the first time, and again, as a runtime does that collects garbage now and then."""
    times: Times = {}
    config = work.blocking()
    for name in ("list_first", "list"):
        with timed(times, name, 1):
            found = config.get_cached_attachments()
        if not found:
            raise RuntimeError(f"no attachments in {work.options.cache_dir}")
    return times


def fill(work: Work) -> Times:
    config, network = work.blocking(), work.network
    for rt in work.containers:
        config.add_network_list(network, rt)
    return {}


def collect(work: Work) -> Times:
    times: Times = {}
    with timed(times, "gc", 1):
        deleted = work.blocking().gc_network_list(work.network, list[GCAttachment]())
    if len(deleted) != len(work.containers):
        raise RuntimeError(f"{len(deleted)} of {len(work.containers)} were deleted")
    return times


MODES: dict[str, Callable[[Work], Times]] = {
    "verbs": verbs,
    "gap": gap,
    "gap-beside": gap_beside,
    "load": load,
    "attachments": attachments,
    "fill": fill,
    "collect": collect,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--conf-dir", required=True)
    parser.add_argument("--bin-dir", required=True)
    parser.add_argument("--cache-dir", required=True)
    parser.add_argument("--netns", default="")
    parser.add_argument("--prefix", default="c", help="of the names of the containers")
    parser.add_argument("--containers", type=int, default=1)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--backend", default="sync", choices=["sync", "asyncio", "trio"])
    parser.add_argument("--pure", action="store_true", help="without the C part")
    parser.add_argument("--command", nargs=argparse.REMAINDER, help="for gap-beside: what else runs")
    options = parser.parse_args()
    if options.pure and processes is not IN_PYTHON:
        raise RuntimeError("the C part was loaded")
    json.dump(MODES[options.mode](Work(options)), sys.stdout)


if __name__ == "__main__":
    main()
