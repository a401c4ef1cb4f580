"""Completion of names by a shell, and the verb that prints the script for it: completion."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from libcni.cli.settings import Settings, pass_settings
from libcni.errors import CNIError
from libcni.jsontext.encode import dump

__all__ = [
    "complete_codes",
    "complete_containers",
    "complete_netns",
    "complete_networks",
    "complete_schemas",
    "completion_command",
]

_VARIABLE = "_CNITOOL_COMPLETE"
_NETNS_DIRECTORY = "/run/netns"
_SHELLS = ("bash", "zsh", "fish")

# click's script for zsh asks whether it is being loaded, which holds for the first completion of a session alone: the
# next one would do nothing. It is to ask whether it runs as the function of its file.
_IS_LOADED, _IS_FUNCTION = "$zsh_eval_context[-1] == loadautofunc", "$funcstack[1] == _cnitool"


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@pass_settings(("output",))
def completion_command(settings: Settings, *, shell: str) -> None:
    """Print a script with which SHELL completes verbs, options, and names of networks, containers and namespaces.

    Install it, as root where the path says so, and start a new shell:

    \b
      cnitool completion bash > /etc/bash_completion.d/cnitool
      cnitool completion zsh > "${fpath[1]}/_cnitool"
      cnitool completion fish > ~/.config/fish/completions/cnitool.fish
    """  # noqa: D301 -- click takes the sign for "leave these lines alone"
    made = get_completion_class(shell)
    if made is None:  # pragma: no cover -- click has all three
        raise click.UsageError(f"click cannot complete for {shell}")
    script = made(click.Command("cnitool"), {}, "cnitool", _VARIABLE).source().replace(_IS_LOADED, _IS_FUNCTION)
    click.echo(dump({"shell": shell, "script": script}) if settings.is_json else script)


def complete_networks(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a network of the configuration directory."""
    from libcni.config.load import load_conf_dir  # noqa: PLC0415 -- a shell waits for it, and only here

    with suppress(OSError, CNIError):
        networks = load_conf_dir(_settings(context).directory).networks
        return _items(((each.name, ",".join(plugin.type for plugin in each.plugins)) for each in networks), incomplete)
    return []


def complete_containers(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a container of which something is stored."""
    with suppress(OSError, CNIError):
        stored = _settings(context).config().get_cached_attachments()
        return _items(((each.container_id, each.network) for each in stored), incomplete)
    return []


def complete_netns(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the path of a namespace: a named one, or any file."""
    if not incomplete.startswith("/") or f"{_NETNS_DIRECTORY}/".startswith(incomplete):
        with suppress(OSError):
            names = sorted(os.listdir(_NETNS_DIRECTORY))  # noqa: PTH208 -- text out
            if names:
                return [CompletionItem(f"{_NETNS_DIRECTORY}/{name}") for name in names]
    return [CompletionItem(incomplete, type="file")]


def complete_codes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the code of an error, of a finding or of a check."""
    from libcni.cli.explain import explanations  # noqa: PLC0415 -- as above

    return _items(((each.code, each.title) for each in explanations()), incomplete)


def complete_schemas(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of a schema."""
    from libcni.schema.files import names  # noqa: PLC0415 -- as above

    return _items(((name, "") for name in names()), incomplete)


def _settings(context: click.Context) -> Settings:
    """Return the settings as far as options were typed; click has not run the group, which would take them."""
    given: dict[str, Any] = {}
    for each in (context.parent, context):
        params = {} if each is None else each.params
        given |= {name: params[name] for name in Settings._fields if params.get(name) not in (None, ())}
    return Settings(**given)


def _items(named: Any, incomplete: str) -> list[CompletionItem]:
    found = {name: text for name, text in named if name.startswith(incomplete)}
    return [CompletionItem(name, help=text) for name, text in sorted(found.items())]
