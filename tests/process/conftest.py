"""Fake plugins, the three flavours of a runner, and the check that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import psutil
import pytest
import trio

from libcni.invoke.anyio_runner import AnyioRunner
from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.invoke.process.backend import IN_PYTHON
from libcni.invoke.runner import HookedCall
from libcni.storage.operations import FileOperations
from libcni.storage.sync import Sync
from tests.support.children import end_noted_process
from tests.support.descriptors import open_count

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from libcni.invoke.runner import PluginCall, PluginOutput, Runner
    from libcni.invoke.steps import Steps

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds until a test gives something up that should have happened; only a failing test waits that long."""

SOON = PATIENCE / 2
"""Seconds: far more than a loaded machine needs, far less than what must not have been waited for."""

LONG = 300
"""Seconds that a fake plugin sleeps when it has to be ended."""


class Interrupted(BaseException):
    """What an interrupted call ended with, the same for every flavour."""


class Flavour:
    """One way to run the coroutines of a runner."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name

    @property
    def is_blocking(self) -> bool:
        return self.name == "blocking"

    def runner(self, **options: Any) -> Runner:
        return BlockingRunner(**options) if self.is_blocking else AnyioRunner(**options)

    def drive(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if self.is_blocking:
            return complete(function())
        return anyio.run(function, backend=self.name)

    def run(self, call: PluginCall, **options: Any) -> PluginOutput:
        runner = self.runner(**options)
        return self.drive(lambda: runner.run(call))

    def interruptible(self, function: Callable[[Callable[[], None]], Coroutine[Any, Any, object]]) -> None:
        """Run ``function`` with a way to interrupt it from any thread, and raise ``Interrupted`` if that ended it."""
        if self.is_blocking:
            try:
                complete(function(partial(signal.pthread_kill, threading.main_thread().ident or 0, signal.SIGINT)))
            except KeyboardInterrupt:
                raise Interrupted from None
        else:
            self.drive(partial(_cancellable, function, self.name))


async def _cancellable(function: Callable[[Callable[[], None]], Coroutine[Any, Any, object]], backend: str) -> None:
    with anyio.CancelScope() as scope:
        if backend == "trio":
            soon: Callable[[Callable[[], object]], object] = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            soon = asyncio.get_running_loop().call_soon_threadsafe
        loop_thread = threading.get_ident()

        def interrupt() -> None:
            if threading.get_ident() == loop_thread:
                scope.cancel()
            else:
                soon(scope.cancel)

        await function(interrupt)
        await anyio.lowlevel.checkpoint()
    if scope.cancelled_caught:
        raise Interrupted


@pytest.fixture(params=["blocking", "asyncio", "trio", "blocking-in-python", "asyncio-in-python"])
def flavour(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Flavour:
    name, _, is_in_python = request.param.partition("-")
    if is_in_python:
        monkeypatch.setattr("libcni.invoke.process.backend.processes", IN_PYTHON)
    return Flavour(name)


class _Doing(FileOperations):
    """Does something else when a file is to be synced."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work

    def sync(self, descriptor: int) -> None:  # noqa: ARG002  # there is none
        self._work()


def as_sync(work: Callable[[], object]) -> Steps[None]:
    """Return steps whose only sync is that work."""
    yield Sync(_Doing(work).sync, -1)


class Plugins:
    """Makes fake plugins in a folder, and calls of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def script(self, body: str, name: str = "plugin") -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    def call(self, body: str, *, stdin: bytes = b"{}", **fields: Any) -> HookedCall:
        """Return a call of a new script; ``$HERE`` is its folder."""
        return self.call_of(self.script(body), stdin=stdin, **fields)

    def call_of(self, path: str, *, stdin: bytes = b"{}", **fields: Any) -> HookedCall:
        fields.setdefault("timeout", PATIENCE)
        return HookedCall(path, stdin, {"PATH": os.environ["PATH"], "HERE": str(self.folder)}, **fields)

    def pid(self, name: str) -> int:
        """Return the process id that a script wrote into a file of its folder."""
        return int((self.folder / name).read_text())


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    yield Plugins(tmp_path)
    for file in tmp_path.glob("*.pid"):  # children that a test left running on purpose
        end_noted_process(file, f"HERE={tmp_path}")


@pytest.fixture
def busy(plugins: Plugins) -> Path:
    return Path(shutil.copy("/bin/cat", plugins.folder / "busy"))


def wait_for(name: str) -> str:
    """Return the shell command that waits for a file in the folder of the plugin."""
    return f'while [ ! -e "$HERE/{name}" ]; do sleep 0.01; done'


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait until something is true, and say whether it ever was."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody reaped has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")]  # idle for 10 s


def _descriptors() -> list[str]:
    return [file.name for file in Path("/proc/self/fd").iterdir()]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test after which there are more descriptors or threads than before."""
    descriptors, threads = open_count(), len(_threads())
    yield
    assert eventually(lambda: len(_threads()) <= threads), _threads()
    if open_count() > descriptors:
        gc.collect()  # an exception keeps the frames it went through, those of a thread too, and they what they own
    assert eventually(lambda: open_count() <= descriptors), _descriptors()
