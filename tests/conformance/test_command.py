"""``cnitool conformance`` from the command line, in this process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from libcni.cli.root import cnitool
from libcni.conformance.catalogue import load_checks
from tests.conformance import bench

if TYPE_CHECKING:
    from pathlib import Path

INTERFACE = str(bench.TESTDATA / "interface.toml")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cnitool, ["conformance", *arguments])


def test_list_names_every_check() -> None:
    assert f"{len(load_checks())} checks" in call("--list").stdout
    listed = json.loads(call("--list", "--output", "json", "--only", "version").stdout)
    assert {entry["group"] for entry in listed} == {"version"}
    assert "rt-add-order" in call("--list", "--runtime", "x").stdout


def test_explain_says_what_why_and_where() -> None:
    text = call("--explain", "del-twice").stdout
    for part in ("MUST", "specification 1.1.0, 2, DEL", "cnitool conformance PLUGIN --only del-twice"):
        assert part in text
    assert "rt-add" in call("--explain", "rt-add").stdout
    assert call("--explain", "nothing").exit_code == 2


def test_explain_with_a_plugin_prints_the_calls(plugins: Path) -> None:
    text = call("--bin-dir", str(plugins), "--config", INTERFACE, "--explain", "del-twice").stdout

    assert text.count("CNI_COMMAND=DEL") == 2
    assert "unshare --mount --net" in text


def test_run_writes_every_report_and_succeeds(plugins: Path, tmp_path: Path) -> None:
    wanted = [part for form in ("json", "junit", "tap", "html") for part in ("--report", f"{form}={tmp_path / form}")]

    done = call("--bin-dir", str(plugins), "--config", INTERFACE, "--only", "version", "--jobs", "2", *wanted)

    assert done.exit_code == 0, done.output
    assert "conforming-interface" in done.stdout
    assert all((tmp_path / form).stat().st_size > 100 for form in ("json", "junit", "tap", "html"))


def test_plugin_with_a_fault_fails_and_diff_shows_it(tmp_path: Path) -> None:
    good = bench.write_plugins(tmp_path / "good")
    bad = bench.write_plugins(tmp_path / "bad", "interface", "version-bare")
    for name, folder, status in (("good", good, 0), ("bad", bad, 1)):
        plugin = str(folder / "conforming-interface")
        done = call(
            plugin, "--profile", "interface", "--only", "version-b*", "--report", f"json={tmp_path / name}.json"
        )
        assert done.exit_code == status, done.output

    worse = call("diff", f"{tmp_path}/good.json", f"{tmp_path}/bad.json")
    assert worse.exit_code == 1
    assert "WORSE conforming-interface version-bare: passed -> failed" in worse.stdout
    assert call("diff", f"{tmp_path}/bad.json", f"{tmp_path}/good.json").exit_code == 0
    assert json.loads(call("diff", f"{tmp_path}/good.json", f"{tmp_path}/bad.json", "--output", "json").stdout)[0][
        "worse"
    ]


def test_json_goes_to_standard_output(plugins: Path) -> None:
    done = call(
        "--bin-dir",
        str(plugins),
        "--config",
        INTERFACE,
        "--profile",
        "interface",
        "--only",
        "version-bare",
        "--output",
        "json",
    )

    assert json.loads(done.stdout)["outcomes"][0]["status"] == "passed"


def test_ready_description_is_found_by_name() -> None:
    done = call("--bin-dir", "/usr/lib/cni", "host-local", "--only", "version-bare")
    assert done.exit_code == 0 or "not found" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("diff", "one"),
        ("no-such-plugin",),
        ("bridge", "--only", "nothing"),
        ("bridge", "--report", "pdf=x"),
        ("bridge", "--report", "json"),
        ("bridge", "--report", "json=/nonexistent/folder/report.json"),
        ("bridge", "--report", "json=/tmp"),
        ("bridge", "bridge"),
        ("./absent", "--profile", "ipam"),
        ("--config", "/nonexistent.toml"),
        ("--config", "/tmp"),
        ("diff", "/nonexistent/old.json", "/nonexistent/new.json"),
        ("diff", "/tmp", "/tmp"),
        ("--runtime", "/nonexistent/tool"),
        ("--runtime", ""),
        ("--runtime", "it's"),
        ("--runtime", "true", "bridge"),
        ("--runtime", "true", "--profile", "ipam"),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...]) -> None:
    done = call("--bin-dir", "/usr/lib/cni", *arguments)

    assert done.exit_code == 2
    assert done.stderr.startswith("cnitool: invalid ")


def test_diff_with_strict_counts_warnings(tmp_path: Path) -> None:
    for name, status in (("old", "passed"), ("new", "warned")):
        outcome = dict.fromkeys(("subject", "check", "level", "title", "section", "rule"), "x") | {"status": status}
        (tmp_path / name).write_text(json.dumps({"format": 1, "outcomes": [outcome]}))
    both = (str(tmp_path / "old"), str(tmp_path / "new"))

    assert call("diff", *both).exit_code == 0
    assert call("diff", "--strict", *both).exit_code == 1


def test_diff_with_a_run_that_was_stopped_fails(tmp_path: Path) -> None:
    for name, is_stopped in (("old", False), ("new", True)):
        (tmp_path / name).write_text(json.dumps({"format": 1, "stopped": is_stopped, "outcomes": []}))

    done = call("diff", str(tmp_path / "old"), str(tmp_path / "new"))

    assert done.exit_code == 1
    assert "the new run was stopped" in done.stderr
    assert call("diff", str(tmp_path / "new"), str(tmp_path / "old")).exit_code == 0


def test_path_in_a_description_counts_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write_plugins(tmp_path / "own" / "bin")
    description = 'plugin = "bin/conforming-interface"\nprofile = "interface"\n'
    (tmp_path / "own" / "conformance.toml").write_text(description)
    monkeypatch.chdir(tmp_path)

    assert call("--config", "own/conformance.toml", "--only", "version-answer").exit_code == 0


@pytest.mark.parametrize("is_option", [True, False], ids=["option", "variable"])
def test_relative_plugin_directory_counts_from_here(
    plugins: Path, monkeypatch: pytest.MonkeyPatch, *, is_option: bool
) -> None:
    monkeypatch.chdir(plugins.parent)
    monkeypatch.setenv("CNI_PATH", "/nonexistent" if is_option else plugins.name)
    options = ("--bin-dir", plugins.name) if is_option else ()

    # The second check has the plugin call another one, which it looks for in the directories of its own CNI_PATH.
    done = call(
        *options, "--config", str(bench.TESTDATA / "delegating.toml"), "--only", "version-bare", "--only", "add-*"
    )

    assert done.exit_code == 0, done.output
    assert "PASSED" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [("conformance", "--list"), ("conformance", "--list", "--output", "json"), ("schema",), ("--help",), ("networks",)],
    ids=" ".join,
)
def test_output_that_nobody_reads_ends_the_program_without_noise(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "10-net.conflist").write_text('{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "x"}]}')
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "libcni.cli", *arguments]
    environ = {**os.environ, "NETCONFPATH": str(tmp_path)}
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(command, env=environ, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)

    assert done.stderr == b""
    assert done.returncode == (1 if "--help" in arguments else -signal.SIGPIPE)


def test_reports_are_written_when_nobody_reads_the_output(plugins: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    target = tmp_path / "report.json"
    command = [sys.executable, "-m", "libcni.cli", "--bin-dir", str(plugins), "conformance", "--config", INTERFACE]
    command += ["--only", "version-bare", "--report", f"json={target}"]
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False)

    assert done.stderr == b""
    assert json.loads(target.read_text())["outcomes"][0]["status"] == "passed"


def test_runtime_is_checked(namespaces: None) -> None:
    del namespaces
    done = call("--runtime", f"{sys.executable} -m libcni.cli", "--only", "rt-add-order")

    assert done.exit_code == 0, done.output


def is_running(plugins: Path) -> bool:
    """Return whether a plugin of a folder runs."""
    listed = subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
    return f"{plugins}/" in listed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupt_ends_the_run_and_what_it_started(plugins: Path, tmp_path: Path, number: signal.Signals) -> None:
    slow = bench.write_plugins(tmp_path / "bin", "interface", "time")
    command = [sys.executable, "-m", "libcni.cli", "--bin-dir", str(slow), "conformance", "--config", INTERFACE]
    target = tmp_path / "report.json"
    del plugins
    before = signal.signal(number, signal.SIG_DFL)  # nohup has SIGHUP ignored
    process = subprocess.Popen([*command, "--only", "check-*", "--report", f"json={target}"], stdout=subprocess.DEVNULL)
    signal.signal(number, before)
    with process:
        while not is_running(slow):
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(20) == 128 + number

    report = json.loads(target.read_text())
    assert report["stopped"] is True
    assert {outcome["status"] for outcome in report["outcomes"]} <= {"passed", "skipped"}, "killed is not failed"
    assert str(slow) not in subprocess.run(["ps", "-wweo", "args"], capture_output=True, text=True, check=True).stdout
