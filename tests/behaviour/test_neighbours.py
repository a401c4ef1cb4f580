"""Other attachments, other operations and other processes: one does no harm to another."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from libcni import AttachmentExistsError, CNIConfig, CNIErrorGroup, GCAttachment, InvalidParameterError, PluginError
from libcni.attachment import ARGS_LIMIT, AttachmentKey
from libcni.locks import _offset, container_lock, network_lock
from libcni.record import State
from libcni.store import STORED_LIMIT, Store
from libcni.testing import ScriptedRunner, failure, success
from tests.records import as_file, mark_record

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.invoke import PluginOutput
    from libcni.testing import ScriptedCall

    from .conftest import Runtime


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner()


class Gate:
    """A plugin's answer that comes when it is let through."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, _call: ScriptedCall) -> PluginOutput:
        self.reached.set()
        assert self.opened.wait(30)
        return success({})


def go_file(cache_dir: Path, name: str, container_id: str, ifname: str = "eth0", **members: Any) -> None:
    """Store an attachment as Go libcni does, which keeps no record."""
    folder = cache_dir / "results"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache_dir.chmod(0o700)
    document = {
        "kind": "cniCacheV1",
        "containerId": container_id,
        "config": "eyJjbmlWZXJzaW9uIjoiMS4wLjAiLCJuYW1lIjoibiIsInBsdWdpbnMiOlt7InR5cGUiOiJvbmUifV19",
        "ifName": ifname,
        "networkName": name,
        "result": {"cniVersion": "1.0.0"},
    }
    (folder / f"{name}-{container_id}-{ifname}").write_text(json.dumps(document | members))


# The interface of a container belongs to one network


