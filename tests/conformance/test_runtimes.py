"""Checks of runtimes: the conforming one and ours pass all of them, and each check has a mutant that fails it alone."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation
from libcni.conformance.catalogue import load_checks
from libcni.conformance.lab import Probe
from libcni.conformance.outcome import Status
from libcni.conformance.runtimes.session import RuntimeSession, runtime_subject
from libcni.conformance.session import Job
from libcni.errors import CNIError, InvalidParameterError
from tests.conformance import bench

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from libcni.conformance.catalogue import Check
    from libcni.conformance.outcome import Outcome

pytestmark = pytest.mark.timeout(900)

CHECKS = load_checks(for_runtimes=True)
IDS = [check.id for check in CHECKS]

_TOOL = """\
#!{python} -IS
import sys
sys.path.append({folder!r})
from runtime import KNOWN, main
KNOWN[:] = {known!r}
main({active!r}, {trace!r})
"""


KNOWN = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")


def write_tool(path: Path, active: str = "", trace: str = "", *, known: Sequence[str] = KNOWN) -> Path:
    python = os.path.realpath(sys.executable)
    path.write_text(
        _TOOL.format(python=python, folder=str(bench.TESTDATA), active=active, trace=trace, known=list(known))
    )
    path.chmod(0o755)
    return path


def run(jobs: list[tuple[Path, Check]]) -> list[Outcome]:
    """Run checks of runtimes, each with its tool; the outcomes are in that order."""
    session = RuntimeSession(jobs=3)
    work = [
        Job(replace(runtime_subject([str(tool)]), source=str(number)), Probe(str(tool), ()), check)
        for number, (tool, check) in enumerate(jobs)
    ]
    found = {job.subject.source: outcome for job, outcome in session.work(work)}
    return [found[str(number)] for number in range(len(work))]


@pytest.fixture(scope="session")
def conforming(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Outcome, frozenset[str]]]:
    """How each check went with the conforming tool, and the places of faults that the tool came to."""
    del namespaces
    folder = tmp_path_factory.mktemp("runtime")
    traces = {check.id: folder / f"{check.id}.trace" for check in CHECKS}
    tools = [(write_tool(folder / check.id, trace=str(traces[check.id])), check) for check in CHECKS]
    outcomes = dict(zip(IDS, run(tools), strict=True))
    return {name: (outcomes[name], frozenset(traces[name].read_text().split())) for name in IDS}


@pytest.fixture(scope="session")
def verdicts(
    conforming: dict[str, tuple[Outcome, frozenset[str]]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Outcome]]:
    """How each mutant did in its own check, and in others that come to the place of its fault."""
    folder = tmp_path_factory.mktemp("mutants")
    work = [
        (write_tool(folder / mutant, mutant), check, mutant)
        for mutant in IDS
        for check in bench.some_of([check for check in CHECKS if mutant in conforming[check.id][1]], mutant)
    ]
    found: dict[str, dict[str, Outcome]] = {mutant: {} for mutant in IDS}
    for (_, check, mutant), outcome in zip(work, run([(tool, check) for tool, check, _ in work]), strict=True):
        found[mutant][check.id] = outcome
    return found


def test_conforming_runtime_passes_every_check(conforming: dict[str, tuple[Outcome, frozenset[str]]]) -> None:
    bad = {
        name: f"{o.expected} {o.seen} {o.reason}"
        for name, (o, _) in conforming.items()
        if o.status is not Status.PASSED
    }

    assert bad == {}
    assert len(conforming) >= 30


@pytest.mark.parametrize("check_id", IDS)
def test_mutant_runtime_fails_its_check_and_no_other(check_id: str, verdicts: dict[str, dict[str, Outcome]]) -> None:
    found = verdicts[check_id]
    failed = {name for name, outcome in found.items() if outcome.status not in {Status.PASSED, Status.SKIPPED}}
    declared = bench.declared_collateral().get(check_id, {})

    assert check_id in found, "the conforming tool does not come to the place of this fault"
    assert found[check_id].status in {Status.FAILED, Status.WARNED}, found[check_id].reason
    others = failed - {check_id} - set(declared)
    assert "*" in declared or others == set(), {name: found[name].seen for name in others}


def test_counts_are_printed(verdicts: dict[str, dict[str, Outcome]], capsys: pytest.CaptureFixture[str]) -> None:
    runs = sum(map(len, verdicts.values()))
    with capsys.disabled():
        print(f"\n{len(CHECKS)} checks of runtimes: {len(verdicts)} mutants in {runs} runs")  # noqa: T201 -- asked for


def test_cnitool_passes_every_check(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    tool = tmp_path / "cnitool"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m libcni.cli "$@"\n')
    tool.chmod(0o755)

    outcomes = dict(zip(IDS, run([(tool, check) for check in CHECKS]), strict=True))

    bad = {name: f"{o.expected} {o.seen} {o.reason}" for name, o in outcomes.items() if o.status is not Status.PASSED}
    assert bad == {}


def test_runtime_that_is_no_program_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="is no program"):
        runtime_subject(["/nonexistent/tool"])


def test_tool_that_calls_no_plugin_passes_what_forbids_a_call_alone(namespaces: None) -> None:
    del namespaces
    session = RuntimeSession()
    subject = runtime_subject(["true"])

    report = session.run([subject], CHECKS)

    assert {outcome.check for outcome in report.outcomes if outcome.status is Status.PASSED} == {
        "rt-add",
        "rt-check-unknown",
        "rt-gc-old",
        "rt-gc-disabled",
    }
    assert report.counts()[Status.BROKEN] == 0


def test_without_root_nothing_is_called_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "is_possible", lambda: False)

    with pytest.raises(CNIError, match="need root"):
        RuntimeSession().run([runtime_subject(["true"])], CHECKS)
