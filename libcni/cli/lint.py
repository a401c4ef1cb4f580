"""The verb that checks configurations before a plugin runs: lint."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.jsontext.encode import dump
from libcni.lint import FORMATS, Severity, lint_paths, mend_paths, write_report
from libcni.linux import is_linux

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.lint import Mended

__all__ = ["lint_command"]


_STDIN = "-"


@click.command("lint")
@click.argument("paths", nargs=-1, metavar="[FILE|DIR]...")
@click.option("--format", "form", type=click.Choice(list(FORMATS)), help="How findings are written. [text]")
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@click.option(
    "--schema-dir",
    "schema_dirs",
    multiple=True,
    metavar="DIR",
    help="More schemas of plugins, each in a file PLUGIN.json; may be repeated.",
)
@click.option(
    "--no-plugins", is_flag=True, help="Run no plugin: leave out whether each is there and supports the version."
)
@click.option("--fix", "is_fixing", is_flag=True, help="Show a diff, and mend what is unambiguous; then check.")
@click.option("--diff", "is_diff", is_flag=True, help="Only show the diff of what --fix would change.")
@pass_settings(("conf_dir", "bin_dir", "timeout", "output"))
def lint_command(
    settings: Settings, *, paths: tuple[str, ...], form: str | None, schema_dirs: tuple[str, ...], **switches: bool
) -> None:
    """Check network configurations, and explain every mistake; without FILE or DIR, the configuration directory.

    YAML files may hold NetworkAttachmentDefinitions and ConfigMaps; - reads them from stdin, as from helm template.
    """
    form = form or settings.output or "text"
    places = [path for path in paths if path != _STDIN] if paths else [settings.directory]
    if switches["is_diff"] or switches["is_fixing"]:
        mended = mend_paths(places, schema_dirs=schema_dirs)
        for one in mended:
            click.echo(one.diff(), nl=False, err=form != "text")
        if switches["is_diff"]:
            if form == "json":
                click.echo(dump([_described(one) for one in mended]))
            click.get_current_context().exit(1 if mended else 0)
        places = _written(places, mended)
    texts: dict[str, bytes] = {"<stdin>": sys.stdin.buffer.read()} if _STDIN in paths else {}
    findings = lint_paths(
        places,
        texts=texts,
        bin_dirs=None if switches["no_plugins"] else _directories(settings),
        schema_dirs=schema_dirs,
        **({} if settings.timeout is None else {"timeout": settings.timeout}),
    )
    text = write_report(findings, form)
    if text:
        click.echo(text)
    failing = {Severity.ERROR, Severity.WARNING} if switches["strict"] else {Severity.ERROR}
    if any(finding.severity in failing for finding in findings):
        click.get_current_context().exit(1)


def _described(one: Mended) -> dict[str, str]:
    return {"file": str(one.path), "newFile": str(one.new_path), "diff": one.diff()}


def _written(places: Sequence[str], mended: Sequence[Mended]) -> list[str]:
    """Write the mended files, and return the places under their new names."""
    renamed: dict[str, str] = {}
    for one in mended:
        one.write()
        renamed[str(one.path)] = str(one.new_path)
    return [renamed.get(str(Path(place)), place) for place in places]


def _directories(settings: Settings) -> Sequence[str] | None:
    """Return the plugin directories; ``None`` when there are none and none was named, or no plugin runs here."""
    if not is_linux():
        return None
    directories = settings.plugin_directories
    if settings.bin_dir or os.environ.get("CNI_PATH") or any(Path(path).is_dir() for path in directories):
        return directories
    return None
