"""What the README says works when it is pasted: the parts for root in a network and a file system of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.contract.modules import ROOT
from tests.support import kernel
from tests.support.pages import ALONE

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(match.group(1), match.group(2)) for match in BLOCK.finditer(TEXT)]


def test_readme_says_what_it_is_in_five_lines() -> None:
    first = TEXT.split("\n\n")[1]
    assert len(first.splitlines()) <= 6


def test_readme_sets_up_demo_and_tests_with_one_command_each() -> None:
    demo, tests = (block for kind, block in BLOCKS[:2])
    assert demo.endswith("cnitool demo\n")
    assert tests.endswith("tox\n")
    assert (demo.count("\n"), tests.count("\n")) == (1, 1)


def test_readme_shows_the_library_in_ten_lines_each() -> None:
    blocks = [block for kind, block in BLOCKS if kind == "python"]
    assert len(blocks) == 3
    assert all(len(block.strip().splitlines()) <= 14 for block in blocks)
    assert "await" in blocks[1]


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    assert BLOCKS[1][1].strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which ``cnitool`` and ``python`` are those under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, arguments in (("cnitool", "-m libcni.cli"), ("python", "")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        path.chmod(0o755)
    paths = os.pathsep.join([str(folder), os.environ["PATH"], "/usr/sbin"])
    return {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}


def test_demo_of_the_readme_shows_every_call(environ: dict[str, str], tmp_path: Path) -> None:
    command = BLOCKS[0][1].rsplit("&& .venv/bin/", 1)[1]
    done = subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, check=False, cwd=tmp_path, env=environ, timeout=100
    )
    assert done.returncode == 0, done.stderr
    for verb in ("ADD", "CHECK", "DEL", "GC"):
        assert f"demo-range {verb}" in done.stdout
    assert "Attachments left: 0. Unfinished: 0." in done.stdout


def test_real_thing_of_the_readme_works_as_pasted(environ: dict[str, str], tmp_path: Path) -> None:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    script = ALONE
    for kind, block in BLOCKS[2:]:
        script += block if kind == "sh" else f"python - <<'PASTED'\n{block}PASTED\n"
    bash = shutil.which("bash") or "sh"
    done = subprocess.run(
        ["unshare", "--mount", "--net", bash, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environ,
        timeout=100,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.count("1 received") == 2
    assert {"10.22.0.2/16", "10.22.0.3/16"} <= set(re.findall(r"10\.22\.[0-9.]+/16", done.stdout))
    # What Python printed: one container, two side by side, and one of the layer above.
    assert {line.strip() for line in done.stdout.splitlines() if line.startswith("10.22.")} == {
        "10.22.0.5/16",
        "10.22.0.6/16",
        "10.22.0.7/16",
        "10.22.0.8/16",
    }
    assert not (tmp_path / "net.d").exists()
