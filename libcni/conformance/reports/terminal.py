"""The report on a terminal: a progress bar while checks run, and then the failures with their evidence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from libcni.conformance.outcome import Status
from libcni.conformance.reports.text import evidence_text

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from libcni.conformance.outcome import Outcome, Report

__all__ = ["progress_bar", "show_report"]

_COLOURS = {
    Status.PASSED: "green",
    Status.FAILED: "bold red",
    Status.WARNED: "yellow",
    Status.KNOWN: "magenta",
    Status.BLOCKED: "red",
    Status.SKIPPED: "dim",
    Status.BROKEN: "bold cyan",
}
_SHOWN = (Status.FAILED, Status.BROKEN, Status.BLOCKED, Status.WARNED, Status.KNOWN)


@contextmanager
def progress_bar(total: int, console: Console | None = None) -> Generator[Callable[[Outcome], None]]:
    """Show a bar on standard error while checks run; nothing where that is no terminal.

    :returns: what to call with each outcome.
    """
    shown = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as progress:
        task = progress.add_task("checks", total=total)

        def advance(outcome: Outcome) -> None:
            progress.update(task, advance=1, description=f"{outcome.subject} {outcome.check}"[:40].ljust(40))

        yield advance


def show_report(report: Report, console: Console | None = None) -> None:
    """Print every failure with its evidence, and the counts."""
    shown = console or Console(highlight=False)
    for status in _SHOWN:
        for outcome in report.outcomes:
            if outcome.status is status and not outcome.blocker:
                colour = _COLOURS[status]
                shown.print(f"\n[{colour}]{status}[/] [bold]{escape(f'{outcome.subject} {outcome.check}')}[/]")
                shown.print(escape(_indented(evidence_text(outcome))), soft_wrap=True)
    for line in (*_blocked_lines(report), *_notes(report)):
        shown.print(escape(line), soft_wrap=True)
    shown.print()
    shown.print(_counts(report))
    if report.was_stopped:
        shown.print("[bold red]The run was stopped.[/]")


def _blocked_lines(report: Report) -> Iterator[str]:
    """Yield a line for each failure that makes that others cannot be judged."""
    found: dict[tuple[str, str], list[str]] = {}
    for outcome in report.outcomes:
        if outcome.blocker:
            found.setdefault((outcome.subject, outcome.blocker), []).append(outcome.check)
    for (subject, blocker), checks in found.items():
        yield f"\nblocked {subject}: {len(checks)} checks cannot be judged because of {blocker}: {', '.join(checks)}"


def _notes(report: Report) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for subject, described in report.subjects.items():
        for note in described.get("notes", ()):
            found.setdefault(note, []).append(subject)
    yield from (f"\n{', '.join(subjects)}: {note}" for note, subjects in found.items())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _counts(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("PLUGIN")
    used = [status for status, count in report.counts().items() if count]
    for status in used:
        table.add_column(str(status).upper(), justify="right", style=_COLOURS[status])
    for subject in dict.fromkeys(outcome.subject for outcome in report.outcomes):
        counts = report.counts(subject)
        table.add_row(subject, *(str(counts[status] or "") for status in used))
    return table
