"""The verb that runs a command on networks: run.

A namespace is made for it, or is that of a process. When the command ends, however it does, what was attached is
deleted.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from libcni import netns
from libcni.capabilities import ContainerOptions
from libcni.cli.arguments import network_argument, network_option
from libcni.cli.commands import cnitool_command
from libcni.cli.failure import note_call
from libcni.cli.options import AttachmentOptions, attachment_options, check_declared
from libcni.cli.output import echo_result
from libcni.cli.settings import TO_ATTACH, Settings, pass_settings
from libcni.cli.signals import OF_SIGNAL, Forwarding, held_back
from libcni.config.load import load_network_conf
from libcni.jsontext.encode import dump
from libcni.networks import BlockingNetworks, Join
from libcni.verbs.configured import DEFAULT_CACHE_DIR, DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.netns import NetNS
    from libcni.networks import Setup

__all__ = ["run_command"]

_NOT_FOUND = 127
_NOT_EXECUTABLE = 126
_STDERR = 2


class _Request(NamedTuple):
    """The request for a run: networks with their options, the container, its namespace, and whether it stays."""

    networks: Sequence[str]
    options: AttachmentOptions
    container_id: str
    pid: int | None
    keep: bool
    command: Sequence[str]


@click.command("run")
@network_argument()
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[--] [COMMAND]...")
@network_option("--network", "more", multiple=True, help="Another network to join; may be repeated.")
@attachment_options
@click.option("--pid", type=click.IntRange(1), metavar="PID", help="Use the namespace of a process.")
@click.option("--keep", is_flag=True, help="Leave namespace and attachments, and say how to remove them.")
@pass_settings(TO_ATTACH)
def run_command(
    settings: Settings,
    *,
    network: str,
    command: tuple[str, ...],
    more: tuple[str, ...],
    pid: int | None,
    keep: bool,
    **values: Any,
) -> None:
    """Run COMMAND in a new network namespace that is attached to NETWORK, and delete all of it afterwards.

    Without COMMAND, a shell; with --keep and without COMMAND, nothing. The exit status is that of COMMAND, 128 and the
    number of the signal that has ended it, 127 if there is no such command, and 1 if the network failed. With --output
    json, what COMMAND writes to stdout goes to stderr, and the document comes when all is done.
    """
    request = _Request(
        networks=[network, *more],
        options=AttachmentOptions.taken_from(values),
        container_id=settings.container_id or f"cnitool-run-{os.getpid()}-{secrets.token_hex(4)}",
        pid=pid,
        keep=keep,
        command=command or ([] if keep else [os.environ.get("SHELL") or "/bin/sh"]),
    )
    note_call(command="ADD", network=network, containerID=request.container_id, ifname=settings.ifname or "")
    try:
        status, document = _run(settings, request)
    except KeyboardInterrupt as error:
        error.add_note(_what_stays(settings, request.container_id))
        raise
    if settings.is_json and keep:
        echo_result(dump(document), deletion=lambda: "; ".join(_removal(settings, document)))
    elif settings.is_json:
        click.echo(dump(document))
    click.get_current_context().exit(status)


def _what_stays(settings: Settings, container_id: str) -> str:
    """Return what an interrupted run has left behind."""
    config = settings.config()
    stored = [*config.get_cached_attachments(container_id), *config.pending()]
    if any(item.container_id == container_id for item in stored):
        return f"something stays: {cnitool_command(settings, 'inspect', container_id)}"
    return f"nothing stays of container {container_id}"


def _run(settings: Settings, request: _Request) -> tuple[int, dict[str, Any]]:
    """Do all of it, and return the exit status and the document for programs."""
    loaded = [load_network_conf(settings.directory, name) for name in request.networks]
    options = _options(settings, request, loaded)
    first, *others = loaded
    joins = [Join(first, settings.ifname), *map(Join, others)]
    with ExitStack() as stack:
        place = stack.enter_context(_namespace(request))
        networks = stack.enter_context(_networks(settings))
        setup = networks.setup(request.container_id, place.path, networks=joins, options=options)
        document = _document(request, setup)
        if not request.keep:
            stack.callback(_remove, networks, request.container_id)
        elif not settings.is_json:
            _say_kept(settings, setup, document, name=place.name)
        if not request.command:
            return 0, document
        status = _execute(request.command, place, stdout=_STDERR if settings.is_json else None)
    return status, document | {"exitStatus": status}


def _options(settings: Settings, request: _Request, networks: Sequence[NetworkConfigList]) -> ContainerOptions:
    """Return the options of the container.

    :raises InvalidParameterError: if one that was given reaches no plugin of the networks.
    """
    given = request.options.container_options(args={}).capability_arguments()
    declared = {name for network in networks for plugin in network.plugins for name in plugin.used_capabilities}
    check_declared(given, sorted(given.keys() - declared), f"network {', '.join(map(repr, request.networks))}")
    args = dict(settings.args(request.options.args))
    return ContainerOptions(args=args, capability_args=settings.capability_args(given))


def _remove(networks: BlockingNetworks, container_id: str) -> None:
    with held_back():
        networks.remove(container_id)


def _networks(settings: Settings) -> BlockingNetworks:
    return BlockingNetworks(
        settings.directory,
        settings.plugin_directories,
        cache_dir=settings.cache_dir or DEFAULT_CACHE_DIR,
        timeout=settings.timeout or DEFAULT_TIMEOUT,
        watch=False,
        runner=settings.runner(),
    )


@contextmanager
def _namespace(request: _Request) -> Generator[NetNS]:
    """Open the namespace of the process, or make one: a named one if it is to stay, unless the setup fails."""
    if request.pid is not None:
        with netns.open(request.pid) as opened:
            yield opened
    elif not request.keep:
        with netns.create() as made:
            made.set_up("lo")
            yield made
    else:
        made = netns.create(request.container_id)
        try:
            made.set_up("lo")
            yield made
        except BaseException:
            made.delete()
            raise
        made.close()


def _execute(command: Sequence[str], place: NetNS, *, stdout: int | None) -> int:
    """Run a command inside, and return the exit status of a shell for it.

    :param stdout: descriptor that its output goes to; ``None`` for that of this process.
    """
    with Forwarding() as forwarding:
        try:
            with place.inside():
                process = subprocess.Popen(command, stdout=stdout)  # noqa: S603 -- that is what the user asks for
        except FileNotFoundError:
            click.echo(f"cnitool: there is no command {command[0]!r}", err=True)
            return _NOT_FOUND
        except PermissionError:
            click.echo(f"cnitool: {command[0]!r} may not be executed", err=True)
            return _NOT_EXECUTABLE
        status = forwarding.wait(process)
    return status if status >= 0 else OF_SIGNAL - status


def _say_kept(settings: Settings, setup: Setup, document: dict[str, Any], *, name: str | None) -> None:
    """Say what stays, and how it is removed.

    :param name: of the namespace, if that stays as well.
    """
    addresses = ", ".join(map(str, setup.addresses)) or "no address"
    click.echo(f"cnitool: container {document['containerID']} has {addresses} in {setup.netns}", err=True)
    for line in [*_removal(settings, document), *([] if name is None else [f"ip netns delete {name}"])]:
        click.echo(f"  remove with: {line}", err=True)


def _removal(settings: Settings, document: dict[str, Any]) -> list[str]:
    """Return the calls that delete the attachments of a document."""
    options = "--container-id", document["containerID"], "--ifname"
    return [
        cnitool_command(settings, "del", each["network"], document["netns"], *options, each["ifname"])
        for each in reversed(document["results"])
    ]


def _document(request: _Request, setup: Setup) -> dict[str, Any]:
    return {
        "containerID": request.container_id,
        "netns": setup.netns,
        "results": [
            {"network": network, "ifname": ifname, "result": result.to_dict()}
            for network, (ifname, result) in zip(request.networks, setup.results.items(), strict=True)
        ],
    }
