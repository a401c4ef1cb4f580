"""Small files in the slots of one file: found by name, written by one, never over another, and made to last."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from libcni.storage.byte_locks import lock_byte
from libcni.storage.folder import Folder
from libcni.storage.open_file import READ_LIMIT
from libcni.storage.operations import FileOperations
from libcni.storage.slot_file import _LEVELS, _PROBES, _STARTS, SLOT_SIZE, SlotFolder, _first_slots
from libcni.storage.sync import finish
from tests.support.descriptors import no_new_descriptor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from libcni.storage.open_file import OpenFile

NAME = "net@box@eth0"
RIVALS = len(_LEVELS) * _PROBES


class Recording(FileOperations):
    """Lists the steps, and fails at one of them."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.steps: list[str] = []

    def _at(self, step: str) -> None:
        self.steps.append(step)
        if step == self.failing:
            raise OSError(errno.ENOSPC, "No space left on device")

    def create(self, name: str, folder: int) -> int:
        self._at(f"create {name}")
        return super().create(name, folder)

    def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        half = len(data) // 2
        super().overwrite(descriptor, data[:half], offset)
        self._at("overwrite")
        super().overwrite(descriptor, data[half:], offset + half)

    def sync(self, descriptor: int) -> None:
        self._at("sync")
        super().sync(descriptor)

    def sync_folder(self, folder: int) -> None:
        self._at("sync_folder")
        super().sync_folder(folder)


def slots(cache_dir: Path, *, durable: bool = False, operations: FileOperations | None = None) -> SlotFolder:
    return SlotFolder(str(cache_dir), "journal", operations or FileOperations(), durable=durable)


def file_of(cache_dir: Path) -> Path:
    return cache_dir / "journal" / "slots"


def opened(place: SlotFolder, name: str) -> OpenFile:
    found = place.open_file(name)
    assert found is not None
    return found


