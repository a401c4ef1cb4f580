"""The verb ``conformance``: check plugins, or a runtime, against the specification, and compare two reports."""

from __future__ import annotations

import shlex
import signal
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.cli.signals import OF_SIGNAL
from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.compare import compare
from libcni.conformance.faults import FAULTS_OF, known_faults
from libcni.conformance.interrupts import last_signal
from libcni.conformance.lab import CancelledError
from libcni.conformance.outcome import read_report
from libcni.conformance.reports import FORMATS
from libcni.conformance.reports.badge import badge_text
from libcni.conformance.reports.matrix import matrix_text, rows_of
from libcni.conformance.reports.terminal import progress_bar, show_report
from libcni.conformance.reports.text import place
from libcni.conformance.runtimes.session import RuntimeSession, runtime_subject
from libcni.conformance.session import DEFAULT_LIMIT, Session
from libcni.conformance.subject import Kind, default_subject, load_subject, profile_names, ready_subject
from libcni.errors import ConfigError, InvalidParameterError, PluginNotFoundError
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.conformance.catalogue import Check
    from libcni.conformance.faults import Fault
    from libcni.conformance.outcome import Report
    from libcni.conformance.subject import Subject

__all__ = ["conformance_command"]

_OPTIONS = (
    click.option(
        "--config",
        "configs",
        metavar="FILE",
        multiple=True,
        help="Description of a plugin, TOML or JSON; may be repeated.",
    ),
    click.option(
        "--profile", type=click.Choice([str(kind) for kind in Kind]), help="Kind of a plugin that needs no description."
    ),
    click.option("--runtime", metavar="COMMAND", help="Check a runtime tool in place of plugins."),
    click.option("--list", "is_list", is_flag=True, help="List the checks."),
    click.option(
        "--explain", metavar="ID", help="Say what a check is about, and with a PLUGIN how to repeat it by hand."
    ),
    click.option(
        "--only", metavar="PATTERN", multiple=True, help="Checks to run: id, group, or with *; may be repeated."
    ),
    click.option("--skip", metavar="PATTERN", multiple=True, help="Checks to leave out; may be repeated."),
    click.option(
        "--report", "reports", metavar="FORMAT=FILE", multiple=True, help=f"Write a report: {', '.join(FORMATS)}."
    ),
    click.option("--badges", metavar="DIR", help="With matrix: a directory for a badge of each plugin, as SVG."),
    click.option("--jobs", type=click.IntRange(1, 64), help="Checks that run at the same time. [number of processors]"),
    click.option(
        "--limit", type=click.FloatRange(1), default=DEFAULT_LIMIT, help="Seconds for one check.", show_default=True
    ),
    click.option("--strict", is_flag=True, help="Warnings count as failures."),
)


def _options(function: Any) -> Any:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("conformance")
@click.argument("plugins", nargs=-1, metavar="PLUGIN... | diff OLD NEW | matrix REPORT...")
@_options
@pass_settings(("bin_dir", "output"))
def conformance_command(settings: Settings, **values: Any) -> None:
    """Check plugins against the specification.

    A PLUGIN is a file name to be found in --bin-dir, or a path. The reference plugins have a ready description; others
    bring one with --config, or need none but their --profile. Exit status: 0 everything that counts passed, 1 something
    failed, 2 wrong usage. `diff OLD NEW` compares two JSON reports, and fails when something is worse.
    `matrix REPORT...` makes one page of JSON reports, to --report html=FILE or standard output, and badges.
    """
    plugins: tuple[str, ...] = values["plugins"]
    checks = select(load_checks(for_runtimes=values["runtime"] is not None), values["only"], values["skip"])
    if plugins[:1] == ("diff",):
        _diff(settings, plugins[1:], is_strict=values["strict"])
    elif plugins[:1] == ("matrix",):
        _matrix(settings, plugins[1:], values)
    elif values["is_list"]:
        _list(settings, checks)
    elif values["explain"]:
        _explain(settings, plugins, values)
    else:
        _run(settings, plugins, values, checks=checks)


def _list(settings: Settings, checks: Sequence[Check]) -> None:
    if settings.is_json:
        click.echo(dump([_described(check) for check in checks]))
        return
    width = max(len(check.id) for check in checks)
    for check in checks:
        click.echo(f"{check.id.ljust(width)}  {check.level.ljust(10)}  {check.title}")
    click.echo(f"\n{len(checks)} checks")


def _described(check: Check) -> dict[str, Any]:
    texts = {name: getattr(check, name) for name in ("id", "group", "title", "section", "rule", "since")}
    texts |= {"sentence": check.sentence.text, "word": check.sentence.word}
    lists = {name: list(getattr(check, name)) for name in ("verbs", "needs", "profiles")}
    return {**texts, "level": str(check.level), **lists}


