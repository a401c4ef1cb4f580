"""The tables of checks, and choosing from them.

Owns :class:`Check` and the reading of the tables. A table names for each check the sentence of the specification that
it comes from, and the function that does it; the key word of the sentence is the level of the check.
"""

from __future__ import annotations

import fnmatch
import functools
import tomllib
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.conformance.sentences import Level, load_sentences
from libcni.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from libcni.conformance.sentences import Sentence

__all__ = ["Check", "Level", "checks_ids", "load_checks", "select"]

_HERE = Path(__file__).parent

PLUGIN_TABLES = (
    "version",
    "parameters",
    "output",
    "add",
    "delete",
    "check",
    "collection",
    "delegation",
    "conditions",
    "conventions",
)


@dataclass(frozen=True)
class Check:
    """One row of the catalogue.

    :param sentence: the sentence of the specification that is broken when it fails.
    :param also: ids of further sentences that it looks at.
    :param rule: what that means for the plugin.
    :param needs: what has to be there: ``netns`` (namespaces), ``add`` (an ADD that can succeed here), ``data``,
        ``delegate``, ``addresses``, ``unready``, ``capabilities``, ``capability:<name>``, ``args-ip``.
    :param since: the version of the specification that a plugin has to list.
    :param profiles: the kinds of plugins that it is for; empty for all.
    """

    id: str
    group: str
    title: str
    sentence: Sentence
    rule: str
    run: str
    verbs: tuple[str, ...]
    also: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    since: str = ""
    profiles: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def section(self) -> str:
        """The section of the specification that the sentence stands in."""
        return self.sentence.section

    @property
    def level(self) -> Level:
        """The level that the key word of the sentence gives."""
        return self.sentence.level

    @property
    def function(self) -> Callable[..., None]:
        """The function that does it."""
        module, _, name = self.run.rpartition(".")
        package = "runtimes" if self.group == "runtime" else "checks"
        function: Callable[..., None] = getattr(import_module(f"libcni.conformance.{package}.{module}"), name)
        return function


@functools.cache
def load_checks(*, for_runtimes: bool = False) -> tuple[Check, ...]:
    """Return the catalogue of checks of plugins, or that of runtimes, in order."""
    if for_runtimes:
        return _table(_HERE / "runtimes" / "runtime.toml")
    return tuple(check for name in PLUGIN_TABLES for check in _table(_HERE / "checks" / f"{name}.toml"))


def _table(path: Path) -> tuple[Check, ...]:
    rows = tomllib.loads(path.read_text(encoding="utf-8"))
    return tuple(_check(check_id, path.stem, row) for check_id, row in rows.items())


def _check(check_id: str, group: str, row: Mapping[str, Any]) -> Check:
    return Check(
        id=check_id,
        group=group,
        title=row["title"],
        sentence=load_sentences()[row["sentence"]],
        rule=row["rule"],
        run=row["run"],
        verbs=tuple(row["verbs"]),
        also=tuple(row.get("also", ())),
        needs=tuple(row.get("needs", ())),
        since=row.get("since", ""),
        profiles=tuple(row.get("profiles", ())),
        arguments=row.get("with", {}),
    )


def select(checks: Sequence[Check], only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Check]:
    """Return the checks that are asked for.

    :param only: ids, groups, or patterns with ``*``; nothing means all.
    :param skip: the same, of checks to leave out.
    :raises InvalidParameterError: if a pattern fits no check.
    """
    wanted = _matching(checks, "only", only) or set(checks_ids(checks))
    unwanted = _matching(checks, "skip", skip)
    return [check for check in checks if check.id in wanted and check.id not in unwanted]


def checks_ids(checks: Iterable[Check]) -> list[str]:
    """Return the ids."""
    return [check.id for check in checks]


def _matching(checks: Sequence[Check], option: str, patterns: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        fitting = {check.id for check in checks if pattern == check.group or fnmatch.fnmatchcase(check.id, pattern)}
        if not fitting:
            raise InvalidParameterError(option, pattern, "fits no check; see --list")
        found |= fitting
    return found