def slot_of(cache_dir: Path, name: str) -> int:
    """Return the number of the slot that has a name, read from the file itself."""
    data = file_of(cache_dir).read_bytes()
    (number,) = [n for n in range(-(-len(data) // SLOT_SIZE)) if data.startswith(f"{name}\n".encode(), n * SLOT_SIZE)]
    return number


def overwrite_file(path: Path, data: bytes, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def candidates(name: str) -> list[int]:
    return [first + probe for first in _first_slots(name) for probe in range(_PROBES)]


def names_that_meet(count: int) -> list[str]:
    """Return names that have the same slots in each level: they are of one container."""
    return [f"net@box@eth{number}" for number in range(count)]


# One file.


def test_file_is_created_read_and_removed_in_a_slot(tmp_path: Path) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"data")
    assert [path.name for path in (tmp_path / "journal").iterdir()] == ["slots"]
    assert slot_of(tmp_path, NAME) == candidates(NAME)[0]
    assert place.read(NAME) == b"data"
    assert list(place.items()) == [(NAME, b"data")]
    assert place.names() == []
    assert (place.remove(NAME), place.remove(NAME)) == (True, False)
    assert (place.read(NAME), place.open_file(NAME), list(place.items())) == (None, None, [])


def test_missing_folder_reads_as_empty_and_is_not_made(tmp_path: Path) -> None:
    place = slots(tmp_path / "missing")
    assert (place.read(NAME), place.open_file(NAME), place.remove(NAME), place.names()) == (None, None, False, [])
    assert list(place.items()) == []
    assert not (tmp_path / "missing").exists()


def test_folder_without_slots_reads_as_its_files(tmp_path: Path) -> None:
    finish(Folder(str(tmp_path), "journal", FileOperations(), durable=False).replacing(NAME, b"own"))
    place = slots(tmp_path)
    assert (place.read(NAME), list(place.items())) == (b"own", [(NAME, b"own")])
    assert not file_of(tmp_path).exists()


@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777], ids=oct)
def test_file_of_the_slots_is_private_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        slots(tmp_path).create(NAME, b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o600


def test_open_file_is_read_patched_and_removed_in_place(tmp_path: Path) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"abcdef")
    place.create("net@other@eth0", b"untouched")
    file = opened(place, NAME)
    file.patch(b"XY", 2)
    assert (file.read(), place.read(NAME)) == (b"abXYef", b"abXYef")
    file.remove()
    file.close()
    assert list(place.items()) == [("net@other@eth0", b"untouched")]


def test_created_file_is_returned_opened(tmp_path: Path) -> None:
    place = slots(tmp_path)
    small, large = (
        finish(place.creating_opened(NAME, b"abc")),
        finish(place.creating_opened("net@large@eth0", b"x" * SLOT_SIZE)),
    )
    assert small is not None
    assert large is not None
    small.patch(b"X", 0)
    large.patch(b"X", 0)
    assert (small.read(), large.read()) == (b"Xbc", b"X" + b"x" * (SLOT_SIZE - 1))
    small.close()
    large.close()


@pytest.mark.parametrize("in_slot", [True, False], ids=["slot", "file"])
def test_name_that_is_taken_is_refused_and_stays(tmp_path: Path, in_slot: bool) -> None:
    place = slots(tmp_path)
    if in_slot:
        place.create(NAME, b"one")
    else:
        (tmp_path / "journal").mkdir(0o700)
        (tmp_path / "journal" / NAME).write_bytes(b"one")
    with pytest.raises(FileExistsError):
        place.create(NAME, b"two")
    assert list(place.items()) == [(NAME, b"one")]


def test_content_with_line_ends_is_kept_whole(tmp_path: Path) -> None:
    slots(tmp_path).create(NAME, b"\none\ntwo\n")
    assert slots(tmp_path).read(NAME) == b"\none\ntwo\n"


# What fits where.


@pytest.mark.parametrize(("extra", "own_files"), [(0, []), (1, [NAME])], ids=["fits", "one-byte-more"])
def test_what_is_larger_than_a_slot_is_a_file_of_its_own(tmp_path: Path, extra: int, own_files: list[str]) -> None:
    place = slots(tmp_path)
    data = b"x" * (SLOT_SIZE - len(NAME) - 1 + extra)
    place.create(NAME, data)
    assert (place.names(), place.read(NAME), list(place.items())) == (own_files, data, [(NAME, data)])
    assert opened(place, NAME).read() == data
    assert place.remove(NAME)
    assert list(place.items()) == []


def test_names_that_meet_take_each_level_and_then_files(tmp_path: Path) -> None:
    place = slots(tmp_path)
    names = names_that_meet(RIVALS + 2)
    for name in names:
        place.create(name, name.encode())
    assert [slot_of(tmp_path, name) for name in names[:RIVALS]] == candidates(names[0])
    assert place.names() == sorted(names[RIVALS:])
    assert sorted(place.items()) == sorted((name, name.encode()) for name in names)
    for name in names:
        assert place.read(name) == name.encode()
        opened(place, name).patch(b"!", 0)
        assert place.remove(name, durable=True)
    assert list(place.items()) == []


def test_slot_that_was_freed_is_taken_again(tmp_path: Path) -> None:
    place = slots(tmp_path)
    first, second, third = names_that_meet(3)
    place.create(first, b"long " * 100)
    place.create(second, b"2")
    place.remove(first)
    assert place.read(second) == b"2"
    place.create(third, b"3")
    assert slot_of(tmp_path, third) == candidates(first)[0]
    assert sorted(place.items()) == sorted([(second, b"2"), (third, b"3")])


def test_levels_do_not_overlap_and_names_lead_into_them() -> None:
    ends = [*_STARTS[1:], 10**9]
    for name in ("", "a", NAME, "x" * 255):
        for first, start, end in zip(_first_slots(name), _STARTS, ends, strict=False):
            assert start <= first <= first + _PROBES - 1 < end


def test_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="File name too long"):
        slots(tmp_path).create("x" * 256, b"data")
    assert list(slots(tmp_path).items()) == []


def test_longest_name_is_found_again(tmp_path: Path) -> None:
    slots(tmp_path).create("x" * 255, b"data")
    assert list(slots(tmp_path).items()) == [("x" * 255, b"data")]


