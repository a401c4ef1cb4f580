"""Stored results and records of what was begun: names, formats, damage."""

from __future__ import annotations

import base64
import copy
import errno
import json
import logging
import os
import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni.errors import CacheError, CNIError, DamagedFileError, InvalidParameterError
from libcni.protocol.attachment import AttachmentKey, RuntimeConf
from libcni.results.result import Result
from libcni.storage.attachment import NetworkAttachment
from libcni.storage.journal_record import RunningPlugin, State, record_of
from libcni.storage.open_file import read_file
from libcni.storage.operations import FileOperations
from libcni.storage.store import Store
from libcni.storage.sync import finish
from tests.support.records import as_file, begin_record, mark_record, remove_record, sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.storage.journal import Journal
    from libcni.storage.result_cache import ResultCache

KEY = AttachmentKey("net", "box", "eth0")
CONFIG = b'{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "mtu": 1.50}]}'
RESULT = '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}],"own":1.50}'
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1"), ("A", "2")], {"mac": "m", "big": 2**63})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path), durable=False)


@pytest.fixture
def cache(store: Store) -> ResultCache:
    return store.cache


@pytest.fixture
def journal(store: Store) -> Journal:
    return store.journal


def result_file(tmp_path: Path, name: str = "net-box-eth0") -> Path:
    return tmp_path / "results" / name


def put(tmp_path: Path, data: str | bytes, name: str = "net-box-eth0") -> Path:
    path = result_file(tmp_path, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_entry_that_was_read_is_read_anew_when_the_file_is_another(cache: ResultCache, tmp_path: Path) -> None:
    cache.store(KEY, RT, config=CONFIG, result=RESULT)
    first = cache.find(KEY)
    assert cache.find(KEY) == first
    path = result_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"10.0.0.2", b"10.0.0.3"))
    second = cache.find(KEY)
    assert second is not None
    assert "10.0.0.3" in second.result
    path.write_bytes(b"")
    with pytest.raises(DamagedFileError):
        cache.find(KEY)
    path.unlink()
    assert cache.find(KEY) is None


def test_entry_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    class Full(FileOperations):
        def create_unnamed(self, folder: int) -> int:
            raise OSError(errno.ENOSPC, f"No space left on device in {folder}")

    cache = Store(str(tmp_path), durable=False, operations=Full()).cache
    with pytest.raises(CacheError, match="No space left"):
        cache.store(KEY, RT, config=CONFIG, result=RESULT)
    assert cache.find(KEY) is None


def document(**members: Any) -> str:
    """Return a file as Go libcni writes it; a member that is ``...`` is left out."""
    whole = {
        "kind": "cniCacheV1",
        "containerId": "box",
        "config": base64.b64encode(CONFIG).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "result": {"cniVersion": "1.0.0"},
    } | members
    return json.dumps({key: value for key, value in whole.items() if value is not ...})


# Results


def test_stored_entry_is_found_as_it_was(cache: ResultCache) -> None:
    cache.store(KEY, RT, config=CONFIG, result=RESULT)
    entry = cache.find(KEY)
    assert entry is not None
    assert (entry.key, entry.config, entry.result) == (KEY, CONFIG, RESULT)
    assert (entry.netns, entry.args, entry.capability_args) == (RT.netns, RT.args, RT.capability_args)
    assert entry.runtime_conf(RuntimeConf("box", "/other", "eth0")) == RT
    assert entry.attachment().result is not None


def test_stored_file_leaves_out_what_there_is_none_of(cache: ResultCache, tmp_path: Path) -> None:
    cache.store(KEY, RuntimeConf("box", "", "eth0"), config=CONFIG, result="")
    assert json.loads(result_file(tmp_path).read_text()).keys() == {
        "kind",
        "containerId",
        "config",
        "ifName",
        "networkName",
    }
    entry = cache.find(KEY)
    assert entry is not None
    assert (entry.result, entry.attachment().result) == ("", None)


