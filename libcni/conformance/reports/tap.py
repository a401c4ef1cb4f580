"""The report in the Test Anything Protocol, version 14."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from libcni.conformance.outcome import Status
from libcni.conformance.reports.text import headline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.outcome import Outcome, Report

__all__ = ["tap_text"]

_GOOD = frozenset({Status.PASSED, Status.SKIPPED})


def tap_text(report: Report) -> str:
    """Return the lines; a failure that does not count is marked TODO."""
    lines = ["TAP version 14", f"1..{len(report.outcomes)}"]
    for number, outcome in enumerate(report.outcomes, 1):
        lines += _lines(number, outcome)
    if report.was_stopped:
        lines.append("Bail out! The run was stopped")
    return "\n".join(lines) + "\n"


def _lines(number: int, outcome: Outcome) -> Iterator[str]:
    ok = "ok" if outcome.status in _GOOD else "not ok"
    yield f"{ok} {number} - {outcome.subject} {outcome.check}{_directive(outcome)}"
    if outcome.status not in _GOOD:
        yield "  ---"
        members = {"status": str(outcome.status), "level": outcome.level, "message": headline(outcome)}
        for name, text in (members | {"repeat": outcome.shell}).items():
            yield f"  {name}: {json.dumps(text)}"  # a JSON string is a YAML string too
        yield "  ..."


def _directive(outcome: Outcome) -> str:
    if outcome.status is Status.SKIPPED:
        return f" # SKIP {_line(outcome.reason)}"
    if outcome.status is Status.WARNED:
        return f" # TODO a rule of level {outcome.level}"
    return f" # TODO known: {_line(outcome.reason)}" if outcome.status is Status.KNOWN else ""


def _line(text: str) -> str:
    return " ".join(text.replace("#", "").split())
