"""What changed between two runs: for CI, which wants to know of new failures and not of old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.conformance.outcome import BAD, Status

if TYPE_CHECKING:
    from libcni.conformance.outcome import Outcome, Report

__all__ = ["Change", "compare"]


@dataclass(frozen=True)
class Change:
    """One check that went another way; a side is ``None`` when that run did not have it."""

    subject: str
    check: str
    old: Status | None
    new: Status | None

    @property
    def is_worse(self) -> bool:
        """Whether something counts as a failure now that did not before."""
        return self.new in BAD and self.old not in BAD

    def __str__(self) -> str:
        return f"{self.subject} {self.check}: {self.old or 'not run'} -> {self.new or 'not run'}"


def compare(old: Report, new: Report) -> list[Change]:
    """Return what changed, the worse first."""
    before, after = _statuses(old.outcomes), _statuses(new.outcomes)
    places = dict.fromkeys([*before, *after])
    changes = [Change(*place, before.get(place), after.get(place)) for place in places]
    return sorted((change for change in changes if change.old != change.new), key=lambda change: not change.is_worse)


def _statuses(outcomes: tuple[Outcome, ...]) -> dict[tuple[str, str], Status]:
    return {(outcome.subject, outcome.check): outcome.status for outcome in outcomes}
