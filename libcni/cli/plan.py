"""The verb that shows what another verb would run: plan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.arguments import netns_argument, network_argument
from libcni.cli.options import AttachmentOptions, attachment_options
from libcni.cli.settings import TO_ATTACH, Settings, pass_settings
from libcni.config.load import load_network_conf, read_conf
from libcni.config.manifest import networks_in
from libcni.errors import ConfigError
from libcni.jsontext.decode import decode_text, parse
from libcni.jsontext.encode import dump
from libcni.plan import COMMANDS, Planner
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
    from libcni.config.model import NetworkConfigList
    from libcni.plan import Command, Plan, PlannedCall

__all__ = ["plan_command"]


@click.command("plan")
@network_argument()
@netns_argument()
@click.option(
    "--verb",
    type=click.Choice([command.lower() for command in COMMANDS]),
    default="add",
    help="What to plan. [add]",
)
@click.option(
    "--file",
    "path",
    metavar="FILE",
    help="Take the network from this file: a configuration, or YAML with NetworkAttachmentDefinitions; - is stdin.",
)
@click.option("--diff", "shows_diff", is_flag=True, help="Show what differs from what was stored at ADD.")
@click.option(
    "--environ", "shows_environ", is_flag=True, help="Show the whole environment, not only that of the protocol."
)
@attachment_options
@pass_settings(TO_ATTACH)
def plan_command(
    settings: Settings,
    *,
    network: str,
    netns: str,
    verb: str,
    shows_diff: bool,
    shows_environ: bool,
    **values: Any,
) -> None:
    """Show each call that a verb would make for the namespace at path NETNS and NETWORK; run nothing.

    The exit status is 1 when the verb would be refused.
    """
    path: str | None = values.pop("path")
    options = AttachmentOptions.taken_from(values)
    rt = settings.runtime_conf(netns, args=options.args, capability_args=options.capability_args())
    loaded = load_network_conf(settings.directory, network) if path is None else _network_of_file(path, network)
    planner = Planner(settings.plugin_directories, cache_dir=settings.cache_dir or DEFAULT_CACHE_DIR)
    command: Command = next(known for known in COMMANDS if known.lower() == verb)
    if shows_diff:
        lines = planner.diff(command, loaded, rt)
        click.echo(dump(lines) if settings.is_json else "\n".join(lines or ["no difference"]))
        return
    plan = planner.plan(command, loaded, rt)
    click.echo(
        _json(plan, shows_environ=shows_environ) if settings.is_json else _text(plan, shows_environ=shows_environ)
    )
    if plan.problems:
        click.get_current_context().exit(1)


def _network_of_file(path: str, name: str) -> NetworkConfigList:
    """Return the network of that name in a file."""
    source = Path("<stdin>" if path == "-" else path)
    text = decode_text(sys.stdin.buffer.read() if path == "-" else read_conf(path))
    found = networks_in(text, source)
    network = next((one for one in found if one.name == name), None)
    if network is None:
        names = ", ".join(one.name for one in found) or "none"
        raise ConfigError(f"no network has the name {name!r}; there is {names}", source=source)
    return network


def _environment(call: PlannedCall, *, shows_environ: bool) -> dict[str, str]:
    return dict(call.environment) if shows_environ else call.protocol_environment()


def _json(plan: Plan, *, shows_environ: bool) -> str:
    calls = [
        {
            "plugin": call.plugin,
            "path": call.path or None,
            "environment": _environment(call, shows_environ=shows_environ),
            "request": parse(call.request),
            "unknownResultOf": call.unknown_result or None,
        }
        for call in plan.calls
    ]
    document: dict[str, Any] = {"command": plan.command, "network": plan.network, "calls": calls}
    document |= {"refusedBecause": [str(problem) for problem in plan.problems], "notes": list(plan.notes)}
    return json.dumps(document, indent=2)


def _text(plan: Plan, *, shows_environ: bool) -> str:
    count = len(plan.calls)
    lines = [f"{plan.command} of network {plan.network} would make {count} call{'s' * (count != 1)}; nothing was run."]
    lines += [f"Note: {note}" for note in plan.notes]
    lines += [f"Would be refused: {problem}" for problem in plan.problems]
    for number, call in enumerate(plan.calls, 1):
        lines += ["", f"{number}. {call.path or call.plugin + ' (not found)'}", ""]
        lines += [f"   {name}={value}" for name, value in _environment(call, shows_environ=shows_environ).items()]
        if call.unknown_result:
            lines += ["", f"   prevResult is known when {call.unknown_result} has run:"]
        lines += ["", *[f"   {line}" for line in call.pretty_request().split("\n")]]
    return "\n".join(lines)
