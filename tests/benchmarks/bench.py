"""Measures libcni against Go libcni on this machine, side by side, and prints a table of ratios.

``python -m tests.benchmarks.bench [--pairs 7] [--out DIRECTORY]``; nothing here passes or fails by time. Lower is
better.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.invoke.process.backend import IN_PYTHON, processes
from tests.benchmarks.measure import Bench, Ratio, build, in_turn, ratio, run_seconds
from tests.benchmarks.plot import draw

if TYPE_CHECKING:
    from collections.abc import Iterator

MILLI = 1000.0
MEGABYTE = 1024.0 * 1024.0


@dataclass(frozen=True)
class Row:
    """One line of the table: a ratio, or a plain figure with its unit, and the goal for it."""

    work: str
    goal: float
    value: float
    unit: str = ""
    ours: str = ""
    peers: str = ""
    spread: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.goal


def ratio_row(work: str, goal: float, measured: Ratio) -> Row:
    spread = f"{measured.low:.2f}-{measured.high:.2f}"
    return Row(work, goal, measured.median, "", _seconds(measured.ours), _seconds(measured.peers), spread)


def _seconds(value: float) -> str:
    return f"{value * MILLI:.3g} ms" if value < 1 else f"{value:.3g} s"


def verbs(bench: Bench, pairs: int, *, durable: bool) -> Iterator[Row]:
    conf = bench.chain(3)
    flags = ["--durable"] if durable else []

    def ours() -> dict[str, float]:
        return bench.ours("verbs", *flags, conf=conf, cache=bench.new_cache(), rounds=200)

    def peers() -> dict[str, float]:
        times = bench.go("verbs", conf=conf, cache=bench.new_cache(), rounds=200)
        return times | {"floor": bench.floor(3, 200)}

    measured = in_turn(pairs, ours, peers)
    kind, goal = ("durable", 1.10) if durable else ("durable=False", 0.90)
    for verb in ("add", "check", "del"):
        yield ratio_row(f"{verb.upper()} of a chain of 3, {kind}", goal, ratio(measured, verb))
    if durable:
        return
    for verb in ("add", "check", "del"):
        yield ratio_row(f"own CPU time of the caller, {verb.upper()}", 0.75, ratio(measured, f"{verb}_cpu"))
    above = statistics.median([mine["add"] - theirs["floor"] for mine, theirs in measured])
    go_above = statistics.median([theirs["add"] - theirs["floor"] for _, theirs in measured])
    floor = statistics.median([theirs["floor"] for _, theirs in measured])
    yield Row("library time above the floor, ADD of a chain of 3", 0.35, above * MILLI, "ms", peers=_seconds(go_above))
    yield Row("the same against Go's", 1.0, above / go_above, peers=f"floor {_seconds(floor)}")


def parallel(bench: Bench, pairs: int) -> Iterator[Row]:
    conf = bench.chain(3)
    go = lambda: bench.go("parallel", conf=conf, cache=bench.new_cache(), rounds=8, parallel=32)  # noqa: E731 -- used thrice

    def ours(mode: str, *flags: str) -> dict[str, float]:
        return bench.ours(mode, "--durable", *flags, conf=conf, cache=bench.new_cache(), rounds=8, parallel=32)

    variants = (
        ("threads", 1.00, partial(ours, "parallel")),
        ("asyncio", 1.05, partial(ours, "tasks", "--backend", "asyncio")),
        ("trio", 1.20, partial(ours, "tasks", "--backend", "trio")),
    )
    for name, goal, run in variants:
        yield ratio_row(f"32 containers at once, durable, {name}", goal, ratio(in_turn(pairs, run, go), "cycle"))


def loading(bench: Bench, pairs: int) -> Iterator[Row]:
    conf, cache = bench.many_lists(500), bench.new_cache()
    ours = partial(bench.ours, "load", conf=conf, cache=cache, rounds=20)
    peers = partial(bench.go, "load", conf=conf, cache=cache, rounds=20)
    yield ratio_row("load one network from a directory of 500 lists", 1.00, ratio(in_turn(pairs, ours, peers), "load"))


def cached(bench: Bench, pairs: int) -> Iterator[Row]:
    conf, cache = bench.chain(1), bench.new_cache()
    bench.ours("fill", conf=conf, cache=cache, rounds=10_000)
    ours = partial(bench.ours, "attachments", conf=conf, cache=cache, rounds=2)
    peers = partial(bench.go, "attachments", conf=conf, cache=cache, rounds=2)
    measured = in_turn(pairs, ours, peers)
    yield ratio_row("list 10,000 cached attachments, again", 0.60, ratio(measured, "list"))
    yield ratio_row("list 10,000 cached attachments, the first time", 0.60, ratio(measured, "list_first", "list"))
    yield ratio_row("list those of one container among 10,000", 0.60, ratio(measured, "list_one"))
    small = bench.new_cache()
    bench.ours("fill", conf=conf, cache=small, rounds=10)
    with_many = partial(bench.ours, "verbs", conf=conf, cache=cache, rounds=300)
    with_few = partial(bench.ours, "verbs", conf=conf, cache=small, rounds=300)
    yield ratio_row(
        "ADD with 10,000 entries in the cache, against 10", 1.10, ratio(in_turn(pairs, with_many, with_few), "add")
    )


def collecting(bench: Bench, pairs: int) -> Iterator[Row]:
    conf, quick = bench.chain(1, "slow"), bench.chain(1)

    def filled() -> Path:
        cache = bench.new_cache()
        bench.ours("fill", conf=quick, cache=cache, rounds=200)
        # What is deleted is what was added: the stored configuration names the slow plugin only when it was added so.
        for path in (cache / "results").iterdir():
            path.write_text(path.read_text().replace(_encoded(quick), _encoded(conf)))
        return cache

    def ours() -> dict[str, float]:
        return bench.ours("collect", conf=conf, cache=filled(), rounds=200)

    def peers() -> dict[str, float]:
        return bench.go("collect", conf=conf, cache=filled(), rounds=200)

    measured = in_turn(min(pairs, 3), ours, peers)
    yield ratio_row("GC of 200 stale attachments, plugins of 50 ms", 0.12, ratio(measured, "gc"))


def _encoded(directory: Path) -> str:
    import base64  # noqa: PLC0415 -- needed here only

    return base64.b64encode((directory / "10-bench.conflist").read_bytes()).decode()


def starting(bench: Bench, pairs: int) -> Iterator[Row]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    python = partial(run_seconds, environment=environment)
    imports = in_turn(
        pairs * 3,
        lambda: python([sys.executable, "-c", "import libcni"]),
        lambda: python([sys.executable, "-c", "import pydantic"]),
    )
    yield ratio_row("import libcni, against import pydantic (whole process)", 1.30, ratio(imports, "wall"))
    conf, cache = bench.chain(3), bench.new_cache()
    numbers = iter(range(10_000))
    options = ["--conf-dir", str(conf), "--bin-dir", str(bench.bin), "--cache-dir", str(cache)]

    def add() -> dict[str, float]:
        words = [sys.executable, "-m", "libcni.cli", "add", "bench", "/proc/self/ns/net", *options]
        return python([*words, "--container-id", f"one{next(numbers)}"])

    whole = in_turn(pairs * 3, add, lambda: python([sys.executable, "-c", "import pydantic"]))
    yield ratio_row("whole process cnitool add, against import pydantic", 2.5, ratio(whole, "wall"))


def memory(bench: Bench) -> Iterator[Row]:
    times = bench.ours("memory", conf=bench.chain(1), cache=bench.new_cache(), rounds=20_000)
    yield Row("peak memory after 1,000 ADDs", 60, times["first"] / MEGABYTE, "MB")
    yield Row("growth from 1,000 to 20,000", 1, (times["last"] - times["first"]) / MEGABYTE, "MB")


def scaling(bench: Bench, directory: Path) -> None:
    """Draw how the time of an ADD grows with the chain, and that of a cycle with the containers at once."""
    chains = (1, 2, 3, 5, 8)
    lines: dict[str, list[tuple[float, float]]] = {
        "Go libcni": [],
        "libcni": [],
        "libcni, durable": [],
        "bare processes": [],
    }
    for length in chains:
        conf = bench.chain(length)
        go = bench.go("verbs", conf=conf, cache=bench.new_cache(), rounds=100)
        plain = bench.ours("verbs", conf=conf, cache=bench.new_cache(), rounds=100)
        durable = bench.ours("verbs", "--durable", conf=conf, cache=bench.new_cache(), rounds=100)
        values = (go["add"], plain["add"], durable["add"], bench.floor(length, 100))
        for name, value in zip(lines, values, strict=True):
            lines[name].append((length, value * MILLI))
    draw(directory / "performance-chain.svg", "ADD by length of the chain", "plugins in the chain", "ms", lines)
    lines = {"Go libcni": [], "libcni, threads, durable": [], "libcni, asyncio, durable": []}
    conf = bench.chain(3)
    for count in (1, 2, 4, 8, 16, 32, 64):
        sizes = {"rounds": max(4, 64 // count), "parallel": count}
        go = bench.go("parallel", conf=conf, cache=bench.new_cache(), **sizes)
        threads = bench.ours("parallel", "--durable", conf=conf, cache=bench.new_cache(), **sizes)
        tasks = bench.ours("tasks", "--durable", conf=conf, cache=bench.new_cache(), **sizes)
        for name, times in zip(lines, (go, threads, tasks), strict=True):
            lines[name].append((count, times["cycle"] * MILLI))
    title = "ADD and DEL of a chain of 3 by containers at once"
    draw(directory / "performance-parallel.svg", title, "containers at once", "ms for each", lines)


def machine() -> dict[str, str]:
    """Say what was measured on."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "",
    )
    go = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "processor": f"{model}, {os.cpu_count()} cores",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "C part of libcni": "built" if processes is not IN_PYTHON else "not built",
        "pydantic": importlib.metadata.version("pydantic"),
        "anyio": importlib.metadata.version("anyio"),
        "go": go,
        "go libcni": _package_version("golang-github-appc-cni-dev"),
    }


