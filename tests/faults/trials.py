"""How much is tried, and what came of it: the sizes of the runs, and the counts that every run prints."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field

FULL = os.environ.get("LIBCNI_FAULTS") == "full"
"""Whether everything runs at full size; else a bounded form, which is part of every run of the tests."""


def size(bounded: int, full: int) -> int:
    """Return how many trials to make in this run."""
    return full if FULL else bounded


@dataclass
class Counts:
    """Trials and losses, by fault."""

    trials: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)

    def lines(self) -> list[str]:
        """Return one line for each fault."""
        return [f"{fault}: {number} trials, {self.lost[fault]} lost" for fault, number in sorted(self.trials.items())]


COUNTS = Counts()


class Trials:
    """The trials of one test, which fails when there were none."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.number = 0
        self.lost: list[str] = []

    def done(self, number: int = 1) -> None:
        """Count trials that were made."""
        self.number += number

    def check(self, problems: list[str], where: str) -> None:
        """Count one trial, and keep what was lost in it."""
        self.number += 1
        self.lost += [f"{where}: {problem}" for problem in problems]

    def finish(self) -> None:
        """Add to the counts of the run, and fail if something was lost or nothing was tried."""
        COUNTS.trials[self.fault] += self.number
        COUNTS.lost[self.fault] += len(self.lost)
        assert not self.lost, f"{len(self.lost)} of {self.number}: " + "\n".join(self.lost[:10])
        assert self.number, "not one trial was made"
