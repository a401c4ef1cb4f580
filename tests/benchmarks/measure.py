"""Builds what is measured, runs the workers in turn, and makes ratios of their times."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
GO_SOURCES = Path("/usr/share/gocode")
GO_PACKAGES = ("golang-go", "golang-github-appc-cni-dev")

Times = dict[str, float]
"""Seconds by name, as a worker prints them."""


@dataclass(frozen=True)
class Ratio:
    """One figure of ours against one of a peer, measured in turn: the median of the ratios, and their quartiles."""

    ours: float
    peers: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Load:
    """What a worker has to do: a network, its plugins, and how many containers it is given, how many at once.

    :param netns: a file with the paths of namespaces, one a line, or ``None`` for that of the worker.
    """

    conf: Path
    bin: str
    containers: int = 1
    parallel: int = 1
    netns: Path | None = None
    cache: Path | None = None

    def words(self, cache: Path) -> list[str]:
        """Return the options of a worker, which both sides spell with one dash or two."""
        options = {"conf-dir": self.conf, "bin-dir": self.bin, "cache-dir": self.cache or cache}
        numbers = {"containers": self.containers, "parallel": self.parallel}
        found = [word for name, value in {**options, **numbers}.items() for word in (f"--{name}", str(value))]
        return found + (["--netns", str(self.netns)] if self.netns else [])


@dataclass(frozen=True)
class Bench:
    """A directory with the built programs, and the configurations that both sides load."""

    root: Path

    @property
    def bin(self) -> str:
        return str(self.root / "bin")

    def new_cache(self) -> Path:
        """Return an empty cache directory of its own."""
        path = self.root / f"cache-{time.monotonic_ns()}"
        path.mkdir(mode=0o700)
        return path

    def configurations(self, name: str, documents: Sequence[tuple[str, object]]) -> Path:
        """Write a configuration directory."""
        path = self.root / name
        if not path.exists():
            path.mkdir()
            for file_name, document in documents:
                (path / file_name).write_text(json.dumps(document))
        return path

    def network(self, name: str, plugins: Sequence[Mapping[str, object]]) -> Path:
        """Return a configuration directory with one network."""
        document = {"cniVersion": "1.0.0", "name": "bench", "plugins": plugins}
        return self.configurations(name, [("10-bench.conflist", document)])

    def chain(self, length: int, plugin: str = "quick") -> Path:
        """Return a configuration directory with one list of so many plugins of our own."""
        extra: list[dict[str, object]] = [
            {"bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}},
            {"sysctl": {"net.core.somaxconn": "500"}},
            {"capabilities": {"portMappings": True}, "snat": True},
        ]
        plugins = [{"type": plugin, **extra[index % len(extra)]} for index in range(length)]
        return self.network(f"chain-{plugin}-{length}", plugins)

    def many_lists(self, count: int) -> Path:
        """Return a configuration directory with so many lists; the one that is wanted comes last."""
        documents: list[tuple[str, object]] = []
        for number in range(count):
            name = "bench" if number == count - 1 else f"net{number}"
            plugins = [{"type": "quick", "bridge": f"br{number}", "ipam": {"type": "host-local"}}, {"type": "quick"}]
            documents.append((f"{number:04d}.conflist", {"cniVersion": "1.0.0", "name": name, "plugins": plugins}))
        return self.configurations(f"lists-{count}", documents)

    def go_words(self, mode: str, load: Load) -> list[str]:
        """Return the command of the Go worker."""
        return [str(self.root / "gobench"), mode, *load.words(self.new_cache())]

    def go(self, mode: str, load: Load) -> Times:
        """Run the Go worker."""
        return _answer(self.go_words(mode, load))

    def ours(self, mode: str, load: Load, *flags: str) -> Times:
        """Run our worker."""
        words = [sys.executable, "-m", "tests.benchmarks.worker", mode, *load.words(self.new_cache()), *flags]
        return _answer(words)


def _answer(words: Sequence[str]) -> Times:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    times: Times = json.loads(done.stdout)
    return times


def build(root: Path) -> Bench:
    """Compile the plugins and the Go worker; Go comes from Debian's packages, installed when it is missing.

    :raises RuntimeError: if a compiler fails or Go cannot be had.
    """
    _need_go()
    (root / "bin").mkdir(parents=True)
    _compile("gcc", "-O2", "-static", "-o", str(root / "bin" / "quick"), str(HERE / "plugin.c"))
    _compile("gcc", "-O2", "-static", "-DSLEEP_MS=50", "-o", str(root / "bin" / "slow"), str(HERE / "plugin.c"))
    _compile("go", "build", "-o", str(root / "gobench"), str(HERE / "go" / "main.go"))
    return Bench(root)


def _need_go() -> None:
    if shutil.which("go") and GO_SOURCES.exists():
        return
    if os.geteuid() != 0:
        raise RuntimeError(f"Go libcni is missing: install {' and '.join(GO_PACKAGES)}")
    subprocess.run(["apt-get", "install", "--quiet", "--yes", *GO_PACKAGES], check=True)


def _compile(*words: str) -> None:
    environment = os.environ | {"GO111MODULE": "off", "GOPATH": str(GO_SOURCES), "GOFLAGS": ""}
    environment.setdefault("GOCACHE", "/tmp/go-cache")
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")


def in_turn(pairs: int, sides: Mapping[str, Callable[[], Times]]) -> list[dict[str, Times]]:
    """Measure every side once a round, each round in the reverse order of the one before."""
    measured: list[dict[str, Times]] = []
    for number in range(pairs):
        names = list(sides)[:: -1 if number % 2 else 1]
        measured.append({name: sides[name]() for name in names})
    return measured


def ratio(measured: Sequence[dict[str, Times]], side: str, name: str, *, peer: str = "go", of: str = "") -> Ratio:
    """Make the ratio of one figure of a side, over all rounds, to that of the peer, which may call it ``of``."""
    mine = [times[side][name] for times in measured]
    theirs = [times[peer][of or name] for times in measured]
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Ratio(statistics.median(mine), statistics.median(theirs), statistics.median(ratios), low, high)


def run_seconds(words: Sequence[str], environment: dict[str, str]) -> Times:
    """Time a whole process."""
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, env=environment)
    return {"wall": time.perf_counter() - start}
