"""Checks of runtimes: the conforming one and ours pass all of them, and each check has a mutant that fails it alone."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.catalogue import load_checks
from libcni.conformance.outcome import Status
from libcni.conformance.runtimes.session import RuntimeSession, runtime_subject
from libcni.conformance.session import Job
from libcni.errors import InvalidParameterError
from tests.conformance import bench

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from libcni.conformance.outcome import Outcome

pytestmark = pytest.mark.timeout(900)

CHECKS = load_checks(for_runtimes=True)
IDS = [check.id for check in CHECKS]

_TOOL = """\
#!{python} -IS
import sys
sys.path.append({folder!r})
from runtime import main
main({active!r})
"""


def write_tool(path: Path, active: str = "") -> Path:
    path.write_text(_TOOL.format(python=os.path.realpath(sys.executable), folder=str(bench.TESTDATA), active=active))
    path.chmod(0o755)
    return path


def run(tools: Mapping[str, Path]) -> dict[str, dict[str, Outcome]]:
    """Run every check of runtimes with every tool."""
    session = RuntimeSession(jobs=3)
    jobs: list[Job] = []
    names: dict[str, str] = {}
    for name, path in tools.items():
        subject = runtime_subject([str(path)])
        names[subject.plugin] = name
        jobs += [Job(subject, session.probe(subject), check) for check in CHECKS]
    found: dict[str, dict[str, Outcome]] = {name: {} for name in tools}
    for job, outcome in session.work(jobs):
        found[names[job.subject.plugin]][job.check.id] = outcome
    return found


@pytest.fixture(scope="session")
def outcomes(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Outcome]]:
    del namespaces
    folder = tmp_path_factory.mktemp("runtimes")
    return run({"": write_tool(folder / "conforming")} | {name: write_tool(folder / name, name) for name in IDS})


def test_conforming_runtime_passes_every_check(outcomes: dict[str, dict[str, Outcome]]) -> None:
    bad = {
        name: f"{o.expected} {o.seen} {o.reason}" for name, o in outcomes[""].items() if o.status is not Status.PASSED
    }

    assert bad == {}
    assert len(outcomes[""]) == len(IDS) >= 30


@pytest.mark.parametrize("check_id", IDS)
def test_mutant_runtime_fails_its_check_and_no_other(check_id: str, outcomes: dict[str, dict[str, Outcome]]) -> None:
    found = outcomes[check_id]
    failed = {name for name, outcome in found.items() if outcome.status not in {Status.PASSED, Status.SKIPPED}}
    declared = bench.declared_collateral().get(check_id, {})

    assert found[check_id].status in {Status.FAILED, Status.WARNED}, found[check_id].reason
    others = failed - {check_id} - set(declared)
    assert "*" in declared or others == set(), {name: found[name].seen for name in others}


def test_cnitool_passes_every_check(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    tool = tmp_path / "cnitool"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m libcni.cli "$@"\n')
    tool.chmod(0o755)

    bad = {
        name: f"{o.expected} {o.seen} {o.reason}"
        for name, o in run({"": tool})[""].items()
        if o.status is not Status.PASSED
    }

    assert bad == {}


def test_runtime_that_is_no_program_is_refused() -> None:
    with pytest.raises(InvalidParameterError, match="is no program"):
        runtime_subject(["/nonexistent/tool"])
