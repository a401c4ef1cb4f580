"""Measures how the cost of a container grows with the number of those that are attached already, and prints a table.

``python -m tests.benchmarks.scale [--most 10000] [--real 1000]``: a plugin that is a shell script, then ``ptp`` with
host-local (needs root). The second figure of each cell is the ratio to the cost beside 100; "own" is a set-up or a
removal without the time of its plugins.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from libcni import netns
from libcni.networks import BlockingNetworks, ReconcilePolicy
from tests.benchmarks import real
from tests.benchmarks.report import MILLI, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from libcni.observe import PluginEvent

LEVELS = (10, 100, 1000, 10_000)
SAMPLE = 60
SCRIPT = """#!/bin/sh
case $CNI_COMMAND in
ADD) echo '{"cniVersion":"1.0.0","interfaces":[{"name":"eth0","sandbox":"/n"}],"ips":[{"address":"10.0.0.2/16"}]}' ;;
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}' ;;
esac
"""
COLUMNS = (
    "attached",
    "set-up",
    "own",
    "removal",
    "own",
    "list, each",
    "GC, each",
    "recover, each",
    "reconcile, each",
    "memory",
)


class Node:
    """A node with containers, and their number.

    :param events: gets an event for each plugin call.
    :param namespaces: path of the namespace of each container to come.
    """

    def __init__(self, networks: BlockingNetworks, events: list[PluginEvent], namespaces: Callable[[int], str]) -> None:
        self.networks = networks
        self.events = events
        self.namespaces = namespaces
        self.attached = 0

    def fill(self, count: int) -> None:
        """Attach containers until there are so many."""
        while self.attached < count:
            self.networks.setup(f"box-{self.attached}", self.namespaces(self.attached))
            self.attached += 1

    def each(self, verb: Callable[[int], object]) -> list[float]:
        """Return the median times of a verb on each container of a sample, in seconds: in all, and without plugins."""
        times: list[float] = []
        own: list[float] = []
        for number in range(self.attached, self.attached + SAMPLE):
            self.events.clear()
            begun = time.perf_counter()
            verb(number)
            times.append(time.perf_counter() - begun)
            own.append(times[-1] - sum(event.duration for event in self.events))
        return [median(times), median(own)]

    def measure(self) -> list[float]:
        """Return the cost of each verb beside what is attached, in seconds for each container."""
        networks, names = self.networks, [f"box-{number}" for number in range(self.attached)]
        set_up = self.each(lambda number: networks.setup(f"box-{number}", self.namespaces(number)))
        removal = self.each(lambda number: networks.remove(f"box-{number}"))
        policy = ReconcilePolicy(check=False)
        whole: list[Callable[[], object]] = [
            networks.attachments,
            lambda: networks.gc(names),
            networks.recover,
            lambda: networks.reconcile(names, policy=policy),
        ]
        found = [*set_up, *removal]
        for verb in whole:
            begun = time.perf_counter()
            verb()
            found.append((time.perf_counter() - begun) / self.attached)
        return found


def table(title: str, node: Node, levels: Sequence[int]) -> str:
    """Return the table of one plugin."""
    measured: dict[int, list[float]] = {}
    memory: dict[int, int] = {}
    for level in levels:
        node.fill(level)
        measured[level] = node.measure()
        memory[level] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    base = measured[100]
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for level, values in measured.items():
        cells = [f"{value * MILLI:.3g} ms ({value / of:.2f})" for value, of in zip(values, base, strict=True)]
        lines.append([f"{level:,}", *cells, f"{memory[level]} MB"])
    return f"{title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


@contextmanager
def node_of(root: Path, plugin: dict[str, Any], directory: Path, namespaces: Callable[[int], str]) -> Iterator[Node]:
    """Yield a node with one network of one plugin."""
    conf = root / f"{plugin['type']}.d"
    conf.mkdir()
    (conf / "10-scale.conflist").write_text(json.dumps({"cniVersion": "1.0.0", "name": "scale", "plugins": [plugin]}))
    events: list[PluginEvent] = []
    cache = root / f"{plugin['type']}.cache"
    with BlockingNetworks(conf, [directory], cache_dir=cache, watch=False, on_event=events.append) as networks:
        yield Node(networks, events, namespaces)


def scripted(root: Path, most: int) -> str:
    """Measure a plugin that is a shell script."""
    directory = root / "bin"
    directory.mkdir()
    (directory / "scripted").write_text(SCRIPT)
    (directory / "scripted").chmod(0o755)
    with node_of(root, {"type": "scripted"}, directory, namespaces=lambda _: "/run/netns/of-nobody") as node:
        return table("A shell script", node, [level for level in LEVELS if level <= most])


def with_ptp(root: Path, most: int) -> str:
    """Measure the reference plugin ``ptp``, which has no bridge with a limit of ports; all in a host of its own."""
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.230.0.0/16"}]], "dataDir": str(root / "leases")}
    with ExitStack() as stack:
        stack.enter_context(stack.enter_context(netns.create()).inside())
        made = [stack.enter_context(netns.create()) for _ in range(most + SAMPLE)]
        plugin = {"type": "ptp", "ipam": ipam}
        node = stack.enter_context(node_of(root, plugin, real.PLUGINS, namespaces=lambda number: made[number].path))
        return table("ptp with host-local", node, [level for level in LEVELS if level <= most])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=1000)
    given = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, given.real + 1000), hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        print(machine(), end="\n\n")
        print(scripted(Path(folder), given.most), end="\n\n")
        if os.geteuid() == 0 and not real.missing():
            print(with_ptp(Path(folder), given.real))


if __name__ == "__main__":
    main()
