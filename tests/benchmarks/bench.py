"""Measures libcni against Go libcni on this machine, side by side, and prints tables of ratios.

``python -m tests.benchmarks.bench [--pairs 5] [--only PART]``; nothing here passes or fails by time. Lower is better;
what misses its goal is in bold.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import counts, real
from tests.benchmarks.measure import Load, build, in_turn, ratio, run_seconds
from tests.benchmarks.report import MILLI, Cell, Row, Table, cell, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.benchmarks.measure import Bench, Times

VERBS = ("add", "check", "del")
FLAVOURS = ("sync", "asyncio", "trio")
ALONE = 12
"""Containers that are attached one after the other with real plugins, where each verb takes some ten milliseconds."""
AT_ONCE = 16
QUICK_AT_ONCE = 32
SLACK = 0.03


def real_plugins(bench: Bench, pairs: int) -> Iterator[Table]:
    """Measure bridge, host-local, tuning and bandwidth, durable, in all flavours, and without the C part."""
    if reason := real.missing():
        print(f"real plugins are not measured: {reason}")
        return
    with real.attached(bench, 2 * AT_ONCE) as load:
        alone = replace(load, containers=ALONE)
        sides = _sides(bench, alone, "--durable")
        sides["pure"] = partial(bench.ours, "verbs", alone, "--durable", "--pure")
        measured = in_turn(pairs, sides)
        at_once = in_turn(pairs, _sides(bench, replace(load, parallel=AT_ONCE), "--durable"))
    wall = [_row(f"{name}, one at a time", measured, name, goal=1.0, slack=SLACK) for name in FLAVOURS]
    wall += [_row(f"{name}, {AT_ONCE} at once", at_once, name, goal=1.05) for name in FLAVOURS]
    wall.append(_row("sync without the C part, one at a time", measured, "pure", goal=1.1))
    yield Table("Real plugins, wall time against Go libcni", _columns(measured, at_once), wall)
    own = [_row(f"{name}, one at a time", measured, name, goal=0.9, what="_cpu") for name in FLAVOURS]
    own += [_row(f"{name}, {AT_ONCE} at once", at_once, name, goal=1.4, what="_cpu") for name in FLAVOURS]
    yield Table("Real plugins, own CPU time against Go libcni", _columns(measured, at_once, what="_cpu"), own)


def _sides(bench: Bench, load: Load, *flags: str) -> dict[str, Callable[[], Times]]:
    """Return the sides of a round: Go, and each flavour."""
    ours = {name: partial(bench.ours, "verbs", load, "--backend", name, *flags) for name in FLAVOURS}
    return {"go": partial(bench.go, "verbs", load), **ours}


def _row(
    work: str, measured: list[dict[str, Times]], side: str, *, goal: float, slack: float = 0.0, what: str = ""
) -> Row:
    return Row(work, [cell(ratio(measured, side, verb + what), goal, slack) for verb in VERBS])


def _columns(alone: list[dict[str, Times]], at_once: list[dict[str, Times]], *, what: str = "") -> list[str]:
    """Name the columns, each with what Go takes."""

    def of_go(measured: list[dict[str, Times]], verb: str) -> str:
        return f"{statistics.median([times['go'][verb + what] for times in measured]) * MILLI:.3g}"

    return [f"{verb.upper()} (Go {of_go(alone, verb)} / {of_go(at_once, verb)} ms)" for verb in VERBS]


def quick_plugins(bench: Bench, pairs: int) -> Iterator[Table]:
    """Measure a chain of three plugins in C that do nothing: what is left is the library and the processes."""
    load = Load(bench.chain(3), bench.bin, containers=60)
    go = {"go": partial(bench.go, "verbs", load)}
    plain, durable = _sides(bench, load), _sides(bench, load, "--durable")
    sides: Mapping[str, Callable[[], Times]] = {
        **go,
        **{f"{name} not durable": plain[name] for name in FLAVOURS},
        **{f"{name} durable": durable[name] for name in FLAVOURS},
    }
    measured = in_turn(pairs, sides)
    crowd = replace(load, containers=4 * QUICK_AT_ONCE, parallel=QUICK_AT_ONCE)
    at_once = in_turn(pairs, _sides(bench, crowd, "--durable"))
    rows = [_row(f"{name}, not durable", measured, f"{name} not durable", goal=1.0) for name in FLAVOURS]
    rows += [_row(f"{name}, durable", measured, f"{name} durable", goal=1.2) for name in FLAVOURS]
    rows += [_row(f"{name}, durable, {QUICK_AT_ONCE} at once", at_once, name, goal=1.25) for name in FLAVOURS]
    yield Table("Plugins that do nothing, wall time against Go libcni", _columns(measured, at_once), rows)


def loop_gaps(bench: Bench, pairs: int) -> Iterator[Table]:
    """Measure the longest gap of an event loop while ADDs run at once, beside that of an idle loop next to Go's."""
    load = Load(bench.chain(3), bench.bin, containers=QUICK_AT_ONCE, parallel=QUICK_AT_ONCE)
    rows: list[Row] = []

    def beside(name: str) -> Times:
        command = bench.go_words("verbs", load)
        return bench.ours("gap-beside", load, "--backend", name, "--command", *command)

    for name in ("asyncio", "trio"):
        sides = {
            "ours": partial(bench.ours, "gap", load, "--backend", name, "--durable"),
            "idle": partial(beside, name),
        }
        measured = in_turn(2 * pairs, sides)
        gaps, idle = ([times[side]["gap"] * MILLI for times in measured] for side in ("ours", "idle"))
        largest = Cell(statistics.median(gaps), 20, unit=" ms", ours=f"largest {max(gaps):.1f} ms")
        control = f"idle loop beside Go's: {statistics.median(idle):.1f} ms, largest {max(idle):.1f} ms"
        rows.append(Row(f"{name}, {QUICK_AT_ONCE} ADDs at once", [replace(largest, peers=control)]))
    yield Table("Longest gap of an event loop", ["gap"], rows)


