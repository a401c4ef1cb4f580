"""The verb that lists what is stored: attachments."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.settings import Settings, pass_settings
from libcni.cli.tables import echo_table
from libcni.jsontext.encode import dump
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.api import CNIConfig
    from libcni.storage.attachment import NetworkAttachment

__all__ = ["attachments_command"]

_HEADER = ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "NAMESPACE", "STATE")
_CLEAR = "\033[H\033[2J"


@click.command("attachments")
@click.option("--watch", is_flag=True, help="Go on, and show them again when something has changed.")
@click.option(
    "--interval",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    metavar="SECONDS",
    help="Between two looks of --watch. [1]",
)
@pass_settings(("cache_dir", "container_id", "output"))
def attachments_command(settings: Settings, *, watch: bool, interval: float) -> None:
    """Show the stored attachments, of one container with --container-id, with those that are running or unfinished."""
    if watch and settings.is_json:
        raise click.UsageError("--watch is for people: a call for programs prints one document")
    config = settings.config()
    found = _found(config, settings.container_id)
    if settings.is_json:
        click.echo(dump([_document(item) for item in found]))
        return
    _show(settings, found)
    while watch:
        time.sleep(interval)
        before, found = found, _found(config, settings.container_id)
        if list(map(_row, before)) != list(map(_row, found)):
            click.echo(_CLEAR if sys.stdout.isatty() else "", nl=not sys.stdout.isatty())
            _show(settings, found)


def _found(config: CNIConfig, container_id: str | None) -> list[NetworkAttachment]:
    stored = config.get_cached_attachments(container_id)
    known = {item.key for item in stored}
    pending = [item for item in config.pending() if container_id in {None, item.container_id}]
    return [*stored, *[item for item in pending if item.key not in known]]


def _show(settings: Settings, found: Sequence[NetworkAttachment]) -> None:
    if found:
        echo_table(_HEADER, [_row(item) for item in found])
    else:
        click.echo(f"no attachments in {settings.cache_dir or DEFAULT_CACHE_DIR}")
    sys.stdout.flush()


def _row(item: NetworkAttachment) -> tuple[str, ...]:
    addresses = "" if item.result is None else ",".join(str(ip.address) for ip in item.result.ips)
    state = "" if item.state == "attached" else str(item.state)
    if item.pid is not None:
        state += f" (process {item.pid})"
    return item.network, item.container_id, item.ifname, addresses, item.netns, state


def _document(item: NetworkAttachment) -> dict[str, Any]:
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
