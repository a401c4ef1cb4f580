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
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
GO_SOURCES = Path("/usr/share/gocode")
GO_PACKAGES = ("golang-go", "golang-github-appc-cni-dev")

Times = dict[str, float]


@dataclass(frozen=True)
class Ratio:
    """One figure of ours against one of a peer, measured in turn: the median of the ratios, and their quartiles."""

    ours: float
    peers: float
    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Bench:
    """A directory with the built programs, and the configurations that both sides load."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

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

    def chain(self, length: int, plugin: str = "quick") -> Path:
        """Return a configuration directory with one list of so many plugins."""
        extra: list[dict[str, object]] = [
            {"bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}},
            {"sysctl": {"net.core.somaxconn": "500"}},
            {"capabilities": {"portMappings": True}, "snat": True},
        ]
        plugins = [{"type": plugin, **extra[index % len(extra)]} for index in range(length)]
        document = {"cniVersion": "1.0.0", "name": "bench", "plugins": plugins}
        return self.configurations(f"chain-{plugin}-{length}", [("10-bench.conflist", document)])

    def many_lists(self, count: int) -> Path:
        """Return a configuration directory with so many lists; the one that is wanted comes last."""
        documents: list[tuple[str, object]] = []
        for number in range(count):
            name = "bench" if number == count - 1 else f"net{number}"
            plugins = [{"type": "quick", "bridge": f"br{number}", "ipam": {"type": "host-local"}}, {"type": "quick"}]
            documents.append((f"{number:04d}.conflist", {"cniVersion": "1.0.0", "name": name, "plugins": plugins}))
        return self.configurations(f"lists-{count}", documents)

    def go(self, mode: str, *, conf: Path, cache: Path, **options: int) -> Times:
        """Run the Go worker."""
        words = [str(self.root / "gobench"), mode, *self._common("-", conf, cache)]
        return _answer(words + [word for name, value in options.items() for word in (f"-{name}", str(value))])

    def ours(self, mode: str, *flags: str, conf: Path, cache: Path, **options: int) -> Times:
        """Run our worker."""
        words = [sys.executable, str(HERE / "worker.py"), mode, *self._common("--", conf, cache), *flags]
        return _answer(words + [word for name, value in options.items() for word in (f"--{name}", str(value))])

    def floor(self, chain: int, rounds: int) -> float:
        """Return the seconds that the bare processes of an ADD cost."""
        request = '{"cniVersion":"1.0.0","name":"bench","type":"quick"}'
        words = [str(self.root / "floor"), str(self.bin / "quick"), request, str(chain), str(rounds)]
        return _answer(words)["add"]

    def _common(self, dash: str, conf: Path, cache: Path) -> list[str]:
        return [f"{dash}conf-dir", str(conf), f"{dash}bin-dir", str(self.bin), f"{dash}cache-dir", str(cache)]


def _answer(words: Sequence[str]) -> Times:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    times: Times = json.loads(done.stdout)
    return times


def build(root: Path) -> Bench:
    """Compile the plugins, the floor and the Go worker; Go comes from Debian's packages, installed when it is missing.

    :raises RuntimeError: if a compiler fails or Go cannot be had.
    """
    _need_go()
    (root / "bin").mkdir(parents=True)
    _compile("gcc", "-O2", "-static", "-o", str(root / "bin" / "quick"), str(HERE / "plugin.c"))
    _compile("gcc", "-O2", "-static", "-DSLEEP_MS=50", "-o", str(root / "bin" / "slow"), str(HERE / "plugin.c"))
    _compile("gcc", "-O2", "-o", str(root / "floor"), str(HERE / "floor.c"))
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


def in_turn(pairs: int, ours: Callable[[], Times], peers: Callable[[], Times]) -> list[tuple[Times, Times]]:
    """Measure A B A B …; every second pair begins with the other side."""
    measured: list[tuple[Times, Times]] = []
    for number in range(pairs):
        if number % 2:
            theirs = peers()
            measured.append((ours(), theirs))
        else:
            mine = ours()
            measured.append((mine, peers()))
    return measured


def ratio(measured: Sequence[tuple[Times, Times]], name: str, peers_name: str = "") -> Ratio:
    """Make the ratio of one figure over all pairs."""
    mine = [pair[0][name] for pair in measured]
    theirs = [pair[1][peers_name or name] for pair in measured]
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return Ratio(statistics.median(mine), statistics.median(theirs), statistics.median(ratios), low, high)


def run_seconds(words: Sequence[str], environment: dict[str, str]) -> Times:
    """Time a whole process."""
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True, env=environment)
    return {"wall": time.perf_counter() - start}
