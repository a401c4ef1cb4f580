"""Calls of ``cnitool`` on the pages: each is one that the tool takes, whether or not the page's test runs it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import click
import pytest

from libcni.cli.root import cnitool
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"^(?:[#$] )?(?:sudo )?(?:.*&& )?(?:\S*/)?cnitool (.*)$", re.MULTILINE)
PLACEHOLDERS = re.compile(r"\b(NAME|PLUGIN|COMMAND|FILE|ID)\b|…|\.\.\.")


def calls() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in BLOCK.findall(page.read_text(encoding="utf-8").replace("\\\n", "")):
            for line in CALL.findall(block):
                if not PLACEHOLDERS.search(line):
                    yield page.name, line


def left(context: click.Context) -> list[str]:
    """Return the words that are not parsed yet; click has named them in two ways."""
    known = vars(context)
    return [*known.get("_protected_args", known.get("protected_args", [])), *context.args]


@pytest.mark.parametrize(("page", "line"), sorted(set(calls())), ids=str)
def test_call_of_a_page_is_one_that_the_tool_takes(page: str, line: str) -> None:
    del page
    words = shlex.split(re.split(r" (?:[|>;]|2>|&&) ?", line)[0].rstrip("';"), comments=True)
    words = [word for word in words if word not in {"2>&1", "&"}]
    command: click.Command = cnitool
    context = cnitool.make_context("cnitool", list(words))
    while isinstance(command, click.Group) and left(context):
        name, below, rest = command.resolve_command(context, left(context))
        assert below is not None
        command, context = below, below.make_context(name, list(rest), parent=context)
