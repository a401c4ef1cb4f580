"""The report as one HTML page that needs nothing else: a matrix of plugins and checks, each cell with its evidence.

The page has no script: cells are links to the evidence, and what is not shown anyway opens as the ``:target``.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.conformance.outcome import Status
from libcni.conformance.reports.text import call_lines, place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from libcni.conformance.outcome import Outcome, Report

__all__ = ["count", "page_text"]

_STYLE = Path(__file__).with_name("page.css")

_SIGNS = {
    Status.PASSED: ("✓", "passed"),
    Status.FAILED: ("✗", "failed"),
    Status.WARNED: ("!", "warned: the rule is no MUST"),
    Status.KNOWN: ("k", "known to fail"),
    Status.BLOCKED: ("b", "blocked: what it builds on failed"),
    Status.SKIPPED: ("·", "not applicable"),
    Status.BROKEN: ("?", "could not be done"),
}


def page_text(report: Report) -> str:
    """Return the page."""
    subjects = list(dict.fromkeys(outcome.subject for outcome in report.outcomes))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>CNI conformance: {escape(', '.join(subjects[:3]))}{' …' if len(subjects) > 3 else ''}</title>",  # noqa: PLR2004 -- what fits into a tab
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body>",
        *_head(report, subjects),
        *_matrix(report, subjects),
        "<h2>Evidence</h2>",
        *map(_evidence, report.outcomes),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _head(report: Report, subjects: list[str]) -> Iterator[str]:
    yield "<h1>CNI conformance</h1>"
    yield f"<p>{count(len(subjects), 'plugin')}, {count(len(report.outcomes), 'check')} in {report.seconds:.0f} s."
    yield "<strong>The run was stopped.</strong></p>" if report.was_stopped else "</p>"
    notes: dict[str, list[str]] = {}
    for subject in subjects:
        for note in report.subjects.get(subject, {}).get("notes", ()):
            notes.setdefault(note, []).append(subject)
    yield from (f"<p>{escape(', '.join(of))}: {escape(note)}.</p>" for note, of in notes.items())
    yield '<ul class="legend">'
    yield from (f'<li><b class="{status}">{sign}</b> {escape(text)}</li>' for status, (sign, text) in _SIGNS.items())
    yield "</ul>"
    yield '<div class="wide"><table class="counts"><thead><tr><th>plugin</th>'
    total = report.counts()
    used = [status for status in _SIGNS if total[status]]
    yield from (f"<th>{status}</th>" for status in used)
    yield "</tr></thead><tbody>"
    for subject in subjects:
        counts = report.counts(subject)
        cells = "".join(
            f'<td class="{status if counts[status] else ""}">{counts[status] or ""}</td>' for status in used
        )
        yield f"<tr><th>{escape(subject)}</th>{cells}</tr>"
    yield "</tbody></table></div>"


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> count(1, "plugin"), count(16, "plugin")
    ('1 plugin', '16 plugins')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _matrix(report: Report, subjects: list[str]) -> Iterator[str]:
    yield '<div class="wide"><table class="matrix"><thead><tr><th>check</th>'
    yield from (f"<th><span>{escape(subject)}</span></th>" for subject in subjects)
    yield "</tr></thead><tbody>"
    by_place = {(outcome.check, outcome.subject): outcome for outcome in report.outcomes}
    for check in dict.fromkeys(outcome.check for outcome in report.outcomes):
        known = [by_place.get((check, subject)) for subject in subjects]
        first = next(outcome for outcome in known if outcome is not None)
        yield f'<tr><th title="{escape(first.title)}">{escape(check)}</th>{"".join(map(_cell, known))}</tr>'
    yield "</tbody></table></div>"


def _cell(outcome: Outcome | None) -> str:
    if outcome is None:
        return "<td></td>"
    sign, text = _SIGNS[outcome.status]
    label = escape(f"{outcome.subject}, {outcome.check}: {text}")
    return f'<td class="{outcome.status}"><a href="#{_anchor(outcome)}" title="{label}">{sign}</a></td>'


def _anchor(outcome: Outcome) -> str:
    return escape(f"{outcome.subject}--{outcome.check}")


def _evidence(outcome: Outcome) -> str:
    parts = [
        f'<section id="{_anchor(outcome)}" class="evidence {outcome.status}{" held" if outcome.blocker else ""}">',
        f"<h3>{escape(outcome.subject)}: {escape(outcome.title)}</h3>",
        f'<p class="place"><b class="{outcome.status}">{outcome.status}</b> {escape(_place(outcome))}</p>',
        *_facts(
            [
                ("Reason", outcome.reason),
                ("Blocked by", outcome.blocker),
                ("Expected", outcome.expected),
                ("Seen", outcome.seen),
            ]
        ),
    ]
    if outcome.call:
        parts.append(f"<pre>{escape(chr(10).join(call_lines(outcome.call)))}</pre>")
    if outcome.status is Status.PASSED:
        command = escape(f"cnitool conformance --explain {outcome.check}")
        parts.append(f"<p>Took {outcome.seconds:.2f} s. More: <code>{command}</code></p>")
    if outcome.shell:
        parts.append(f"<details><summary>Repeat it as root</summary><pre>{escape(outcome.shell)}</pre></details>")
    return "\n".join([*parts, "</section>"])


def _place(outcome: Outcome) -> str:
    said = f" {outcome.sentence}" if outcome.sentence else ""
    return f"{outcome.check}, {outcome.level}, {place(outcome.section)}.{said} {outcome.rule}"


def _facts(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    told = [(name, text) for name, text in facts if text]
    if told:
        yield "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in told) + "</dl>"
