"""The conforming plugin in its kinds and each of its mutants, as files to execute; and which faults a check meets.

A mutant behaves as the conforming plugin does until it comes to the place of its fault. So a check whose run with the
conforming plugin never came to that place need not be run with the mutant: it would see the same.
"""

from __future__ import annotations

import functools
import os
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.conformance.catalogue import load_checks
from libcni.conformance.outcome import Status
from libcni.conformance.session import Job, Session, reason_to_skip
from libcni.conformance.subject import Subject, load_subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.conformance.catalogue import Check
    from libcni.conformance.outcome import Outcome

TESTDATA = Path(__file__).parents[2] / "testdata" / "conformance"
RUN_ALL = os.environ.get("LIBCNI_ALL_MUTANTS") == "1"
"""Run every check with every mutant that comes to its place, the costly ones too, as ``tox -e mutants`` does."""

OTHERS = 3
"""Checks that each mutant is run with beside its own and those that are declared, when not all are run.

The further mutants of a check, which are like the first in most, are run with no others then."""

KINDS = ("interface", "ipam", "chained", "meta")
PLAIN = ("interface", "delegating", "ipam", "chained", "meta")
OTHER_FAMILIES = tuple(f"{name}{families}" for families in ("6", "46") for name in PLAIN)
"""The same with IPv6 alone, and with addresses of both families."""

SUBJECTS = (*PLAIN, *(OTHER_FAMILIES if RUN_ALL else ("interface6", "chained46")))

OF_FAMILIES = (
    *("add-address", "add-route", "add-route-gateway", "add-nothing-else", "add-no-other-route", "result-schema"),
    *("check-passes", "check-address", "check-route", "check-later-changes", "check-undone"),
    *("del-container-clean", "del-host-clean", "chained-kept"),
)
"""Checks that look at addresses and routes; the others of a plugin with IPv6 are run when all are."""

_WRAPPER = """\
#!{python} -IS
import sys
sys.path.append({folder!r})
from conforming import main
main({kind!r}, {active!r}, {trace!r})
"""


def write_plugins(folder: Path, kind: str = "", active: str = "", trace: str = "") -> Path:
    """Write the conforming plugins into a folder; the one of ``kind`` with a fault or a trace of places."""
    folder.mkdir(parents=True)
    for name in KINDS:
        own = (active, trace) if name == kind else ("", "")
        # The real interpreter, without site-packages: a start takes 20 ms in place of 70.
        python = os.path.realpath(sys.executable)
        text = _WRAPPER.format(python=python, folder=str(TESTDATA), kind=name, active=own[0], trace=own[1])
        path = folder / f"conforming-{name}"
        path.write_text(text)
        path.chmod(0o755)
    return folder


def kind_of(name: str) -> str:
    """Return which of the conforming plugins a description is of."""
    plain = name.rstrip("46")
    return plain if plain in KINDS else "interface"


def subject(name: str, folder: Path) -> Subject:
    return replace(load_subject(TESTDATA / f"{name}.toml"), bin_dirs=(str(folder),))


@functools.cache
def declared_collateral() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads((TESTDATA / "mutants.toml").read_text())


@dataclass(frozen=True)
class Traced:
    """What the conforming plugin did in one check: how it went, and which places it came to."""

    subject: str
    check: Check
    outcome: Outcome
    places: frozenset[str]


def check_ids() -> list[str]:
    return [check.id for check in load_checks()]


def mutants() -> list[str]:
    """Return the mutants: one for each check, named as it is, and others, named ``check:what``."""
    ids = check_ids()
    return [*ids, *(name for name in declared_collateral() if check_of(name) in ids and ":" in name)]


def check_of(mutant: str) -> str:
    """Return the check that a mutant has to fail."""
    return mutant.partition(":")[0]


def run_jobs(jobs: Sequence[Job]) -> list[tuple[Job, Outcome]]:
    return list(Session(jobs=3).work(jobs))


def is_costly(check: Check) -> bool:
    """Say whether a check does what others do, with many containers or against the clock.

    Such a check is run with the mutants of its own group only: sixteen containers at once see no more of a wrong
    address than one does, and take a second each time.
    """
    return check.id.startswith(("parallel-", "sigterm-"))


