"""Files under the cache directory: private, whole, never through a link, and swept when their writer is gone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcni.errors import CacheError
from libcni.storage.folder import Folder
from libcni.storage.open_file import READ_LIMIT
from libcni.storage.operations import FileOperations
from libcni.storage.sync import finish
from tests.support.descriptors import no_new_descriptor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UMASKS = (0o000, 0o022, 0o077, 0o777)


@pytest.fixture(params=UMASKS, ids=[f"umask-{mask:03o}" for mask in UMASKS])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def folder(cache_dir: Path, *, durable: bool = False, operations: FileOperations | None = None) -> Folder:
    return Folder(str(cache_dir), "results", operations or FileOperations(), durable=durable)


def patch(place: Folder, name: str, data: bytes, offset: int) -> None:
    opened = place.open_file(name)
    assert opened is not None
    opened.patch(data, offset)
    finish(opened.syncing())
    assert opened.read() == place.read(name)
    opened.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("_umask")
def test_modes_are_private_whatever_the_umask(tmp_path: Path) -> None:
    cache_dir = tmp_path / "above" / "below" / "cache"
    finish(folder(cache_dir, durable=True).replacing("name", b"data"))
    assert mode(cache_dir / "results" / "name") == 0o600
    assert mode(cache_dir / "results") == mode(cache_dir) == 0o700
    assert mode(tmp_path / "above") == mode(tmp_path / "above" / "below") == 0o755


def test_replace_reads_back_and_leaves_nothing_beside(tmp_path: Path) -> None:
    place = folder(tmp_path)
    finish(place.replacing("name", b"one"))
    finish(place.replacing("name", b"two"))
    assert place.read("name") == b"two"
    assert place.names() == ["name"]


def test_missing_folder_reads_as_empty(tmp_path: Path) -> None:
    place = folder(tmp_path / "missing")
    assert (place.read("name"), place.names(), place.remove("name")) == (None, [], False)
    assert place.open_file("name") is None
    assert list(place.items()) == []
    assert not (tmp_path / "missing").exists()


class _Failing(FileOperations):
    """Fails at one step, and lists all of them."""

    def __init__(self, step: str = "") -> None:
        self.step = step
        self.steps: list[str] = []

    def _at(self, step: str) -> None:
        self.steps.append(step)
        if step == self.step:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data[:1])
        self._at("write")
        super().write(descriptor, data[1:])

    def sync(self, descriptor: int) -> None:
        self._at("sync")
        super().sync(descriptor)

    def rename(self, name: str, new_name: str, *, folder: int, new_folder: int) -> None:
        self._at("rename")
        super().rename(name, new_name, folder=folder, new_folder=new_folder)

    def sync_folder(self, folder: int) -> None:
        self._at("sync_folder")
        super().sync_folder(folder)


@pytest.mark.parametrize("step", ["write", "sync", "rename"])
def test_failed_replace_leaves_the_old_file_and_nothing_beside(tmp_path: Path, step: str) -> None:
    finish(folder(tmp_path).replacing("name", b"old"))
    with pytest.raises(OSError, match="No space"):
        finish(folder(tmp_path, durable=True, operations=_Failing(step)).replacing("name", b"new"))
    assert folder(tmp_path).read("name") == b"old"
    assert folder(tmp_path).names() == ["name"]


@pytest.mark.parametrize(
    ("durable", "steps"),
    [(True, ["sync_folder", "write", "sync", "rename", "sync_folder"]), (False, ["write", "rename"])],
    ids=["durable", "not-durable"],
)
def test_durable_file_is_synced_before_it_has_its_name(tmp_path: Path, durable: bool, steps: list[str]) -> None:
    operations = _Failing()
    finish(folder(tmp_path, durable=durable, operations=operations).replacing("name", b"data"))
    assert operations.steps == steps


def test_patch_changes_bytes_in_place(tmp_path: Path) -> None:
    place = folder(tmp_path, durable=True)
    finish(place.replacing("name", b"abcdef"))
    inode = (tmp_path / "results" / "name").stat().st_ino
    patch(place, "name", b"XY", 2)
    assert place.read("name") == b"abXYef"
    assert (tmp_path / "results" / "name").stat().st_ino == inode


def test_move_to_another_folder_keeps_the_content(tmp_path: Path) -> None:
    place = folder(tmp_path, durable=True)
    damaged = Folder(str(tmp_path), "damaged", FileOperations(), durable=True)
    finish(place.replacing("name", b"data"))
    place.move_to(damaged, "name", "name.1")
    assert (place.names(), damaged.read("name.1")) == ([], b"data")


def test_links_inside_are_never_followed_and_their_targets_stay(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    place = folder(tmp_path / "cache")
    finish(place.replacing("other", b""))
    link = tmp_path / "cache" / "results" / "link"
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        place.read("link")
    with pytest.raises(OSError, match="symbolic links"):
        place.open_file("link")
    finish(place.replacing("link", b"new"))
    assert not link.is_symlink()
    assert (place.read("link"), target.read_bytes()) == (b"new", b"precious")


def test_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (elsewhere / "name").write_bytes(b"precious")
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    (cache / "results").symlink_to(elsewhere)
    place = folder(cache)
    for action in (
        lambda: place.read("name"),
        place.names,
        lambda: finish(place.replacing("name", b"new")),
        lambda: place.remove("name"),
        lambda: place.open_file("name"),
    ):
        with pytest.raises(CacheError, match="is not a folder, or is a link"):
            action()
    assert (elsewhere / "name").read_bytes() == b"precious"
    assert (cache / "results").is_symlink()


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "results").touch()
    with pytest.raises(CacheError, match="is not a folder"):
        finish(folder(tmp_path).replacing("name", b""))


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770, 0o720, 0o702])
@pytest.mark.parametrize("which", ["cache", "cache/results"])
def test_folder_that_others_can_write_to_is_refused(tmp_path: Path, bits: int, which: str) -> None:
    place = folder(tmp_path / "cache")
    finish(place.replacing("name", b"data"))
    (tmp_path / which).chmod(bits)
    with pytest.raises(CacheError, match="others can write to it") as caught:
        place.read("name")
    assert caught.value.path == str(tmp_path / which)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    place = folder(tmp_path / "cache")
    finish(place.replacing("name", b"data"))
    os.chown(tmp_path / "cache", 12345, -1)
    with pytest.raises(CacheError, match="owner 12345"):
        place.names()


@pytest.mark.timeout(10)
def test_fifo_and_too_large_file_are_refused(tmp_path: Path) -> None:
    place = folder(tmp_path)
    finish(place.replacing("other", b""))
    os.mkfifo(tmp_path / "results" / "fifo")
    with (tmp_path / "results" / "large").open("wb") as file:
        file.truncate(READ_LIMIT + 1)
    for name in ("fifo", "large"):
        with pytest.raises(OSError, match="not a regular file of a reasonable size"):
            place.read(name)


def _dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_temporary_files_are_swept_when_their_writer_is_gone(tmp_path: Path) -> None:
    place = folder(tmp_path)
    finish(place.replacing("kept", b""))
    # The id of a process says nothing: another one may have it by now, here or in another namespace.
    gone = [f".a.b-c.{_dead_process()}.1a.0.tmp", f".kept.{os.getpid()}.earlier.7.tmp", ".kept.1.1a.0.tmp"]
    # The rest is not a name that the library gives.
    stays = [".x.tmp", ".a.b.c.d.tmp", "kept.tmp"]
    operations = _Failing("rename")
    for name in (*gone, *stays):
        (tmp_path / "results" / name).touch()
    with pytest.raises(OSError, match="No space"):
        finish(folder(tmp_path, operations=operations).replacing("kept", b"x"))
    assert sorted(place.remove_temporary()) == sorted(gone)
    assert place.names() == sorted(["kept", *stays])


class _WithoutUnnamed(FileOperations):
    """A file system on which every file has a name."""

    def create_unnamed(self, folder: int) -> int:
        raise OSError(errno.EOPNOTSUPP, f"not supported in {folder}")


@pytest.mark.parametrize("kind", [FileOperations, _WithoutUnnamed])
def test_created_file_is_whole_private_and_never_takes_a_name(tmp_path: Path, kind: type[FileOperations]) -> None:
    place = folder(tmp_path, durable=True, operations=kind())
    place.create("name", b"one")
    with pytest.raises(FileExistsError):
        place.create("name", b"two")
    assert (place.read("name"), place.names()) == (b"one", ["name"])
    assert mode(tmp_path / "results" / "name") == 0o600


def test_file_that_cannot_be_written_leaves_no_name_and_no_descriptor(tmp_path: Path) -> None:
    class Full(FileOperations):
        def write(self, descriptor: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, f"No space left for {len(data)} bytes in {descriptor}")

    place = folder(tmp_path, operations=Full())
    place.open(create=True)
    with no_new_descriptor(), pytest.raises(OSError, match="No space left"):
        place.create("name", b"one")
    assert place.names() == []


def test_created_file_is_returned_opened(tmp_path: Path) -> None:
    opened = finish(folder(tmp_path).creating_opened("name", b"one"))
    assert opened is not None
    opened.patch(b"X", 0)
    assert opened.read() == folder(tmp_path).read("name") == b"Xne"
    opened.remove()
    opened.close()
    assert folder(tmp_path).names() == []


def test_file_that_cannot_be_made_for_another_reason_than_its_kind_raises(tmp_path: Path) -> None:
    class Broken(FileOperations):
        def create_unnamed(self, folder: int) -> int:
            raise OSError(errno.EIO, f"Input/output error in {folder}")

    with pytest.raises(OSError, match="Input/output"):
        folder(tmp_path, operations=Broken()).create("name", b"one")
    assert folder(tmp_path).names() == []


def test_temporary_file_that_cannot_be_opened_stops_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = folder(tmp_path)
    finish(place.replacing("kept", b""))
    (tmp_path / "results" / ".a.1.1a.0.tmp").touch()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(OSError, match="Input/output"):
        place.remove_temporary()


def test_created_file_gets_its_name_without_proc_too(tmp_path: Path) -> None:
    class WithoutProc(FileOperations):
        def link_unnamed(self, descriptor: int, new_name: str, folder: int) -> None:
            raise FileNotFoundError(errno.ENOENT, f"no /proc: {descriptor} {new_name} {folder}")

    place = folder(tmp_path, operations=WithoutProc())
    place.create("name", b"one")
    assert (place.read("name"), place.names()) == (b"one", ["name"])


@pytest.mark.parametrize("step", ["create_unnamed", "create", "write", "link_unnamed", "link", "rename"])
@pytest.mark.parametrize("kind", [FileOperations, _WithoutUnnamed])
@pytest.mark.parametrize("exclusive", [False, True])
def test_interrupt_after_any_step_leaves_no_temporary_file(
    tmp_path: Path, step: str, kind: type[FileOperations], *, exclusive: bool
) -> None:
    class Interrupted(kind):  # type: ignore[misc, valid-type]  # one of the two
        pass

    original = getattr(kind, step)

    def interrupted(self: FileOperations, *arguments: object, **options: object) -> None:
        made = original(self, *arguments, **options)
        if step.startswith("create"):
            os.close(made)
        raise KeyboardInterrupt

    setattr(Interrupted, step, interrupted)
    place = folder(tmp_path, operations=Interrupted())
    with contextlib.suppress(KeyboardInterrupt):
        finish((place.creating if exclusive else place.replacing)("kept", b"x"))
    assert [name for name in place.names() if name != "kept"] == []


def test_temporary_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    swept: list[str] = []

    class Sweeping(FileOperations):
        def write(self, descriptor: int, data: bytes) -> None:
            swept.extend(folder(tmp_path).remove_temporary())
            super().write(descriptor, data)

    finish(folder(tmp_path, operations=Sweeping()).replacing("kept", b"x"))
    assert (swept, folder(tmp_path).names()) == ([], ["kept"])


def test_temporary_file_that_is_swept_before_it_is_locked_is_made_again(tmp_path: Path) -> None:
    swept: list[str] = []

    class Sweeping(FileOperations):
        def create(self, name: str, folder_descriptor: int) -> int:
            descriptor = super().create(name, folder_descriptor)
            if not swept:
                swept.extend(folder(tmp_path).remove_temporary())
            return descriptor

    finish(folder(tmp_path, operations=Sweeping()).replacing("kept", b"x"))
    assert (len(swept), folder(tmp_path).read("kept")) == (1, b"x")


def test_temporary_link_is_swept_as_a_name_only(tmp_path: Path) -> None:
    place = folder(tmp_path)
    finish(place.replacing("kept", b""))
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "results" / f".a.{_dead_process()}.1a.0.tmp").symlink_to(target)
    place.remove_temporary()
    assert target.read_bytes() == b"precious"
