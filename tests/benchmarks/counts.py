"""What does not depend on the machine's load: functions that an ADD enters, its system calls, lines of code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import libcni
from libcni import CNIConfig, RuntimeConf, load_network_conf

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from tests.benchmarks.measure import Bench

PACKAGE = Path(libcni.__file__).parent
AROUND = ("lint", "conformance", "demo", "cli")
"""Folders that are not the core."""

BEGIN, END = "/count-begins", "/count-ends"
"""Paths that do not exist: to look for them marks a trace."""


def functions_of_add(bench: Bench) -> int:
    """Return how many distinct functions of libcni the second durable ADD of a chain of three enters."""
    seen: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)) and not code.co_name.startswith("<"):
            seen.add(code)

    second = _second_add(str(bench.chain(3)), bench.bin)
    sys.setprofile(note)
    try:
        second()
    finally:
        sys.setprofile(None)
    return len(seen)


def calls_of_add(bench: Bench) -> int | None:
    """Return how many system calls the thread makes that calls the second durable ADD; ``None`` without strace."""
    if shutil.which("strace") is None:
        return None
    trace = bench.root / "trace"
    words = [sys.executable, "-m", "tests.benchmarks.counts", str(bench.chain(3)), bench.bin]
    subprocess.run(["strace", "-f", "-o", str(trace), *words], check=True, capture_output=True)
    lines = trace.read_text().splitlines()
    [first] = [number for number, line in enumerate(lines) if BEGIN in line]
    [last] = [number for number, line in enumerate(lines) if END in line]
    caller = lines[first].split()[0]
    between = [line for line in lines[first + 1 : last] if line.split()[0] == caller]
    return sum("resumed>" not in line and "+++" not in line and "---" not in line for line in between)


def lines_of_code() -> tuple[int, int]:
    """Return the lines of the core in Python, and those in C."""
    python = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in AROUND]
    return sum(map(_lines, python)), sum(map(_lines, PACKAGE.rglob("*.c")))


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _second_add(conf: str, plugins: str) -> Callable[[], object]:
    config = CNIConfig([plugins], cache_dir=tempfile.mkdtemp(dir=Path(plugins).parent))
    network = load_network_conf(conf, "bench")
    config.add_network_list(network, RuntimeConf("first", "/proc/self/ns/net", "bfirst"))
    return lambda: config.add_network_list(network, RuntimeConf("second", "/proc/self/ns/net", "bsecond"))


def main() -> None:
    """Do the ADD that is traced."""
    second = _second_add(*sys.argv[1:])
    os.access(BEGIN, os.F_OK)
    second()
    os.access(END, os.F_OK)


if __name__ == "__main__":
    main()