def test_open_file_that_fills_its_slot_ends_before_the_next_one(tmp_path: Path) -> None:
    place = slots(tmp_path)
    first, second = names_that_meet(2)
    data = b"x" * (SLOT_SIZE - len(first) - 1)
    place.create(first, data)
    place.create(second, b"next")
    assert slot_of(tmp_path, second) == slot_of(tmp_path, first) + 1
    assert opened(place, first).read() == place.read(first) == data


def test_slot_is_free_for_others_while_its_file_is_still_open(tmp_path: Path) -> None:
    place = slots(tmp_path)
    first, second = names_that_meet(2)
    file = finish(place.creating_opened(first, b"one"))
    assert file is not None
    file.remove()
    place.create(second, b"two")
    assert slot_of(tmp_path, second) == candidates(first)[0]
    file.close()


# The whole file.


def test_scan_passes_holes_and_reads_more_than_one_part(tmp_path: Path) -> None:
    place = slots(tmp_path)
    names = [f"net@box{number}@eth0" for number in range(600)]
    for name in names:
        place.create(name, name.encode())
    far = _STARTS[2] + _LEVELS[2] - 1
    overwrite_file(file_of(tmp_path), b"\xffdamage\n", far * SLOT_SIZE)
    found = dict(place.items())
    assert found.pop(f"slots[{far}]") == b""
    assert found == {name: name.encode() for name in names}
    assert len(os.listdir(tmp_path / "journal")) < 10  # noqa: PTH208 -- a name that finds no room is a file


def test_scan_on_a_disk_that_fails_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slots(tmp_path).create(NAME, b"data")

    def fail(*_: int) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "lseek", fail)
    with pytest.raises(OSError, match="Input/output"):
        list(slots(tmp_path).items())


def test_look_on_a_disk_that_fails_leaves_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"data")

    def fail(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with no_new_descriptor(), monkeypatch.context() as patched:
        patched.setattr(os, "pread", fail)
        actions: list[Callable[[], object]] = [
            lambda: place.read(NAME),
            lambda: place.open_file(NAME),
            lambda: place.remove(NAME),
            lambda: place.create("net@other@eth0", b""),
        ]
        for action in actions:
            with pytest.raises(OSError, match="Input/output"):
                action()


def test_file_that_is_cut_inside_a_slot_ends_there(tmp_path: Path) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"data" * 300)
    os.truncate(file_of(tmp_path), slot_of(tmp_path, NAME) * SLOT_SIZE + 100)
    assert place.read(NAME) == (b"data" * 300)[: 100 - len(NAME) - 1]
    os.truncate(file_of(tmp_path), slot_of(tmp_path, NAME) * SLOT_SIZE)
    assert (place.read(NAME), list(place.items())) == (None, [])


# Damaged slots.

DAMAGES = {
    "other-name": b"net@else@eth0\n{}",
    "no-line-end": b"x" * SLOT_SIZE,
    "not-text": b"\xff\xfe\n{}",
    "one-byte": b"n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_slot_has_its_number_as_name_and_is_set_aside(tmp_path: Path, damage: bytes) -> None:
    place = slots(tmp_path, durable=True)
    place.create(NAME, b"data")
    number = slot_of(tmp_path, NAME)
    overwrite_file(file_of(tmp_path), damage.ljust(SLOT_SIZE, b"\0"), number * SLOT_SIZE)
    name = f"slots[{number}]"
    content = damage.partition(b"\n")[2]
    assert (list(place.items()), place.read(name), place.read(NAME)) == ([(name, content)], content, None)
    assert opened(place, name) is not None
    damaged = Folder(str(tmp_path), "damaged", FileOperations(), durable=True)
    place.move_to(damaged, name, "aside")
    assert (damaged.read("aside"), list(place.items()), place.read(name)) == (content, [], None)
    place.create(NAME, b"again")
    assert slot_of(tmp_path, NAME) == number


def test_damaged_name_that_reads_as_another_one_has_its_number_as_name(tmp_path: Path) -> None:
    """What is no UTF-8 is shown with replacement characters, and that text may lead to the slot by chance."""
    place = slots(tmp_path)
    place.create(NAME, b"")
    number = candidates("\ufffd")[0]
    overwrite_file(file_of(tmp_path), b"\xff\ndamage", number * SLOT_SIZE)
    assert (f"slots[{number}]", b"damage") in list(place.items())
    assert place.read(f"slots[{number}]") == b"damage"
    assert place.remove(f"slots[{number}]")


@pytest.mark.parametrize("name", ["slots[{number}]", "slots[1]", "slots[999999]", "slots[1000000]", "slots[]", "slots"])
def test_number_is_no_name_of_a_slot_that_is_whole_or_free(tmp_path: Path, name: str) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"data")
    number = slot_of(tmp_path, NAME)
    assert number != 1
    if name != "slots":
        assert place.read(name.format(number=number)) is None
        assert not place.remove(name.format(number=number))
    with pytest.raises(FileExistsError):
        place.create(NAME, b"")


