"""The codes of findings: read from the table beside this module, from which ``docs/lint.md`` is generated too."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["CODES", "Code", "Example", "Severity"]


class Severity(StrEnum):
    """The severity of a finding, in the words of SARIF."""

    ERROR = "error"
    """The network does not work, or not as its file says."""
    WARNING = "warning"
    """It may work, and is probably not what was meant."""
    NOTE = "note"
    """Worth knowing."""


@dataclass(frozen=True, slots=True)
class Example:
    """Files by name (with the name of their directory where they stand in one), and which plugins are installed.

    A file without content is a pipe, which no runtime can read. ``plugins`` maps a type to the versions it supports;
    without it no plugins are asked.
    """

    files: Mapping[str, str]
    plugins: Mapping[str, Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of mistake: its code, severity, title and explanation, and files that have it and that do not."""

    code: str
    severity: Severity
    title: str
    text: str
    bad: Example
    good: Example


_EXAMPLE_FILE = "10-example.conflist"


def _example(value: str | Mapping[str, Any]) -> Example:
    if isinstance(value, str):
        return Example({_EXAMPLE_FILE: value})
    contents = dict(value)
    plugins = contents.pop("plugins", None)
    return Example(contents, plugins)


def _load() -> dict[str, Code]:
    table = tomllib.loads(files("libcni.lint").joinpath("codes.toml").read_text(encoding="utf-8"))
    return {
        code: Code(
            code,
            Severity(entry["severity"]),
            entry["title"],
            " ".join(entry["text"].split()),
            _example(entry["bad"]),
            _example(entry["good"]),
        )
        for code, entry in table.items()
    }


CODES: Mapping[str, Code] = _load()
"""Every code, in order."""
