"""Known faults of the reference plugins, as data: cause, effect, and the public issue where there is one.

Owns :class:`Fault` and the reading of ``faults.toml``.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["FAULTS_OF", "Fault", "known_faults"]

EVERY_PLUGIN = "all"

FAULTS_OF = "1.1.1, as Debian 12 has it"
"""The version that was looked at."""


@dataclass(frozen=True)
class Fault:
    """One known fault.

    :param plugins: types of the plugins that have it; ``all`` stands for all 16.
    :param effect: what it means for those who run chains of them.
    :param issue: address of the public issue, empty if none was found.
    :param is_rare: whether it shows now and then only.
    """

    check: str
    plugins: tuple[str, ...]
    cause: str
    effect: str
    issue: str = ""
    is_rare: bool = False

    def is_of(self, plugin: str) -> bool:
        """Return whether a plugin has it."""
        return plugin in self.plugins or EVERY_PLUGIN in self.plugins


@functools.cache
def known_faults() -> tuple[Fault, ...]:
    """Return all known faults of the reference plugins, version 1.1.1."""
    text = Path(__file__).with_name("faults.toml").read_text(encoding="utf-8")
    tables: dict[str, list[dict[str, Any]]] = tomllib.loads(text)
    return tuple(_fault(check, row) for check, rows in tables.items() for row in rows)


def _fault(check: str, row: dict[str, Any]) -> Fault:
    is_rare = bool(row.get("now-and-then"))
    return Fault(check, tuple(row["plugins"]), row["cause"], row["effect"], row.get("issue", ""), is_rare)
