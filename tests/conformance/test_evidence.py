"""The line that a failure ends with repeats it: in a shell, in namespaces of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.calls import Request
from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.outcome import Status
from libcni.conformance.session import Session
from tests.conformance import bench

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mutant", ["del-no-netns", "result-version", "check-passes", "stdin-not-utf8"])
def test_shell_line_of_a_failure_repeats_it(mutant: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("interface", bench.write_plugins(tmp_path / "bin", "interface", mutant))
    (outcome,) = Session().run([own], select(load_checks(), [mutant])).outcomes
    assert outcome.status in {Status.FAILED, Status.WARNED}
    assert outcome.call is not None

    done = subprocess.run(["sh", "-c", outcome.shell], capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout.strip().endswith(outcome.call["stdout"].strip()), done.stderr
    assert outcome.call["environment"]["CNI_COMMAND"] in {"ADD", "DEL", "CHECK"}


@pytest.mark.parametrize("data", [b"{}", b"", b"a'b\n\\%s", b"x" * 5000 + b"'", b"\xff\x00\x07", "ü".encode()])
def test_shell_prints_every_byte(data: bytes) -> None:
    command = Request("/bin/cat", {"A": "1"}, data).shell

    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=10).stdout == data
