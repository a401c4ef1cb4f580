"""Following directories: every change is seen, whatever is removed, replaced or linked; nothing good is lost."""

from __future__ import annotations

import os
import random
import shutil
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from libcni import MissingExtraError, load_conf_dir
from libcni.networks import BlockingNetworks
from libcni.networks import watch as watch_module
from libcni.networks.watch import DirectoryWatcher, look_at
from tests.networks.conftest import Directory, opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from libcni.testing import ScriptedRunner
    from tests.networks.conftest import Face

LIMIT = 20.0
"""Seconds: a change that is not seen by then is missed."""


def wait_for(condition: Callable[[], object]) -> None:
    until = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < until, "not seen"
        time.sleep(0.01)


def names(networks: Face) -> list[str]:
    return [network.name for network in networks.snapshot.networks]


def has_names(networks: Face, wanted: list[str]) -> bool:
    return names(networks) == wanted


@pytest.fixture
def followed(flavour: str, conf: Directory, tmp_path: Path, runner: ScriptedRunner) -> Iterator[Face]:
    with opened(flavour, conf, tmp_path, runner=runner, watch=True) as networks:
        yield networks


def test_directory_that_is_made_later_is_followed(followed: Face, conf: Directory) -> None:
    assert names(followed) == []
    conf.network("10-a.conflist", "a")
    wait_for(lambda: names(followed) == ["a"])
    found = followed.first("changes", 2, lambda number: conf.network("20-b.conflist", "b") if not number else None)
    assert [[network.name for network in snapshot.networks] for snapshot in found] == [["a"], ["a", "b"]]


def test_end_of_the_context_ends_the_iterators(conf: Directory, tmp_path: Path) -> None:
    conf.network("10-a.conflist", "a")
    seen: list[Any] = []
    with opened("sync", conf, tmp_path, watch=True) as networks:
        threads = [
            threading.Thread(target=lambda: seen.extend(networks.changes())),
            threading.Thread(target=lambda: seen.extend(networks.status_changes())),
        ]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(seen) == 2)
        assert list(networks.changes(timeout=0.01)) == [networks.snapshot]
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()


@pytest.fixture
def watched(conf: Directory, tmp_path: Path, runner: ScriptedRunner) -> Iterator[Face]:
    conf.network("10-a.conflist", "a")
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        yield networks


def test_directory_that_is_removed_and_made_again_is_followed(watched: Face, conf: Directory) -> None:
    for number in range(3):
        shutil.rmtree(conf.path)
        wait_for(lambda: names(watched) == [])
        conf.network("10-b.conflist", f"b{number}")
        wait_for(partial(has_names, watched, [f"b{number}"]))


def test_directory_that_is_replaced_by_rename_is_followed(watched: Face, conf: Directory, tmp_path: Path) -> None:
    other = Directory(tmp_path / "new.d")
    other.network("10-b.conflist", "b")
    conf.path.rename(tmp_path / "old.d")
    other.path.rename(conf.path)
    wait_for(lambda: names(watched) == ["b"])
    conf.network("20-c.conflist", "c")
    wait_for(lambda: names(watched) == ["b", "c"])


def test_drop_in_is_followed(watched: Face, conf: Directory) -> None:
    drop_ins = Directory(conf.path / "a")
    drop_ins.write("10-tuning.conf", {"type": "tuning"})
    wait_for(lambda: len(watched.snapshot.networks[0].plugins) == 2)
    drop_ins.write("20-other.conf", {"type": "other"})
    wait_for(lambda: len(watched.snapshot.networks[0].plugins) == 3)
    drop_ins.write("20-other.conf", "{")
    wait_for(lambda: watched.snapshot.problems)
    assert len(watched.snapshot.networks[0].plugins) == 3


def test_links_of_kubernetes_are_followed(conf: Directory, tmp_path: Path, runner: ScriptedRunner) -> None:
    mounted = tmp_path / "config-map"

    def publish(version: int) -> None:
        data = Directory(mounted / f"..{version}")
        data.network("10-a.conflist", f"version-{version}")
        link = mounted / "..data_tmp"
        link.symlink_to(data.path.name)
        link.rename(mounted / "..data")

    publish(1)
    conf.path.mkdir()
    (conf.path / "10-a.conflist").symlink_to(mounted / "..data" / "10-a.conflist")
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        assert names(networks) == ["version-1"]
        for version in (2, 3):
            publish(version)
            wait_for(partial(has_names, networks, [f"version-{version}"]))


