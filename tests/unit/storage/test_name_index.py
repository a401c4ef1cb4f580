"""The index of file names by container: what this process does is known at once, the rest when it lists anew."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from libcni.storage import name_index
from libcni.storage.name_index import NameIndex
from libcni.storage.operations import OPEN_FOLDER, OpenFolder

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> OpenFolder:
    tmp_path.chmod(0o700)
    return OpenFolder(os.open(tmp_path, OPEN_FOLDER), str(tmp_path))


NAMES = ("net-box-eth0", "my-net-box-eth0", "net-box-1-eth0", "net@box@eth0", "net-other-eth0", "box-a-b", "a-b-box")


def test_names_of_a_container_are_found_wherever_a_hyphen_stands(tmp_path: Path, folder: OpenFolder) -> None:
    for name in NAMES:
        (tmp_path / name).touch()
    index = NameIndex()
    # A name may be of several containers: what is in the file decides.
    assert sorted(index.of_container(folder, "box")) == sorted(NAMES[:4])
    assert index.of_container(folder, "box-1") == ["net-box-1-eth0"]
    assert index.of_container(folder, "net-box") == ["my-net-box-eth0"]
    assert index.of_container(folder, "ox") == []


def test_own_changes_are_known_at_once(tmp_path: Path, folder: OpenFolder) -> None:
    index = NameIndex()
    assert index.of_container(folder, "box") == []
    (tmp_path / "net-box-eth0").touch()
    index.note_added("net-box-eth0")
    assert index.of_container(folder, "box") == ["net-box-eth0"]
    (tmp_path / "net-box-eth0").unlink()
    index.note_removed("net-box-eth0")
    index.note_removed("net-never-eth0")
    assert index.of_container(folder, "box") == []


def test_changes_of_others_are_seen_while_this_process_changes_nothing(tmp_path: Path, folder: OpenFolder) -> None:
    index = NameIndex()
    for number in range(3):
        assert len(index.of_container(folder, "box")) == number
        (tmp_path / f"net-box-eth{number}").touch()
    for number in range(3):
        assert len(index.of_container(folder, "box")) == 3 - number
        (tmp_path / f"net-box-eth{number}").unlink()


def test_changes_of_others_are_seen_after_a_second_while_this_process_changes_something(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = NameIndex()
    index.of_container(folder, "box")
    index.note_added("net-mine-eth0")
    (tmp_path / "net-box-eth0").touch()
    assert index.of_container(folder, "box") == []
    monkeypatch.setattr(name_index, "LISTED_ANEW", 0.0)
    assert index.of_container(folder, "box") == ["net-box-eth0"]
    assert index.of_container(folder, "mine") == []


def test_folder_that_is_not_changed_is_not_listed_again(
    tmp_path: Path, folder: OpenFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net-box-eth0").touch()
    time.sleep(0.15)
    index = NameIndex()
    index.of_container(folder, "box")
    monkeypatch.setattr(OpenFolder, "list", lambda _: pytest.fail("listed again"))
    assert index.of_container(folder, "box") == ["net-box-eth0"]
