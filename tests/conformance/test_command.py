"""``cnitool conformance`` from the command line, in this process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
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
        ("--runtime", "/nonexistent/tool"),
    ],
)
def test_wrong_usage_has_status_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).exit_code == 2


def test_runtime_is_checked(namespaces: None) -> None:
    del namespaces
    done = call("--runtime", f"{sys.executable} -m libcni.cli", "--only", "rt-add-order")

    assert done.exit_code == 0, done.output


def test_interrupt_ends_the_run_and_what_it_started(plugins: Path, tmp_path: Path) -> None:
    slow = bench.write_plugins(tmp_path / "bin", "interface", "time")
    command = [sys.executable, "-m", "libcni.cli", "--bin-dir", str(slow), "conformance", "--config", INTERFACE]
    target = tmp_path / "report.json"
    del plugins
    with subprocess.Popen(
        [*command, "--only", "check-*", "--report", f"json={target}"], stdout=subprocess.DEVNULL
    ) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1

    assert json.loads(target.read_text())["stopped"] is True
    assert str(slow) not in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