def _explain(settings: Settings, plugins: Sequence[str], values: dict[str, Any]) -> None:
    if values["explain"] in profile_names():
        faults = [fault for fault in known_faults() if fault.is_of(values["explain"])]
        if settings.is_json:
            click.echo(dump(_explained(None, faults, plugin=values["explain"])))
        else:
            _show_faults(faults, values["explain"])
        return
    every = (*load_checks(), *load_checks(for_runtimes=True))
    check = next((check for check in every if check.id == values["explain"]), None)
    if check is None:
        raise InvalidParameterError("explain", values["explain"], "is no check, and no reference plugin; see --list")
    is_called = check.group != "runtime" and bool(plugins or values["configs"])
    calls = _calls(_subjects(settings, plugins, values), check) if is_called else {}
    faults = [fault for fault in known_faults() if fault.check == check.id]
    if settings.is_json:
        click.echo(dump(_explained(check, faults, calls=calls)))
        return
    _show_check(check, faults)
    if check.group == "runtime":
        click.echo(f"repeat:   cnitool conformance --runtime COMMAND --only {check.id}")
    elif not is_called:
        click.echo(f"repeat:   cnitool conformance PLUGIN --only {check.id}; --explain with a PLUGIN prints the calls")
    for name, line in calls.items():
        click.echo(f"\nThe calls for {name}, one line for a root shell:\n\n{line}")


