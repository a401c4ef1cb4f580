"""The page of the reference with every verb and option of ``cnitool``, made from their help."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import click

from libcni.cli.root import cnitool, verb_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """\
# cnitool: every verb and option

`cnitool VERB --help` prints the same. Options stand before or after the verb. How they are used: [Use
cnitool](../cnitool.md).
"""


def page() -> str:
    """Return the page."""
    root = click.Context(cnitool, info_name="cnitool", **cnitool.context_settings)
    parts = [HEAD, "\n## For every verb\n", *options(root)]
    for title, verbs in verb_groups().items():
        parts.append(f"\n## {title}\n")
        for verb in verbs:
            if (command := cnitool.get_command(root, verb)) is not None:
                parts += section(click.Context(command, parent=root, info_name=verb))
    return "".join(parts)


def section(context: click.Context) -> Iterator[str]:
    """Go through the parts of the section of a verb, and of the verbs below it."""
    command = context.command
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"\n### {context.command_path}\n\n```text\n{usage}\n```\n\n"
    paragraphs = (command.help or "").replace("\b\n", "").split("\n\n")
    yield "\n\n".join(map(cell, paragraphs)) + "\n"
    yield from options(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if (below := command.get_command(context, name)) is not None:
                yield from section(click.Context(below, parent=context, info_name=name))


def options(context: click.Context) -> Iterator[str]:
    """Go through the rows of the table of options."""
    found = [param for param in context.command.get_params(context) if isinstance(param, click.Option)]
    records = [option.get_help_record(context) for option in found]
    rows = [f"| <code>{cell(names)}</code> | {cell(what)} |\n" for names, what in filter(None, records)]
    if rows:
        yield "\n| option | what |\n| --- | --- |\n"
        yield from rows


def cell(text: str) -> str:
    """Return a text that Markdown takes for nothing else."""
    text = escape(" ".join(text.split()), quote=False)
    return text.replace("|", "&#124;").replace("[", "&#91;").replace("*", "&#42;")