def test_entry_of_an_ambiguous_name_is_never_used_overwritten_or_removed(cache: ResultCache, tmp_path: Path) -> None:
    first, second = AttachmentKey("a-b", "c", "e"), AttachmentKey("a", "b-c", "e")
    cache.store(first, RT, config=CONFIG, result=RESULT)
    before = result_file(tmp_path, "a-b-c-e").read_bytes()
    assert cache.find(second) is None
    finish(cache.removing(second))
    cache.store(second, RT, config=b"{}", result=RESULT)
    assert result_file(tmp_path, "a-b-c-e").read_bytes() == before
    assert {item.config for item in cache.attachments()} == {CONFIG, b"{}"}
    cache.store(second, RT, config=b"[]", result=RESULT)
    finish(cache.removing(first))
    assert [item.config for item in cache.attachments()] == [b"[]"]
    finish(cache.removing(second))
    assert cache.attachments() == []


DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "truncated": (document()[:50], "has no closing quote"),
    "array": ("[]", "expected a JSON object"),
    "binary": (b"\xff\x00", "JSON is UTF-8"),
    "kind-unknown": (document(kind="cniCacheV9"), "kind: must be 'cniCacheV1'"),
    "config-not-base64": (document(config="*"), "config: not base64"),
    "config-missing": (document(config=...), "config: is required"),
    "config-number": (document(config=7), "config: expected a string"),
    "container-number": (document(containerId=1), "containerId: expected a string"),
    "container-path": (document(containerId="../x"), "invalid container_id '../x'"),
    "network-path": (document(networkName="/"), "invalid network '/'"),
    "args-triple": (document(cniArgs=[["A", "1", "2"]]), "cniArgs[0]"),
    "args-numbers": (document(cniArgs=[["A", 1]]), "cniArgs[0][1]: expected a string"),
    "args-that-nobody-can-pass": (document(cniArgs=[["A", "1;B=2"]]), "must not contain ';'"),
    "netns-with-nul": (document(netns="/n\0"), "invalid netns"),
    "capabilities-array": (document(capabilityArgs=[]), "capabilityArgs: expected an object"),
    "result-text": (document(result="x"), "result: expected an object"),
    "legacy-bad-result": ('{"cniVersion": "1.0.0", "ips": [null]}', "ips[0]"),
    "legacy-future": ('{"cniVersion": "9.0.0"}', "not supported"),
}


