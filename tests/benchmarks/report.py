"""The report of a run: rows with goals, tables in Markdown, and the machine that was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.invoke.process.backend import IN_PYTHON, processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.measure import Ratio

MILLI = 1000.0


@dataclass(frozen=True)
class Cell:
    """One figure and the goal for it; ``slack`` is what two runs of the same may differ by."""

    value: float
    goal: float
    slack: float = 0.0
    spread: str = ""
    unit: str = ""
    ours: str = ""
    peers: str = ""

    @property
    def is_met(self) -> bool:
        return round(self.value, 2) <= self.goal + self.slack

    def __str__(self) -> str:
        spread = f" ({self.spread})" if self.spread else ""
        return f"{self.value:.2f}{self.unit}{spread}" if self.is_met else f"**{self.value:.2f}**{self.unit}{spread}"


@dataclass(frozen=True)
class Row:
    """One line of a table: some work, and its figures."""

    work: str
    cells: Sequence[Cell]

    @property
    def goal(self) -> str:
        cell = self.cells[0]
        return f"≤ {cell.goal:g}{cell.unit}" + (f" ± {cell.slack:g}" if cell.slack else "")


@dataclass(frozen=True)
class Table:
    """Rows of one kind; ``columns`` are the names of their figures."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]

    def __str__(self) -> str:
        if len(self.columns) > 1:
            return self._lines(
                ["work", "goal", *self.columns], [[r.work, r.goal, *map(str, r.cells)] for r in self.rows]
            )
        heads = ["work", "goal", "measured", "libcni", "peer"]
        return self._lines(
            heads, [[r.work, r.goal, str(cell), cell.ours, cell.peers] for r in self.rows for cell in r.cells]
        )

    def _lines(self, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
        made = [f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines]]
        return f"{self.title}\n\n" + "\n".join(made)


def cell(measured: Ratio, goal: float, slack: float = 0.0) -> Cell:
    """Return the cell of a ratio."""
    spread = f"{measured.low:.2f}-{measured.high:.2f}"
    return Cell(measured.median, goal, slack, spread, ours=_seconds(measured.ours), peers=_seconds(measured.peers))


def _seconds(value: float) -> str:
    return f"{value * MILLI:.3g} ms" if value < 1 else f"{value:.3g} s"


def machine() -> str:
    """Say what was measured on, and how busy it was."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "processor unknown",
    )
    go = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.split()[2]
    packages = [f"{name} {importlib.metadata.version(name)}" for name in ("pydantic", "anyio", "trio")]
    debian = [
        f"{name} {_package_version(name)}" for name in ("golang-github-appc-cni-dev", "containernetworking-plugins")
    ]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    built = "built" if processes is not IN_PYTHON else "not built"
    facts = [f"{model}, {os.cpu_count()} cores, load {load}", f"Linux {platform.release()}"]
    return ", ".join([*facts, f"Python {platform.python_version()}", f"C part {built}", *packages, go, *debian])


def _package_version(package: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False)
    return done.stdout or "unknown"
