"""Contexts, interrupts and forks: what is begun is ended, whatever comes in between."""

from __future__ import annotations

import functools
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from libcni.invoke.events import Observer
from libcni.networks import BlockingNetworks, Networks
from libcni.testing import ScriptedRunner, failure, success
from tests.networks.conftest import opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.invoke.events import OperationEvent
    from tests.networks.conftest import Addresses, Directory, Face

NETNS = "/run/netns/of-nobody"
WAIT = 20.0


class AtTheEnd(Observer):
    """Acts when an ADD of an interface has succeeded."""

    def __init__(self, ifname: str, act: Callable[[], object]) -> None:
        self.ifname = ifname
        self.act = act

    def operation_ended(self, event: OperationEvent, /) -> None:
        operation = event.operation
        if (operation.verb, operation.ifname) == ("ADD", self.ifname) and event.error is None:
            self.act()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("ifname", ["eth0", "eth1", "eth2"])
def test_interrupt_at_the_moment_of_success_leaves_nothing(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, addresses: Addresses, ifname: str
) -> None:
    conf.network("10-a.conflist", "a")
    with opened("sync", conf, tmp_path, runner=runner, on_event=AtTheEnd(ifname, interrupt)) as networks:
        with pytest.raises(KeyboardInterrupt):
            networks.setup("box", NETNS, networks=["a", "a", "a"])
        assert not addresses.in_use
        assert networks.attachments() == []


class LateShield(ScriptedRunner):
    """A runner whose first shield is not up yet when an interrupt comes."""

    is_late = True

    async def shielded(self, job: Any) -> Any:
        if self.is_late:
            self.is_late = False
            raise KeyboardInterrupt
        return await super().shielded(job)


def test_interrupt_before_the_shield_is_up_leaves_nothing(
    conf: Directory, tmp_path: Path, addresses: Addresses
) -> None:
    conf.network("10-a.conflist", "a")
    runner = LateShield({("bridge", "ADD"): addresses.add, ("bridge", "DEL"): addresses.delete})
    with opened("sync", conf, tmp_path, runner=runner, on_event=AtTheEnd("eth1", interrupt)) as networks:
        with pytest.raises(KeyboardInterrupt):
            networks.setup("box", NETNS, networks=["a", "a"])
        assert not runner.is_late
        assert not addresses.in_use


