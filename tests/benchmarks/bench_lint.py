"""Time and memory of linting a directory: python -m tests.benchmarks.bench_lint [FILES ...], and of one large
file: --large BYTES.

Each size runs in a process of its own, so that the peak is its own; the time is the best of three in one process, after
a first run that loads the schemas. Nothing here passes or fails: the table is what a reader compares.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from libcni.lint import Severity, lint_paths

SIZES = (1, 100, 500)
ROUNDS = 3


def write_networks(directory: Path, count: int) -> None:
    """Write lists like those that people have: a bridge with an IPAM plugin, and two chained plugins."""
    for number in range(count):
        ipam = {"type": "host-local", "ranges": [[{"subnet": f"10.{number // 250}.{number % 250}.0/24"}]]}
        plugins = [
            {"type": "bridge", "bridge": f"br{number}", "isGateway": True, "ipMasq": True, "mtu": 1450, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "512"}},
        ]
        document = {"cniVersion": "1.0.0", "name": f"network{number}", "plugins": plugins}
        (directory / f"{number:04}.conflist").write_text(json.dumps(document, indent=2))


def measure(count: int) -> tuple[float, int]:
    """Return the seconds of the best round, and the peak resident memory in bytes."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_networks(directory, count)
        lint_paths([next(directory.iterdir())])
        rounds: list[float] = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            findings = lint_paths([directory])
            rounds.append(time.perf_counter() - started)
        found = [finding for finding in findings if finding.severity is not Severity.NOTE]
        if found:
            raise SystemExit(f"expected no finding, found {found[0]}")
    return min(rounds), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure_large(size: int) -> tuple[float, float, int]:
    """Return the seconds of the best round, those of the processor alone, and the number of findings.

    The file is one list of bridges, of so many bytes.
    """
    plugins = [
        {"type": "bridge", "bridge": f"br{number}", "isGateway": True, "ipMasq": True, "mtu": 1450}
        | {"ipam": {"type": "host-local", "ranges": [[{"subnet": f"10.{number // 250}.{number % 250}.0/24"}]]}}
        for number in range(60_000)
    ]
    each = len(json.dumps(plugins[:100], indent=2)) // 100
    document = {"cniVersion": "1.0.0", "name": "large", "plugins": plugins[: size // each]}
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "10-large.conflist")
        path.write_text(json.dumps(document, indent=2))
        lint_paths([path])
        rounds: list[tuple[float, float]] = []
        for _ in range(ROUNDS):
            started, busy = time.perf_counter(), time.process_time()
            findings = lint_paths([path])
            rounds.append((time.perf_counter() - started, time.process_time() - busy))
    return min(rounds)[0], min(busy for _, busy in rounds), len(findings)


def main(arguments: list[str]) -> None:
    """Print the table, or measure one size for it."""
    if arguments[:1] == ["--one"]:
        print(*measure(int(arguments[1])))
        return
    if arguments[:1] == ["--large"]:
        size = int(arguments[1])
        seconds, busy, findings = measure_large(size)
        print(f"one file of {size} bytes: {seconds:.3f} seconds, {busy:.3f} of the processor, {findings} findings")
        return
    print(f"{'lists':>6} {'seconds':>9} {'ms per list':>12} {'peak MiB':>9}")
    for count in [int(text) for text in arguments] or SIZES:
        command = [sys.executable, "-m", "tests.benchmarks.bench_lint", "--one", str(count)]
        seconds, peak = map(float, subprocess.check_output(command, text=True).split())
        print(f"{count:>6} {seconds:>9.3f} {seconds / count * 1000:>12.2f} {peak / 2**20:>9.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
