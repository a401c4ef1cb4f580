"""Giving attachments up: what is stored goes, no plugin runs, and nothing of another container is touched."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from libcni import CacheError, InvalidParameterError, LockTimeoutError, NetworkAttachment, PluginError
from libcni.locks import container_lock, network_lock
from libcni.store import Store
from libcni.testing import ScriptedRunner, failure, success
from tests.records import as_file, record_names

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .conftest import Runtime


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


def names(items: Sequence[NetworkAttachment]) -> list[tuple[str, str, str]]:
    return [(item.network, item.container_id, item.ifname) for item in items]


def stored(tmp_path: Path) -> list[str]:
    """Return the names of all results and records."""
    results = sorted(path.name for path in (tmp_path / "cache").glob("results/*"))
    return results + record_names(tmp_path / "cache")


def stuck(runtime: Runtime, runner: ScriptedRunner) -> None:
    """Leave an attachment whose ADD and DEL have failed."""
    runner.answer("one", "ADD", failure(7, "cannot use this"))
    runner.answer("one", "DEL", failure(7, "cannot use this"))
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one"), attachment(netns="/run/netns/a"))
    assert len(runtime.pending()) == 1


def test_forget_of_what_is_stuck_frees_the_names_and_runs_nothing(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make(runner)
    stuck(runtime, runner)
    calls = len(runner.calls)
    with caplog.at_level(logging.WARNING, "libcni"):
        (forgotten,) = runtime.forget("box")
    assert len(runner.calls) == calls
    assert (tuple(forgotten.key), forgotten.netns) == (("net", "box", "eth0"), "/run/netns/a")
    (line,) = [record.message for record in caplog.records if record.name == "libcni"]
    assert "net/box/eth0" in line
    assert "/run/netns/a" in line
    assert "may still be there" in line
    assert (stored(tmp_path), runtime.pending()) == ([], [])
    runner.answer("one", "ADD", success({}))
    runtime.add_network_list(network("one"), attachment())


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ({}, [("a", "eth0"), ("a", "eth1"), ("b", "eth2")]),
        ({"ifname": "eth2"}, [("b", "eth2")]),
        ({"network": "a"}, [("a", "eth0"), ("a", "eth1")]),
        ({"network": "a", "ifname": "eth1"}, [("a", "eth1")]),
        ({"network": "b", "ifname": "eth1"}, []),
        ({"network": "c"}, []),
    ],
    ids=["all", "interface", "network", "one", "none-of-both", "other-network"],
)
def test_forget_gives_up_what_was_named_and_nothing_else(
    make: Callable[..., Runtime], runner: ScriptedRunner, options: dict[str, str], gone: list[tuple[str, str]]
) -> None:
    runtime = make(runner)
    every = [("a", "eth0"), ("a", "eth1"), ("b", "eth2")]
    for container in ("box", "box-2", "my-box"):
        for name, ifname in every:
            runtime.add_network_list(network("one", name=name), attachment(container, ifname))
    assert names(runtime.forget("box", **options)) == [(name, "box", ifname) for name, ifname in gone]
    left = {(item.network, item.ifname) for item in runtime.get_cached_attachments("box")}
    assert left == set(every) - set(gone)
    assert len(runtime.get_cached_attachments()) == 9 - len(gone)
    assert runtime.forget("box", **options) == []


def test_forgotten_attachment_has_its_result_and_arguments(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runtime = make(runner)
    given = network("one")
    runtime.add_network_list(given, attachment(args=[("A", "1")], capability_args={"mac": "m"}))
    (before,) = runtime.get_cached_attachments()
    (forgotten,) = runtime.forget("box")
    assert forgotten == before
    assert (forgotten.config, forgotten.cni_args) == (given.raw, (("A", "1"),))


@pytest.mark.parametrize("damage", ["result", "record", "both", "result-alone", "record-alone"])
def test_forget_sets_damaged_files_of_the_attachment_aside(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, damage: str
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    runtime.add_network_list(network("one"), attachment("other"))
    result, record = tmp_path / "cache" / "results" / "net-box-eth0", as_file(tmp_path / "cache", "net@box@eth0")
    if damage in {"result", "both", "result-alone"}:
        result.write_text("{")
    if damage in {"record", "both", "record-alone"}:
        record.write_text("{")
    if damage == "result-alone":
        record.unlink()
    if damage == "record-alone":
        result.unlink()
    (forgotten,) = runtime.forget("box")
    assert tuple(forgotten.key) == ("net", "box", "eth0")
    assert bool(forgotten.config) == (damage in {"result", "record"})
    assert stored(tmp_path) == ["net-other-eth0", "net@other@eth0"]
    assert len(list((tmp_path / "cache" / "damaged").iterdir())) == (2 if damage == "both" else 1)


def test_damaged_file_whose_name_is_that_of_two_attachments_stays(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", name="a"), attachment("b-c"))
    runtime.add_network_list(network("one", name="a-b"), attachment("c"))
    shared = tmp_path / "cache" / "results" / "a-b-c-eth0"
    whole = shared.read_text()
    shared.write_text("{")
    assert names(runtime.forget("c")) == [("a-b", "c", "eth0")]
    assert stored(tmp_path) == ["a-b-c-eth0", "a@b-c@eth0"]
    shared.write_text(whole)
    assert names(runtime.get_cached_attachments()) == [("a", "b-c", "eth0")]
    assert runtime.pending() == []


def test_damaged_file_that_may_be_of_another_container_is_no_attachment(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    """Without a record, and with hyphens in it, its name does not tell."""
    runtime = make(runner)
    runtime.add_network_list(network("one", name="a"), attachment("b-c"))
    as_file(tmp_path / "cache", "a@b-c@eth0").unlink()
    shared = tmp_path / "cache" / "results" / "a-b-c-eth0"
    shared.write_text("{")
    assert runtime.forget("c") == runtime.forget("b-c") == []
    assert shared.exists()
    assert names(runtime.forget("b-c", network="a", ifname="eth0")) == [("a", "b-c", "eth0")]
    assert not shared.exists()


def test_forget_of_a_legacy_file_needs_all_its_names(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment("other"))
    file = tmp_path / "cache" / "results" / "net-box-eth0"
    file.write_text('{"cniVersion": "0.4.0"}')
    assert runtime.forget("box") == []
    (forgotten,) = runtime.forget("box", network="net", ifname="eth0")
    assert forgotten.config == b""
    assert not file.exists()


def test_forget_touches_another_runtimes_attachments_too(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    make(runner, owner="other").add_network_list(network("one"), attachment())
    assert names(make(runner).forget("box")) == [("net", "box", "eth0")]


def test_forget_sets_aside_what_is_no_file_in_the_place_of_a_result(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    place = tmp_path / "cache" / "results" / "net-box-eth0"
    place.unlink()
    place.mkdir()
    assert names(runtime.forget("box")) == [("net", "box", "eth0")]
    assert stored(tmp_path) == []


@pytest.mark.parametrize("lock", [container_lock("box"), network_lock("net")], ids=["container", "network"])
def test_forget_waits_for_who_works_on_the_container(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, lock: str
) -> None:
    runtime = make(runner, lock_timeout=0)
    runtime.add_network_list(network("one"), attachment())
    held = Store(str(tmp_path / "cache"), durable=False).locks.try_lock(lock)
    assert held is not None
    with pytest.raises(LockTimeoutError):
        runtime.forget("box")
    assert len(runtime.get_cached_attachments()) == 1
    held.release()
    assert len(runtime.forget("box")) == 1


def test_forget_without_a_cache_directory_finds_and_makes_nothing(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    assert make(runner).forget("box") == []
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"container_id": "../x"}, "container_id"),
        ({"container_id": "box", "ifname": "a/b"}, "ifname"),
        ({"container_id": "box", "network": "../x"}, "network"),
    ],
    ids=["container", "interface", "network"],
)
def test_forget_checks_names(make: Callable[..., Runtime], options: dict[str, str], name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        make(ScriptedRunner()).forget(**options)
    assert caught.value.name == name


def test_forget_of_what_cannot_be_read_is_an_error_and_leaves_it(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    folder = tmp_path / "cache" / "results"
    folder.rename(folder.with_name("moved"))
    folder.symlink_to("moved")
    with pytest.raises(CacheError):
        runtime.forget("box")
    folder.unlink()
    folder.with_name("moved").rename(folder)
    assert stored(tmp_path) == ["net-box-eth0", "net@box@eth0"]
