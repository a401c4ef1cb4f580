"""The journal on a disk that fails or changes while it is read, and records whose slot is damaged."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from libcni.errors import CacheError, DamagedFileError
from libcni.protocol.attachment import AttachmentKey, RuntimeConf
from libcni.storage.journal_record import State, record_of
from libcni.storage.namespace import current_boot_id
from libcni.storage.operations import FileOperations
from libcni.storage.slot_file import SLOT_SIZE
from libcni.storage.store import Store
from libcni.storage.sync import finish
from tests.support.records import begin_record

if TYPE_CHECKING:
    from libcni.storage.journal import Journal

KEY = AttachmentKey("net", "box", "eth0")
NAME = "net@box@eth0"
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1")])


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Store(str(tmp_path), durable=False).journal


def begin(journal: Journal, config: bytes = b"{}") -> None:
    assert begin_record(journal, record_of(KEY, RT, config=config, owner="owner", state=State.ADDING))


def damage(tmp_path: Path, old: bytes, new: bytes) -> int:
    """Change a few bytes of the record in its slot, and return the number of that."""
    path = tmp_path / "journal" / "slots"
    data = path.read_bytes()
    at = data.index(old, data.index(NAME.encode()))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)
    return at // SLOT_SIZE


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def fail(*_: object, **__: object) -> NoReturn:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("size", [10, 2000, SLOT_SIZE], ids=["small", "in-slot", "own-file"])
def test_record_of_any_size_is_found_marked_and_removed(journal: Journal, tmp_path: Path, size: int) -> None:
    begin(journal, b"x" * size)
    with journal.open(KEY) as opened:
        found = opened.find()
        assert found is not None
        assert found.config == b"x" * size
        assert opened.mark(State.ADDED)
        opened.remove()
        assert opened.find() is None
        assert not opened.mark(State.ADDED)
    assert list(journal.scan()) == []
    assert set(names(tmp_path / "journal")) <= {"slots"}


def test_record_that_is_damaged_in_its_slot_blocks_nothing_once_it_is_set_aside(
    journal: Journal, tmp_path: Path
) -> None:
    begin(journal)
    damage(tmp_path, b"/run/netns", b"/ran/netns")
    with journal.open(KEY) as opened, pytest.raises(DamagedFileError, match="not whole"):
        opened.find()
    ((name, error),) = journal.scan()
    assert (name, type(error)) == (NAME, DamagedFileError)
    journal.set_aside(name)
    assert list(journal.scan()) == []
    assert [each.split(".")[0] for each in names(tmp_path / "damaged")] == [NAME]
    begin(journal)


def test_record_whose_name_is_damaged_has_that_of_its_slot(journal: Journal, tmp_path: Path) -> None:
    begin(journal)
    number = damage(tmp_path, NAME.encode(), b"\xff\xffx")
    assert journal.find(KEY) is None
    ((name, error),) = journal.scan()
    assert (name, type(error)) == (f"slots[{number}]", DamagedFileError)
    journal.set_aside(name)
    assert list(journal.scan()) == []
    assert len(names(tmp_path / "damaged")) == 1


def test_record_that_is_whole_is_not_set_aside(journal: Journal, tmp_path: Path) -> None:
    begin(journal)
    journal.set_aside(NAME)
    journal.set_aside("net@missing@eth0")
    assert journal.find(KEY) is not None
    assert names(tmp_path / "damaged") == []


def test_record_that_is_removed_while_it_is_read_is_none(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(journal)
    damage(tmp_path, b"/run/netns", b"/ran/netns")
    monkeypatch.setattr(journal.folder, "read", lambda _: None)
    assert list(journal.scan()) == []


@pytest.mark.parametrize(("number", "raises"), [(errno.ENOENT, False), (errno.EIO, True)], ids=["gone", "failed"])
def test_set_aside_of_what_cannot_be_moved(
    journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raises: bool
) -> None:
    begin(journal)
    damage(tmp_path, b"/run/netns", b"/ran/netns")

    def move(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(journal.folder, "move_to", move)
    if not raises:
        journal.set_aside(NAME)
        return
    with pytest.raises(CacheError, match="cannot be set aside: Input/output error"):
        journal.set_aside(NAME)


def test_journal_that_cannot_be_read_is_a_cache_error(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(journal)
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(CacheError, match="cannot be read"):
        list(journal.scan())
    with journal.open(KEY) as opened, pytest.raises(CacheError, match="cannot be read"):
        opened.find()


def test_record_that_cannot_be_written_whole_is_not_there(journal: Journal, tmp_path: Path) -> None:
    class Full(FileOperations):
        def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
            super().overwrite(descriptor, data[:100], offset)
            if len(data) > 100:
                fail()

    begin(journal)
    other = AttachmentKey("net", "other", "eth0")
    journal.folder.operations = Full()
    with pytest.raises(CacheError, match="cannot be written"), journal.open(other) as opened:
        finish(opened.beginning(record_of(other, RT, config=b"{}", owner=None, state=State.ADDING)))
    assert [name for name, _ in Store(str(tmp_path), durable=False).journal.scan()] == [NAME]


def test_boot_that_is_not_known_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    current_boot_id.cache_clear()
    try:
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_text", fail)
            assert current_boot_id() == ""
    finally:
        current_boot_id.cache_clear()
    assert current_boot_id() != ""


def test_record_that_cannot_be_read_hides_no_other_of_its_container(journal: Journal, tmp_path: Path) -> None:
    begin(journal)
    with journal.open(KEY) as opened:
        opened.mark(State.NEEDS_DELETE)
    (tmp_path / "journal" / "net@box@eth1").mkdir()
    assert journal.unfinished("box") == journal.unfinished() == {KEY}
