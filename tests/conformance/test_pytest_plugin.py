"""The checks as tests of somebody's own repository."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.conformance import bench
from tests.support.children import describe

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = """\
plugin = "{plugin}"
profile = "interface"

[config]
dataDir = "{{data}}"

[ignore]
"a*" = "left out"
"c*" = "left out"
"d*" = "left out"
"g*" = "left out"
"p*" = "left out"
"r*" = "left out"
"s*" = "left out"
"n*" = "left out"
"o*" = "left out"
"t*" = "left out"
"e*" = "left out"
"i*" = "left out"
"b*" = "left out"

[known]
version-list = "a known one"
"""


PYTEST = [
    *(sys.executable, "-m", "pytest", "-rA", "-q"),
    *("-p", "libcni.conformance.pytest_plugin", "-p", "no:randomly", "-p", "no:cacheprovider"),
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(bench.TESTDATA.parents[1]), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def run_pytest(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [*PYTEST, *arguments],
        env=ENVIRONMENT,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout + done.stderr


def repository(tmp_path: Path, fault: str, plugin: str) -> Path:
    bench.write_plugins(tmp_path / "bin", "interface", fault)
    (tmp_path / "conformance.toml").write_text(DESCRIPTION.format(plugin=plugin))
    (tmp_path / "test_own.py").write_text("def test_own():\n    pass\n")
    return tmp_path


def test_without_the_option_nothing_is_added(tmp_path: Path) -> None:
    text = run_pytest(repository(tmp_path, "", "./bin/conforming-interface"))

    assert "1 passed" in text
    assert "version-bare" not in text


def test_each_check_becomes_a_test_and_a_failure_shows_the_evidence(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    folder = repository(tmp_path, "version-bare", "./bin/conforming-interface")

    text = run_pytest(folder, "--cni-conformance", "conformance.toml")

    assert "1 failed" in text
    assert "PASSED test_own.py" in text
    assert "conforming-interface::version-bare" in text
    assert "rule:     Of the variables only CNI_COMMAND" in text
    assert "repeat:   unshare" in text
    assert "Traceback" not in text


def test_known_failure_and_directory_of_plugins(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    folder = repository(tmp_path, "version-list", "conforming-interface")

    text = run_pytest(folder, "--cni-conformance", "conformance.toml", "--cni-bin-dir", "bin")

    assert "1 xfailed" in text
    assert "failed" not in text.replace("xfailed", "")


@pytest.mark.parametrize(
    ("file", "message"), [("absent.toml", "absent.toml"), ("conformance.toml", "is no executable file")]
)
def test_what_cannot_be_used_is_wrong_usage(tmp_path: Path, file: str, message: str) -> None:
    folder = repository(tmp_path, "", "./bin/absent")

    text = run_pytest(folder, "--cni-conformance", file)

    assert "ERROR: " in text
    assert message in text
    assert "INTERNALERROR" not in text


def test_interrupt_ends_the_check_that_runs(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    folder = repository(tmp_path, "", "./bin/slow")
    (folder / "bin" / "slow").write_text('#!/bin/sh\n[ "$CNI_COMMAND" = VERSION ] || exec sleep 300\n')
    (folder / "bin" / "slow").chmod(0o755)
    (folder / "conformance.toml").write_text('plugin = "bin/slow"\nprofile = "interface"\nseconds = 100\n')
    command = [*PYTEST, "--cni-conformance", "conformance.toml", "-k", "add-succeeds"]
    with subprocess.Popen(command, env=ENVIRONMENT, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        own = psutil.Process(process.pid)
        give_up = time.monotonic() + 30
        while not any(" sleep 300" in describe(child.pid) for child in own.children()) and time.monotonic() < give_up:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)[0]

    assert "KeyboardInterrupt" in output


def test_loading_the_plugin_imports_nothing_else() -> None:
    program = (
        "import sys; import libcni.conformance.pytest_plugin; "
        "print([name for name in sys.modules if name.split('.')[0] in ('libcni', 'rich', 'click', 'pydantic')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=bench.TESTDATA.parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert done.stdout.strip() == "['libcni', 'libcni.conformance', 'libcni.conformance.pytest_plugin']"
