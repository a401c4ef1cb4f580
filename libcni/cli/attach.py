"""The verbs that run the plugins of one network: add, check, del and status."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.arguments import netns_argument, network_argument
from libcni.cli.commands import cnitool_command
from libcni.cli.failure import note_call
from libcni.cli.options import AttachmentOptions, attachment_options, check_declared
from libcni.cli.output import echo_result
from libcni.cli.settings import TO_ATTACH, TO_RUN, Settings, pass_settings
from libcni.cli.stored import load_for_attachment
from libcni.config.load import load_network_conf
from libcni.errors import AttachmentExistsError, CacheError, CNIError
from libcni.jsontext.encode import dump
from libcni.protocol.attachment import AttachmentKey
from libcni.verbs.chain import undeclared_capabilities

if TYPE_CHECKING:
    from libcni.api import CNIConfig
    from libcni.protocol.attachment import RuntimeConf

__all__ = ["add_command", "check_command", "del_command", "status_command"]

_network = network_argument()
_netns = netns_argument()


@click.command("add")
@_network
@_netns
@attachment_options
@click.option("--no-rollback", is_flag=True, help="When a plugin fails, leave what was made for it and the others.")
@pass_settings(TO_ATTACH)
def add_command(settings: Settings, *, network: str, netns: str, no_rollback: bool, **values: Any) -> None:
    """Attach the namespace at path NETNS to NETWORK, and print the result."""
    options = AttachmentOptions.taken_from(values)
    given = options.capability_args()
    rt = settings.runtime_conf(netns, args=options.args, capability_args=given)
    note_call(command="ADD", network=network, containerID=rt.container_id, ifname=rt.ifname)
    loaded = load_network_conf(settings.directory, network)
    check_declared(given, undeclared_capabilities(loaded, rt), f"network {network!r}")
    config = settings.config()
    key = AttachmentKey(loaded.name, rt.container_id, rt.ifname)
    try:
        result = config.add_network_list(loaded, rt, rollback=not no_rollback)
    except (CNIError, KeyboardInterrupt) as error:
        _advise(settings, config, error, rt=rt, key=key)
        raise
    echo_result(
        json.dumps(result.to_dict(), indent=4),
        deletion=lambda: cnitool_command(settings, "del", key.network, rt.netns, *_names(key)),
    )


def _advise(
    settings: Settings, config: CNIConfig, error: CNIError | KeyboardInterrupt, *, rt: RuntimeConf, key: AttachmentKey
) -> None:
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
        if isinstance(error, KeyboardInterrupt):
            error.add_note(f"nothing stays of {key.network} {key.container_id}/{key.ifname}")
        return
    deletion = cnitool_command(settings, "del", key.network, rt.netns, *_names(key))
    advice = f"delete it with: {deletion}"
    if is_unfinished:
        advice += f"; all that is unfinished with: {cnitool_command(settings, 'recover')}"
        advice += (
            f"; or give it up with: {cnitool_command(settings, 'forget', key.container_id, '--network', key.network)}"
        )
    error.add_note(advice)


def _is_pending(config: CNIConfig, key: AttachmentKey) -> bool:
    with suppress(CacheError):  # the error of the ADD is the one to tell
        return any(item.key == key for item in config.pending())
    return False


def _names(key: AttachmentKey) -> tuple[str, ...]:
    return "--container-id", key.container_id, "--ifname", key.ifname


@click.command("check")
@_network
@_netns
@pass_settings(TO_ATTACH)
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
@netns_argument(required=False)
@pass_settings(TO_ATTACH)
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
@netns_argument(required=False)
@pass_settings(TO_RUN)
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
