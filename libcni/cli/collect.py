"""The verbs that clean up: gc and recover."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from libcni.cli.arguments import netns_argument, network_argument
from libcni.cli.failure import note_call, note_members
from libcni.cli.settings import TO_RUN, Settings, pass_settings
from libcni.cli.stored import load_for_network
from libcni.config.load import load_conf_dir
from libcni.errors import CNIErrorGroup
from libcni.jsontext.encode import dump
from libcni.protocol.attachment import GCAttachment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import Recovery
    from libcni.storage.attachment import NetworkAttachment

__all__ = ["gc_command", "recover_command"]


class _Request(NamedTuple):
    """One garbage collection: of a network, or ``None`` for all, what it keeps, and whether it changes anything."""

    network: str | None
    keep: list[GCAttachment]
    dry_run: bool


def _kept(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> list[GCAttachment]:
    kept: list[GCAttachment] = []
    for value in values:
        container_id, separator, ifname = value.partition("/")
        if not separator or not container_id or not ifname:
            raise click.BadParameter(f"{value!r} is not CONTAINER_ID/IFNAME")
        kept.append(GCAttachment(container_id, ifname))
    return kept


@click.command("gc")
@network_argument(required=False)
@netns_argument(required=False)
@click.option("--all-networks", is_flag=True, help="Collect every network that is configured or has something stored.")
@click.option(
    "--keep",
    multiple=True,
    metavar="CONTAINER_ID/IFNAME",
    callback=_kept,
    help="An attachment that is in use; may be repeated.",
)
@click.option("--all", "delete_all", is_flag=True, help="Keep none.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be deleted.")
@pass_settings(TO_RUN)
def gc_command(  # noqa: PLR0913 -- the options of the verb
    settings: Settings,
    *,
    network: str | None,
    netns: str | None,
    all_networks: bool,
    keep: list[GCAttachment],
    delete_all: bool,
    dry_run: bool,
) -> None:
    """Delete every attachment of NETWORK that is not kept, and let its plugins collect. NETNS is ignored.

    When the configuration of NETWORK is gone, it is taken as it was stored. With --all-networks, what is stored of
    networks that are not configured any more is deleted too.
    """
    del netns  # Go's tool takes it too
    if bool(keep) == delete_all:
        raise click.UsageError("give --keep for each attachment that is in use, or --all to delete every one")
    if (network is None) != all_networks:
        raise click.UsageError("give NETWORK, or --all-networks")
    request = _Request(network, keep, dry_run)
    try:
        deleted = _collect(settings, request)
    except CNIErrorGroup as error:
        _show_deleted(settings, request, error.deleted, has_failed=True)
        raise
    _show_deleted(settings, request, [item.key for item in deleted])


def _collect(settings: Settings, request: _Request) -> list[NetworkAttachment]:
    note_call(command="GC", network=request.network or "")
    config = settings.config()
    if request.network is not None:
        network = load_for_network(settings, settings.store(), request.network)
        _say_disabled([network])
        return config.gc_network_list(network, request.keep, dry_run=request.dry_run)
    directory = load_conf_dir(settings.directory)
    for problem in directory.problems:
        click.echo(f"cnitool: not used, so that what is stored of its network counts: {problem}", err=True)
    _say_disabled(directory.networks)
    return config.gc_networks(directory.networks, request.keep, dry_run=request.dry_run)


def _say_disabled(networks: Sequence[NetworkConfigList]) -> None:
    """Print the networks in which GC is disabled, and note them for programs."""
    names = [network.name for network in networks if network.disable_gc]
    for name in names:
        click.echo(f"cnitool: nothing is done in network {name!r}: its configuration sets disableGC", err=True)
    if names:
        note_members(disableGC=names)


def _show_deleted(
    settings: Settings, request: _Request, deleted: Sequence[tuple[str, str, str]], *, has_failed: bool = False
) -> None:
    """Write what was deleted: for programs a list, or when there is more to say its member of the one document."""
    documents = [{"containerID": key[1], "ifname": key[2], "network": key[0]} for key in deleted]
    noted = note_members(deleted=documents)
    if settings.is_json:
        if not has_failed:
            click.echo(dump(noted if "disableGC" in noted else documents))
        return
    verb = "would delete" if request.dry_run else "deleted"
    for network, container_id, ifname in deleted:
        place = f"{network} " if request.network is None else ""
        click.echo(f"{verb} {place}{container_id}/{ifname}")


@click.command("recover")
@pass_settings(("bin_dir", "cache_dir", "timeout", "output"))
def recover_command(settings: Settings) -> None:
    """Delete what an interrupted ADD or DEL has left, from its record."""
    note_call(command="RECOVER")
    reports = settings.config().recover()
    errors = [report.error for report in reports if report.error is not None]
    documents = [_report_document(report) for report in reports]
    if not settings.is_json:
        for report in reports:
            state = "done" if report.done else f"not done: {report.error}"
            click.echo(f"{report.network} {report.container_id}/{report.ifname}: {state}")
    elif not errors:
        click.echo(dump(documents))
    if errors:
        note_members(reports=documents)
        error = CNIErrorGroup("not everything could be recovered", errors)
        error.add_note("give up what no plugin can delete with: cnitool forget CONTAINER_ID")
        raise error


def _report_document(report: Recovery) -> dict[str, object]:
    return {
        "network": report.network,
        "containerID": report.container_id,
        "ifname": report.ifname,
        "done": report.done,
        "error": report.error and str(report.error),
    }