def test_clean_up_without_a_readable_store_says_so(
    conf: Directory, make: Callable[..., Face], runner: ScriptedRunner, tmp_path: Path
) -> None:
    conf.network("10-a.conflist", "a")
    conf.network("20-b.conflist", "b", "other")

    def spoil(_call: object) -> Any:
        results = tmp_path / "cache" / "results"
        results.rename(tmp_path / "away")
        results.write_text("")
        return failure(7, "no")

    runner.answer("other", "ADD", spoil)
    with pytest.raises(Exception, match="no") as caught:
        make().setup("box", NETNS, networks=["a", "b"])
    assert any("clean-up" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancellation_at_the_moment_of_success_leaves_all_or_nothing(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, addresses: Addresses, backend: str
) -> None:
    conf.network("10-a.conflist", "a")

    async def run(ifname: str) -> bool:
        scope = anyio.CancelScope()
        arguments: dict[str, Any] = {"cache_dir": tmp_path / "cache", "durable": False, "watch": False}
        watched = AtTheEnd(ifname, scope.cancel)
        async with Networks(conf.path, [], runner=runner, on_event=watched, **arguments) as networks:
            with scope:
                await networks.setup("box", NETNS, networks=["a", "a"])
            return len(await networks.attachments()) == len(addresses.in_use)

    for ifname in ("eth0", "eth1"):
        assert anyio.run(run, ifname, backend=backend)
        assert len(addresses.in_use) in {0, 2}
        addresses.in_use.clear()
        with opened("sync", conf, tmp_path, runner=runner) as networks:
            networks.remove("box")


def test_context_that_was_left_can_be_entered_again(conf: Directory, tmp_path: Path, runner: ScriptedRunner) -> None:
    conf.network("10-a.conflist", "a")
    networks = BlockingNetworks(conf.path, [], cache_dir=tmp_path, runner=runner, environ={})
    for _ in range(2):
        with networks:
            assert [network.name for network in next(networks.changes(timeout=WAIT)).networks] == ["a"]
        assert list(networks.changes(timeout=WAIT)) == []


def watchers() -> int:
    return sum(thread.name == "libcni-watch" for thread in threading.enumerate())


def test_context_that_is_entered_twice_is_refused(make: Callable[..., Face], flavour: str) -> None:
    before = watchers()
    face = make(watch=True)
    enter = face.networks.__enter__ if flavour == "sync" else functools.partial(face.call, face.networks.__aenter__)
    with pytest.raises(RuntimeError, match="entered already"):
        enter()
    assert watchers() == before + 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_context_whose_beginning_is_cancelled_follows_nothing(conf: Directory, tmp_path: Path, backend: str) -> None:
    before = watchers()

    async def enter() -> None:
        with anyio.CancelScope() as scope:
            runner = SlowStart(scope)
            await Networks(conf.path, [], cache_dir=tmp_path, runner=runner).__aenter__()

    anyio.run(enter, backend=backend)
    assert watchers() == before


class SlowStart(ScriptedRunner):
    """A runner whose first piece of work is done when the caller has been cancelled."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        super().__init__()
        self._scope = scope

    async def call(self, work: Callable[[], Any]) -> Any:
        found = work()
        self._scope.cancel()
        await anyio.lowlevel.checkpoint()
        return found


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_verbs_work_before_the_context_is_entered(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, backend: str
) -> None:
    conf.network("10-a.conflist", "a")
    with start_blocking_portal(backend) as portal:
        networks = Networks(conf.path, [], cache_dir=tmp_path, runner=runner, environ={}, durable=False)
        assert portal.call(networks.setup, "box", NETNS).primary_address is not None


def in_child(act: Callable[[], object]) -> int:
    """Return the exit status of a forked child that acts; it ends with SIGALRM when it hangs."""
    pid = os.fork()
    if not pid:
        signal.alarm(10)
        try:
            act()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_child_needs_no_thread_of_its_parent(conf: Directory, tmp_path: Path, addresses: Addresses) -> None:
    conf.network("10-a.conflist", "a")
    entered, free = threading.Event(), threading.Event()

    def wait(call: Any) -> Any:
        entered.set()
        free.wait(WAIT)
        return addresses.add(call)

    slow = ScriptedRunner({("bridge", "ADD"): wait})
    with opened("sync", conf, tmp_path, runner=slow, limit=1, watch=True) as networks:
        thread = threading.Thread(target=networks.setup, args=("box", NETNS))
        thread.start()
        assert entered.wait(WAIT)
        feed = networks.networks._embedding.feed

        def act() -> None:
            free.set()
            networks.reload()
            networks.setup("other", NETNS)
            networks.networks.__exit__()
            os._exit(0)

        with feed._reading.lock, feed._waiters.changed:
            status = in_child(act)
        free.set()
        thread.join()
        assert status == 0
        assert watchers()
        conf.network("20-b.conflist", "b")
        seen = (len(snapshot.networks) for snapshot in networks.changes(timeout=WAIT))
        assert 2 in seen


class Pausing(ScriptedRunner):
    """A runner whose pauses last until they are ended."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.over = threading.Event(), threading.Event()

    async def sleep(self, seconds: float) -> None:
        del seconds
        self.begun.set()
        self.over.wait(WAIT)


def test_plugin_that_is_waited_for_has_no_place_below_the_limit(conf: Directory, tmp_path: Path) -> None:
    conf.network("10-a.conflist", "a", "busy")
    conf.network("20-b.conflist", "b")
    runner = Pausing()
    runner.answer("bridge", "ADD", success({"cniVersion": "1.1.0"}))
    runner.answer("busy", "ADD", [failure(11, "busy"), success({"cniVersion": "1.1.0"})])
    with opened("sync", conf, tmp_path, runner=runner, limit=1) as networks:
        waiting = threading.Thread(target=networks.setup, args=("box", NETNS), kwargs={"networks": ["a"]})
        waiting.start()
        assert runner.begun.wait(WAIT)
        other = threading.Thread(target=networks.setup, args=("other", NETNS), kwargs={"networks": ["b"]})
        other.start()
        other.join(WAIT / 4)
        assert [item.container_id for item in networks.attachments()] == ["other"]
        runner.over.set()
        waiting.join()
        assert len(networks.attachments()) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pause_that_is_cancelled_gives_no_place_twice(conf: Directory, tmp_path: Path, backend: str) -> None:
    conf.network("10-a.conflist", "a")
    runner = ScriptedRunner()
    runner.answer("bridge", "ADD", [failure(11, "busy")] * 2 + [success({"cniVersion": "1.1.0"})])
    runner.answer("bridge", "DEL", [failure(11, "busy"), success()] * 9)

    async def run() -> None:
        scope = anyio.CancelScope()
        arguments: dict[str, Any] = {"cache_dir": tmp_path / "cache", "durable": False, "watch": False}
        async with Networks(conf.path, [], runner=runner, limit=1, on_event=AtFailure(scope), **arguments) as networks:
            with scope:
                await networks.setup("box", NETNS)
            assert scope.cancelled_caught
            with anyio.fail_after(WAIT):
                await networks.setup("box", NETNS)

    anyio.run(run, backend=backend)


class AtFailure(Observer):
    """Cancels when an ADD has failed."""

    def __init__(self, scope: anyio.CancelScope) -> None:
        self.scope = scope

    def operation_ended(self, event: OperationEvent, /) -> None:
        if event.operation.verb == "ADD" and event.error is not None:
            self.scope.cancel()
