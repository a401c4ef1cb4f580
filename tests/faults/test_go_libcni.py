"""The same faults with Go libcni, as Debian packages it: counted and reported, to be compared; nothing is judged."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.processes import Process, find_processes
from tests.faults.trials import COUNTS, size
from tests.faults.world import CHAIN, World, environ, words_of
from tests.interop.conftest import driver_path as driver_path  # noqa: PLC0414 -- a fixture, used by its name

if TYPE_CHECKING:
    from pathlib import Path

HELD = {f"{plugin}@c@eth0" for plugin in CHAIN}


class Go:
    """The driver around Go libcni, over the same plugins."""

    def __init__(self, driver: Path, world: World) -> None:
        self._world = world
        conf = world.folder / "net.d"
        conf.mkdir()
        document = {"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": plugin} for plugin in CHAIN]}
        (conf / "net.conflist").write_text(json.dumps(document))
        flags = {"conf-dir": conf, "bin-dir": world.bin, "cache-dir": world.cache, "network": "net"}
        flags |= {"container-id": "c", "ifname": "eth0", "netns": "/nonexistent"}
        self._driver = str(driver)
        self._flags = [f"-{name}={value}" for name, value in flags.items()]

    def start(self, verb: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self._driver, verb, *self._flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(),
        )

    def run(self, verb: str) -> int:
        with self.start(verb) as process:
            process.communicate(timeout=60)
            return process.returncode


@pytest.fixture
def go(driver_path: Path, world: World) -> Go:
    # A plugin of the version that both libraries speak.
    world.chain()
    for name in CHAIN:
        path = world.bin / name
        path.write_text(path.read_text().replace('"cniVersion":"1.1.0"', '"cniVersion":"1.0.0"'))
    return Go(driver_path, world)


def report(fault: str, trials: int, lost: int) -> None:
    COUNTS.trials[f"Go libcni: {fault}"] += trials
    COUNTS.lost[f"Go libcni: {fault}"] += lost
    assert trials


def known(world: World) -> bool:
    return bool(world.files("results"))


def test_kill_during_add(go: Go, world: World) -> None:
    lost = 0
    trials = size(2, 100)
    for _ in range(trials):
        world.clear()
        process = go.start("add")
        time.sleep(random.uniform(0.005, 0.08))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(0.1)  # what a plugin that was left behind still does
        lost += bool(world.held) and not known(world)
    report("kill -9 during ADD: held, and nothing stored that tells", trials, lost)


def test_failed_add(go: Go, world: World) -> None:
    world.script("three", add="exit 1")
    lost = 0
    trials = size(1, 50)
    for _ in range(trials):
        world.clear()
        assert go.run("add") != 0
        lost += bool(world.held)
    report("ADD whose last plugin fails: held afterwards", trials, lost)


def test_two_adds_at_once(go: Go, world: World) -> None:
    lost = 0
    trials = size(1, 50)
    for _ in range(trials):
        world.clear()
        both = [go.start("add"), go.start("add")]
        outcomes = []
        for process in both:
            process.communicate(timeout=60)
            outcomes.append(process.returncode)
        lost += outcomes == [0, 0]
    report("two ADDs of one attachment at once: both succeed", trials, lost)


def test_second_add(go: Go, world: World) -> None:
    lost = 0
    trials = size(1, 50)
    for _ in range(trials):
        world.clear()
        lost += [go.run("add"), go.run("add")] == [0, 0]
    report("second ADD without a DEL between: succeeds", trials, lost)


@pytest.mark.parametrize("content", ["", "{"], ids=["empty", "half"])
def test_damaged_cache_file(go: Go, world: World, content: str) -> None:
    lost = 0
    trials = size(1, 20)
    for _ in range(trials):
        world.clear()
        assert go.run("add") == 0
        (stored,) = (world.cache / "results").iterdir()
        stored.write_text(content)
        lost += go.run("del") != 0 or bool(world.held)
    report(f"DEL with a cache file that is {'empty' if not content else 'cut off'}: refused", trials, lost)


def test_hanging_plugin(go: Go, world: World) -> None:
    world.script("two", add="sleep 300")
    trials = size(1, 3)
    lost = sum(_waits(go, world) for _ in range(trials))
    report("plugin that hangs: the call still waits in the end", trials, lost)


def test_grandchild_that_holds_the_pipes(go: Go, world: World) -> None:
    world.script("two", add="sleep 300 &")
    trials = size(1, 3)
    lost = sum(_waits(go, world) for _ in range(trials))
    report("plugin that leaves a child with its pipes: the call still waits in the end", trials, lost)


def _waits(go: Go, world: World) -> bool:
    world.clear()
    with go.start("add") as process:
        try:
            process.wait(size(3, 8))
        except subprocess.TimeoutExpired:
            return True
        finally:
            process.kill()
            world.end_plugins()
            for other in _sleepers(world):
                other.kill()
    return False


def _sleepers(world: World) -> list[Process]:
    """Return what the plugins left, by the working directory of this test."""
    mark = f"CNI_PATH={world.bin}".encode()
    return find_processes(
        lambda process: words_of(process)[:2] == [b"sleep", b"300"] and mark in process.read("environ")
    )