def test_add_of_an_interface_that_another_network_has_is_refused(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", name="a"), attachment(netns="/run/netns/x"))
    with pytest.raises(AttachmentExistsError, match="network 'a'") as caught:
        runtime.add_network_list(network("two", name="b"), attachment(netns="/run/netns/y"))
    assert (caught.value.network, caught.value.container_id, caught.value.ifname) == ("a", "box", "eth0")
    assert runner.history == [("ADD", "one")]
    assert runtime.pending() == []
    runtime.add_network_list(network("two", name="b"), attachment(ifname="eth1"))
    runtime.del_network_list(network("one", name="a"), attachment())
    runtime.add_network_list(network("two", name="b"), attachment())


def test_add_of_an_interface_that_go_has_stored_is_refused(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    go_file(tmp_path / "cache", "a-b", "box")
    go_file(tmp_path / "cache", "c", "other-box")  # whose name ends as that of the container
    with pytest.raises(AttachmentExistsError, match="network 'a-b'"):
        make(runner).add_network_list(network("one", name="b"), attachment())
    assert runner.history == []


@pytest.mark.parametrize("is_large", [False, True])
def test_add_of_an_interface_whose_add_to_another_network_is_unfinished_is_refused(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, *, is_large: bool
) -> None:
    runner.answer("one", "ADD", failure(7, "no"))
    runner.answer("one", "DEL", failure(7, "no"))
    runtime = make(runner)
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one", name="a"), attachment())
    if is_large:
        as_file(tmp_path / "cache", "a@box@eth0")
    with pytest.raises(AttachmentExistsError, match="network 'a'"):
        runtime.add_network_list(network("two", name="b"), attachment())


def test_record_without_a_result_refuses_nothing_where_another_program_has_deleted_it(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one", name="a"), attachment())
    (tmp_path / "cache" / "results" / "a-box-eth0").unlink()  # as Go's DEL does
    runtime.add_network_list(network("two", name="b"), attachment())


# A mistake can be corrected


def test_unfinished_add_is_deleted_with_the_given_configuration_when_the_stored_one_fails(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runner.answer("one", "ADD", failure(7, "bad subnet"))
    runner.answer("one", "DEL", lambda call: failure(7, "bad") if call.request.get("mistake") else success())
    runtime = make(runner)
    mistaken, right = network({"type": "one", "mistake": 1}), network("one")
    for way_out, argument in (("del_network_list", attachment()), ("gc_network_list", [])):
        with pytest.raises(PluginError):
            runtime.add_network_list(mistaken, attachment())
        assert [item.state for item in runtime.pending()] == ["unfinished"]
        getattr(runtime, way_out)(right, argument)
        assert runtime.pending() == []
    with pytest.raises(PluginError):
        runtime.add_network_list(mistaken, attachment())
    runner.answer("one", "ADD", success({}))
    runtime.add_network_list(right, attachment())
    assert runtime.pending() == []


def test_unfinished_add_that_cannot_be_deleted_refuses_the_next_and_says_why(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runner.answer("one", "ADD", failure(7, "bad subnet"))
    runner.answer("one", "DEL", failure(7, "in use"))
    runtime = make(runner)
    for mode in (1, 2):
        with pytest.raises(PluginError if mode == 1 else AttachmentExistsError) as caught:
            runtime.add_network_list(network({"type": "one", "mode": mode}), attachment())
    assert isinstance(caught.value, AttachmentExistsError)
    assert caught.value.unfinished
    assert any("in use" in note for note in caught.value.__notes__)
    with pytest.raises(PluginError) as refused:
        runtime.del_network_list(network({"type": "one", "mode": 3}), attachment())
    assert any("with the configuration of the ADD" in note for note in refused.value.__notes__)


def test_attachment_that_is_there_is_deleted_with_its_own_configuration_only(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runner.answer("one", "DEL", failure(7, "in use"))
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    with pytest.raises(PluginError):
        runtime.del_network_list(network("two"), attachment())
    assert runner.history == [("ADD", "one"), ("DEL", "one")]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_path_that_is_no_namespace_is_left_out_of_every_delete(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / "place"
    (place.mkdir if kind == "folder" else place.touch)()
    runner.answer("one", "ADD", [failure(7, "no namespace"), success({})])
    runtime = make(runner)
    rt = attachment(netns=str(place))
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one"), rt)
    runtime.add_network_list(network("one"), rt)
    runtime.del_network_list(network("one"), rt)
    runtime.del_network_list(network("one"), attachment("unknown", netns=str(place)))
    deletions = [call.netns for call in runner.calls if call.command == "DEL"]
    assert deletions == ["", "", ""]
    assert [call.netns for call in runner.calls if call.command == "ADD"] == [str(place)] * 2


# Running, or left behind


def test_running_operation_is_told_from_an_unfinished_one(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime, gate = make(runner), Gate()
    runtime.add_network_list(network("one"), attachment("there"))
    runtime.add_network_list(network("one"), attachment("left"))
    assert mark_record(Store(str(tmp_path / "cache"), durable=False).journal, KEY_LEFT, State.DELETING)
    runner.answer("one", "ADD", gate)
    with ThreadPoolExecutor(1) as pool:
        adding = pool.submit(runtime.add_network_list, network("one"), attachment("now"))
        assert gate.reached.wait(30)
        pending = [(item.container_id, item.state, item.pid) for item in runtime.pending()]
        stored = [(item.container_id, item.state, item.pid) for item in runtime.get_cached_attachments()]
        gate.opened.set()
        adding.result(30)
    assert pending == [("left", "unfinished", None), ("now", "running", os.getpid())]
    assert stored == [("left", "unfinished", None), ("there", "attached", None)]
    assert [item.state for item in runtime.get_cached_attachments()] == ["unfinished", "attached", "attached"]
    (one,) = runtime.get_cached_attachments("left")
    assert (one.state, one.result is not None) == ("unfinished", True)


KEY_LEFT = AttachmentKey("net", "left", "eth0")


# Garbage collection beside an ADD


def test_attachment_that_was_added_while_collection_waited_is_not_stale(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runtime, gate = make(runner), Gate()
    runtime.add_network_list(network("one"), attachment("old"))
    runner.answer("one", "ADD", gate)
    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(runtime.add_network_list, network("one"), attachment("new"))
        assert gate.reached.wait(30)
        collecting = pool.submit(runtime.gc_network_list, network("one"), [])
        threading.Event().wait(0.2)  # for it to read the list, and wait for the lock
        gate.opened.set()
        adding.result(30)
        assert [item.container_id for item in collecting.result(30)] == ["old"]
    assert [item.container_id for item in runtime.get_cached_attachments()] == ["new"]
    # The plugins are told that it is in use.
    kept = [item["containerID"] for item in runner.calls[-1].request["cni.dev/valid-attachments"]]
    assert kept == ["new"]
    assert [item.container_id for item in runtime.gc_network_list(network("one"), [])] == ["new"]


def test_keep_list_that_is_a_function_is_read_when_the_network_is_locked(
    make: Callable[..., Runtime], runner: ScriptedRunner, flavour: str
) -> None:
    runtime, gate = make(runner), Gate()
    used: list[GCAttachment] = []
    asked: list[int] = []

    def in_use() -> list[GCAttachment]:
        asked.append(len(used))
        return list(used)

    async def in_use_later() -> list[GCAttachment]:
        return in_use()

    runner.answer("one", "ADD", gate)
    with ThreadPoolExecutor(2) as pool:
        adding = pool.submit(runtime.add_network_list, network("one"), attachment("new"))
        assert gate.reached.wait(30)
        keep = in_use if flavour == "sync" else in_use_later
        collecting = pool.submit(runtime.gc_network_list, network("one"), keep)
        threading.Event().wait(0.2)
        assert asked == []
        used.append(GCAttachment("new", "eth0"))
        gate.opened.set()
        adding.result(30)
        assert collecting.result(30) == []
    assert asked == [1]
    assert runtime.gc_networks([network("one")], lambda: used, dry_run=True) == []
    assert [item.container_id for item in runtime.gc_networks([network("one")], list, dry_run=True)] == ["new"]


@pytest.mark.parametrize("keep", [lambda: None, lambda: ["ab"], 7], ids=["none", "text", "number"])
def test_keep_list_that_makes_no_sense_deletes_nothing(
    make: Callable[..., Runtime], runner: ScriptedRunner, keep: Any
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    with pytest.raises(InvalidParameterError, match="valid_attachments"):
        runtime.gc_network_list(network("one"), keep)
    assert runner.history == [("ADD", "one")]


def test_attachment_of_go_that_was_added_while_collection_waited_is_not_stale(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    go_file(tmp_path / "cache", "net", "old")
    os.utime(tmp_path / "cache" / "results" / "net-old-eth0", (1, 1))
    go_file(tmp_path / "cache", "net", "new")
    future = 2**33
    os.utime(tmp_path / "cache" / "results" / "net-new-eth0", (future, future))
    assert [item.container_id for item in runtime.gc_network_list(network("one"), [])] == ["old"]


# Listings side by side


def test_listings_at_once_each_see_everything(make: Callable[..., Runtime], runner: ScriptedRunner) -> None:
    runtime = make(runner)
    for number in range(30):
        runtime.add_network_list(network("one"), attachment(f"box{number}"))
    with ThreadPoolExecutor(8) as pool:
        counts = set(pool.map(lambda _: len(runtime.get_cached_attachments()), range(400)))
    assert counts == {30}


# Locks


def test_container_id_cannot_be_chosen_to_fall_on_the_lock_of_its_network() -> None:
    ranges = {
        lock: {_offset(lock(f"name{number}")) >> 60 for number in range(1000)}
        for lock in (container_lock, network_lock)
    }
    assert ranges == {container_lock: {1}, network_lock: {2}}


def test_locks_of_many_names_are_all_different_and_below_the_end_of_files() -> None:
    offsets = {_offset(container_lock(f"box-{number}")) for number in range(20000)}
    assert len(offsets) == 20000
    assert max(offsets) < 2**63 - 1


def test_forked_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    config = CNIConfig(["/bin"], cache_dir=tmp_path / "cache", runner=ScriptedRunner(), lock_timeout=5, durable=False)
    read, write = os.pipe()
    parent = os.fork()
    if not parent:

        def leave_a_child(_call: ScriptedCall) -> PluginOutput:
            child = os.fork()
            if not child:
                threading.Event().wait(30)
                os._exit(0)
            os.write(write, f"{child}\n".encode())
            os.kill(os.getpid(), 9)
            return success()

        runner = ScriptedRunner({("one", "ADD"): leave_a_child})
        CNIConfig(["/bin"], cache_dir=tmp_path / "cache", runner=runner, durable=False).add_network_list(
            network("one"), attachment()
        )
        os._exit(1)
    child = int(os.read(read, 100))
    try:
        os.waitpid(parent, 0)
        config.del_network_list(network("one"), attachment())
    finally:
        os.kill(child, 9)
        os.close(read)
        os.close(write)


def test_forked_child_that_gives_up_its_copy_leaves_the_lock_to_the_parent(tmp_path: Path) -> None:
    locks = Store(str(tmp_path), durable=False).locks
    held = locks.try_lock(container_lock("box"))
    assert held is not None
    child = os.fork()
    if not child:
        held.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert locks.try_lock(container_lock("box")) is None
    held.release()
    assert locks.try_lock(container_lock("box")) is not None


# What cannot be read


def test_arguments_that_no_program_takes_are_refused_before_anything_is_stored(
    make: Callable[..., Runtime], runner: ScriptedRunner
) -> None:
    runtime = make(runner)
    for rt, name in (
        (attachment(args=[("K", "v" * ARGS_LIMIT)]), "args"),
        (attachment(netns="/" + "n" * 4096), "netns"),
        (attachment(capability_args={"big": "x" * STORED_LIMIT}), "capability_args"),
    ):
        with pytest.raises(InvalidParameterError) as caught:
            runtime.add_network_list(network("one"), rt)
        assert caught.value.name == name
        assert len(str(caught.value)) < 500
    assert runner.history == []
    assert runtime.pending() == []


@pytest.mark.parametrize("folder", ["results", "journal"])
@pytest.mark.parametrize("kind", ["folder", "link", "pipe", "large"])
def test_one_bad_entry_stops_no_other(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, folder: str, kind: str
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment("good"))
    runner.answer("one", "DEL", [failure(7, "busy"), success()])
    with pytest.raises(PluginError):
        runtime.del_network_list(network("one"), attachment("good"))
    place = tmp_path / "cache" / folder / ("net-bad-eth0" if folder == "results" else "net@bad@eth0")
    if kind == "folder":
        place.mkdir()
    elif kind == "link":
        place.symlink_to("/etc/hostname")
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        with place.open("wb") as file:
            file.truncate(65 * 1024 * 1024)
    assert [item.container_id for item in runtime.get_cached_attachments()] == ["good"]
    assert [item.container_id for item in runtime.pending()] == ["good"]
    with pytest.raises(CNIErrorGroup) as caught:
        runtime.gc_network_list(network("one"), [])
    assert [place.name in str(error) for error in caught.value.exceptions] == [True]
    assert runtime.get_cached_attachments() == runtime.pending() == []
    # Reported once, and out of the way.
    assert runtime.gc_network_list(network("one"), []) == []
    assert [item.name.rpartition(".")[0] for item in (tmp_path / "cache" / "damaged").iterdir()] == [place.name]
    runtime.add_network_list(network("one"), attachment("bad"))
    runtime.del_network_list(network("one"), attachment("bad"))


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_bad_entry_in_the_place_of_an_attachment_blocks_neither_add_nor_delete(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path, kind: str
) -> None:
    runtime = make(runner)
    place = tmp_path / "cache" / "results" / "net-box-eth0"
    runtime.add_network_list(network("one"), attachment("other"))
    for verb in ("add", "delete"):
        if kind == "folder":
            place.mkdir()
        elif kind == "link":
            place.symlink_to("/etc/hostname")
        else:
            os.mkfifo(place)
        if verb == "add":
            runtime.add_network_list(network("one"), attachment())
        runtime.del_network_list(network("one"), attachment())
        assert not os.path.lexists(place)
    assert [item.container_id for item in runtime.get_cached_attachments()] == ["other"]


def test_first_recovery_after_a_crash_between_link_and_unlink_succeeds(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    record = as_file(tmp_path / "cache")
    (tmp_path / "cache" / "results" / "net-box-eth0").unlink()
    assert mark_record(
        Store(str(tmp_path / "cache"), durable=False).journal, AttachmentKey("net", "box", "eth0"), State.ADDING
    )
    os.link(record, record.with_name(".net@box@eth0.1.f00.0.tmp"))
    assert [(report.done, report.error) for report in runtime.recover()] == [(True, None)]


def test_delete_after_a_crash_between_link_and_unlink_succeeds(
    make: Callable[..., Runtime], runner: ScriptedRunner, tmp_path: Path
) -> None:
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    record = as_file(tmp_path / "cache")
    os.link(record, record.with_name(".net@box@eth0.1.f00.0.tmp"))
    runtime.del_network_list(network("one"), attachment())
    assert list(record.parent.glob("*@*")) == list(record.parent.glob(".*")) == []