def test_move_takes_a_file_of_its_own_and_one_in_a_slot(tmp_path: Path) -> None:
    place, damaged = slots(tmp_path), Folder(str(tmp_path), "damaged", FileOperations(), durable=False)
    place.create("small", b"small")
    place.create("large", b"x" * SLOT_SIZE)
    for name in ("small", "large"):
        place.move_to(damaged, name, f"{name}.1")
    assert dict(damaged.items()) == {"small.1": b"small", "large.1": b"x" * SLOT_SIZE}
    assert list(place.items()) == []
    with pytest.raises(FileNotFoundError):
        place.move_to(damaged, "small", "small.2")


def test_move_onto_a_name_that_is_taken_removes_nothing(tmp_path: Path) -> None:
    place, damaged = slots(tmp_path), Folder(str(tmp_path), "damaged", FileOperations(), durable=False)
    place.create(NAME, b"data")
    damaged.create("taken", b"before")
    with pytest.raises(FileExistsError):
        place.move_to(damaged, NAME, "taken")
    assert (place.read(NAME), damaged.read("taken")) == (b"data", b"before")


# Planted in place of the file.


def _link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def _dangling(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("nothing"))


def _hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def _fifo(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _directory(path: Path, _: Path) -> None:
    path.mkdir()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", [_link, _dangling, _hard_link, _fifo, _directory])
def test_what_is_planted_is_refused_and_untouched(tmp_path: Path, plant: Callable[[Path, Path], None]) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    place = slots(tmp_path / "cache")
    place.create(NAME, b"data")
    file_of(tmp_path / "cache").unlink()
    plant(file_of(tmp_path / "cache"), target)
    actions: list[Callable[[], object]] = [
        lambda: place.create(NAME, b"new"),
        lambda: place.read(NAME),
        lambda: place.open_file(NAME),
        lambda: place.remove(NAME),
        lambda: list(place.items()),
    ]
    for action in actions:
        with (
            no_new_descriptor(),
            pytest.raises(OSError, match=r"not a regular file with one name|symbolic links|Is a directory"),
        ):
            action()
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "nothing").exists()


class _Racing(Recording):
    """Somebody else does something just before the file of the slots is made."""

    def __init__(self, rival: Callable[[], None]) -> None:
        super().__init__()
        self.rival = rival

    def create(self, name: str, folder: int) -> int:
        if name == "slots":
            self.rival()
        return super().create(name, folder)


def test_file_that_another_process_makes_meanwhile_is_shared(tmp_path: Path) -> None:
    rival = slots(tmp_path)
    place = slots(tmp_path, operations=_Racing(lambda: rival.create("net@rival@eth0", b"theirs")))
    place.create(NAME, b"ours")
    assert sorted(slots(tmp_path).items()) == [(NAME, b"ours"), ("net@rival@eth0", b"theirs")]


def test_what_is_planted_while_the_file_is_made_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    cache = tmp_path / "cache"
    place = slots(cache, operations=_Racing(lambda: file_of(cache).hardlink_to(target)))
    with pytest.raises(OSError, match="not a regular file with one name"):
        place.create(NAME, b"ours")
    assert target.read_bytes() == b"precious"


