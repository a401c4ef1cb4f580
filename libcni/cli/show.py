"""The verbs that only look: networks, attachments, plugins and schema."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from libcni import schema
from libcni.cli.settings import TO_LOOK, Settings, pass_settings
from libcni.config.load import load_conf_dir
from libcni.errors import CNIError, NoConfigsFoundError
from libcni.jsontext.encode import dump
from libcni.protocol.names import plugin_type_problem
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.config.load import ConfDir
    from libcni.config.model import NetworkConfigList
    from libcni.errors import ConfigError
    from libcni.storage.attachment import NetworkAttachment

__all__ = ["attachments_command", "networks_command", "plugins_command", "schema_command"]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@click.command("networks")
@pass_settings(TO_LOOK)
def networks_command(settings: Settings) -> None:
    """Show the networks of the configuration directory, the default one and why, and the files that cannot be used."""
    directory = load_conf_dir(settings.directory)
    if not directory.networks and not directory.problems:
        raise NoConfigsFoundError(settings.directory)
    if settings.is_json:
        click.echo(dump(_networks_document(directory)))
        return
    if directory.networks:
        rows = [_network_row(network, network is directory.default) for network in directory.networks]
        _table(("NETWORK", "VERSION", "PLUGINS", "FILE", ""), rows)
    if directory.default is not None:
        name = directory.default.name
        click.echo(f"\nDefault: {name}, as its file is the first good one in the lexical order of the file names.")
    for problem in directory.problems:
        click.echo(f"\nNot used: {problem}")


def _network_row(network: NetworkConfigList, is_default: bool) -> tuple[str, ...]:  # noqa: FBT001 -- a cell of the row
    plugins = ",".join(plugin.type for plugin in network.plugins)
    name = "" if network.source is None else network.source.name
    return network.name, network.cni_version, plugins, name, "default" if is_default else ""


def _networks_document(directory: ConfDir) -> dict[str, Any]:
    return {
        "default": directory.default and directory.default.name,
        "networks": [
            {
                "name": network.name,
                "cniVersion": network.cni_version,
                "plugins": [plugin.type for plugin in network.plugins],
                "file": str(network.source),
            }
            for network in directory.networks
        ],
        "problems": [_problem_document(problem) for problem in directory.problems],
    }


def _problem_document(problem: ConfigError) -> dict[str, Any]:
    place = {"file": str(problem.source), "line": problem.line, "column": problem.column}
    return place | {"field": problem.field, "msg": problem.msg}


@click.command("attachments")
@pass_settings(("cache_dir", "container_id", "output"))
def attachments_command(settings: Settings) -> None:
    """Show the stored attachments, of one container with --container-id, with those that are running or unfinished."""
    config = settings.config()
    stored = config.get_cached_attachments(settings.container_id)
    pending = [item for item in config.pending() if settings.container_id in {None, item.container_id}]
    known = {item.key for item in stored}
    found = [*stored, *[item for item in pending if item.key not in known]]
    if settings.is_json:
        click.echo(dump([_attachment_document(item) for item in found]))
    elif found:
        rows = [_attachment_row(item) for item in found]
        _table(("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "NAMESPACE", "STATE"), rows)
    else:
        click.echo(f"no attachments in {settings.cache_dir or DEFAULT_CACHE_DIR}")


def _attachment_row(item: NetworkAttachment) -> tuple[str, ...]:
    addresses = "" if item.result is None else ",".join(str(ip.address) for ip in item.result.ips)
    state = "" if item.state == "attached" else str(item.state)
    if item.pid is not None:
        state += f" (process {item.pid})"
    return item.network, item.container_id, item.ifname, addresses, item.netns, state


def _attachment_document(item: NetworkAttachment) -> dict[str, Any]:
    return {
        "network": item.network,
        "containerID": item.container_id,
        "ifname": item.ifname,
        "netns": item.netns,
        "result": item.result and item.result.to_dict(),
        "state": item.state,
        "pid": item.pid,
        "unfinished": item.state == "unfinished",
    }


@click.command("plugins")
@pass_settings(("bin_dir", "timeout", "output"))
def plugins_command(settings: Settings) -> None:
    """Show the plugins of the plugin directories and the versions of the specification that each supports."""
    rows = [_plugin_row(settings, name, path) for name, path in _plugin_files(settings.plugin_directories)]
    if settings.is_json:
        click.echo(dump([{"type": r[0], "versions": r[1], "path": r[2], "error": r[3]} for r in rows]))
    elif rows:
        _table(("PLUGIN", "VERSIONS", "PATH"), [(r[0], ",".join(r[1]) or r[3], r[2]) for r in rows])
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
@click.argument("name", required=False)
@pass_settings(("output",))
def schema_command(settings: Settings, name: str | None) -> None:
    """Print the JSON Schema NAME, such as network or plugins/bridge; without NAME, the names of all."""
    if name is not None:
        click.echo(json.dumps(schema.load(name), indent=2, ensure_ascii=False))
    elif settings.is_json:
        click.echo(dump(schema.names()))
    else:
        click.echo("\n".join(schema.names()))
