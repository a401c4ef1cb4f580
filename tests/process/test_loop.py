"""Verbs in an event loop: nothing that takes long is waited for in it, whatever is cancelled, damaged or fails."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, PluginError, RuntimeConf
from libcni.config.parse import parse_network
from libcni.invoke.anyio_runner import AnyioRunner
from libcni.storage.operations import FileOperations
from tests.process.conftest import SOON
from tests.process.heart import with_pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.process.conftest import Plugins

NETWORK = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"first"}]}')
RT = RuntimeConf("pod", "", "eth0")
LONG_SYNC = 0.5
"""Seconds."""
STILL = 0.4
"""Seconds that the loop may stand still on a loaded machine: less than one sync."""


class _SlowDisk(FileOperations):
    """Every sync takes long."""

    def __init__(self) -> None:
        self.syncs = 0
        self.seconds = LONG_SYNC

    def _wait(self) -> None:
        self.syncs += 1
        time.sleep(self.seconds)

    def sync(self, descriptor: int) -> None:
        self._wait()
        super().sync(descriptor)

    def sync_folder(self, folder: int) -> None:
        self._wait()
        super().sync_folder(folder)


class _World:
    def __init__(self, plugins: Plugins, backend: str) -> None:
        self.plugins = plugins
        self.backend = backend
        self.disk = _SlowDisk()
        self.results = plugins.folder / "cache" / "results"
        self.config = AsyncCNIConfig([plugins.folder], cache_dir=plugins.folder / "cache")
        store = self.config._context.store
        for folder in (store.cache.folder, store.journal.folder, store.damaged, store.locks.folder):
            folder.operations = self.disk

    def run(self, work: Callable[[], Any]) -> object:
        """Return what the work returned or raised; the loop must not have stood still."""
        outcome, still = anyio.run(with_pulse, work, backend=self.backend)
        assert self.disk.syncs
        assert still < STILL
        return outcome

    async def add(self, **options: Any) -> object:
        return await self.config.add_network_list(NETWORK, RT, **options)


@pytest.fixture(params=["asyncio", "trio"])
def world(request: pytest.FixtureRequest, plugins: Plugins) -> Iterator[_World]:
    plugins.script("""cat >/dev/null; echo '{"cniVersion":"1.0.0"}'""", "first")
    made = _World(plugins, request.param)
    yield made
    del made.config  # and with it the folders that it has open


def test_verbs_leave_the_loop_free(world: _World) -> None:
    async def all_verbs() -> None:
        await world.add()
        await world.config.check_network_list(NETWORK, RT)
        await world.config.del_network_list(NETWORK, RT)

    assert world.run(all_verbs) is None


@pytest.mark.parametrize("seconds", [0.3, LONG_SYNC * 2 + 0.3])
def test_cancelled_add_leaves_the_loop_free(world: _World, seconds: float) -> None:
    async def cancelled() -> bool:
        with anyio.move_on_after(seconds) as scope:
            await world.add()
        return scope.cancelled_caught

    started = time.monotonic()
    assert world.run(cancelled) is True
    assert time.monotonic() - started < SOON
    assert not list(world.results.glob("net-*"))


def test_failed_add_without_rollback_leaves_the_loop_free(world: _World) -> None:
    world.plugins.script("cat >/dev/null; exit 1", "first")
    error = world.run(lambda: world.add(rollback=False))
    assert isinstance(error, PluginError)
    assert not getattr(error, "__notes__", ())


def test_cancelled_add_without_rollback_leaves_the_loop_free(world: _World) -> None:
    world.plugins.script("cat >/dev/null; exec sleep 300", "first")

    async def cancelled() -> bool:
        with anyio.move_on_after(LONG_SYNC * 3) as scope:
            await world.add(rollback=False)
        return scope.cancelled_caught

    assert world.run(cancelled) is True


def test_damaged_file_is_set_aside_beside_the_loop(world: _World) -> None:
    world.disk.seconds = 0

    async def add() -> None:
        await world.add()

    anyio.run(add, backend=world.backend)
    [stored] = world.results.glob("net-*")
    stored.write_text("{")
    for path in _records(world.plugins.folder):
        path.unlink()
    world.disk.seconds = LONG_SYNC
    assert not isinstance(world.run(world.add), BaseException)
    assert list((world.plugins.folder / "cache" / "damaged").iterdir())


def _records(folder: Path) -> list[Path]:
    return [path for path in (folder / "cache" / "journal").iterdir() if path.is_file()]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_starts_of_many_plugins_let_other_tasks_in_between(
    plugins: Plugins, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setattr("libcni.invoke.anyio_runner._HOLD", 0.0)
    path = plugins.script("exit 0")
    rounds = 0
    starts: list[int] = []

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            await anyio.lowlevel.checkpoint()
            rounds += 1

    async def run() -> None:
        runner = AnyioRunner()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_rounds)
            async with anyio.create_task_group() as executions:
                for _ in range(8):
                    call = plugins.call_of(path, on_start=lambda _: starts.append(rounds))
                    executions.start_soon(runner.run, call)
            tasks.cancel_scope.cancel()

    anyio.run(run, backend=backend)
    assert len(set(starts)) >= 7  # trio may run the first two on both sides of one round, without the counter between
