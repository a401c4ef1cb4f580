"""The line that a failure ends with repeats it: in a shell, in namespaces of its own."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.calls import Request
from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.outcome import Status
from libcni.conformance.runtimes.session import RuntimeSession, runtime_subject
from libcni.conformance.session import Session
from libcni.conformance.subject import Kind, Subject
from tests.conformance import bench
from tests.conformance.test_runtimes import write_tool

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


@pytest.mark.parametrize("mutant", ["rt-add-order", "rt-prevresult-next", "rt-gc-list", "rt-add-error"])
def test_shell_line_of_a_runtime_shows_what_its_plugins_got(mutant: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    tool = write_tool(tmp_path / "tool", mutant)
    checks = select(load_checks(for_runtimes=True), [mutant])
    (outcome,) = RuntimeSession().run([runtime_subject([str(tool)])], checks).outcomes
    assert outcome.status is Status.FAILED

    done = subprocess.run(["sh", "-c", outcome.shell], capture_output=True, text=True, check=False, timeout=60)

    compared = done.stdout.partition("\n== compared:\n")[2]
    assert "\n" not in outcome.shell
    assert "CNI_COMMAND=ADD" in compared, done.stderr
    if mutant == "rt-add-order":
        assert next(line for line in compared.splitlines() if line in {"first", "second", "third"}) == "third"


@pytest.mark.parametrize("mutant", ["delegate-environment", "delegate-del", "delegate-stdin"])
def test_shell_line_of_delegation_shows_what_the_delegate_got(mutant: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("delegating", bench.write_plugins(tmp_path / "bin", "interface", mutant))
    (outcome,) = Session().run([own], select(load_checks(), [mutant])).outcomes
    assert outcome.status in {Status.FAILED, Status.WARNED}

    done = subprocess.run(["sh", "-c", outcome.shell], capture_output=True, text=True, check=False, timeout=60)

    compared = done.stdout.partition("\n== compared:\n")[2]
    assert compared.startswith("conformance-delegate\n"), done.stderr
    assert ("CNI_ARGS=X=1" in compared) == (mutant == "delegate-environment")
    assert ("CNI_COMMAND=DEL" in compared) is False
    assert ("example.org/kept" in compared) == (mutant != "delegate-stdin")


@pytest.mark.parametrize("check_id", ["add-proc-netns", "parallel-add"])
def test_shell_line_works_where_the_shell_needs_something_else(check_id: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("interface", bench.write_plugins(tmp_path / "bin"))
    (check,) = select(load_checks(), [check_id])
    line = Session().trace(own, check)

    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout.count('"interfaces"') == (16 if check_id == "parallel-add" else 1), done.stderr
    assert '"code"' not in done.stdout
