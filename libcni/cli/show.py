"""Two verbs that only look: plugins and schema."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from libcni import schema
from libcni.cli.arguments import schema_argument
from libcni.cli.settings import Settings, pass_settings
from libcni.cli.tables import echo_table
from libcni.errors import CNIError
from libcni.jsontext.encode import dump
from libcni.protocol.names import plugin_type_problem

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = ["plugins_command", "schema_command"]


@click.command("plugins")
@pass_settings(("bin_dir", "timeout", "output"))
def plugins_command(settings: Settings) -> None:
    """Show the plugins of the plugin directories and the versions of the specification that each supports."""
    rows = [_plugin_row(settings, name, path) for name, path in _plugin_files(settings.plugin_directories)]
    if settings.is_json:
        click.echo(dump([{"type": r[0], "versions": r[1], "path": r[2], "error": r[3]} for r in rows]))
    elif rows:
        echo_table(("PLUGIN", "VERSIONS", "PATH"), [(r[0], ",".join(r[1]) or r[3], r[2]) for r in rows])
    else:
        click.echo(f"no plugins in {', '.join(settings.plugin_directories)}")


def _plugin_files(directories: Sequence[str]) -> list[tuple[str, str]]:
    """Return name and path of each plugin; of several with one name, the one that would run."""
    found: dict[str, str] = {}
    for directory in directories:
        try:
            with os.scandir(directory) as entries:
                usable = [entry for entry in entries if entry.is_file() and os.access(entry.path, os.X_OK)]
        except OSError:
            continue
        for entry in usable:
            if plugin_type_problem(entry.name) is None:
                found.setdefault(entry.name, entry.path)
    return sorted(found.items())


def _plugin_row(settings: Settings, name: str, path: str) -> tuple[str, list[str], str, str]:
    try:
        return name, list(settings.config().get_version_info(name).supported_versions), path, ""
    except CNIError as error:
        return name, [], path, error.msg


@click.command("schema")
@schema_argument()
@click.option("--id", "identifier", metavar="URL", help="The $id of the schema 'editor': where it is published.")
@pass_settings(("output",))
def schema_command(settings: Settings, name: str | None, identifier: str | None) -> None:
    """Print the JSON Schema NAME, such as editor or plugins/bridge; without NAME, the names of all."""
    if identifier is not None and name != "editor":
        raise click.UsageError("--id is for the schema 'editor'")
    if identifier is not None:
        click.echo(json.dumps(schema.editor_schema(identifier), indent=2, ensure_ascii=False))
    elif name is not None:
        click.echo(json.dumps(schema.load(name), indent=2, ensure_ascii=False))
    elif settings.is_json:
        click.echo(dump(schema.names()))
    else:
        click.echo("\n".join(schema.names()))
