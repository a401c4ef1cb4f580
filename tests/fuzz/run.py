"""Coverage-guided fuzzing of every target with atheris.

usage: python -m tests.fuzz.run [EXECUTIONS [TARGET...]]

Each target runs in a process of its own, for that many executions (100,000 when left out). Prints how many were made,
and fails if a target raised anything but an error of the library, or made fewer.
"""

from __future__ import annotations

import atexit
import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DEFAULT_EXECUTIONS = 100_000
_MARK = "executions:"


def fuzz(target: str, executions: int, corpus: str) -> None:
    """Fuzz one target in this process, which ends with it."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["libcni"]):
        targets = importlib.import_module("tests.fuzz.targets")
    for number, data in enumerate(targets.seeds(target)):
        (Path(corpus) / f"seed-{number}").write_bytes(data)
    made = 0

    def one_input(data: bytes) -> None:
        nonlocal made
        made += 1
        targets.run(target, data)

    atexit.register(lambda: print(_MARK, made, flush=True))  # noqa: T201 -- what the parent process reads
    # Of the two options that bound a run, the one after which the process ends as Python does.
    atheris.Setup([sys.argv[0], f"-atheris_runs={executions}", "-max_len=65536", corpus], one_input)
    atheris.Fuzz()


def run_all(executions: int, names: list[str]) -> int:
    """Fuzz the targets one after the other, and return the exit status."""
    failed = 0
    for name in names:
        with tempfile.TemporaryDirectory() as corpus:
            command = [sys.executable, "-m", "tests.fuzz.run", "--one", name, str(executions), corpus]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        counts = [int(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(_MARK)]
        made = sum(counts)
        is_good = done.returncode == 0 and made >= executions > 0
        failed += not is_good
        print(f"{name}: {made} executions, {'nothing untyped' if is_good else 'FAILED'}", flush=True)  # noqa: T201 -- a report
        if not is_good:
            print(done.stdout[-4000:], done.stderr[-8000:], flush=True)  # noqa: T201 -- same
    return 1 if failed or not names else 0


def main(arguments: list[str]) -> int:
    """Run as the usage says."""
    if arguments[:1] == ["--one"]:
        _, target, number, corpus = arguments
        fuzz(target, int(number), corpus)
        return 0
    executions = int(arguments[0]) if arguments else DEFAULT_EXECUTIONS
    names = arguments[1:] or list(importlib.import_module("tests.fuzz.targets").TARGETS)
    return run_all(executions, names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
