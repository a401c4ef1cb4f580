"""macOS and Windows: there the package loads, checks, plans and prints schemas; the rest says that it needs Linux."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcni import linux
from libcni.errors import CNIError
from tests.contract import elsewhere
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from pathlib import Path

NEEDS_LINUX = {"run plugins", "run plugins, async", "networks", "namespaces"}
TOOL_NEEDS_LINUX = {"cnitool add", "cnitool run"}


@pytest.mark.parametrize("system", ["macos", "windows"])
def test_what_needs_no_linux_works_without_it(tmp_path: Path, system: str) -> None:
    (tmp_path / "10-net.conflist").write_text(elsewhere.NETWORK)
    (tmp_path / "bridge").write_text(elsewhere.PLUGIN)
    (tmp_path / "bridge").chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "contract" / "elsewhere.py"), system, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    for name, outcome in json.loads(done.stdout).items():
        if name in NEEDS_LINUX:
            assert outcome.startswith("CNIError: "), (name, outcome)
            assert "needs Linux (missing: os." in outcome, name
        elif name in TOOL_NEEDS_LINUX:
            assert outcome.startswith("1 cnitool: "), (name, outcome)
            assert "needs Linux" in outcome, name
            assert "Traceback" not in outcome
        else:
            assert outcome in {"works", "0"}, (name, outcome)


def test_another_system_is_told_by_its_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    linux.check_linux("this test")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(CNIError, match=r"^this test needs Linux; loading, lint, plan and schemas work on darwin, too$"):
        linux.check_linux("this test")
    monkeypatch.setattr(linux, "_HAS_FCNTL", False)
    assert linux.missing_names() == ["fcntl"]


def test_stand_in_has_constants_and_refuses_calls() -> None:
    stand_in = linux.MissingModule()
    assert stand_in.LOCK_EX == 0
    with pytest.raises(CNIError, match="this needs Linux"):
        stand_in.flock(0)  # type: ignore[operator]  # a function
