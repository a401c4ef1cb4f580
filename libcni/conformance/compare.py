"""The differences between two runs: CI asks for new failures, not for old ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.conformance.outcome import Status, bad_statuses

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
    is_strict: bool = False

    @property
    def is_worse(self) -> bool:
        """Whether something counts as a failure now that did not before."""
        bad = bad_statuses(is_strict=self.is_strict)
        return self.new in bad and self.old not in bad

    def __str__(self) -> str:
        return f"{self.subject} {self.check}: {self.old or 'not run'} -> {self.new or 'not run'}"


def compare(old: Report, new: Report, *, is_strict: bool = False) -> list[Change]:
    """Return the checks whose outcome changed, the worse first; with ``is_strict`` a warning counts as a failure."""
    before, after = _statuses(old.outcomes), _statuses(new.outcomes)
    places = dict.fromkeys([*before, *after])
    changes = [Change(*place, before.get(place), after.get(place), is_strict) for place in places]
    return sorted((change for change in changes if change.old != change.new), key=lambda change: not change.is_worse)


def _statuses(outcomes: tuple[Outcome, ...]) -> dict[tuple[str, str], Status]:
    return {(outcome.subject, outcome.check): outcome.status for outcome in outcomes}
