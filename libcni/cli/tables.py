"""Tables: with rich on a terminal, whose width they keep; as plain columns in a pipe, where programs cut them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["echo_table", "printable"]


def printable(text: str) -> str:
    """Return a text without control characters, which a terminal would take for commands."""
    return text if text.isprintable() else "".join([sign if sign.isprintable() else "\ufffd" for sign in text])


def echo_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table, without the control characters that names of files may hold."""
    rows = [[printable(text) for text in row] for row in rows]
    if sys.stdout.isatty():
        _echo_rich(header, rows)
        return
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    for row in [header, *rows]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _echo_rich(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console  # noqa: PLC0415 -- 40 ms, for terminals
    from rich.table import Table  # noqa: PLC0415 -- as above
    from rich.text import Text  # noqa: PLC0415 -- as above

    table = Table(*header, box=None, pad_edge=False, header_style="" if os.environ.get("NO_COLOR") else "bold")
    for row in rows:
        table.add_row(*[Text(text, overflow="fold") for text in row])
    Console(highlight=False).print(table)
