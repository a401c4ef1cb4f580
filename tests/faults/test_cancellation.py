"""ADDs that are cancelled or interrupted at random moments: the rollback is completed, and nothing is left."""

from __future__ import annotations

import asyncio
import random
import signal
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, PluginError
from tests.faults.trials import size
from tests.faults.world import CHAIN, World, attachment, environ, network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.processes import Zygote
    from tests.faults.trials import Trials

NET = network(*CHAIN)
LONGEST = 0.12
"""Seconds: somewhat longer than an ADD takes, so that some are done before they are cancelled."""


def left_over(world: World, *, added: bool) -> list[str]:
    """Say what is wrong after an ADD that was added in full, or not at all."""
    found = world.problems({"c"} if added else set())
    if added:
        world.runtime(durable=False).del_network_list(NET, attachment("c"))
    return found + world.problems(set())


async def cancel_scope(config: AsyncCNIConfig, after: float) -> bool:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def cancel() -> None:
                await anyio.sleep(after)
                scope.cancel()

            group.start_soon(cancel)
            await config.add_network_list(NET, attachment("c"))
            return True
    return False


async def cancel_task(config: AsyncCNIConfig, after: float) -> bool:
    task = asyncio.ensure_future(config.add_network_list(NET, attachment("c")))
    await asyncio.sleep(after)
    task.cancel()
    await asyncio.sleep(random.choice([0, 0.01]))
    task.cancel()  # a caller without patience, during the rollback
    try:
        await task
    except asyncio.CancelledError:
        return False
    return True


@pytest.mark.parametrize("how", [cancel_scope, cancel_task], ids=["scope", "task"])
@pytest.mark.parametrize("flavour", ["asyncio", "trio"])
@pytest.mark.parametrize("fails", [False, True], ids=["adds", "rolls-back"])
def test_cancelled_add_is_rolled_back(
    world: World, trials_of: Callable[[str], Trials], how: Any, flavour: str, *, fails: bool
) -> None:
    if flavour == "trio" and how is cancel_task:
        how = cancel_scope  # trio has scopes only
    trials = trials_of("ADD cancelled at a random moment")
    world.chain()
    if fails:
        world.script("three", add="exit 1", delete="sleep 0.02")
    config = AsyncCNIConfig([str(world.bin)], cache_dir=world.cache, environ=environ(), durable=False)
    for _ in range(size(5, 125)):
        after = random.uniform(0, LONGEST)
        try:
            anyio.run(how, config, after, backend=flavour)
        except* PluginError:  # it failed before it was cancelled, in a group where there is one
            pass
        trials.check(left_over(world, added=bool(world.attached())), f"{flavour}, {how.__name__}, after {after:.4f} s")


@pytest.mark.parametrize("fails", [False, True], ids=["adds", "rolls-back"])
def test_interrupted_add_is_rolled_back(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials], *, fails: bool
) -> None:
    trials = trials_of("SIGINT at a random moment of an ADD")
    world.chain()
    if fails:
        world.script("three", add="exit 1", delete="sleep 0.02")
    interrupted = 0
    task = {"verb": "add", "bin": world.bin, "cache": world.cache, "plugins": CHAIN, "container": "c"}
    for _ in range(size(10, 250)):
        after = random.uniform(0, LONGEST)
        world.clear()
        answer = zygote.run(**task, signal=signal.SIGINT, after=after, durable=False)
        # One that comes after the ADD ends the process, as it ends any program.
        interrupted += "KeyboardInterrupt" in answer.get("error", "")
        trials.check(left_over(world, added=bool(world.attached())), f"after {after:.4f} s: {answer}")
    assert interrupted > 0


def test_interrupted_again_during_the_rollback_is_finished_by_it(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("SIGINT twice, the second during the rollback")
    world.chain(delete="sleep 0.03")
    world.script("three", add="sleep 5")
    task = {"verb": "add", "bin": world.bin, "cache": world.cache, "plugins": CHAIN, "container": "c"}
    for _ in range(size(3, 100)):
        again = random.uniform(0.03, 0.1)
        answer = zygote.run(**task, signal=signal.SIGINT, after=0.15, again=again, durable=False)
        assert "KeyboardInterrupt" in answer.get("error", ""), answer
        trials.check(left_over(world, added=False), f"again after {again:.4f} s")
