"""Locks: between threads and processes, with their holder's number, and free when the holder is dead."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from libcni import CNIConfig, CNIErrorGroup, GCAttachment, LockTimeoutError, RuntimeConf, conf_list_from_bytes
from libcni.errors import CacheError
from libcni.locks import Locks, container_lock, network_lock
from libcni.store import Store
from libcni.testing import ScriptedRunner, success
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from libcni.invoke import PluginOutput
    from libcni.testing import ScriptedCall

NAME = container_lock("box")
NETWORK = conf_list_from_bytes('{"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "bridge"}]}')
RT = RuntimeConf("box", "", "eth0")

HOLDER = """
import sys
from libcni.store import Store
held = Store(sys.argv[1], durable=False).locks.try_lock(sys.argv[2], shared=sys.argv[3] == "shared")
print("held" if held else "busy", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def made(tmp_path: Path) -> Locks:
    return Store(str(tmp_path), durable=False).locks


@contextlib.contextmanager
def other_process(cache_dir: Path, name: str, kind: str = "alone") -> Iterator[subprocess.Popen[str]]:
    """Start a process that holds a lock until its stdin ends."""
    command = [sys.executable, "-c", HOLDER, str(cache_dir), name, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def test_lock_is_held_once_and_free_again(made: Locks) -> None:
    held = made.try_lock(NAME)
    assert held is not None
    assert made.try_lock(NAME) is None
    assert made.try_lock(NAME, shared=True) is None
    assert made.try_lock(container_lock("other")) is not None
    assert made.holder(NAME) == os.getpid()
    held.release()
    assert made.try_lock(NAME) is not None


def test_shared_lock_is_held_by_many_and_keeps_others_out(made: Locks) -> None:
    name = network_lock("net")
    first, second = made.try_lock(name, shared=True), made.try_lock(name, shared=True)
    assert first is not None
    assert second is not None
    assert made.try_lock(name) is None
    first.release()
    assert made.try_lock(name) is None
    second.release()
    assert made.try_lock(name) is not None


def test_lock_of_another_process_names_it_and_dies_with_it(made: Locks, tmp_path: Path) -> None:
    with other_process(tmp_path, NAME) as process:
        assert made.try_lock(NAME) is None
        assert made.holder(NAME) == process.pid
        process.send_signal(signal.SIGKILL)
        process.wait()
        held = made.try_lock(NAME)
        assert held is not None
        assert made.holder(NAME) == os.getpid()
        held.release()


@pytest.mark.parametrize("seconds", [0.05, 0])
def test_operation_waits_no_longer_than_told_and_names_the_process(tmp_path: Path, seconds: float) -> None:
    runner = ScriptedRunner()
    config = CNIConfig(["/bin"], cache_dir=tmp_path, runner=runner, lock_timeout=seconds, durable=False)
    with other_process(tmp_path, NAME) as process:
        with pytest.raises(LockTimeoutError) as caught:
            config.add_network_list(NETWORK, RT)
        assert (caught.value.container_id, caught.value.holder) == ("box", process.pid)
        assert runner.calls == []
        process.kill()
        process.wait()
    config.add_network_list(NETWORK, RT)


def test_garbage_collection_waits_for_the_operations_on_its_network(tmp_path: Path) -> None:
    runner = ScriptedRunner()
    config = CNIConfig(["/bin"], cache_dir=tmp_path, runner=runner, lock_timeout=0.05, durable=False)
    with (
        other_process(tmp_path, network_lock("net"), "shared"),
        pytest.raises(LockTimeoutError, match="network 'net' is busy"),
    ):
        config.gc_network_list(NETWORK, [GCAttachment("box", "eth0")])
    assert runner.calls == []


def test_garbage_collection_of_all_networks_goes_on_when_one_is_busy(tmp_path: Path) -> None:
    runner = ScriptedRunner()
    config = CNIConfig(["/bin"], cache_dir=tmp_path, runner=runner, lock_timeout=0.05, durable=False)
    for name in ("net", "other"):
        config.add_network_list(replace(NETWORK, name=name), replace(RT, container_id=name))
    with (
        other_process(tmp_path, network_lock("net"), "shared"),
        pytest.raises(CNIErrorGroup) as caught,
    ):
        config.gc_networks([NETWORK], [])
    (error,) = caught.value.exceptions
    assert isinstance(error, LockTimeoutError)
    assert "network 'net' is busy" in str(error)
    assert [item.network for item in config.get_cached_attachments()] == ["net"]


def test_second_thread_waits_and_learns_who_holds_the_lock(tmp_path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def answer(_call: ScriptedCall) -> PluginOutput:
        inside.set()
        assert leave.wait(20)
        return success({})

    runner = ScriptedRunner({("bridge", "ADD"): answer})
    config = CNIConfig(["/bin"], cache_dir=tmp_path, runner=runner, lock_timeout=0.05, durable=False)
    thread = threading.Thread(target=config.add_network_list, args=(NETWORK, RT))
    thread.start()
    try:
        assert inside.wait(20)
        with pytest.raises(LockTimeoutError) as caught:
            config.del_network_list(NETWORK, RT)
        assert caught.value.holder == os.getpid()
    finally:
        leave.set()
        thread.join()
    config.del_network_list(NETWORK, RT)
    assert runner.history == [("ADD", "bridge"), ("DEL", "bridge")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS], ids=errno.errorcode.get)
def test_lock_without_room_for_a_file_is_that_of_the_folder(
    made: Locks, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    first = made.try_lock(NAME)
    assert first is not None
    first.release()
    open_file = os.open

    def full(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if flags & os.O_RDWR:
            raise OSError(number, os.strerror(number))
        return open_file(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", full)
    held = made.try_lock(NAME)
    assert held is not None
    assert made.try_lock(container_lock("other")) is None
    assert made.holder(NAME) is None
    held.release()
    other = made.try_lock(container_lock("other"))
    assert other is not None
    other.release()


def test_lock_without_room_for_its_folder_is_that_of_the_cache_directory(
    made: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(name: str, parent: int, mode: int) -> None:
        raise OSError(errno.ENOSPC, f"No space left for {name} in {parent}, mode {mode}")

    monkeypatch.setattr(made.folder.operations, "make_folder", full)
    held = made.try_lock(NAME)
    assert held is not None
    assert made.try_lock(NAME) is None
    held.release()


def test_second_lock_that_the_system_refuses_is_an_error_and_the_first_one_stays(
    made: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    held = made.try_lock(NAME)
    assert held is not None
    with monkeypatch.context() as patched:
        patched.setattr("libcni.locks.lock_byte", refuse)
        with pytest.raises(CacheError, match="cannot be locked: No locks available"):
            held.also(container_lock("other"))
    assert made.try_lock(NAME) is None
    held.release()
    assert made.try_lock(NAME) is not None


def test_announcement_holds_off_those_who_would_share_the_lock(made: Locks) -> None:
    name = network_lock("net")
    sharing = made.try_lock(name, shared=True)
    announced = made.announce(name)
    assert sharing is not None
    assert announced is not None
    assert made.try_lock(name, shared=True) is None
    sharing.release()
    alone = made.try_lock(name)
    assert alone is not None
    alone.release()
    announced.release()
    again = made.try_lock(name, shared=True)
    assert again is not None
    again.release()


INTERRUPTED = """
import os, random, signal, sys, time
from libcni.locks import container_lock
from libcni.store import Store

class Interrupt(BaseException):
    pass

def interrupt(*_):
    if armed:
        raise Interrupt

signal.signal(signal.SIGALRM, interrupt)
locks = Store(sys.argv[1], durable=False).locks
rounds = interrupts = stuck = 0
armed = False
until = time.monotonic() + 2
while time.monotonic() < until:
    rounds += 1
    name = container_lock(f"box{rounds}")
    held = locks.try_lock(name)
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 25e-6))
            held.release()
            for _ in range(100):
                pass
        finally:
            armed = False
    except Interrupt:
        interrupts += 1
    del held
    again = locks.try_lock(name)
    stuck += again is None
    if again is not None:
        again.release()
print(interrupts > 1000, stuck, len(os.listdir("/proc/self/fd")) < 20)
"""


def test_interrupt_while_a_lock_is_given_up_does_not_keep_it(tmp_path: Path) -> None:
    # What measures coverage takes locks of its own for each line, and does not survive interrupts between them.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    words = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environ, timeout=60)
    assert done.stdout.split() == ["True", "0", "True"]


def test_announcement_that_cannot_be_made_holds_nobody_off(made: Locks, tmp_path: Path) -> None:
    (tmp_path / "locks").symlink_to(tmp_path)
    assert made.announce(NAME) is None


def test_link_in_place_of_the_lock_file_is_not_followed(made: Locks, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    first = made.try_lock(NAME)
    assert first is not None
    first.release()
    files = list((tmp_path / "locks").iterdir())
    for file in files:
        file.unlink()
        file.symlink_to(target)
    with pytest.raises(CacheError, match="cannot be locked"):
        made.try_lock(NAME)
    assert made.holder(NAME) is None
    assert (len(files), target.read_text()) == (1, "precious")