def _package_version(package: str) -> str:
    done = subprocess.run(["dpkg-query", "-W", "-f=${Version}", package], capture_output=True, text=True, check=False)
    return done.stdout or "unknown"


def table(rows: list[Row]) -> str:
    lines = ["| work | goal | measured | quartiles | libcni | peer |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        mark = "" if row.is_met else " (not met)"
        value = f"{row.value:.2f} {row.unit}".strip() + mark
        lines.append(f"| {row.work} | ≤ {row.goal:g} | {value} | {row.spread} | {row.ours} | {row.peers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="how often each side is measured [7]")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where table, JSON and plots go [docs]")
    parser.add_argument("--no-plots", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="libcni-bench-") as directory:
        bench = build(Path(directory) / "bench")
        for part in (
            partial(verbs, bench, options.pairs, durable=False),
            partial(verbs, bench, options.pairs, durable=True),
            partial(parallel, bench, options.pairs),
            partial(loading, bench, options.pairs),
            partial(cached, bench, options.pairs),
            partial(collecting, bench, options.pairs),
            partial(starting, bench, options.pairs),
            partial(memory, bench),
        ):
            for row in part():
                rows.append(row)
                print(f"{row.work}: {row.value:.2f} {row.unit} (goal {row.goal:g})", flush=True)
        if not options.no_plots:
            scaling(bench, options.out)
    facts = machine()
    print("\n" + "\n".join(f"{name}: {value}" for name, value in facts.items()))
    print("\n" + table(rows))
    print(f"\n{sum(row.is_met for row in rows)} of {len(rows)} goals met")
    report = {"machine": facts, "pairs": options.pairs, "rows": [asdict(row) | {"met": row.is_met} for row in rows]}
    (options.out / "performance.json").write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