def test_file_that_is_gone_again_once_made_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = slots(tmp_path)
    original = os.fchmod

    def gone(descriptor: int, mode: int) -> None:
        original(descriptor, mode)
        file_of(tmp_path).unlink()

    monkeypatch.setattr(os, "fchmod", gone)
    with pytest.raises(FileNotFoundError):
        place.create(NAME, b"data")


# What a power loss leaves.


def test_new_file_of_slots_has_its_name_on_the_disk_before_its_first_slot(tmp_path: Path) -> None:
    operations = Recording()
    place = slots(tmp_path, durable=True, operations=operations)
    place.create(NAME, b"data")
    assert operations.steps == ["sync_folder", "create slots", "sync_folder", "overwrite", "sync"]
    operations.steps.clear()
    place.create("net@other@eth0", b"data")
    assert operations.steps == ["overwrite", "sync"]
    operations.steps.clear()
    file = opened(place, NAME)
    file.patch(b"X", 0)
    finish(file.syncing())
    file.patch(b"Y", 0)
    file.remove()
    file.close()
    assert operations.steps == ["overwrite", "sync", "overwrite", "overwrite"]
    operations.steps.clear()
    assert place.remove("net@other@eth0", durable=True)
    assert operations.steps == ["overwrite", "sync"]


def test_file_that_another_one_made_and_has_not_synced_is_synced_before_its_first_slot(tmp_path: Path) -> None:
    slots(tmp_path).open(create=True)
    file_of(tmp_path).touch(0o600)
    operations = Recording()
    place = slots(tmp_path, durable=True, operations=operations)
    place.open()
    place.create(NAME, b"data")
    assert operations.steps == ["sync_folder", "overwrite", "sync"]


def test_file_that_one_made_who_syncs_nothing_is_synced_before_its_first_use(tmp_path: Path) -> None:
    slots(tmp_path).create("net@other@eth0", b"data")
    operations = Recording()
    place = slots(tmp_path, durable=True, operations=operations)
    place.open()
    place.create(NAME, b"data")
    assert operations.steps == ["sync_folder", "overwrite", "sync"]


def test_without_durability_nothing_is_synced(tmp_path: Path) -> None:
    operations = Recording()
    place = slots(tmp_path, operations=operations)
    place.create(NAME, b"data")
    file = opened(place, NAME)
    file.patch(b"X", 0)
    finish(file.syncing())
    file.close()
    place.remove(NAME, durable=True)
    assert operations.steps == ["create slots", "overwrite", "overwrite", "overwrite"]


def test_write_that_fails_half_way_leaves_no_file(tmp_path: Path) -> None:
    slots(tmp_path).create("net@other@eth0", b"data")

    class Full(FileOperations):
        def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
            super().overwrite(descriptor, data[:100], offset)
            if len(data) > 100:
                raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        slots(tmp_path, operations=Full()).create(NAME, b"data" * 200)
    assert list(slots(tmp_path).items()) == [("net@other@eth0", b"data")]
    slots(tmp_path).create(NAME, b"again")
    assert slots(tmp_path).read(NAME) == b"again"


def test_write_that_fails_on_a_disk_that_takes_nothing_more_raises_the_first_error(tmp_path: Path) -> None:
    class Broken(FileOperations):
        errors: Iterator[str] = iter(["first", "second"])

        def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
            raise OSError(errno.EIO, f"{next(self.errors)} of {descriptor}, {len(data)}, {offset}")

    with pytest.raises(OSError, match="first"):
        slots(tmp_path, operations=Broken()).create(NAME, b"data")


@pytest.mark.parametrize("step", ["create slots", "sync", "sync_folder"])
def test_failed_step_raises_and_leaves_no_descriptor(tmp_path: Path, step: str) -> None:
    slots(tmp_path).open(create=True)
    place = slots(tmp_path, durable=True, operations=Recording(step))
    place.open()
    with no_new_descriptor(), pytest.raises(OSError, match="No space"):
        place.create(NAME, b"data")
    # What could not be synced may be there: it is complete.
    assert slots(tmp_path).read(NAME) == (b"data" if step == "sync" else None)


# Many at once.


