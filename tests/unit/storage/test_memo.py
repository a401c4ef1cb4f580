"""What was read from files, kept while they are the same files."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from libcni.storage import memo as listing
from libcni.storage.memo import Listing, stamp_of
from libcni.storage.operations import OpenFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> OpenFolder:
    tmp_path.chmod(0o700)
    for name in ("a", "b"):
        (tmp_path / name).write_text("one")
    return OpenFolder(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), str(tmp_path))


def keep(kept: Listing[str], name: str, folder: OpenFolder) -> None:
    stamp = stamp_of(name, folder)
    assert stamp is not None
    kept.keep(name, stamp, f"read from {name}")


def test_file_is_the_same_until_it_changes(folder: OpenFolder, tmp_path: Path) -> None:
    kept: Listing[str] = Listing()
    assert kept.get("a", folder) is None
    keep(kept, "a", folder)
    assert kept.get("a", folder) == "read from a"
    before = (tmp_path / "a").stat()
    time.sleep(0.05)  # longer than the kernel's clock for files takes to move on
    (tmp_path / "a").write_text("two")
    os.utime(tmp_path / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert kept.get("a", folder) is None


def test_file_that_is_gone_has_no_stamp_and_is_forgotten(folder: OpenFolder, tmp_path: Path) -> None:
    kept: Listing[str] = Listing()
    for name in ("a", "b"):
        keep(kept, name, folder)
    (tmp_path / "a").unlink()
    assert stamp_of("a", folder) is None
    assert kept.get("a", folder) is None
    kept.forget_others(["b"])
    (tmp_path / "a").write_text("one")
    assert (kept.get("a", folder), kept.get("b", folder)) == (None, "read from b")
    kept.forget_others(["a", "b"])
    assert kept.get("b", folder) == "read from b"


def test_no_more_than_the_limit_is_kept(folder: OpenFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "LIMIT", 1)
    kept: Listing[str] = Listing()
    for name in ("a", "b"):
        keep(kept, name, folder)
    assert (kept.get("a", folder), kept.get("b", folder)) == ("read from a", None)
