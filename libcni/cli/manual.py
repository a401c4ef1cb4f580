"""The manual page of ``cnitool``, made from the help of its verbs: ``python -m libcni.cli.manual docs/cnitool.1``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from libcni import __version__
from libcni.cli.root import cnitool, verb_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["manual_page"]

_HEAD = (
    '.\\" Written by python -m libcni.cli.manual docs/cnitool.1; change the help of the verbs instead.',
    f'.TH CNITOOL 1 "" "libcni {__version__}" "User commands"',
    ".SH NAME",
    "cnitool \\- run CNI plugins for a network namespace",
    ".SH SYNOPSIS",
    ".B cnitool",
    "[\\fIOPTIONS\\fR] \\fIVERB\\fR [\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]",
)

_VARIABLES = {
    "NETCONFPATH": "Directory of network configurations.",
    "CNI_PATH": "Plugin directories, separated by colons.",
    "CNI_ARGS": "Pairs for the plugins: KEY=VALUE;KEY=VALUE.",
    "CAP_ARGS": "Capability arguments, as one JSON object.",
    "CNI_IFNAME": "Name of the interface in the container.",
    "NO_COLOR": "If it is set, tables have no colours.",
    "LIBCNI_PURE": "If it is set, plugins are started without the part in C.",
}

_STATUS = {
    "0": "Done.",
    "1": "The operation failed.",
    "2": "Wrong usage; nothing has run.",
    "128 and more": "A signal has ended it: 128 and its number, 130 for Ctrl-C.",
}


def manual_page() -> str:
    """Return the page, in the language of man(7)."""
    root = click.Context(cnitool, info_name="cnitool", **cnitool.context_settings)
    parts = [*_HEAD, ".SH DESCRIPTION", _escaped(cnitool.help or ""), *_options(root)]
    for title, verbs in verb_groups().items():
        parts.append(f".SH {_escaped(title.upper())}")
        for verb in verbs:
            command = cnitool.get_command(root, verb)
            if command is not None:
                parts += _verb(click.Context(command, parent=root, info_name=verb))
    parts += [".SH ENVIRONMENT", *_pairs(_VARIABLES), ".SH EXIT STATUS", *_pairs(_STATUS)]
    parts += [".SH SEE ALSO", "ip\\-netns(8), nsenter(1)", ""]
    return "\n".join(parts)


def _verb(context: click.Context) -> Iterator[str]:
    """Write the part of a verb. Its context is below that of the tool: click keeps what it makes of the first one."""
    command = context.command
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_escaped(context.command_path)} {_escaped(usage)}"
    paragraphs = (command.help or "").replace("\b\n", "").split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _escaped(" ".join(paragraph.split()))
    yield from _options(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from _verb(click.Context(below, parent=context, info_name=name))


def _options(context: click.Context) -> Iterator[str]:
    for parameter in context.command.params:
        if not isinstance(parameter, click.Option):
            continue  # of arguments some versions of click say something, and others do not
        record = parameter.get_help_record(context)
        if record is not None:
            yield from (".TP", f"\\fB{_escaped(record[0])}\\fR", _escaped(record[1]))


def _pairs(texts: dict[str, str]) -> Iterator[str]:
    for name, text in texts.items():
        yield from (".TP", f"\\fB{_escaped(name)}\\fR", _escaped(text))


def _escaped(text: str) -> str:
    """Return a text in which nothing is a request or an escape of roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manual_page(), encoding="utf-8")
