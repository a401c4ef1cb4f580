"""One of several runtime processes that work on the same containers at once; run as a program.

usage: python -m tests.faults.race FOLDER FLAVOUR OPERATIONS WORKERS CONTAINERS

Prints a line after each operation, so that whoever started it can count, and can kill it at any moment.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

import anyio

from libcni import AsyncCNIConfig, CNIConfig, CNIError, CNIErrorGroup
from tests.faults.world import World, attachment, environ, network

GARBAGE_COLLECTIONS = 0.02
"""Share of the operations that is garbage collection, whose keep-list is a random half of the containers."""


def choose(containers: int) -> tuple[str, Any]:
    """Return a verb and what it is called with, the network aside."""
    names = [f"c{number}" for number in range(containers)]
    if random.random() < GARBAGE_COLLECTIONS:
        return "gc_network_list", [(name, "eth0") for name in random.sample(names, containers // 2)]
    verb = random.choice(("add_network_list", "del_network_list"))
    return verb, attachment(random.choice(names))


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def threads(config: CNIConfig, operations: int, workers: int, containers: int) -> None:
    net = network("one", "two")

    def work() -> None:
        for _ in range(operations // workers):
            verb, argument = choose(containers)
            try:
                getattr(config, verb)(net, argument)
                say("done")
            except (CNIError, CNIErrorGroup) as error:
                say(type(error).__name__)

    running = [threading.Thread(target=work) for _ in range(workers)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


async def tasks(config: AsyncCNIConfig, operations: int, workers: int, containers: int) -> None:
    net = network("one", "two")

    async def work() -> None:
        for _ in range(operations // workers):
            verb, argument = choose(containers)
            try:
                await getattr(config, verb)(net, argument)
                say("done")
            except (CNIError, CNIErrorGroup) as error:
                say(type(error).__name__)

    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)


def main(folder: str, flavour: str, *numbers: str) -> None:
    """Do the operations."""
    world = World(Path(folder))
    options: dict[str, Any] = {"cache_dir": world.cache, "environ": environ(), "durable": False, "lock_timeout": 60}
    operations, workers, containers = map(int, numbers)
    if flavour == "sync":
        threads(CNIConfig([str(world.bin)], **options), operations, workers, containers)
    else:
        config = AsyncCNIConfig([str(world.bin)], **options)
        anyio.run(tasks, config, operations, workers, containers, backend=flavour)


if __name__ == "__main__":
    main(*sys.argv[1:])
