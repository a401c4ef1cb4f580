"""One page of many plugins, made of JSON reports: a row for each, its cells lead to the evidence.

For a project to publish. The page needs nothing else, as that of a single run does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.conformance.catalogue import load_checks
from libcni.conformance.lab import elements
from libcni.conformance.outcome import Status
from libcni.conformance.reports.page import count
from libcni.conformance.reports.text import place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.conformance.outcome import Outcome, Report

__all__ = ["Row", "matrix_text", "rows_of"]

_STYLE = Path(__file__).with_name("page.css")
_WORST = (Status.FAILED, Status.BROKEN, Status.BLOCKED, Status.WARNED, Status.KNOWN, Status.PASSED)
"""The statuses that a cell can have, the one that it shows first."""


@dataclass(frozen=True)
class Row:
    """One plugin of one report.

    :param name: as it is shown: the type of the plugin, with the name of the report where several have it.
    """

    name: str
    outcomes: tuple[Outcome, ...]
    facts: Mapping[str, object]

    @property
    def anchor(self) -> str:
        """The name that links use."""
        return "".join(character if character.isalnum() else "-" for character in self.name)

    @property
    def groups(self) -> dict[str, list[Outcome]]:
        """The outcomes that apply, by group, in the order of the catalogue."""
        places = _groups()
        found: dict[str, list[Outcome]] = {group: [] for group in dict.fromkeys(places.values())}
        for outcome in self.outcomes:
            if outcome.status is not Status.SKIPPED:
                found.setdefault(places.get(outcome.check, "other"), []).append(outcome)
        return found

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """The numbers of outcomes of each status, by group; groups without one are left out."""
        return {
            group: dict(Counter(str(outcome.status) for outcome in outcomes))
            for group, outcomes in self.groups.items()
            if outcomes
        }


def _groups() -> dict[str, str]:
    every = (*load_checks(), *load_checks(for_runtimes=True))
    return {check.id: check.group for check in every}


def rows_of(reports: Mapping[str, Report]) -> list[Row]:
    """Return the rows of reports, in their order.

    :param reports: by the name that tells two reports of one plugin apart.
    """
    subjects = [
        (name, report, subject)
        for name, report in reports.items()
        for subject in dict.fromkeys(outcome.subject for outcome in report.outcomes)
    ]
    names = [subject for _, _, subject in subjects]
    return [
        Row(
            f"{subject} ({name})" if names.count(subject) > 1 else subject,
            tuple(outcome for outcome in report.outcomes if outcome.subject == subject),
            report.subjects.get(subject, {}),
        )
        for name, report, subject in subjects
    ]


def matrix_text(rows: Sequence[Row]) -> str:
    """Return the page."""
    groups = [group for group in dict.fromkeys(_groups().values()) if any(row.groups.get(group) for row in rows)]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        "<title>CNI conformance matrix</title>",
        f"<style>{_STYLE.read_text(encoding='utf-8')}</style></head><body>",
        "<h1>CNI conformance matrix</h1>",
        f"<p>{count(len(rows), 'plugin')}. A cell has the checks that passed, of those that apply.</p>",
        *_table(rows, groups),
        *(part for row in rows for part in _evidence(row)),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _table(rows: Sequence[Row], groups: Sequence[str]) -> Iterator[str]:
    yield '<div class="wide"><table class="matrix plugins"><thead><tr><th>plugin</th><th>versions</th><th>all</th>'
    yield from (f"<th><span>{escape(group)}</span></th>" for group in groups)
    yield "</tr></thead><tbody>"
    for row in rows:
        found = row.groups
        every = [outcome for outcomes in found.values() for outcome in outcomes]
        cells = [_cell(row, "all", every), *(_cell(row, group, found.get(group, [])) for group in groups)]
        yield f"<tr><th>{escape(row.name)}</th><td>{escape(_versions(row))}</td>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _versions(row: Row) -> str:
    versions = _texts(row, "versions")
    return f"{versions[0]} to {versions[-1]}" if len(versions) > 1 else "".join(versions)


def _texts(row: Row, name: str) -> list[str]:
    """Return the texts of a list among the facts of a row."""
    return [str(item) for item in elements(row.facts.get(name))]


def _cell(row: Row, group: str, outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return "<td></td>"
    statuses = [outcome.status for outcome in outcomes]
    worst = next(status for status in _WORST if status in statuses)
    text = f"{statuses.count(Status.PASSED)}/{len(statuses)}"
    label = escape(f"{row.name}, {group}: {', '.join(_counted(statuses))}")
    return f'<td class="{worst}"><a href="#{row.anchor}--{group}" title="{label}">{text}</a></td>'


def _counted(statuses: Sequence[Status]) -> list[str]:
    return [f"{statuses.count(status)} {status}" for status in _WORST if status in statuses]


def _evidence(row: Row) -> Iterator[str]:
    yield f'<h2 id="{row.anchor}--all">{escape(row.name)}</h2>'
    yield from (f"<p>{escape(note)}</p>" for note in _texts(row, "notes"))
    for group, outcomes in row.groups.items():
        if outcomes:
            yield f'<h3 id="{row.anchor}--{group}">{escape(group)}</h3><ul>'
            yield from map(_item, sorted(outcomes, key=lambda outcome: _WORST.index(outcome.status)))
            yield "</ul>"


def _item(outcome: Outcome) -> str:
    mark = f'<b class="{outcome.status}">{outcome.status}</b> <code>{escape(outcome.check)}</code>'
    if outcome.status is Status.PASSED:
        return f"<li>{mark} {escape(outcome.title)}</li>"
    said = outcome.reason or f"expected {outcome.expected}; seen: {outcome.seen}"
    where = f"{outcome.level}, {place(outcome.section)}"
    repeat = f"<details><summary>Repeat it as root</summary><pre>{escape(outcome.shell)}</pre></details>"
    return f"<li>{mark} {escape(outcome.title)} ({escape(where)}): {escape(said)}{repeat if outcome.shell else ''}</li>"
