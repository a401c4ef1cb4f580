"""Lookup of the program of a plugin, and the names of the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import libcni.invoke as package
from libcni import InvalidParameterError, PluginNotFoundError
from libcni.invoke import find_in_path

if TYPE_CHECKING:
    from pathlib import Path


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_find_takes_the_first_match(tmp_path: Path) -> None:
    executable(tmp_path / "a" / "bridge")
    executable(tmp_path / "b" / "bridge")
    executable(tmp_path / "b" / "only")
    paths = [str(tmp_path / name) for name in ("missing", "a", "b")]
    assert find_in_path("bridge", paths) == str(tmp_path / "a" / "bridge")
    assert find_in_path("bridge", list(reversed(paths))) == str(tmp_path / "b" / "bridge")
    assert find_in_path("only", paths) == str(tmp_path / "b" / "only")


def test_find_follows_a_link_and_ignores_a_final_slash(tmp_path: Path) -> None:
    executable(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert find_in_path("link", [f"{tmp_path}/"]) == str(tmp_path / "link")
    assert find_in_path("sh", ["/bin//"]) == "/bin/sh"


def test_find_passes_over_what_is_no_executable_file(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "bridge").mkdir()
    (tmp_path / "b" / "bridge").touch(mode=0o644)
    (tmp_path / "c" / "bridge").symlink_to("missing")
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    with pytest.raises(PluginNotFoundError) as caught:
        find_in_path("bridge", paths)
    assert caught.value.paths == tuple(paths)
    assert caught.value.plugin == "bridge"
    assert f"{tmp_path}/a/bridge is not a regular file" in str(caught.value)
    executable(tmp_path / "d" / "bridge")
    assert find_in_path("bridge", [*paths, str(tmp_path / "d")]) == str(tmp_path / "d" / "bridge")


def test_find_says_that_a_file_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "bridge").touch(mode=0o644)
    with pytest.raises(PluginNotFoundError, match="bridge is not executable"):
        find_in_path("bridge", [str(tmp_path)])


@pytest.mark.parametrize("paths", [[], [""]], ids=["none", "empty"])
def test_find_never_looks_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    executable(tmp_path / "bridge")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginNotFoundError):
        find_in_path("bridge", paths)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/bin/sh", "../sh", "a\0b", "a\\b"], ids=ascii)
def test_find_of_what_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        find_in_path(name, ["/bin"])
    assert caught.value.name == "plugin"


def test_find_of_a_name_without_bytes_finds_nothing() -> None:
    with pytest.raises(PluginNotFoundError):
        find_in_path("\ud800", ["/bin"])


def test_names_of_the_package_load_when_they_are_used() -> None:
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing
