"""The verb that explains a code: explain. Codes of errors, of findings of lint, and of checks of conformance."""

from __future__ import annotations

import difflib
import shutil
import textwrap
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import click

from libcni.cli.arguments import code_argument
from libcni.cli.settings import Settings, pass_settings
from libcni.errors import InvalidParameterError
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Explanation", "explain_command", "explanations"]

_WIDTH = 100
"""Columns at most: longer lines are hard to read."""
_PLUGINS_OWN = 100
"""Error codes from here on belong to the plugins."""


class Explanation(NamedTuple):
    """The meaning of a code: its kind, a title, the cause, and what to do."""

    code: str
    kind: str
    title: str
    cause: str
    todo: str


@click.command("explain")
@code_argument()
@pass_settings(("output",))
def explain_command(settings: Settings, code: str | None) -> None:
    """Explain CODE: the code of an error, of a finding of lint or of a check of conformance. Without it, list all."""
    if code is None:
        _list(settings)
        return
    found = _find(code)
    if settings.is_json:
        click.echo(dump(found._asdict()))
        return
    click.echo(f"{found.code}: {found.title}")
    for title, text in (("Cause", found.cause), ("What to do", found.todo)):
        width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
        click.echo(f"\n{title}:\n{textwrap.fill(text, width, initial_indent='  ', subsequent_indent='  ')}")


def _list(settings: Settings) -> None:
    every = explanations()
    if settings.is_json:
        click.echo(dump([{"code": each.code, "kind": each.kind, "title": each.title} for each in every]))
        return
    width = max(len(each.code) for each in every)
    for each in every:
        click.echo(f"{each.code.ljust(width)}  {each.title}")


def explanations() -> list[Explanation]:
    """Return everything that can be explained."""
    return [*_errors(), *_findings(), *_checks()]


def _find(code: str) -> Explanation:
    wanted = code.casefold()
    every = {each.code.casefold(): each for each in explanations()}
    if wanted in every:
        return every[wanted]
    if code.isascii() and code.isdigit() and int(code) >= _PLUGINS_OWN:
        return _of_plugin(code)
    near = [] if code.isdigit() else difflib.get_close_matches(wanted, every, n=1)
    hint = f"did you mean {every[near[0]].code}?" if near else "see: cnitool explain"
    raise InvalidParameterError("CODE", code, f"is no code of an error, of lint or of conformance; {hint}")


def _of_plugin(code: str) -> Explanation:
    return Explanation(
        code,
        "error",
        "An error of the plugin's own",
        "Codes from 100 on have the meaning that the plugin gives them; its message and details say more.",
        "Look the code up in the documentation of the plugin that the error names; run the verb with cnitool trace to "
        "see the request that it could not fulfil.",
    )


def _errors() -> Iterator[Explanation]:
    import tomllib  # noqa: PLC0415 -- loaded with the table

    table = tomllib.loads(files("libcni.cli").joinpath("error_codes.toml").read_text(encoding="utf-8"))
    for code, entry in table.items():
        cause, todo = (" ".join(entry[name].split()) for name in ("cause", "todo"))
        yield Explanation(code, "error", entry["title"], cause, todo)


def _findings() -> Iterator[Explanation]:
    from libcni.lint.codes import CODES  # noqa: PLC0415 -- as above

    for code in CODES.values():
        todo = f"Change the file as the finding says; docs/lint.md has a bad and a good example of {code.code}."
        yield Explanation(code.code, f"lint {code.severity}", code.title, code.text, todo)


def _checks() -> Iterator[Explanation]:
    from libcni.conformance.catalogue import load_checks  # noqa: PLC0415 -- as above

    for check in [*load_checks(), *load_checks(for_runtimes=True)]:
        cause = f"{check.rule} ({check.level}, specification {check.section})"
        todo = f"See the evidence in the report, and repeat it with: cnitool conformance --explain {check.id} PLUGIN"
        yield Explanation(check.id, "conformance", check.title, " ".join(cause.split()), todo)