@pytest.mark.parametrize(("data", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_file_is_a_cache_error_and_stops_nothing_else(
    cache: ResultCache, tmp_path: Path, caplog: pytest.LogCaptureFixture, data: str | bytes, reason: str
) -> None:
    path = put(tmp_path, data)
    with pytest.raises(DamagedFileError) as caught:
        cache.find(KEY)
    assert caught.value.path == str(path)
    assert reason in str(caught.value)
    assert cache.has_file(KEY)
    good = AttachmentKey("net", "good", "eth0")
    cache.store(good, RT, config=CONFIG, result=RESULT)
    with caplog.at_level(logging.WARNING, logger="libcni.cache"):
        assert [item.container_id for item in cache.attachments()] == ["good"]
    assert any(reason in record.getMessage() for record in caplog.records)
    cache.store(KEY, RT, config=CONFIG, result=RESULT)
    assert cache.find(KEY) is not None


def test_damaged_file_in_the_way_of_an_add_is_set_aside(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, "damage")
    cache.set_aside_of(KEY)
    assert [path.read_text() for path in (tmp_path / "damaged").iterdir()] == ["damage"]
    assert not result_file(tmp_path).exists()
    assert cache.has_file(KEY) is False
    cache.set_aside("net-box-eth0")


def test_damaged_file_is_removed_with_its_attachment(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, "damage")
    finish(cache.removing(KEY))
    assert not result_file(tmp_path).exists()


def test_link_in_the_cache_is_damage_and_is_never_followed(cache: ResultCache, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text(document())
    put(tmp_path, "")
    result_file(tmp_path).unlink()
    result_file(tmp_path).symlink_to(target)
    with pytest.raises(DamagedFileError, match="cannot be read: Too many levels of symbolic links"):
        cache.find(KEY)
    assert cache.has_file(KEY)
    assert cache.attachments() == []
    assert result_file(tmp_path).is_symlink()
    finish(cache.removing(KEY))
    assert not result_file(tmp_path).is_symlink()
    assert target.read_text() == document()


def test_entry_with_a_damaged_result_is_left_out_of_the_list(
    cache: ResultCache, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, document(result={"cniVersion": "1.0.0", "ips": 7}))
    entry = cache.find(KEY)
    assert entry is not None
    with pytest.raises(CNIError, match="ips: expected an array"):
        entry.attachment()
    assert cache.attachments() == []
    assert "net-box-eth0" in caplog.text
    put(tmp_path, document(containerId="other", result={"cniVersion": "1.0.0", "ips": 7}))
    caplog.clear()
    assert cache.attachments("box") == []
    assert "net-box-eth0" not in caplog.text, "it is of another container"


def test_legacy_file_is_a_result_and_nothing_else(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, RESULT)
    entry = cache.find(KEY)
    assert entry is not None
    assert (entry.key, entry.config, entry.result) == (KEY, None, RESULT)
    assert entry.runtime_conf(RT) == RT
    assert cache.attachments() == []


def test_null_members_of_a_file_count_as_absent(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, document(netns=None, cniArgs=None, capabilityArgs=None, result=None, own=1))
    entry = cache.find(KEY)
    assert entry is not None
    assert (entry.netns, entry.args, entry.capability_args, entry.result) == ("", (), {}, "")


def test_attachment_is_what_was_stored(cache: ResultCache) -> None:
    rt = replace(RT, capability_args={"mac": "m"})
    cache.store(KEY, rt, config=CONFIG, result=RESULT)
    cache.store(KEY._replace(network="bare"), RuntimeConf("box", "", "eth0"), config=CONFIG, result="")
    bare, attachment = cache.attachments()
    expected = NetworkAttachment(
        "box", "net", "eth0", CONFIG, rt.netns, rt.args, rt.capability_args, Result.from_dict(json.loads(RESULT))
    )
    for item in (copy.copy(attachment), pickle.loads(pickle.dumps(attachment)), replace(attachment)):  # noqa: S301  # ours
        assert (item, repr(item), hash(item)) == (expected, repr(expected), hash(expected))
    assert bare == NetworkAttachment("box", "bare", "eth0", CONFIG)
    for name in ("results", "_own"):
        with pytest.raises(AttributeError, match=f"'NetworkAttachment' object has no attribute '{name}'"):
            getattr(attachment, name)


def test_listed_file_is_read_again_when_it_has_changed(
    cache: ResultCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def noting(name: str, folder: int) -> bytes | None:
        reads.append(name)
        return read_file(name, folder)

    monkeypatch.setattr("libcni.storage.result_cache.read_file", noting)
    for container_id in ("one", "two"):
        rt = RuntimeConf(container_id, "", "eth0")
        cache.store(KEY._replace(container_id=container_id), rt, config=CONFIG, result=RESULT)

    def listed() -> list[str]:
        reads.clear()
        return [attachment.netns for attachment in cache.attachments()]

    assert listed() == listed() == ["", ""]
    assert reads == ["net-one-eth0", "net-two-eth0"], "what has just changed may change again, and is not kept"
    monkeypatch.setattr("libcni.storage.result_cache._SETTLED", -(10**12))
    assert listed() == listed() == ["", ""]
    assert reads == []
    one = result_file(tmp_path, "net-one-eth0")
    one.write_text(one.read_text().replace('"networkName"', '"netns":"/a","networkName"'))
    assert listed() == ["/a", ""]
    assert reads == ["net-one-eth0"]
    finish(cache.removing(KEY._replace(container_id="one")))
    assert cache._listing._kept.keys() == {"net-two-eth0"}
    result_file(tmp_path, "net-two-eth0").rename(one)
    assert listed() == [""]
    assert reads == ["net-one-eth0"]
    assert cache._listing._kept.keys() == {"net-one-eth0"}


def test_attachments_of_one_container_are_those_only(cache: ResultCache) -> None:
    for network, container_id in (("net", "box"), ("box", "a"), ("n-box", "b"), ("net2", "box")):
        cache.store(AttachmentKey(network, container_id, "eth0"), RT, config=CONFIG, result=RESULT)
    assert [item.network for item in cache.attachments("box")] == ["net", "net2"]
    assert cache.attachments("nobody") == []
    assert len(cache.attachments()) == 4


def test_names_too_long_for_a_file_are_refused(cache: ResultCache) -> None:
    cache.check_name(AttachmentKey("n" * 100, "c" * 100, "eth0"))
    with pytest.raises(InvalidParameterError, match="too long for a file name") as caught:
        cache.check_name(AttachmentKey("n" * 100, "c" * 150, "eth0"))
    assert caught.value.name == "container_id"


def test_temporary_file_is_no_attachment(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, "half", ".net-box-eth0.1.1.1.tmp")
    assert cache.scan() == ([], [])


def test_folder_that_cannot_be_read_is_a_cache_error(cache: ResultCache, journal: Journal, tmp_path: Path) -> None:
    for name in ("results", "journal"):
        (tmp_path / name).touch()
    for action in (cache.attachments, lambda: list(journal.scan())):
        with pytest.raises(CacheError, match="is not a folder"):
            action()


# Records


def record(tmp_path: Path, **members: Any) -> Path:
    """Write a record, then replace members of its document."""
    journal = Store(str(tmp_path), durable=False).journal
    begin_record(journal, record_of(KEY, RT, config=CONFIG, owner="owner", state=State.ADDING))
    path = as_file(tmp_path)
    if members:
        path.write_bytes(sealed(json.loads(path.read_text()) | members))
    return path


def begin(journal: Journal) -> None:
    assert begin_record(journal, record_of(KEY, RT, config=CONFIG, owner="owner", state=State.ADDING))


def test_record_is_found_as_it_was_begun(journal: Journal) -> None:
    begin(journal)
    found = journal.find(KEY)
    assert found is not None
    assert (found.key, found.config, found.owner, found.state) == (KEY, CONFIG, "owner", State.ADDING)
    assert (found.netns, found.args, found.capability_args) == (RT.netns, RT.args, RT.capability_args)
    assert (found.plugin, found.identity) == (None, None)
    assert abs(found.time - time.time()) < 60
    assert found.attachment().config == CONFIG


@pytest.mark.parametrize("in_slot", [True, False], ids=["slot", "file"])
def test_record_changes_in_place_and_stays_whole(journal: Journal, tmp_path: Path, in_slot: bool) -> None:
    begin(journal)
    path = tmp_path / "journal" / "slots" if in_slot else as_file(tmp_path)
    size, inode = path.stat().st_size, path.stat().st_ino
    for state in State:
        assert mark_record(journal, KEY, state)
        with journal.open(KEY) as opened:
            opened.note_plugin(4194303)
            opened.note_plugin(4194304)
        found = journal.find(KEY)
        assert found is not None
        assert found.state is state
        assert isinstance(found.plugin, RunningPlugin)
        assert found.plugin.pid == 4194304
        assert abs(found.plugin.started - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    assert (path.stat().st_size, path.stat().st_ino) == (size, inode)
    remove_record(journal, KEY)
    assert journal.find(KEY) is None
    assert mark_record(journal, KEY, State.DELETING) is False
    with journal.open(KEY) as opened:
        opened.note_plugin(1)
    remove_record(journal, KEY)


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "libcniRecordV9"},
        {"kind": None},
        {"state": "unknown     "},
        {"state": 1},
        {"config": "*"},
        {"config": None},
        {"containerId": "../x"},
        {"containerId": "other"},
        {"cniArgs": [["A"]]},
        {"cniArgs": None},
        {"capabilityArgs": 1},
        {"netnsIdentity": [1]},
        {"plugin": "x"},
        {"plugin": None},
        {"networkName": 7},
        {"netns": 7},
        {"owner": 7},
        {"time": "x"},
        {"bootId": 7},
        {"cniArgs": [["A", 1]]},
        {"cniArgs": [["", ""]]},
        {"netns": "/n\0"},
    ],
    ids=str,
)
def test_damaged_record_is_a_cache_error_and_stops_nothing_else(
    journal: Journal, tmp_path: Path, members: dict[str, Any]
) -> None:
    path = record(tmp_path, **members)
    with pytest.raises(DamagedFileError, match="damaged record"):
        journal.find(KEY)
    other = AttachmentKey("net", "zzz", "eth0")
    begin_record(
        journal, record_of(other, RuntimeConf("zzz", "", "eth0"), config=CONFIG, owner=None, state=State.ADDED)
    )
    found = dict(journal.scan())
    assert isinstance(found[path.name], DamagedFileError)
    assert getattr(found["net@zzz@eth0"], "key", None) == other
    journal.set_aside(path.name)
    journal.set_aside(path.name)
    assert not path.exists()
    assert len(list((tmp_path / "damaged").iterdir())) == 1


def test_record_under_the_name_of_another_is_damaged(journal: Journal, tmp_path: Path) -> None:
    record(tmp_path).rename(tmp_path / "journal" / "net@other@eth0")
    with pytest.raises(DamagedFileError, match="of another attachment than its name says"):
        journal.find(AttachmentKey("net", "other", "eth0"))


def test_note_that_cannot_be_made_stops_nothing(
    journal: Journal, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record(tmp_path)
    journal.folder.operations = _ReadOnly()
    with journal.open(KEY) as opened:
        opened.note_plugin(1)
    assert "process 1 is not noted" in caplog.text


class _ReadOnly(FileOperations):
    def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        raise OSError(errno.EROFS, f"Read-only: {descriptor}, {data!r}, {offset}")


@pytest.mark.parametrize("action", ["find", "mark"])
def test_record_that_cannot_be_used_is_a_cache_error(journal: Journal, tmp_path: Path, action: str) -> None:
    (tmp_path / "journal").mkdir(mode=0o700)
    path = tmp_path / "journal" / "net@box@eth0"
    path.mkdir()
    (path / "inside").touch()
    actions: dict[str, Callable[[], object]] = {
        "find": lambda: journal.find(KEY),
        "mark": lambda: mark_record(journal, KEY, State.ADDED),
    }
    with pytest.raises(CacheError, match="cannot be") as caught:
        actions[action]()
    assert caught.value.path == str(path)


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_what_has_the_place_of_a_record_is_set_aside_when_that_is_removed(
    journal: Journal, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "journal").mkdir(mode=0o700)
    path = tmp_path / "journal" / "net@box@eth0"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("/etc/hostname")
    else:
        os.mkfifo(path)
    remove_record(journal, KEY)
    assert not os.path.lexists(path)
    assert len(list((tmp_path / "damaged").iterdir())) == 1


@pytest.mark.parametrize("in_slot", [True, False], ids=["slot", "file"])
def test_record_that_is_there_already_is_not_begun_again(journal: Journal, tmp_path: Path, in_slot: bool) -> None:
    begin(journal)
    if not in_slot:
        as_file(tmp_path)
    assert not begin_record(journal, record_of(KEY, RT, config=b"other", owner=None, state=State.ADDED))
    found = journal.find(KEY)
    assert found is not None
    assert (found.config, found.owner) == (CONFIG, "owner")


def test_record_that_was_torn_is_damaged(journal: Journal, tmp_path: Path) -> None:
    text = record(tmp_path).read_text()
    as_file(tmp_path).write_text(text.replace(RT.netns, RT.netns[::-1]))
    with pytest.raises(DamagedFileError, match="not whole"):
        journal.find(KEY)


def test_record_that_is_written_anew_while_it_is_read_is_read_again(journal: Journal) -> None:
    begin(journal)
    read, seen = journal.folder.read, list[bytes | None]()

    def torn(name: str) -> bytes | None:
        data = read(name)
        seen.append(data)
        return data[:200] if data is not None and len(seen) == 1 else data

    journal.folder.read = torn  # type: ignore[method-assign]  # as if another process wrote at that moment
    assert journal.find(KEY) is not None
    assert len(seen) == 2


def test_sweep_removes_what_dead_writers_left(store: Store, tmp_path: Path) -> None:
    store.cache.store(KEY, RT, config=CONFIG, result=RESULT)
    begin_record(store.journal, record_of(KEY, RT, config=CONFIG, owner=None, state=State.ADDED))
    mine = os.getpid()
    for name in ("results", "journal"):
        (tmp_path / name / f".x.{mine}.earlier.0.tmp").touch()
    store.sweep()
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["net-box-eth0"]
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["slots"]


def test_sweep_of_a_folder_that_cannot_be_read_is_a_cache_error(store: Store, tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    with pytest.raises(CacheError):
        store.sweep()


def test_legacy_file_without_a_version_is_of_the_first_one(cache: ResultCache, tmp_path: Path) -> None:
    put(tmp_path, '{"ips": [{"address": "10.1.0.5/24"}]}')
    entry = cache.find(KEY)
    assert entry is not None
    assert entry.checked_result("1.0.0").version == "0.1.0"