def test_directory_that_is_a_link_is_followed_when_it_leads_elsewhere(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner
) -> None:
    for name in ("one", "two"):
        Directory(tmp_path / name).network("10.conflist", name)
    conf.path.symlink_to("one")
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        assert names(networks) == ["one"]
        other = tmp_path / "link"
        other.symlink_to("two")
        other.rename(conf.path)
        wait_for(lambda: names(networks) == ["two"])
        Directory(tmp_path / "two").network("20.conflist", "three")
        wait_for(lambda: names(networks) == ["two", "three"])


def test_network_becomes_ready_when_its_plugin_comes(conf: Directory, tmp_path: Path) -> None:
    conf.network("10-a.conflist", "a")
    with BlockingNetworks(conf.path, [tmp_path / "bin"], cache_dir=tmp_path / "cache") as networks:
        assert networks.snapshot.default is None
        (tmp_path / "bin").mkdir()
        plugin = tmp_path / "bin" / "bridge"
        plugin.write_text("#!/bin/sh\n")
        time.sleep(0.3)
        assert networks.snapshot.default is None
        plugin.chmod(0o755)
        wait_for(lambda: networks.snapshot.default is not None)
        plugin.unlink()
        wait_for(lambda: networks.snapshot.default is None)


def test_directories_are_compared_where_they_cannot_be_watched(
    conf: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def look() -> None:
        seen[:] = [network.name for network in load_conf_dir(conf.path).networks]

    watcher = DirectoryWatcher(os.fspath(conf.path), [os.fspath(tmp_path)], look, poll_seconds=0.01)

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watcher, "_notify", refuse)
    watcher.start()
    try:
        for number in range(3):
            conf.network("10-a.conflist", f"a{number}")
            wait_for(partial(seen.__eq__, [f"a{number}"]))
    finally:
        watcher.stop()
    assert "cannot be watched" in caplog.text


def test_watcher_that_never_started_can_be_stopped(conf: Directory) -> None:
    DirectoryWatcher(os.fspath(conf.path), [], lambda: None, use_events=False).stop()


def test_look_ends_at_links_that_lead_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    view = look_at(os.fspath(tmp_path / "one" / "net.d"), [os.fspath(tmp_path / "missing" / ".." / "bin")])
    assert os.fspath(tmp_path) in view.directories


def test_watch_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles._rust_notify", None)
    with pytest.raises(MissingExtraError, match=r"libcni\[watch\]"), BlockingNetworks(tmp_path, []):
        pass
    with BlockingNetworks(tmp_path, [], watch=False, cache_dir=tmp_path) as networks:
        assert networks.snapshot.networks == ()


