"""The verb that shows what another verb would run: plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from libcni.cli.arguments import netns_argument, network_argument
from libcni.cli.options import AttachmentOptions, attachment_options
from libcni.cli.settings import TO_ATTACH, Settings, pass_settings
from libcni.config.load import load_network_conf
from libcni.jsontext.decode import parse
from libcni.jsontext.encode import dump
from libcni.plan import COMMANDS, Planner
from libcni.verbs.configured import DEFAULT_CACHE_DIR

if TYPE_CHECKING:
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
    options = AttachmentOptions.taken_from(values)
    rt = settings.runtime_conf(netns, args=options.args, capability_args=options.capability_args())
    loaded = load_network_conf(settings.directory, network)
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