def run_conforming(folder: Path) -> list[Traced]:
    """Run every check that applies for every conforming plugin, and note the places."""
    jobs: list[Job] = []
    names: dict[str, str] = {}
    for name in SUBJECTS:
        kind = kind_of(name)
        plain = subject(name, write_plugins(folder / name / "plain"))
        probe = Session().probe(plain)
        for check in load_checks():
            is_due = RUN_ALL or name in PLAIN or check.id in OF_FAMILIES
            if is_due and reason_to_skip(plain, probe, check) is None:
                home = folder / name / check.id
                write_plugins(home, kind, trace=str(home / "trace"))
                own = replace(plain, bin_dirs=(str(home),))
                jobs.append(Job(own, replace(probe, path=str(home / plain.plugin)), check))
                names[str(home)] = name
    return [_traced(names[job.subject.bin_dirs[0]], job, outcome) for job, outcome in run_jobs(jobs)]


def _traced(name: str, job: Job, outcome: Outcome) -> Traced:
    trace = Path(job.subject.bin_dirs[0]) / "trace"
    places = frozenset(trace.read_text().split()) if trace.exists() else frozenset[str]()
    return Traced(name, job.check, outcome, places)


@dataclass(frozen=True)
class Verdict:
    """What the checks say of one mutant."""

    mutant: str
    subject: str
    failed: frozenset[str]
    outcomes: Mapping[str, Outcome]


def choose_subject(mutant: str, traced: Sequence[Traced]) -> str | None:
    """Return the first conforming plugin whose run of that check came to the place of the fault."""
    for name in SUBJECTS:
        for item in traced:
            if (
                item.subject == name
                and item.check.id == check_of(mutant)
                and item.outcome.status is Status.PASSED
                and mutant in item.places
            ):
                return name
    return None


def run_mutants(folder: Path, traced: Sequence[Traced], mutants: Sequence[str]) -> list[Verdict]:
    """Run each mutant with every check that comes to the place of its fault."""
    jobs: list[Job] = []
    owners: dict[str, tuple[str, str]] = {}
    for mutant in mutants:
        name = choose_subject(mutant, traced)
        if name is None:
            continue
        home = write_plugins(folder / mutant.replace(":", "-"), kind_of(name), active=mutant)
        owners[str(home)] = (mutant, name)
        own = subject(name, home)
        probe = Session().probe(own)
        jobs += [Job(own, probe, check) for check in _checks_with(mutant, name, traced)]
    found: dict[str, dict[str, Outcome]] = {mutant: {} for mutant, _ in owners.values()}
    for job, outcome in run_jobs(jobs):
        found[owners[job.subject.bin_dirs[0]][0]][job.check.id] = outcome
    return [_verdict(mutant, name, found[mutant]) for mutant, name in owners.values()]


def _checks_with(mutant: str, subject: str, traced: Sequence[Traced]) -> list[Check]:
    """Return what to run with a mutant, of the checks that come to the place of its fault."""
    seen = [item.check for item in traced if item.subject == subject and mutant in item.places]
    if not RUN_ALL and not is_costly(_check(check_of(mutant))):
        seen = [check for check in seen if not is_costly(check) or check.id in declared_collateral().get(mutant, {})]
    return some_of(seen, mutant)


def some_of(seen: Sequence[Check], mutant: str) -> list[Check]:
    """Return a mutant's own check, those that may fail as well, and a few of the others, or all of them."""
    declared = {check_of(mutant), *declared_collateral().get(mutant, {})}
    others = [check for check in seen if check.id not in declared]
    if not RUN_ALL:
        others = [] if ":" in mutant else others[:: max(len(others) // OTHERS, 1)][:OTHERS]
    return [check for check in seen if check.id in declared] + others


@functools.cache
def _check(check_id: str) -> Check:
    return next(check for check in load_checks() if check.id == check_id)


def _verdict(mutant: str, name: str, outcomes: Mapping[str, Outcome]) -> Verdict:
    fine = {Status.PASSED, Status.SKIPPED}
    failed = frozenset(check for check, outcome in outcomes.items() if outcome.status not in fine)
    return Verdict(mutant, name, failed, outcomes)
