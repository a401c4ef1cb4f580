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
    parts = [*_HEAD, ".SH DESCRIPTION", _escaped(cnitool.help or ""), *_options(cnitool)]
    for title, verbs in verb_groups().items():
        parts.append(f".SH {_escaped(title.upper())}")
        for verb in verbs:
            command = cnitool.get_command(click.Context(cnitool, info_name="cnitool"), verb)
            if command is not None:
                parts += _verb(command, f"cnitool {verb}")
    parts += [".SH ENVIRONMENT", *_pairs(_VARIABLES), ".SH EXIT STATUS", *_pairs(_STATUS)]
    parts += [".SH SEE ALSO", "ip\\-netns(8), nsenter(1)", ""]
    return "\n".join(parts)


def _verb(command: click.Command, name: str) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_escaped(name)} {_escaped(usage)}"
    paragraphs = (command.help or "").replace("\b\n", "").split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _escaped(" ".join(paragraph.split()))
    yield from _options(command)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            sub = command.get_command(context, below)
            if sub is not None:
                yield from _verb(sub, f"{name} {below}")


def _options(command: click.Command) -> Iterator[str]:
    context = click.Context(command)
    for parameter in command.params:
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
