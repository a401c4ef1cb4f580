"""The verb that gives attachments up: forget."""

from __future__ import annotations

import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from libcni.cli.arguments import container_argument, network_option
from libcni.cli.failure import note_call
from libcni.cli.settings import Settings, pass_settings
from libcni.errors import CNIError, ErrorCode
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import object_of
from libcni.storage.store import parse_stored
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.storage.attachment import NetworkAttachment

__all__ = ["forget_command"]

_NAMED = frozenset({PurePath("/run/netns"), PurePath("/var/run/netns")})
"""The folder in which ``ip netns`` keeps the namespaces that it knows by name."""

_HOST_LOCAL = "host-local"
_HOST_LOCAL_DIR = "/var/lib/cni/networks"
"""The folder in which the host-local IPAM plugin has a folder of addresses in use for each network."""


class _Leftover(NamedTuple):
    """A possible trace of a container, and the command that shows it."""

    what: str
    command: str


@click.command("forget")
@container_argument("CONTAINER_ID")
@network_option("--network", help="Only of this network. [all]")
@pass_settings(("cache_dir", "ifname", "output"))
def forget_command(settings: Settings, *, container: str, network: str | None) -> None:
    """Give up what is stored about CONTAINER_ID, all of it or that of one --ifname or --network. No plugin is run.

    For what neither del nor recover can delete any more. It shows what may be left behind, and how to look for it.
    """
    if settings.container_id not in {None, container}:
        raise click.UsageError("CONTAINER_ID and --container-id name different containers")
    note_call(network=network or "", containerID=container, ifname=settings.ifname or "")
    forgotten = settings.config().forget(container, ifname=settings.ifname, network=network)
    if not forgotten:
        place = settings.cache_dir or DEFAULT_CACHE_DIR
        narrowed = [f" of network {network!r}"] if network is not None else []
        narrowed += [f" with interface {settings.ifname!r}"] if settings.ifname is not None else []
        message = f"nothing is stored about container {container!r}{''.join(narrowed)} in {place}"
        raise CNIError(message, code=ErrorCode.UNKNOWN_CONTAINER)
    if settings.is_json:
        click.echo(dump([_document(item) for item in forgotten]))
        return
    for item in forgotten:
        click.echo(
            f"forgot {item.network} {item.container_id}/{item.ifname}; no plugin was run. It may have left behind:"
        )
        for leftover in _leftovers(item):
            click.echo(f"  {leftover.what}: {leftover.command}")


def _document(item: NetworkAttachment) -> dict[str, Any]:
    return {
        "network": item.network,
        "containerID": item.container_id,
        "ifname": item.ifname,
        "netns": item.netns,
        "addresses": _addresses(item),
        "mayBeLeft": [leftover._asdict() for leftover in _leftovers(item)],
    }


def _addresses(item: NetworkAttachment) -> list[str]:
    return [] if item.result is None else [str(ip.address) for ip in item.result.ips]


def _leftovers(item: NetworkAttachment) -> Iterator[_Leftover]:
    if item.netns:
        yield _Leftover(f"the interface {item.ifname} with its addresses", _in_namespace(item.netns))
    taken = f"taken addresses ({', '.join(_addresses(item)) or 'not known'})"
    for ipam in _ipam(item):
        if ipam.get("type") == _HOST_LOCAL:
            folder = str(PurePath(str(ipam.get("dataDir") or _HOST_LOCAL_DIR)) / item.network)
            yield _Leftover(taken, shlex.join(["ls", folder]))
    container = shlex.quote(item.container_id)
    yield _Leftover("rules", f"iptables -t nat -S | grep {container}; nft list ruleset | grep {container}")


def _in_namespace(netns: str) -> str:
    """Return the command that shows the addresses in a namespace."""
    path = PurePath(netns)
    if path.parent in _NAMED:
        return shlex.join(["ip", "netns", "exec", path.name, "ip", "addr"])
    return shlex.join(["nsenter", f"--net={netns}", "ip", "addr"])


def _ipam(item: NetworkAttachment) -> list[dict[str, Any]]:
    """Return the IPAM part of each plugin; none of a stored configuration that is damaged."""
    try:
        plugins = parse_stored(item.config).plugins
    except CNIError:
        return []
    return [object_of(plugin.data.get("ipam")) for plugin in plugins]
