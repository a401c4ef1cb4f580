"""What lies below the files: turns, shared syncs, locks on bytes, and folders that are open."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from libcni.bytelocks import is_byte_locked, lock_byte, unlock_bytes
from libcni.conformance.processes import own_child
from libcni.disk import FileOperations, OpenFolder, SharedSync, Sync
from libcni.errors import CacheError
from libcni.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 20

# What the library does after that is what is shown here.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def in_child(work: Callable[[], object]) -> int:
    """Do something in a forked child, and return its exit status: 0, or 1 if it raised, or was ended as it hung."""
    pid = os.fork()
    if not pid:
        status = 1
        with suppress(BaseException):
            work()
            status = 0
        os._exit(status)
    timer = threading.Timer(PATIENCE / 2, own_child(pid).kill)
    timer.start()
    try:
        return os.waitpid(pid, 0)[1]
    finally:
        timer.cancel()
        timer.join()


@contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    """Do something in a thread, which is waited for."""
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE)
    assert not thread.is_alive()


# Turns.


@contextmanager
def held_by_a_thread(turn: Turn) -> Iterator[None]:
    taken, done = threading.Event(), threading.Event()

    def hold() -> None:
        with turn.lock:
            taken.set()
            done.wait(PATIENCE)

    with in_thread(hold):
        assert taken.wait(PATIENCE)
        try:
            yield
        finally:
            done.set()


def test_turn_is_one_threads_at_a_time_and_given_back_after_an_error() -> None:
    turn = Turn()
    with held_by_a_thread(turn):
        assert not turn.lock.acquire(blocking=False)
    with pytest.raises(ZeroDivisionError), turn.lock:
        _ = 1 // 0
    assert turn.lock.acquire(blocking=False)
    turn.lock.release()


def test_turn_that_a_thread_had_is_free_in_a_forked_child() -> None:
    turn = Turn()

    def take() -> None:
        with turn.lock:
            pass

    with held_by_a_thread(turn):
        assert in_child(take) == 0
        assert not turn.lock.acquire(blocking=False)


def test_turn_is_one_lock_for_all_threads_of_a_forked_child() -> None:
    turn = Turn()

    def race() -> None:
        barrier = threading.Barrier(8)
        seen: list[object] = []

        def look() -> None:
            barrier.wait()
            seen.append(turn.lock)

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(seen) == 8
        assert len(set(map(id, seen))) == 1

    assert in_child(race) == 0


def test_turn_of_who_forks_inside_is_given_back_on_both_sides() -> None:
    turn = Turn()
    with turn.lock:
        pid = os.fork()
    if not pid:
        os._exit(0 if turn.lock.acquire(blocking=False) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert turn.lock.acquire(blocking=False)
    turn.lock.release()


# Shared syncs.


class _Disk:
    """Counts syncs, holds up the first one, and fails at some."""

    def __init__(self, *failing: int) -> None:
        self.failing = failing
        self.count = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def work(self) -> None:
        self.count += 1
        number = self.count
        if number == 1:
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
        if number in self.failing:
            raise OSError(errno.EIO, "Input/output error")


def _waiting(shared: SharedSync, count: int) -> bool:
    """Wait until so many have asked for a sync."""
    give_up = threading.Event()
    for _ in range(PATIENCE * 100):
        if int(repr(shared._asked).strip("count()")) > count:
            return True
        give_up.wait(0.01)
    return False


def _share(slow: _Disk, threads: int) -> list[str]:
    """Ask for one sync, and for more from threads while it is under way; return how each of them ended."""
    shared = SharedSync()
    ended: list[str] = []

    def ask() -> None:
        try:
            shared.sync(slow.work)
        except OSError:
            ended.append("failed")
        else:
            ended.append("synced")

    first = threading.Thread(target=ask)
    first.start()
    assert slow.begun.wait(PATIENCE)
    others = [threading.Thread(target=ask) for _ in range(threads)]
    for thread in others:
        thread.start()
    assert _waiting(shared, 2 + threads)
    slow.go_on.set()
    for thread in (first, *others):
        thread.join(PATIENCE)
    return ended


def test_syncs_that_are_asked_for_meanwhile_share_the_next_one() -> None:
    slow = _Disk()
    assert _share(slow, 8) == ["synced"] * 9
    assert slow.count == 2


def test_sync_that_is_under_way_is_not_enough_for_who_asks_later() -> None:
    slow = _Disk()
    assert _share(slow, 1) == ["synced"] * 2
    assert slow.count == 2


def test_syncs_one_after_the_other_share_nothing() -> None:
    shared, done = SharedSync(), list[int]()
    for number in range(3):
        shared.sync(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == [0, 1, 2]


def test_sync_that_fails_counts_for_nobody() -> None:
    slow = _Disk(1, 2)
    assert sorted(_share(slow, 4)) == ["failed"] * 2 + ["synced"] * 3
    assert slow.count == 3


def test_every_sync_that_fails_is_told() -> None:
    slow = _Disk(*range(100))
    assert _share(slow, 4) == ["failed"] * 5
    assert slow.count == 5


def test_sync_in_a_forked_child_does_not_wait_for_that_of_the_parent() -> None:
    shared, slow = SharedSync(), _Disk()
    done: list[bool] = []

    def sync() -> None:
        shared.sync(lambda: done.append(True))
        assert done

    with in_thread(lambda: shared.sync(slow.work)):
        try:
            assert slow.begun.wait(PATIENCE)
            assert in_child(sync) == 0
        finally:
            slow.go_on.set()


def test_sync_is_that_of_a_file_or_of_names_and_may_be_shared(tmp_path: Path) -> None:
    seen: list[object] = []

    class Noting(FileOperations):
        def sync(self, descriptor: int) -> None:
            seen.append(("content", descriptor))

        def sync_folder(self, folder: int) -> None:
            seen.append(("names", folder))

    shared = SharedSync()
    shared.sync(lambda: seen.append("first"))
    Sync(Noting(), 7).now()
    Sync(Noting(), 8, shared, is_of_names=True).now()
    assert seen == ["first", ("content", 7), ("names", 8)]
    with pytest.raises(OSError, match="Bad file descriptor"):
        Sync(FileOperations(), 999_999).now()
    folder = OpenFolder(os.open(tmp_path, os.O_RDONLY), str(tmp_path))
    Sync(FileOperations(), folder.descriptor, folder.names, is_of_names=True).now()


# Locks on bytes.


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.touch()
    return path


@contextmanager
def descriptors(path: Path, count: int) -> Iterator[list[int]]:
    opened = [os.open(path, os.O_RDWR | os.O_CLOEXEC) for _ in range(count)]
    try:
        yield opened
    finally:
        for descriptor in opened:
            os.close(descriptor)


@pytest.mark.parametrize("offset", [0, 1, 4096, 2**61 - 2])
def test_byte_is_locked_by_one_open_file_at_a_time(file: Path, offset: int) -> None:
    with descriptors(file, 2) as (one, other):
        assert lock_byte(one, offset)
        assert lock_byte(one, offset)
        assert not lock_byte(other, offset)
        assert not lock_byte(other, offset, shared=True)
        assert lock_byte(other, offset + 1)
        assert (is_byte_locked(one, offset), is_byte_locked(other, offset)) == (False, True)
        unlock_bytes(one)
        assert not is_byte_locked(other, offset)
        assert lock_byte(other, offset)
    assert file.stat().st_size == 0


def test_byte_is_shared_by_many_and_then_nobodys_alone(file: Path) -> None:
    with descriptors(file, 3) as (one, other, third):
        assert lock_byte(one, 7, shared=True)
        assert lock_byte(other, 7, shared=True)
        assert not lock_byte(third, 7)
        assert not is_byte_locked(third, 7)
        unlock_bytes(one)
        assert not lock_byte(third, 7)
        unlock_bytes(other)
        assert lock_byte(third, 7)


def test_bytes_are_all_unlocked_although_a_forked_child_has_the_file_too(file: Path) -> None:
    with descriptors(file, 2) as (one, other):
        assert lock_byte(one, 1)
        assert lock_byte(one, 5)
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
        unlock_bytes(one)
        free = lock_byte(other, 1), lock_byte(other, 5)
        os.close(writer)
        os.waitpid(pid, 0)
    assert free == (True, True)


def test_lock_of_a_process_that_died_is_free(file: Path) -> None:
    def lock() -> None:
        assert lock_byte(os.open(file, os.O_RDWR), 3)

    assert in_child(lock) == 0
    with descriptors(file, 1) as (one,):
        assert lock_byte(one, 3)


def test_byte_of_a_file_that_cannot_be_locked_raises(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "fcntl", fail)
    with descriptors(file, 1) as (one,):
        for call in (lambda: lock_byte(one, 0), lambda: unlock_bytes(one), lambda: is_byte_locked(one, 0)):
            with pytest.raises(OSError, match="No locks"):
                call()


# Open folders.


def _open(path: Path) -> OpenFolder:
    return OpenFolder(os.open(path, os.O_RDONLY | os.O_DIRECTORY), str(path))


def test_open_folder_is_closed_with_its_last_reference(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    folder = _open(tmp_path)
    descriptor = folder.descriptor
    os.fstat(descriptor)
    del folder
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_unsafe_folder_is_refused_and_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(CacheError, match="mode 0777"):
        OpenFolder(descriptor, str(tmp_path))
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_open_folder_knows_whether_it_is_still_at_its_path(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "folder"
    path.mkdir(0o700)
    folder = _open(path)
    here = str(path), str(tmp_path)
    assert folder.is_still_at(*here)
    path.chmod(0o720)
    assert not folder.is_still_at(*here)
    path.chmod(0o700)
    tmp_path.chmod(0o702)
    assert not folder.is_still_at(*here)
    tmp_path.chmod(0o700)
    path.rename(tmp_path / "elsewhere")
    assert not folder.is_still_at(*here)
    path.symlink_to("elsewhere")
    assert not folder.is_still_at(*here)
    path.unlink()
    path.mkdir(0o700)
    assert not folder.is_still_at(*here)


# The system calls.


def test_writes_go_on_where_the_system_stopped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, pwrite = os.write, os.pwrite
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: pwrite(fd, data[:3], offset))
    with descriptors(file, 1) as (one,):
        FileOperations().write(one, b"0123456789")
        FileOperations().overwrite(one, b"abcdefg", 2)
    assert file.read_bytes() == b"01abcdefg9"