def test_slot_that_somebody_else_is_about_to_write_is_passed(tmp_path: Path) -> None:
    place = slots(tmp_path)
    place.create("net@other@eth0", b"")
    first, second = candidates(NAME)[:2]
    with file_of(tmp_path).open("r+b") as file:
        assert lock_byte(file.fileno(), first * SLOT_SIZE)
        place.create(NAME, b"data")
    assert slot_of(tmp_path, NAME) == second


@pytest.mark.parametrize("data", [b"", b"a", bytes(5), b"a" + bytes(9), b"a\0b" + bytes(9), b"a\0b", bytes(9) + b"b"])
def test_what_is_free_behind_the_content_is_no_part_of_it(tmp_path: Path, data: bytes) -> None:
    place = slots(tmp_path)
    place.create(NAME, data)
    opened = place.open_file(NAME)
    assert opened is not None
    assert opened.read() == place.read(NAME) == data.rstrip(b"\0")
    opened.close()


def test_slot_that_was_taken_since_it_was_looked_at_is_passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = names_that_meet(2)
    place, rival = slots(tmp_path), slots(tmp_path)

    def lock_late(descriptor: int, offset: int) -> bool:
        monkeypatch.undo()
        rival.create(second, b"theirs")
        return lock_byte(descriptor, offset)

    monkeypatch.setattr("libcni.storage.slot_file.lock_byte", lock_late)
    place.create(first, b"ours")
    assert (slot_of(tmp_path, second), slot_of(tmp_path, first)) == tuple(candidates(first)[:2])
    assert dict(place.items()) == {first: b"ours", second: b"theirs"}


def test_names_that_meet_from_many_threads_lose_nothing(tmp_path: Path) -> None:
    names = names_that_meet(12)
    place = slots(tmp_path, durable=True)
    for _ in range(10):
        barrier = threading.Barrier(len(names))

        def create(name: str, barrier: threading.Barrier) -> None:
            barrier.wait()
            place.create(name, name.encode())

        threads = [threading.Thread(target=create, args=(name, barrier)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(place.items()) == sorted((name, name.encode()) for name in names)
        for name in names:
            assert place.remove(name)


_WRITER = """
import sys
from pathlib import Path
from libcni.storage.operations import FileOperations
from libcni.storage.slot_file import SlotFolder
place = SlotFolder(sys.argv[1], "journal", FileOperations(), durable=False)
print("ready", flush=True)
sys.stdin.readline()
for name in sys.argv[2:]:
    place.create(name, name.encode())
"""


def test_names_that_meet_from_many_processes_lose_nothing(tmp_path: Path) -> None:
    names = names_that_meet(40)
    commands = [[sys.executable, "-c", _WRITER, str(tmp_path), *names[part::4]] for part in range(4)]
    with contextlib.ExitStack() as stack:
        writers = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for command in commands
        ]
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.communicate("go\n", timeout=60)
        assert [writer.returncode for writer in writers] == [0] * 4
    place = slots(tmp_path)
    assert sorted(place.items()) == sorted((name, name.encode()) for name in names)
    assert [slot for slot in candidates(names[0]) if place.read(f"slots[{slot}]") is not None] == []
    in_slots = sorted(set(names) - set(place.names()))
    assert len(in_slots) <= RIVALS
    assert len({slot_of(tmp_path, name) for name in in_slots}) == len(in_slots)


def test_file_as_large_as_it_can_be_is_read(tmp_path: Path) -> None:
    place = slots(tmp_path)
    place.create(NAME, b"data")
    os.truncate(file_of(tmp_path), READ_LIMIT * 2)
    assert list(place.items()) == [(NAME, b"data")]


def test_large_file_that_is_removed_as_soon_as_it_is_made_is_no_error(tmp_path: Path) -> None:
    class Removing(FileOperations):
        def link_unnamed(self, descriptor: int, new_name: str, folder: int) -> None:
            super().link_unnamed(descriptor, new_name, folder)
            os.unlink(new_name, dir_fd=folder)

    place = slots(tmp_path, operations=Removing())
    place.create(NAME, b"x" * SLOT_SIZE)
    assert list(place.items()) == []
