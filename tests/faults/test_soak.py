"""Thousands of operations in one process: descriptors, threads, children and memory stay as they were."""

from __future__ import annotations

import functools
import gc
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import psutil
import pytest

from libcni import AsyncCNIConfig, CNIConfig, CNIError
from tests.faults.trials import size
from tests.faults.world import World, attachment, environ, network
from tests.support.descriptors import open_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.trials import Trials

GROWTH = 6 * 1024**2
"""Bytes that the process may grow by between its warm-up and its end: what an allocator does not give back."""


@dataclass(frozen=True)
class Use:
    """What the process has open, runs and holds."""

    descriptors: int
    threads: int
    children: int
    memory: int

    @classmethod
    def now(cls) -> Use:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return cls(
            descriptors=open_count(),
            threads=threading.active_count(),
            children=len(psutil.Process().children(recursive=True)),
            memory=pages * os.sysconf("SC_PAGE_SIZE"),
        )

    def problems(self, later: Use) -> list[str]:
        found = [
            f"{name}: {getattr(self, name)}, later {getattr(later, name)}"
            for name in ("descriptors", "threads", "children")
            if getattr(later, name) > getattr(self, name)
        ]
        if later.memory - self.memory > GROWTH:
            found.append(f"memory: {self.memory >> 10} KiB, later {later.memory >> 10} KiB")
        return found


async def operate(call: Callable[..., Any], first: int, number: int) -> None:
    """Do that many operations: ADD, CHECK, DEL, one ADD in ten of them failing and rolled back."""
    for turn in range(first, first + number // 3):
        chain = network("one", "refuses") if turn % 10 == 0 else network("one", "two")
        rt = attachment(f"c{turn}", args=[("K", str(turn))])
        for verb in ("add", "check", "del"):
            try:
                await call(f"{verb}_network_list", chain, rt)
            except CNIError:
                if turn % 10:
                    raise


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
def test_soak_leaves_everything_flat(world: World, trials_of: Callable[[str], Trials], flavour: str) -> None:
    trials = trials_of("soak: operations in one process")
    for name in ("one", "two"):
        world.script(name, pause=0)
    world.script("refuses", add="exit 1")
    number = size(300, 20_100) if flavour == "sync" else size(150, 5_100)
    options: dict[str, Any] = {"cache_dir": world.cache, "environ": environ(), "durable": False}
    uses: list[Use] = []

    async def run(call: Callable[..., Any]) -> None:
        warm_up = number // 3
        await operate(call, 0, warm_up)
        uses.append(Use.now())
        await operate(call, warm_up, number - warm_up)
        uses.append(Use.now())

    if flavour == "sync":
        blocking = CNIConfig([str(world.bin)], **options)

        async def call(verb: str, *arguments: Any) -> Any:
            return getattr(blocking, verb)(*arguments)

        anyio.run(run, call)
    else:
        config = AsyncCNIConfig([str(world.bin)], **options)

        async def wait_for(verb: str, *arguments: Any) -> Any:
            return await getattr(config, verb)(*arguments)

        anyio.run(functools.partial(run, wait_for), backend=flavour)
    trials.done(number)
    trials.lost += uses[0].problems(uses[1])
    trials.lost += world.problems(set(), ("one", "two"))
