"""The verbs that run the plugins of one network: add, check, del and status."""

from __future__ import annotations

import json
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from libcni.cli.failure import note_call
from libcni.cli.settings import Settings, pass_settings
from libcni.cli.stored import load_for_attachment
from libcni.config.load import load_network_conf
from libcni.errors import AttachmentExistsError, CacheError, CNIError
from libcni.jsontext.encode import dump
from libcni.protocol.attachment import AttachmentKey

if TYPE_CHECKING:
    from libcni.api import CNIConfig
    from libcni.protocol.attachment import RuntimeConf

__all__ = ["add_command", "check_command", "del_command", "status_command"]

_network = click.argument("network")
_netns = click.argument("netns")


@click.command("add")
@_network
@_netns
@click.option("--no-rollback", is_flag=True, help="When a plugin fails, leave what was made for it and the others.")
@pass_settings
def add_command(settings: Settings, *, network: str, netns: str, no_rollback: bool) -> None:
    """Attach the namespace at path NETNS to NETWORK, and print the result."""
    rt = settings.runtime_conf(netns)
    note_call(command="ADD", network=network, containerID=rt.container_id, ifname=rt.ifname)
    loaded = load_network_conf(settings.directory, network)
    config = settings.config()
    try:
        result = config.add_network_list(loaded, rt, rollback=not no_rollback)
    except CNIError as error:
        _advise(settings, config, error, rt=rt, key=AttachmentKey(loaded.name, rt.container_id, rt.ifname))
        raise
    click.echo(json.dumps(result.to_dict(), indent=4))


def _advise(settings: Settings, config: CNIConfig, error: CNIError, *, rt: RuntimeConf, key: AttachmentKey) -> None:
    """Note on the error of an ADD how to delete what is in its way, or is left of it."""
    if isinstance(error, AttachmentExistsError):
        key = AttachmentKey(error.network, error.container_id, error.ifname)
        is_unfinished = error.unfinished
        # The library's advice is for programs.
        error.__notes__ = [note for note in getattr(error, "__notes__", ()) if note != error.ADVICE]
        if error.is_another and not is_unfinished:
            error.add_note("it may be in use: add this one under another interface name, with --ifname")
            return
    elif _is_pending(config, key):
        is_unfinished = True
    else:
        return
    advice = f"delete it with: {_command(settings, 'del', key.network, rt.netns, *_names(key))}"
    if is_unfinished:
        advice += f"; all that is unfinished with: {_command(settings, 'recover')}"
        advice += f"; or give it up with: {_command(settings, 'forget', key.container_id, '--network', key.network)}"
    error.add_note(advice)


def _is_pending(config: CNIConfig, key: AttachmentKey) -> bool:
    with suppress(CacheError):  # the error of the ADD is the one to tell
        return any(item.key == key for item in config.pending())
    return False


def _names(key: AttachmentKey) -> tuple[str, ...]:
    return "--container-id", key.container_id, "--ifname", key.ifname


def _command(settings: Settings, verb: str, *arguments: str) -> str:
    """Return a call of ``cnitool`` on the same cache directory."""
    place = () if settings.cache_dir is None else ("--cache-dir", settings.cache_dir)
    return shlex.join(["cnitool", *place, verb, *arguments])


@click.command("check")
@_network
@_netns
@pass_settings
def check_command(settings: Settings, network: str, netns: str) -> None:
    """Check that the attachment of the namespace at path NETNS to NETWORK is as it was made.

    When the configuration of NETWORK is gone, it is taken as it was stored.
    """
    rt = settings.runtime_conf(netns)
    call = note_call(command="CHECK", network=network, containerID=rt.container_id, ifname=rt.ifname)
    config = settings.config()
    key = AttachmentKey(network, rt.container_id, rt.ifname)
    config.check_network_list(load_for_attachment(settings, settings.store(), key), rt)
    _echo_done(settings, call)


@click.command("del")
@_network
@click.argument("netns", required=False)
@pass_settings
def del_command(settings: Settings, network: str, netns: str | None) -> None:
    """Detach the namespace at path NETNS from NETWORK; with --container-id, NETNS may be left out.

    What was stored at ADD counts: the namespace, and the configuration also when its file is gone.
    """
    if netns is None and settings.container_id is None:
        raise click.UsageError("give NETNS, or --container-id for what is stored of a container")
    rt = settings.runtime_conf(netns)
    call = note_call(command="DEL", network=network, containerID=rt.container_id, ifname=rt.ifname)
    config = settings.config()
    key = AttachmentKey(network, rt.container_id, rt.ifname)
    config.del_network_list(load_for_attachment(settings, settings.store(), key), rt)
    _echo_done(settings, call)


@click.command("status")
@_network
@click.argument("netns", required=False)
@pass_settings
def status_command(settings: Settings, network: str, netns: str | None) -> None:
    """Ask the plugins of NETWORK whether it is ready. NETNS is ignored."""
    del netns  # Go's tool takes it too
    call = note_call(command="STATUS", network=network)
    settings.config().get_status_network_list(load_network_conf(settings.directory, network))
    _echo_done(settings, call)


def _echo_done(settings: Settings, call: dict[str, str]) -> None:
    """Write what a verb without a result has done, for programs: each call prints one document."""
    if settings.is_json:
        click.echo(dump(call))
