"""The verb of the configuration directory: networks, which lists them, and networks create, which writes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from libcni.cli.create import create_command
from libcni.cli.settings import TO_LOOK, Settings, pass_settings
from libcni.cli.tables import echo_table, printable
from libcni.config.load import load_conf_dir
from libcni.errors import NoConfigsFoundError
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from libcni.config.load import ConfDir
    from libcni.config.model import NetworkConfigList
    from libcni.errors import ConfigError

__all__ = ["networks_command"]


@click.group("networks", invoke_without_command=True)
@pass_settings(TO_LOOK)
def networks_command(settings: Settings) -> None:
    """Show the networks of the configuration directory, the default one and why, and the files that cannot be used."""
    if click.get_current_context().invoked_subcommand is not None:
        return
    directory = load_conf_dir(settings.directory)
    if not directory.networks and not directory.problems:
        raise NoConfigsFoundError(settings.directory)
    if settings.is_json:
        click.echo(dump(_networks_document(directory)))
        _exit_without_network(directory)
        return
    if directory.networks:
        rows = [_network_row(network, network is directory.default) for network in directory.networks]
        echo_table(("NETWORK", "VERSION", "PLUGINS", "FILE", ""), rows)
    if directory.default is not None:
        name = directory.default.name
        click.echo(f"\nDefault: {name}, as its file is the first good one in the lexical order of the file names.")
    for problem in directory.problems:
        click.echo(f"\nNot used: {printable(str(problem))}")
    if not directory.networks:
        click.echo(f"\nNo network in {settings.directory} can be used.")
    _exit_without_network(directory)


def _exit_without_network(directory: ConfDir) -> None:
    if not directory.networks:
        click.get_current_context().exit(1)


networks_command.add_command(create_command)


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
