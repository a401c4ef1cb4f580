"""Every check can fail: the conforming plugins pass all of them, and each has a mutant that fails this one alone."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from libcni.conformance.catalogue import load_checks
from libcni.conformance.outcome import Status
from tests.conformance import bench

if TYPE_CHECKING:
    from collections.abc import Mapping

# The session fixtures run some thousand checks, on the account of whichever test comes first.
pytestmark = pytest.mark.timeout(1500)


def test_conforming_plugins_pass_every_check(traced: list[bench.Traced]) -> None:
    bad = {
        f"{item.subject} {item.check.id}": f"{item.outcome.status}: {item.outcome.expected} {item.outcome.seen}"
        for item in traced
        if item.outcome.status not in {Status.PASSED, Status.SKIPPED}
    }

    assert bad == {}


def test_every_check_applies_to_a_conforming_plugin(traced: list[bench.Traced]) -> None:
    passed = {item.check.id for item in traced if item.outcome.status is Status.PASSED}

    assert passed == set(bench.check_ids())


@pytest.mark.parametrize("mutant", bench.mutants())
def test_mutant_fails_its_check_and_no_other(mutant: str, verdicts: Mapping[str, bench.Verdict]) -> None:
    assert mutant in verdicts, "no conforming plugin comes to the place of this fault"
    verdict = verdicts[mutant]
    check_id = bench.check_of(mutant)
    declared = bench.declared_collateral().get(mutant, {})

    outcome = verdict.outcomes[check_id]
    assert check_id in verdict.failed, f"{outcome.status}: {outcome.reason}"
    assert outcome.status in {Status.FAILED, Status.WARNED}
    assert outcome.expected
    assert outcome.seen
    others = verdict.failed - {check_id} - set(declared)
    assert "*" in declared or others == frozenset(), {
        other: f"{verdict.outcomes[other].expected} {verdict.outcomes[other].seen}" for other in others
    }


def test_declared_collateral_names_checks_and_reasons() -> None:
    ids = set(bench.check_ids())
    ids |= {check.id for check in load_checks(for_runtimes=True)}
    for mutant, also in bench.declared_collateral().items():
        assert bench.check_of(mutant) in ids
        assert set(also) <= ids | {"*"}
        assert all(also.values())


def test_counts_are_printed(
    traced: list[bench.Traced], verdicts: Mapping[str, bench.Verdict], capsys: pytest.CaptureFixture[str]
) -> None:
    checks = load_checks()
    groups = Counter(check.group for check in checks)
    alone = sum(verdict.failed == {bench.check_of(mutant)} for mutant, verdict in verdicts.items())
    runs = sum(len(verdict.outcomes) for verdict in verdicts.values())
    with capsys.disabled():
        print(  # noqa: T201 -- the count is what this test is asked for
            f"\n{len(checks)} checks ({', '.join(f'{name} {count}' for name, count in groups.items())}): "
            f"{len(traced)} runs of conforming plugins, {len(verdicts)} mutants in {runs} runs, "
            f"{alone} of them fail one check alone"
        )

    assert len(checks) >= 70
    assert len(verdicts) == len(bench.mutants())
