"""Disks that are full, read-only or closed to us, and names that fit nowhere: refused, or rolled back; DEL works."""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, CacheError, CNIConfig, CNIError, InvalidParameterError
from libcni.disk import FileOperations
from libcni.testing import ScriptedRunner
from tests.faults.test_power_loss import Allocations
from tests.faults.trials import size
from tests.faults.world import CHAIN, attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.trials import Trials

NET = network(*CHAIN)
NOBODY = 65534
FLAVOURS = ("sync", "asyncio", "trio")


class Runtime:
    """One flavour over the disk under test."""

    def __init__(self, flavour: str, cache: Path, allocations: Allocations) -> None:
        kind: Any = CNIConfig if flavour == "sync" else AsyncCNIConfig
        self.config = kind(["/opt"], cache_dir=cache, runner=allocations.runner, environ={}, lock_timeout=1)
        self._flavour = flavour

    def __call__(self, verb: str, *arguments: Any) -> Any:
        work = functools.partial(getattr(self.config, verb), *arguments)
        return work() if self._flavour == "sync" else anyio.run(work, backend=self._flavour)

    def add(self, name: str) -> None:
        self("add_network_list", NET, attachment(name))

    def delete(self, name: str) -> None:
        self("del_network_list", NET, attachment(name))


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[Path]:
    """Mount a small file system in memory."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0700,{options}", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def remount(path: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", path], check=True)


def fill(path: Path, what: str, free: int) -> None:
    """Leave that many pages, or files, of a disk free."""
    filler = path / "filler"
    filler.mkdir()
    if what == "inodes":
        _fill_inodes(filler, free)
    else:
        _fill_pages(filler / "pages", free)


def _fill_inodes(filler: Path, free: int) -> None:
    made: list[Path] = []
    try:
        while True:
            path = filler / str(len(made))
            path.touch()
            made.append(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    for path in made[:free]:
        path.unlink()


def _fill_pages(filler: Path, free: int) -> None:
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        file.truncate(max(file.tell() - free * 4096, 0))


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("what", ["pages", "inodes"])
def test_full_disk_refuses_or_rolls_back_and_deletes(
    tmp_path: Path, trials_of: Callable[[str], Trials], flavour: str, what: str
) -> None:
    trials = trials_of(f"disk full: no {what}")
    refused = 0
    for free in range(size(12, 24)):
        for added_before in (True, False):
            allocations = Allocations()
            with small_disk(tmp_path / "disk", "size=128k,nr_inodes=60") as disk:
                runtime = Runtime(flavour, disk / "cache", allocations)
                if added_before:
                    runtime.add("before")
                fill(disk, what, free)
                found: list[str] = []
                try:
                    runtime.add("c")
                except CacheError:
                    refused += 1
                    if any(name == "c" for _, name in allocations.held):
                        found.append("the ADD was not rolled back")
                    found += [f"pending: {item}" for item in runtime("pending")]
                for name in ("c", "before", "never"):
                    runtime.delete(name)
                found += [f"held: {item}" for item in allocations.held]
                shutil.rmtree(disk / "filler")
                runtime("recover")
                found += [f"stored: {item}" for item in (*runtime("get_cached_attachments"), *runtime("pending"))]
                found += [f"left: {path}" for path in disk.rglob("*.tmp")]
                trials.check(found, f"{flavour}, {free} {what} free, added before: {added_before}")
    assert refused > 1


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("used", [True, False], ids=["used", "empty"])
def test_read_only_disk_refuses_add_and_deletes(
    tmp_path: Path, trials_of: Callable[[str], Trials], flavour: str, *, used: bool
) -> None:
    trials = trials_of("disk read-only")
    allocations = Allocations()
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        if used:
            Runtime(flavour, disk / "cache", allocations).add("before")
        remount(disk, "ro")
        runtime = Runtime(flavour, disk / "cache", allocations)
        calls = len(allocations.runner.calls)
        with pytest.raises(CacheError):
            runtime.add("c")
        found = ["something ran"] if len(allocations.runner.calls) > calls else []
        runtime.delete("before")
        found += [f"held: {item}" for item in allocations.held]
        remount(disk, "rw")
        runtime = Runtime(flavour, disk / "cache", allocations)
        runtime("gc_network_list", NET, [])
        found += [f"stored: {item}" for item in (*runtime("get_cached_attachments"), *runtime("pending"))]
        trials.check(found, flavour)


class _Failing(FileOperations):
    """Fails at one change, and from there on if it is to stay so."""

    def __init__(self, at: int, number: int, *, stays: bool) -> None:
        self._left = at
        self._number = number
        self._stays = stays

    def _may_fail(self) -> None:
        self._left -= 1
        if self._left == -1 or (self._left < 0 and self._stays):
            raise OSError(self._number, os.strerror(self._number))

    @property
    def has_failed(self) -> bool:
        return self._left < 0


def _before(name: str) -> Any:
    original = getattr(FileOperations, name)

    @functools.wraps(original)
    def failing(self: _Failing, *arguments: Any, **options: Any) -> Any:
        self._may_fail()
        return original(self, *arguments, **options)

    return failing


for _name in [name for name in vars(FileOperations) if not name.startswith("_")]:
    setattr(_Failing, _name, _before(_name))


@pytest.mark.usefixtures("moment_of_file_work")
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=errno.errorcode.get)
@pytest.mark.parametrize("stays", [False, True], ids=["once", "for-good"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_failure_of_any_change_loses_nothing(
    tmp_path: Path, trials_of: Callable[[str], Trials], flavour: str, number: int, *, stays: bool
) -> None:
    trials = trials_of("failure of one change of a file, or of all from there on")
    for at in range(100):
        allocations = Allocations()
        cache = tmp_path / f"cache{at}"
        runtime = Runtime(flavour, cache, allocations)
        failing = _Failing(at, number, stays=stays)
        store = runtime.config._context.store
        for folder in (store.cache.folder, store.journal.folder, store.damaged):
            folder.operations = failing
        for work in (runtime.add, runtime.delete):
            try:
                work("c")
            except CNIError as error:
                assert isinstance(error, CacheError), error  # noqa: PT017 -- one of many verbs, of which some succeed
        if not failing.has_failed:
            break
        fresh = Runtime(flavour, cache, allocations)
        fresh("recover")
        found = [f"held: {item}" for item in allocations.held]
        # What a disk refused to forget is forgotten by the next DEL.
        fresh.delete("c")
        found += [f"stored: {item}" for item in (*fresh("get_cached_attachments"), *fresh("pending"))]
        found += [f"left: {path}" for path in cache.rglob("*.tmp")]
        trials.check(found, f"{flavour}, change {at}")
    else:
        pytest.fail("the changes do not end")


@pytest.mark.usefixtures("root")
def test_no_permission_refuses_before_anything_runs(tmp_path: Path, trials_of: Callable[[str], Trials]) -> None:
    trials = trials_of("no permission")
    tmp_path.chmod(0o755)
    for place in ("theirs", "theirs/cache", "theirs/cache/journal"):
        folder = tmp_path / place
        folder.mkdir(mode=0o700, exist_ok=True)
        if place == "theirs":
            folder.chmod(0o755)
        trials.check(_as_nobody(tmp_path / "theirs" / "cache"), place)


def _as_nobody(cache: Path) -> list[str]:
    """Try an ADD as a user who may not write there, in a process of its own."""
    runner = ScriptedRunner()
    config = CNIConfig(["/opt"], cache_dir=cache, runner=runner, environ={}, lock_timeout=1)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "nothing was raised"
        try:
            os.setuid(NOBODY)
            config.add_network_list(NET, attachment("c"))
        except CacheError:
            said = "plugins ran" if runner.calls else ""
        except BaseException as error:  # noqa: BLE001 -- told to the parent
            said = repr(error)
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    said = json.loads(os.read(reader, 4096))
    os.close(reader)
    os.waitpid(pid, 0)
    return [said] if said else []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_names_that_fit_nowhere_are_refused_before_anything_runs(
    tmp_path: Path, trials_of: Callable[[str], Trials], flavour: str
) -> None:
    trials = trials_of("names that are too long")
    allocations = Allocations()
    runtime = Runtime(flavour, tmp_path / "cache", allocations)
    longest = max(length for length in range(200, 256) if _is_added(runtime, "c" * length))
    for length in (*range(longest + 1, longest + 30), 300, 5000):
        with pytest.raises(InvalidParameterError, match="too long"):
            runtime.add("c" * length)
        trials.done()
    runtime("gc_network_list", NET, [])
    assert not allocations.held
    with pytest.raises((CacheError, InvalidParameterError)):
        Runtime(flavour, tmp_path / ("d" * 300) / "cache", allocations).add("c")
    with pytest.raises((CacheError, InvalidParameterError)):
        Runtime(flavour, tmp_path / "/".join(["d" * 200] * 30), allocations).add("c")
    trials.check([f"held: {item}" for item in allocations.held], "cache directory")


def _is_added(runtime: Runtime, name: str) -> bool:
    try:
        runtime.add(name)
    except InvalidParameterError:
        return False
    return True
