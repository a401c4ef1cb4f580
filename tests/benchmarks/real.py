"""The reference plugins as a load: namespaces and a bridge of its own, all removed afterwards."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.measure import Bench

PLUGINS = Path("/usr/lib/cni")
NAMES = ("bridge", "host-local", "tuning", "bandwidth")
RATE = 80_000_000
"""Bits per second, and bits at once."""


def missing() -> str:
    """Return why the reference plugins cannot be measured here, or nothing."""
    if os.geteuid() != 0:
        return "it needs root"
    names = [name for name in NAMES if not (PLUGINS / name).exists()]
    return f"{PLUGINS} lacks {', '.join(names)} (package containernetworking-plugins)" if names else ""


@contextmanager
def attached(bench: Bench, count: int) -> Iterator[Load]:
    """Make so many namespaces, and yield the load that attaches each of them to a bridge of its own."""
    tag = f"lcb{os.getpid()}"
    rates = {f"{way}{what}": RATE for way in ("ingress", "egress") for what in ("Rate", "Burst")}
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.229.0.0/16"}]], "dataDir": str(bench.root / "leases")}
    conf = bench.network(
        "real",
        [
            {"type": "bridge", "bridge": tag, "isGateway": True, "ipam": ipam},
            {"type": "tuning", "sysctl": {"net.core.somaxconn": "500"}},
            {"type": "bandwidth", **rates},
        ],
    )
    names = [f"{tag}-{number}" for number in range(count)]
    netns = bench.root / "netns"
    netns.write_text("".join(f"/var/run/netns/{name}\n" for name in names))
    try:
        for name in names:
            _ip("netns", "add", name)
        yield Load(conf, str(PLUGINS), containers=count, netns=netns)
    finally:
        for name in names:
            _ip("netns", "delete", name, check=False)
        _ip("link", "delete", tag, check=False)


def _ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)
