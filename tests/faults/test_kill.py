"""SIGKILL of the runtime process: at every step boundary, and at random moments."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni.protocol.attachment import AttachmentKey
from libcni.verbs.orphans import end_noted
from tests.faults.trials import size
from tests.faults.world import CHAIN, World, attachment, network, words_of
from tests.support.records import as_file, sealed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.processes import Zygote
    from tests.faults.trials import Trials

KILLED = -signal.SIGKILL


def task_of(world: World, verb: str, **more: Any) -> dict[str, Any]:
    return {"verb": verb, "bin": world.bin, "cache": world.cache, "plugins": CHAIN, "container": "c", **more}


def recovered(world: World, zygote: Zygote, **more: Any) -> list[str]:
    """Recover in a new process, and say what went wrong: all must be gone, or be attached as a whole."""
    answer = zygote.run(**task_of(world, "recover", **more))
    found = [] if answer["status"] == 0 and "error" not in answer else [f"recover: {answer}"]
    found += [f"recover: {report}" for report in answer.get("reports", []) if not report[3]]
    return found + world.problems(world.attached())


def emptied(world: World, zygote: Zygote) -> list[str]:
    """Delete what is attached, and say what is left then."""
    for name in world.attached():
        zygote.run(**task_of(world, "del", container=name))
    return world.problems(set())


class Scene:
    """What is there before a verb runs that gets killed."""

    def __init__(self, world: World, zygote: Zygote, verb: str) -> None:
        self.world = world
        self.zygote = zygote
        self.verb = verb

    def prepare(self) -> dict[str, Any]:
        """Make it, and return the task."""
        world = self.world
        world.clear()
        if self.verb == "rollback":
            world.script("three", add="exit 1")
            return task_of(world, "add")
        world.script("three")
        if self.verb == "del":
            world.runtime(durable=False).add_network_list(network(*CHAIN), attachment("c"))
        if self.verb == "gc":
            for name in ("a", "b", "kept"):
                world.runtime(durable=False).add_network_list(network(*CHAIN), attachment(name))
            return task_of(world, "gc", keep=["kept"])
        if self.verb == "recover":
            answer = self.zygote.run(**task_of(world, "add", kill_at=40))
            assert answer["status"] == KILLED
        return task_of(world, self.verb)

    def problems(self) -> list[str]:
        found = recovered(self.world, self.zygote)
        if self.verb == "gc":
            found += [] if "kept" in self.world.attached() else ["what was to be kept is gone"]
        if self.verb in {"rollback", "recover"}:
            found += self.world.problems(set())
        return found + emptied(self.world, self.zygote)


@pytest.mark.parametrize("flavour", ["sync", "asyncio", "trio"])
@pytest.mark.parametrize("verb", ["add", "rollback", "del", "gc", "recover"])
def test_kill_at_every_step_boundary_loses_nothing(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials], verb: str, flavour: str
) -> None:
    trials = trials_of(f"kill -9 at every step boundary of {verb}")
    world.chain(pause=0.002)
    scene = Scene(world, zygote, verb)
    whole = zygote.run(**scene.prepare(), flavour=flavour)
    assert whole["status"] == 0
    steps = whole["steps"]
    assert steps > 10
    stride = size((6 if flavour == "sync" else 30) * (2 if verb == "gc" else 1), 1)
    for step in range(random.randrange(min(stride, steps)), steps, stride):
        answer = zygote.run(**scene.prepare(), kill_at=step, flavour=flavour)
        # Garbage collection works in threads: the number of its steps is the same, not their order.
        assert answer["status"] == KILLED, answer
        trials.check(scene.problems(), f"{flavour}, step {step} of {steps}")


@pytest.mark.parametrize("verb", ["add", "rollback", "del", "gc", "recover"])
def test_kill_at_random_moments_loses_nothing(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials], verb: str
) -> None:
    trials = trials_of("kill -9 at random moments")
    world.chain()
    scene = Scene(world, zygote, verb)
    for number in range(size(6, 100)):
        after = random.uniform(0, 0.1)
        flavour = ("sync", "asyncio", "trio")[number % 3]
        zygote.run(**scene.prepare(), signal=signal.SIGKILL, after=after, flavour=flavour)
        trials.check(scene.problems(), f"{verb}, {flavour}, after {after:.4f} s")


def test_kill_leaves_a_plugin_that_recovery_ends_first(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("kill -9 while a plugin runs that never ends")
    world.chain()
    world.script("two", add="trap '' TERM; while :; do sleep 1; done")
    for noted in (True, False):
        world.clear()
        steps = zygote.run(**task_of(world, "add", signal=signal.SIGKILL, after=0.3))
        assert steps["status"] == KILLED
        assert world.plugin_processes()
        if not noted:
            record = as_file(world.cache, "net@c@eth0")
            text = record.read_text()
            start = text.index('"plugin":"') + len('"plugin":"')
            record.write_text(text[:start] + " " * 32 + text[start + 32 :])
        trials.check(recovered(world, zygote) + world.problems(set()), f"noted: {noted}")


def test_delete_by_another_process_ends_the_plugin_that_was_left_behind(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("kill -9 while a plugin runs that never ends")
    world.chain()
    world.script("two", add="trap '' TERM; while :; do sleep 1; done")
    zygote.run(**task_of(world, "add", signal=signal.SIGKILL, after=0.3))
    answer = zygote.run(**task_of(world, "del"))
    trials.check([] if "error" not in answer else [answer["error"]], "DEL")
    trials.check(world.problems(set()), "DEL")


def test_recovery_after_a_reboot_ends_no_process_of_another_boot(
    world: World, zygote: Zygote, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("kill -9, then a reboot")
    world.chain()
    world.script("two", add="while :; do sleep 1; done")
    zygote.run(**task_of(world, "add", signal=signal.SIGKILL, after=0.3))
    record = as_file(world.cache, "net@c@eth0")
    (running,) = [process for process in world.plugin_processes() if b"two" in words_of(process)[1]]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    record.write_bytes(sealed(json.loads(record.read_text()) | {"bootId": "0" * 8 + boot_id[8:]}))
    found = world.runtime()._context.store.journal.find(AttachmentKey("net", "c", "eth0"))
    assert found is not None
    end_noted(found)
    trials.check([] if running.state().is_running else ["a process of another boot was ended"], "reboot")
    trials.check(recovered(world, zygote) + world.problems(set()), "reboot")
