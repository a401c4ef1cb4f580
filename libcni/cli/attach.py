"""The verbs that run plugins: add, check, del, gc, status and recover."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from libcni.attachment import GCAttachment
from libcni.cli.settings import Settings, pass_settings
from libcni.document import dump
from libcni.errors import CNIErrorGroup
from libcni.loader import load_network_conf

if TYPE_CHECKING:
    from libcni.attachment import NetworkAttachment

__all__ = ["add_command", "check_command", "del_command", "gc_command", "recover_command", "status_command"]

_network = click.argument("network")
_netns = click.argument("netns")


@click.command("add")
@_network
@_netns
@pass_settings
def add_command(settings: Settings, network: str, netns: str) -> None:
    """Attach the namespace at path NETNS to NETWORK, and print the result."""
    rt = settings.runtime_conf(netns)
    loaded = load_network_conf(settings.directory, network)
    result = settings.config().add_network_list(loaded, rt)
    click.echo(json.dumps(result.to_dict(), indent=4))


@click.command("check")
@_network
@_netns
@pass_settings
def check_command(settings: Settings, network: str, netns: str) -> None:
    """Check that the attachment of the namespace at path NETNS to NETWORK is as it was made."""
    rt = settings.runtime_conf(netns)
    settings.config().check_network_list(load_network_conf(settings.directory, network), rt)


@click.command("del")
@_network
@_netns
@pass_settings
def del_command(settings: Settings, network: str, netns: str) -> None:
    """Detach the namespace at path NETNS from NETWORK."""
    rt = settings.runtime_conf(netns)
    settings.config().del_network_list(load_network_conf(settings.directory, network), rt)


def _kept(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[GCAttachment]:
    kept: list[GCAttachment] = []
    for value in values:
        container_id, separator, ifname = value.partition("/")
        if not separator or not container_id or not ifname:
            raise click.BadParameter(f"{value!r} is not CONTAINER_ID/IFNAME")
        kept.append(GCAttachment(container_id, ifname))
    return kept


@click.command("gc")
@_network
@click.argument("netns", required=False)
@click.option(
    "--keep",
    multiple=True,
    metavar="CONTAINER_ID/IFNAME",
    callback=_kept,
    help="An attachment that is in use; may be repeated.",
)
@click.option("--all", "delete_all", is_flag=True, help="Keep none.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be deleted.")
@pass_settings
def gc_command(
    settings: Settings,
    *,
    network: str,
    netns: str | None,
    keep: list[GCAttachment],
    delete_all: bool,
    dry_run: bool,
) -> None:
    """Delete every attachment of NETWORK that is not kept, and let its plugins collect. NETNS is ignored."""
    del netns  # Go's tool takes it too
    if bool(keep) == delete_all:
        raise click.UsageError("give --keep for each attachment that is in use, or --all to delete every one")
    loaded = load_network_conf(settings.directory, network)
    deleted = settings.config().gc_network_list(loaded, keep, dry_run=dry_run)
    if settings.is_json:
        click.echo(dump([_named(item) for item in deleted]))
        return
    verb = "would delete" if dry_run else "deleted"
    for item in deleted:
        click.echo(f"{verb} {item.container_id}/{item.ifname}")


def _named(attachment: NetworkAttachment) -> dict[str, str]:
    return {
        "containerID": attachment.container_id,
        "ifname": attachment.ifname,
        "network": attachment.network,
    }


@click.command("status")
@_network
@click.argument("netns", required=False)
@pass_settings
def status_command(settings: Settings, network: str, netns: str | None) -> None:
    """Ask the plugins of NETWORK whether it is ready. NETNS is ignored."""
    del netns  # Go's tool takes it too
    settings.config().get_status_network_list(load_network_conf(settings.directory, network))


@click.command("recover")
@pass_settings
def recover_command(settings: Settings) -> None:
    """Delete what an interrupted ADD or DEL has left, from its record."""
    reports = settings.config().recover()
    if settings.is_json:
        click.echo(dump([report._asdict() | {"error": report.error and str(report.error)} for report in reports]))
    else:
        for report in reports:
            state = "done" if report.done else f"not done: {report.error}"
            click.echo(f"{report.network} {report.container_id}/{report.ifname}: {state}")
    errors = [report.error for report in reports if report.error is not None]
    if errors:
        raise CNIErrorGroup("not everything could be recovered", errors)