def test_directory_that_vanishes_before_it_is_watched_is_looked_at_again(
    conf: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = threading.Semaphore(0)
    watcher = DirectoryWatcher(os.fspath(conf.path), [], changes.release, poll_seconds=0.01)
    real, refused = watcher._notify, threading.Event()

    def refuse_once(*args: Any, **options: Any) -> Any:
        if not refused.is_set():
            refused.set()
            raise FileNotFoundError
        return real(*args, **options)

    monkeypatch.setattr(watcher, "_notify", refuse_once)
    watcher.start()
    try:
        assert changes.acquire(timeout=LIMIT)
        conf.network("10-a.conflist", "a")
        assert changes.acquire(timeout=LIMIT)
        assert refused.is_set()
    finally:
        watcher.stop()


NO_UTF8 = os.fsdecode(b"\xff\xfe")


def make_file(place: Path) -> None:
    (place / NO_UTF8).write_text("")


def make_folder(place: Path) -> None:
    (place / NO_UTF8).mkdir()


@pytest.mark.parametrize("make", [make_file, make_folder])
@pytest.mark.parametrize("place", ["beside", "inside"])
def test_name_that_is_no_utf8_does_not_end_the_watch(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, place: str, make: Callable[[Path], None]
) -> None:
    conf.network("10-a.conflist", "a")
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        conf.network("20-b.conflist", "b")
        wait_for(lambda: names(networks) == ["a", "b"])
        make(tmp_path if place == "beside" else conf.path)
        time.sleep(0.15)
        conf.network("30-c.conflist", "c")
        wait_for(lambda: names(networks) == ["a", "b", "c"])


def test_directory_whose_name_is_no_utf8_is_compared(tmp_path: Path) -> None:
    conf = Directory(tmp_path / NO_UTF8 / "net.d")
    changes = threading.Semaphore(0)
    watcher = DirectoryWatcher(os.fspath(conf.path), [], changes.release, poll_seconds=0.02)
    watcher.start()
    try:
        assert changes.acquire(timeout=LIMIT)
        conf.network("10-a.conflist", "a")
        assert changes.acquire(timeout=LIMIT)
    finally:
        watcher.stop()


def test_call_back_that_fails_does_not_end_the_watch(conf: Directory, caplog: pytest.LogCaptureFixture) -> None:
    calls = threading.Semaphore(0)

    def fail() -> None:
        calls.release()
        raise MemoryError("of the call back")

    watcher = DirectoryWatcher(os.fspath(conf.path), [], fail, poll_seconds=0.01)
    watcher.start()
    try:
        for _ in range(3):
            assert calls.acquire(timeout=LIMIT)
    finally:
        watcher.stop()
    assert "cannot be followed" in caplog.text


def test_end_of_the_watch_has_a_limit(conf: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "_STOP_SECONDS", 0.01)
    begun, free = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        free.wait(LIMIT)

    watcher = DirectoryWatcher(os.fspath(conf.path), [], hang)
    watcher.start()
    assert begun.wait(LIMIT)
    watcher.stop()
    assert not free.is_set()
    free.set()


def act_at_random(chance: random.Random, conf: Directory, tmp_path: Path, live: set[str]) -> None:
    """Make one change; ``live`` has the files that are good, or were before they were broken."""
    file = f"{chance.randrange(6)}.conflist"
    kind = chance.choice(["create", "create", "break", "mend", "delete", "swap", "remove", "drop-in"])
    if kind in {"create", "mend"}:
        conf.network(file, f"net-{file[0]}", plugin=chance.random())
        live.add(file)
    elif kind == "break" and file in live:
        conf.write(file, "{")
    elif kind == "delete" and file in live:
        conf.remove(file)
        live.discard(file)
    elif kind == "swap" and conf.path.exists():
        copy = tmp_path / "copy.d"
        shutil.copytree(conf.path, copy)
        conf.path.rename(tmp_path / "away.d")
        copy.rename(conf.path)
        shutil.rmtree(tmp_path / "away.d")
    elif kind == "remove" and not chance.randrange(4):
        shutil.rmtree(conf.path, ignore_errors=True)
        live.clear()
    elif kind == "drop-in":
        Directory(conf.path / f"net-{file[0]}").write("10-x.conf", {"type": f"x{chance.randrange(9)}"})


ROUNDS = 1000 // 20 if os.environ.get("LIBCNI_FAULTS") == "full" else 3


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, 2])
def test_random_changes_end_in_what_a_fresh_load_finds(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, seed: int
) -> None:
    chance = random.Random(seed)
    live: set[str] = set()
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        for _ in range(ROUNDS):
            for _ in range(20):
                act_at_random(chance, conf, tmp_path, live)
                time.sleep(chance.choice([0, 0, 0.01, 0.15]))

            def is_fresh() -> bool:
                fresh = {network.name: network for network in load_conf_dir(conf.path).networks}
                seen = {network.name: network for network in networks.snapshot.networks}
                kept = {item.network for item in networks.snapshot.explain() if item.state == "kept"}
                return {name: each for name, each in seen.items() if name not in kept} == fresh

            wait_for(is_fresh)


def test_busy_neighbour_does_not_make_the_directory_be_read(
    conf: Directory, tmp_path: Path, runner: ScriptedRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.network("10-a.conflist", "a")
    with opened("sync", conf, tmp_path, runner=runner, watch=True) as networks:
        conf.network("20-b.conflist", "b")
        wait_for(lambda: names(networks) == ["a", "b"])
        time.sleep(0.3)  # until the events of that are over
        looks: list[object] = []
        real = watch_module.look_at

        def look(conf_dir: str, bin_dirs: Sequence[str]) -> object:
            looks.append(conf_dir)
            return real(conf_dir, bin_dirs)

        monkeypatch.setattr(watch_module, "look_at", look)
        for number in range(5):
            (tmp_path / f"of-another-{number}").write_text("")
            time.sleep(0.12)
        assert looks == []
        conf.network("30-c.conflist", "c")
        wait_for(lambda: names(networks) == ["a", "b", "c"])
        assert looks
