"""The line that a failure ends with repeats it: in a shell, in namespaces of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.calls import Request
from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.outcome import Status
from libcni.conformance.session import Session
from libcni.conformance.subject import Kind, Subject
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

    printed, _, compared = done.stdout.partition("\n== compared:\n")
    assert outcome.call["stdout"].strip() in printed, done.stderr
    assert ("lo" in compared) == (mutant == "del-no-netns"), compared
    assert outcome.call["environment"]["CNI_COMMAND"] in {"ADD", "DEL", "CHECK"}


ONE_RESULT = """\
#!/bin/sh
state=$TMPDIR/number
case $CNI_COMMAND in
VERSION) echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}' ;;
ADD) date +%s%N > $state; echo '{"cniVersion": "1.0.0", "ips": [], "number": "'$(cat $state)'"}' ;;
CHECK) grep -q $(cat $state) && exit; echo '{"cniVersion": "1.0.0", "code": 100, "msg": "another result"}'; exit 1 ;;
esac
"""


def test_shell_line_hands_on_the_result_of_this_time(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    plugin = tmp_path / "one-result"
    plugin.write_text(ONE_RESULT)
    plugin.chmod(0o755)
    (check,) = select(load_checks(), ["check-passes"])
    line = Session().trace(Subject(str(plugin), Kind.IPAM), check)

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=30)

    assert done.stdout.count('"number"') == 1
    assert done.returncode == 0, "CHECK got another result than the ADD of this time printed"


@pytest.mark.parametrize("data", [b"{}", b"", b"a'b\n\\%s", b"x" * 5000 + b"'", b"\xff\x00\x07", "ü".encode()])
def test_shell_prints_every_byte(data: bytes) -> None:
    command = Request("/bin/cat", {"A": "1"}, data).shell

    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=10).stdout == data