def without_plugins(bench: Bench, pairs: int) -> Iterator[Table]:
    """Measure loading, listing, garbage collection, and the start of the command."""
    rows = [_loading(bench, pairs), *_listing(bench, pairs), _collecting(bench, pairs), _command(bench, pairs)]
    yield Table("Without plugins, against Go libcni where nothing else is said", ["ratio"], rows)


def _loading(bench: Bench, pairs: int) -> Row:
    load = Load(bench.many_lists(500), bench.bin, containers=20)
    measured = in_turn(pairs, {"ours": partial(bench.ours, "load", load), "go": partial(bench.go, "load", load)})
    return Row("load one network from a directory of 500 lists", [cell(ratio(measured, "ours", "load"), 0.5)])


def _listing(bench: Bench, pairs: int) -> Iterator[Row]:
    load = Load(bench.chain(1), bench.bin, containers=10_000, cache=bench.new_cache())
    bench.ours("fill", load, "--prefix", "s")
    work = {"ours": partial(bench.ours, "attachments", load), "go": partial(bench.go, "attachments", load)}
    measured = in_turn(pairs, work)
    first = ratio(measured, "ours", "list_first", of="list")
    yield Row("list 10,000 cached attachments, the first time", [cell(first, 1.0)])
    yield Row("list 10,000 cached attachments, again", [cell(ratio(measured, "ours", "list"), 0.3)])
    many, few = replace(load, containers=100), replace(load, containers=100, cache=bench.new_cache())
    measured = in_turn(pairs, {"ours": partial(bench.ours, "verbs", many), "few": partial(bench.ours, "verbs", few)})
    growth = ratio(measured, "ours", "add", peer="few")
    yield Row("ADD beside 10,000 attachments, against ADD beside none", [cell(growth, 1.1)])


def _collecting(bench: Bench, pairs: int) -> Row:
    quick, slow = bench.chain(1), bench.chain(1, "slow")

    def filled() -> Load:
        cache = bench.new_cache()
        load = Load(quick, bench.bin, containers=200, cache=cache)
        bench.ours("fill", load)
        # What is deleted is what was stored, which names the slow plugin only when that was added.
        for file in (cache / "results").iterdir():
            file.write_text(file.read_text().replace(_encoded(quick), _encoded(slow)))
        return replace(load, conf=slow)

    sides = {"ours": lambda: bench.ours("collect", filled()), "go": lambda: bench.go("collect", filled())}
    measured = in_turn(min(pairs, 2), sides)
    return Row("GC of 200 stale attachments, plugins of 50 ms", [cell(ratio(measured, "ours", "gc"), 0.1)])


def _encoded(directory: Path) -> str:
    return base64.b64encode((directory / "10-bench.conflist").read_bytes()).decode()


def _command(bench: Bench, pairs: int) -> Row:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    conf, cache = bench.chain(3), bench.new_cache()
    numbers = iter(range(10_000))
    options = ["--conf-dir", str(conf), "--bin-dir", bench.bin, "--cache-dir", str(cache)]

    def add() -> Times:
        number = next(numbers)
        words = [sys.executable, "-m", "libcni.cli", "add", "bench", "/proc/self/ns/net", *options]
        return run_seconds([*words, "--container-id", f"one{number}", "--ifname", f"one{number}"], environment)

    imports = partial(run_seconds, [sys.executable, "-c", "import pydantic"], environment)
    measured = in_turn(pairs * 3, {"ours": add, "go": imports})
    return Row("whole process cnitool add, against import pydantic", [cell(ratio(measured, "ours", "wall"), 2.0)])


def counted(bench: Bench, _: int) -> Iterator[str]:
    """Count what does not depend on the machine."""
    python, c = counts.lines_of_code()
    calls = counts.calls_of_add(bench)
    yield f"functions of libcni that one durable ADD of a chain of 3 enters: {counts.functions_of_add(bench)}"
    yield f"system calls of the thread that calls it: {'strace is missing' if calls is None else calls}"
    yield f"lines of the core in Python: {python}; in C: {c} (goal 500)"


PARTS: Mapping[str, Callable[[Bench, int], Iterator[object]]] = {
    "counts": counted,
    "gaps": loop_gaps,
    "real": real_plugins,
    "quick": quick_plugins,
    "without": without_plugins,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="how often each side is measured [5]")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part; more than once for several")
    options = parser.parse_args()
    tables: list[Table] = []
    with tempfile.TemporaryDirectory(prefix="libcni-bench-") as directory:
        bench = build(Path(directory) / "bench")
        for name in options.only or PARTS:
            for found in PARTS[name](bench, options.pairs):
                print(f"{found}\n", flush=True)
                tables += [found] if isinstance(found, Table) else []
    figures = [figure for table in tables for row in table.rows for figure in row.cells]
    print(f"{sum(figure.is_met for figure in figures)} of {len(figures)} goals met, {options.pairs} pairs: {machine()}")


if __name__ == "__main__":
    main()