def _explained(
    check: Check | None, faults: Sequence[Fault], *, plugin: str | None = None, calls: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the document of an explanation: of a check, or of a reference plugin."""
    return {
        "check": None if check is None else _described(check),
        "plugin": plugin,
        "knownFaults": [
            {
                "check": fault.check,
                "plugins": list(fault.plugins),
                "cause": fault.cause,
                "effect": fault.effect,
                "issue": fault.issue,
                "rare": fault.is_rare,
            }
            for fault in faults
        ],
        "calls": [{"plugin": name, "shell": line} for name, line in (calls or {}).items()],
    }


def _calls(subjects: Sequence[Subject], check: Check) -> dict[str, str]:
    """Return the calls of a check for each subject, as one line for a root shell."""
    try:
        return {subject.name: Session().trace(subject, check) for subject in subjects}
    except CancelledError:
        sys.exit(OF_SIGNAL + (last_signal() or signal.SIGINT))


def _show_check(check: Check, faults: Sequence[Fault]) -> None:
    """Show what a check is about, and which reference plugins are known to fail it."""
    rows = {
        "check": f"{check.id} ({check.level})",
        "what": check.title,
        "why": check.rule,
        "sentence": f"{check.sentence.text} ({check.sentence.word})",
        "section": place(check.section),
        "how": (check.function.__doc__ or "").strip(),
        "verbs": ", ".join(check.verbs),
        "plugins": ", ".join(check.profiles) or "all",
        "since": check.since or "every version",
    }
    for name, text in rows.items():
        _show_row(name, text)
    _show_faults(faults)


def _show_row(name: str, text: str) -> None:
    click.echo(textwrap.fill(text, 110, initial_indent=f"{name + ':':10}", subsequent_indent=" " * 10))


def _show_faults(faults: Sequence[Fault], plugin: str = "") -> None:
    """Show what is known of the reference plugins: of one check, or all of one plugin."""
    if plugin:
        click.echo(f"Known faults of {plugin} {FAULTS_OF}:")
    for fault in faults:
        place = fault.check if plugin else ", ".join(fault.plugins)
        rare = ", now and then" if fault.is_rare else ""
        issue = f" {fault.issue}" if fault.issue else ""
        _show_row("known", f"{place}{rare}: {fault.cause} {fault.effect}{issue}")


def _matrix(settings: Settings, paths: Sequence[str], values: dict[str, Any]) -> None:
    if not paths:
        raise InvalidParameterError("matrix", "", "takes one JSON report or more")
    wanted = [_report_option(text) for text in values["reports"]]
    if any(form != "html" for form, _ in wanted):
        raise InvalidParameterError("report", values["reports"][0], "of a matrix is html=FILE")
    rows = rows_of({Path(path).stem: read_report(Path(path)) for path in paths})
    page = matrix_text(rows)
    for _, path in wanted:
        path.write_text(page, encoding="utf-8")
    if values["badges"]:
        folder = Path(values["badges"])
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            (folder / f"{row.anchor}.svg").write_text(badge_text(row), encoding="utf-8")
    if settings.is_json:
        click.echo(dump([{"plugin": row.name, "groups": row.counts} for row in rows]))
    elif not wanted:
        click.echo(page, nl=False)


def _subjects(settings: Settings, plugins: Sequence[str], values: dict[str, Any]) -> list[Subject]:
    found = [_described_subject(path, values) for path in values["configs"]]
    described = {subject.name for subject in found}
    found += [_named_subject(plugin, values["profile"]) for plugin in plugins if Path(plugin).name not in described]
    by_name = {Path(plugin).name: plugin for plugin in plugins}
    chosen = [subject for subject in found if not plugins or subject.name in by_name]
    if not chosen:
        raise InvalidParameterError("PLUGIN", "", "is missing: name a plugin, or describe one with --config")
    repeated = [name for name, count in Counter(subject.name for subject in chosen).items() if count > 1]
    if repeated:
        raise InvalidParameterError("PLUGIN", repeated[0], "is there twice, and reports go by name: run each alone")
    return [_located(subject, by_name.get(subject.name, subject.plugin), settings) for subject in chosen]


def _described_subject(path: str, values: dict[str, Any]) -> Subject:
    try:
        subject = load_subject(path)
    except OSError as error:
        raise InvalidParameterError("config", path, f"cannot be read: {error.strerror}") from None
    except ConfigError as error:
        raise InvalidParameterError("config", path, f"does not describe a plugin: {error}") from None
    return replace(subject, kind=Kind(values["profile"])) if values["profile"] else subject


def _named_subject(plugin: str, profile: str | None) -> Subject:
    subject = None if profile else ready_subject(plugin)
    if subject is not None:
        return subject
    if not profile:
        raise InvalidParameterError("PLUGIN", plugin, "has no ready description: give --config FILE or --profile KIND")
    return default_subject(plugin, Kind(profile))


def _located(subject: Subject, plugin: str, settings: Settings) -> Subject:
    """Return the subject with the plugin's path: it counts from here, and its folder is searched for delegates too.

    Paths become absolute: each check has a current directory of its own.
    """
    folders = tuple(str(Path(folder).absolute()) for folder in settings.plugin_directories)
    if "/" not in plugin:
        return replace(subject, plugin=plugin, bin_dirs=folders)
    path = Path(plugin).absolute()
    return replace(subject, plugin=str(path), bin_dirs=(str(path.parent), *folders))


def _run(settings: Settings, plugins: Sequence[str], values: dict[str, Any], *, checks: Sequence[Check]) -> None:
    wanted = [_report_option(text) for text in values["reports"]]
    if values["runtime"] is not None:
        subjects = [runtime_subject(_runtime_command(plugins, values))]
        session: Session = RuntimeSession(limit=values["limit"])
    else:
        subjects = _subjects(settings, plugins, values)
        session = Session(limit=values["limit"])
    if values["jobs"]:
        session.jobs = values["jobs"]
    with progress_bar(len(subjects) * len(checks)) as advance:
        session.report = advance
        try:
            report = session.run(subjects, checks)
        except PluginNotFoundError as error:
            raise InvalidParameterError("PLUGIN", error.plugin, f"cannot be run: {error.msg}") from None
    for form, path in wanted:  # before stdout has its one document, as it may fail
        path.write_text(FORMATS[form](report), encoding="utf-8")
    if settings.is_json:
        click.echo(dump(report.document()))
    else:
        show_report(report)
    number = last_signal() if report.was_stopped else None
    sys.exit(report.exit_status(is_strict=values["strict"]) if number is None else OF_SIGNAL + number)


def _report_option(text: str) -> tuple[str, Path]:
    form, separator, path = text.partition("=")
    if form not in FORMATS or not separator or not path:
        raise InvalidParameterError("report", text, f"must be FORMAT=FILE, with one of {', '.join(FORMATS)}")
    if not Path(path).parent.is_dir() or Path(path).is_dir():
        raise InvalidParameterError("report", text, "is no file that could be written")
    return form, Path(path)


def _runtime_command(plugins: Sequence[str], values: dict[str, Any]) -> list[str]:
    text: str = values["runtime"]
    if plugins or values["configs"] or values["profile"]:
        raise InvalidParameterError("runtime", text, "is checked alone: without PLUGIN, --config and --profile")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidParameterError("runtime", text, f"is no command: {error}") from None


def _diff(settings: Settings, paths: Sequence[str], *, is_strict: bool) -> None:
    if len(paths) != 2:  # noqa: PLR2004 -- the old and the new
        raise InvalidParameterError("diff", " ".join(paths), "takes two JSON reports, the old and the new")
    reports: list[Report] = [read_report(Path(path)) for path in paths]
    changes = compare(*reports, is_strict=is_strict)
    if settings.is_json:
        click.echo(
            dump(
                [
                    {"subject": c.subject, "check": c.check, "old": c.old, "new": c.new, "worse": c.is_worse}
                    for c in changes
                ]
            )
        )
    else:
        for change in changes:
            click.echo(f"{'WORSE ' if change.is_worse else '      '}{change}")
        click.echo(f"{len(changes)} changed, {sum(change.is_worse for change in changes)} of them for the worse")
    if reports[1].was_stopped:
        click.echo("cnitool: the new run was stopped: what is missing in it may have failed", err=True)
    sys.exit(int(reports[1].was_stopped or any(change.is_worse for change in changes)))
