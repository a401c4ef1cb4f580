"""``cnitool lint``: paths, formats, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from libcni.cli.root import cnitool
from libcni.lint import FORMATS
from tests.lint.trees import CONFIGURATION_DIR, network, write_plugins, write_tree


def run(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner(env={"CNI_PATH": "", "NETCONFPATH": "", **environment}).invoke(
        cnitool, ["lint", *map(str, arguments)]
    )


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "good", {"10.conflist": network("lab")})


@pytest.fixture
def warned(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "warned", {"10.conflist": network("lab", {"type": "loopback", "prevResult": {}})})


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "bad", {"10.conflist": network("lab", {"type": "ptp", "mtu": "x", "ipam": {}})})


def test_clean_directory_exits_0(good: Path) -> None:
    result = run(good, "--no-plugins")
    assert (result.exit_code, result.output) == (0, "no findings\n")


def test_error_exits_1(bad: Path) -> None:
    result = run(bad, "--no-plugins")
    assert result.exit_code == 1
    assert "plugins[0].mtu" in result.output


def test_warning_exits_0_and_with_strict_1(warned: Path) -> None:
    assert run(warned, "--no-plugins").exit_code == 0
    result = run(warned, "--no-plugins", "--strict")
    assert result.exit_code == 1
    assert "warning CNI206" in result.output


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["--format", "xml"], ["--schema-dir", "nothing", "."], ["--unknown"], [""], ["a\0b"]]
)
def test_wrong_usage_exits_2(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


def test_link_to_nothing_that_was_named_exits_2(good: Path) -> None:
    (good / "20.conflist").symlink_to(good / "nothing")

    assert run(good / "20.conflist", "--no-plugins").exit_code == 2
    assert run(good, "--no-plugins").output == "no findings\n"


@pytest.mark.parametrize("form", list(FORMATS))
def test_file_name_that_is_no_utf8_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("d")
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.conf")).write_bytes(b"[")

    result = run("d", "--no-plugins", "--format", form)

    assert result.exit_code == 1
    assert "CNI002" in result.output
    assert "d/%FF.conf" in result.output or form != "sarif"


def test_directory_defaults_to_the_configuration_directory(good: Path, bad: Path) -> None:
    assert run("--no-plugins", NETCONFPATH=str(good)).exit_code == 0
    assert run("--no-plugins", NETCONFPATH=str(bad)).exit_code == 1
    assert run("--no-plugins", "--conf-dir", good, NETCONFPATH=str(bad)).exit_code == 0


def test_default_directory_that_is_missing_exits_2(tmp_path: Path) -> None:
    assert run(NETCONFPATH=str(tmp_path / "nothing")).exit_code == 2


def test_several_files_and_directories(good: Path, bad: Path) -> None:
    result = run(good, bad / "10.conflist", "--no-plugins", "--format", "json")
    assert {found["file"] for found in json.loads(result.stdout)} == {str(bad / "10.conflist")}


@pytest.mark.parametrize("form", ["json", "sarif", "github"])
def test_formats_for_programs(form: str, bad: Path) -> None:
    result = run(bad, "--no-plugins", "--format", form)
    assert result.exit_code == 1
    assert result.stdout.startswith("::error ") if form == "github" else json.loads(result.stdout)


def test_output_json_is_the_json_format(bad: Path) -> None:
    assert json.loads(run(bad, "--no-plugins", "--output", "json").stdout)[0]["code"] == "CNI301"


def test_plugins_are_asked_where_directories_are_named(good: Path, tmp_path: Path) -> None:
    bin_dir = write_plugins(tmp_path / "bin", {"loopback": ["1.0.0"]})
    assert run(good, "--bin-dir", bin_dir).exit_code == 0
    result = run(good, "--bin-dir", tmp_path / "nothing")
    assert result.exit_code == 1
    assert "CNI411" in result.output
    assert run(good, CNI_PATH=str(tmp_path / "nothing")).exit_code == 1
    assert run(good, "--no-plugins", CNI_PATH=str(tmp_path / "nothing")).exit_code == 0


def test_plugins_are_left_out_where_no_default_directory_exists(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libcni.cli.settings.DEFAULT_BIN_DIRS", ("/none/bin",))
    assert run(good).exit_code == 0


def test_schema_directory(tmp_path: Path) -> None:
    files = {"net.d/10.conflist": network("lab", {"type": "paint"}), "schemas/paint.json": {"required": ["colour"]}}
    write_tree(tmp_path, files)
    assert run(tmp_path / "net.d", "--no-plugins").exit_code == 0
    assert run(tmp_path / "net.d", "--no-plugins", "--schema-dir", tmp_path / "schemas").exit_code == 1


def test_command_as_a_process() -> None:
    command = [sys.executable, "-m", "libcni.cli", "lint", "--no-plugins", str(CONFIGURATION_DIR)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (0, "1 note", "")
