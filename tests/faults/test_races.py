"""Many processes, threads and tasks on the same containers, some of them killed: no overlap, nothing unexplained."""

from __future__ import annotations

import itertools
import os
import random
import selectors
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AttachmentExistsError, CNIConfig
from libcni.storage.locks import network_lock
from tests.faults.processes import ROOT
from tests.faults.trials import FULL, size
from tests.faults.world import World, attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.trials import Trials

PROCESSES, WORKERS, CONTAINERS = 4, 8, 64
ALLOWED = {"done", "AttachmentExistsError"}


class Crowd:
    """The runtime processes; one that was killed is replaced by a new one."""

    def __init__(self, world: World, flavour: str, operations: int) -> None:
        self._command = [sys.executable, "-m", "tests.faults.race", str(world.folder), flavour]
        self._numbers = [str(operations // PROCESSES), str(WORKERS), str(CONTAINERS)]
        self.said: Counter[str] = Counter()
        self.kills = 0
        self._selector = selectors.DefaultSelector()

    def _start(self) -> None:
        process = subprocess.Popen(
            [*self._command, *self._numbers],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._selector.register(process.stdout or 0, selectors.EVENT_READ, process)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        return [key.data for key in self._selector.get_map().values()]

    def run(self, kills: int) -> None:
        """Let all of them work, and kill one at that many random moments."""
        for _ in range(PROCESSES):
            self._start()
        next_kill = time.monotonic()
        while self._running():
            for key, _ in self._selector.select(0.05):
                self._read(key)
            # Not before they work, however long they take to start.
            if self.said and self.kills < kills and time.monotonic() > next_kill and self._running():
                random.choice(self._running()).kill()
                self.kills += 1
                self._start()
                next_kill = time.monotonic() + random.uniform(0.1, 0.8)
        self._selector.close()

    def _read(self, key: selectors.SelectorKey) -> None:
        data = os.read(key.fd, 65536)
        if data:
            self.said.update(data.decode().split())
            return
        self._selector.unregister(key.fileobj)
        process: subprocess.Popen[bytes] = key.data
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def overlaps(log: list[list[str]]) -> list[str]:
    """Return where one plugin began on a container while another one was still at work there."""
    ends = {entry[4]: index for index, entry in enumerate(log) if entry[0] == "end"}
    working: dict[str, str] = {}
    found: list[str] = []
    for index, (event, plugin, command, container, pid) in enumerate(log):
        if event == "end":
            working.pop(container, None)
            continue
        # One that never ends was killed with its runtime, or by who came after.
        before = working.get(container)
        if before is not None and ends.get(before, -1) > index:
            found.append(f"line {index}: {command} of {plugin} on {container} while {before} was at work")
        working[container] = pid
    return found


def held_by_log(log: list[list[str]]) -> set[str]:
    """Return what plugins hold by what they wrote down: the last of them that ended decides."""
    held: dict[str, bool] = {}
    for event, plugin, command, container, _ in log:
        if event == "end":
            held[f"{plugin}@{container}@eth0"] = command == "ADD"
    return {name for name, is_held in held.items() if is_held}


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
def test_processes_that_share_containers_never_overlap(
    world: World, trials_of: Callable[[str], Trials], flavour: str
) -> None:
    trials = trials_of("races: operations of 4 processes x 8 workers on 64 containers")
    kills = trials_of("races: kill -9 of one process")
    for name in ("one", "two"):
        world.script(name, pause=0.001)
    crowd = Crowd(world, flavour, size(256 if flavour == "sync" else 96, 5024))
    crowd.run(size(2, 20))
    unexpected = crowd.said.keys() - ALLOWED
    trials.lost += [f"raised {name}: {crowd.said[name]} times" for name in unexpected]
    kills.done(crowd.kills)
    reports = world.runtime().recover()
    trials.lost += [str(report) for report in reports if not report.done]
    log = world.log()
    trials.lost += overlaps(log)
    attached = world.attached()
    trials.lost += world.problems(attached, ("one", "two"))
    if world.held != held_by_log(log):
        trials.lost.append(f"held {world.held ^ held_by_log(log)} against the log")
    trials.done(crowd.said.total())
    assert len(log) > crowd.said["done"]


def test_overlap_in_a_log_is_found() -> None:
    """The judgement above can fail."""
    lines = ["begin one ADD c 1", "begin one DEL c 2", "end one DEL c 2", "end one ADD c 1"]
    assert len(overlaps([line.split() for line in lines])) == 1
    assert overlaps([line.split() for line in (lines[0], lines[3], *lines[1:3])]) == []
    assert held_by_log([line.split() for line in lines]) == {"one@c@eth0"}


def test_gc_is_not_starved_by_adds_and_deletes(world: World, trials_of: Callable[[str], Trials]) -> None:
    trials = trials_of("GC against ADD and DEL that never pause")
    world.script("one", pause=0.02)
    config = world.runtime(durable=False, lock_timeout=20)
    over = threading.Event()
    failures: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in itertools.count():
                if over.is_set():
                    return
                config.add_network_list(network("one"), attachment(f"w{number}-{turn}"))
                config.del_network_list(network("one"), attachment(f"w{number}-{turn}"))
        except Exception as error:  # noqa: BLE001 -- judged below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(size(5, 50)):
            started = time.monotonic()
            config.gc_network_list(network("one"), [])
            trials.check([] if time.monotonic() - started < 10 else ["GC waited for 10 s"], "GC")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    trials.lost += [repr(error) for error in failures]


def test_gc_that_waits_for_a_hanging_plugin_lets_others_pass(world: World, trials_of: Callable[[str], Trials]) -> None:
    trials = trials_of("GC that waits for a plugin that hangs")
    world.script("one", before='[ "$CNI_CONTAINERID$CNI_COMMAND" = hangingADD ] && sleep 7')
    config = world.runtime(durable=False, lock_timeout=20)
    threads = [
        threading.Thread(target=config.add_network_list, args=(network("one"), attachment("hanging"))),
        threading.Thread(target=config.gc_network_list, args=(network("one"), [("hanging", "eth0")])),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.3)
    started = time.monotonic()
    config.add_network_list(network("one"), attachment("other"))
    took = time.monotonic() - started
    for thread in threads:
        thread.join()
    trials.check([] if took < 4 else [f"the ADD of another container took {took:.1f} s"], "ADD")
    trials.check([] if "hanging" in world.attached() else ["the hanging one is gone"], "GC")


def test_second_add_of_many_at_once_is_refused(world: World, trials_of: Callable[[str], Trials]) -> None:
    trials = trials_of("ADDs of one attachment at the same time")
    world.script("one")
    config = world.runtime(durable=False)
    for number in range(size(5, 50)):
        outcomes: list[Any] = []

        def add(container: str, outcomes: list[Any]) -> None:
            try:
                outcomes.append(config.add_network_list(network("one"), attachment(container)))
            except AttachmentExistsError as error:
                outcomes.append(error)

        threads = [threading.Thread(target=add, args=(f"c{number}", outcomes)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = sum(isinstance(outcome, AttachmentExistsError) for outcome in outcomes)
        trials.check([] if (refused, len(outcomes)) == (7, 8) else [f"{refused} of 8 were refused"], f"c{number}")


def test_lock_ends_with_release_although_a_fork_has_it(world: World, trials_of: Callable[[str], Trials]) -> None:
    trials = trials_of("fork while a lock is held")
    config: CNIConfig = world.runtime()
    locks = config._context.store.locks
    held = locks.try_lock(network_lock("net"))
    assert held is not None
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(reader, 1)
        os._exit(0)
    held.release()
    again = locks.try_lock(network_lock("net"))
    os.write(writer, b".")
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)
    trials.check([] if again is not None else ["the child keeps the lock"], "fork")
    if again is not None:
        again.release()


if FULL:  # the bounded form takes seconds
    pytestmark = pytest.mark.timeout(3600)
