"""How much Python a verb runs: calls of functions, which do not depend on the machine's load.

The bounds keep a verb's own work small beside its plugins: with real ones it takes ten milliseconds at the least, and
a thousand calls take about half of one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from libcni import CNIConfig, RuntimeConf, network_conf_from_bytes
from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.invoke.runner import PluginCall
from libcni.jsontext.encode import dump
from libcni.testing import ScriptedRunner, success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

BOUNDS = {"add_network_list": 1250, "check_network_list": 850, "del_network_list": 850}
"""With a scripted runner, for a chain of three: a tenth or so above what each took when this was written.

Two looks into a namespace are in an ADD, and one in a CHECK and a DEL.
"""

EXECUTION_BOUND = 50
"""One plugin that answers at once, from the call of the runner to its output: three of them in an ADD."""

RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "00:11:22:33:44:55", "sandbox": "/run/netns/x"}],
    "ips": [{"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0}],
    "routes": [{"dst": "0.0.0.0/0"}],
    "dns": {},
}
NETWORK = {
    "cniVersion": "1.0.0",
    "name": "bench",
    "plugins": [
        {"type": "quick", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": "10.1.0.0/16"}},
        {"type": "quick", "sysctl": {"net.core.somaxconn": "500"}},
        {"type": "quick", "capabilities": {"portMappings": True}},
    ],
}


def count_calls(work: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, are called."""
    seen = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal seen
        seen += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return seen


@pytest.fixture
def counts(tmp_path: Path) -> dict[str, int]:
    runner = ScriptedRunner({("quick", "ADD"): success(RESULT)})
    config = CNIConfig(["/plugins"], cache_dir=tmp_path / "cache", runner=runner, environ={"PATH": "/bin"})
    network = network_conf_from_bytes(dump(NETWORK))
    found: dict[str, int] = {}
    for container_id in ("warm", "counted"):
        rt = RuntimeConf(container_id, "/proc/self/ns/net", "eth0")
        for verb in BOUNDS:
            method = getattr(config, verb)
            found[verb] = count_calls(lambda method=method, rt=rt: method(network, rt))  # type: ignore[misc]  # bound at once
    return found


@pytest.mark.parametrize("verb", BOUNDS)
def test_verb_stays_within_its_bound_of_calls(counts: dict[str, int], verb: str) -> None:
    print(f"{verb}: {counts[verb]} calls, at most {BOUNDS[verb]}")
    assert 0 < counts[verb] <= BOUNDS[verb]


@pytest.mark.needs_c
def test_execution_stays_within_its_bound_of_calls() -> None:
    runner = BlockingRunner()
    call = PluginCall("/bin/true", b"{}", {"PATH": "/bin"}, 10.0)
    # A machine that is busy may take longer than the first look at a plugin: then there is more to do.
    found = min(count_calls(lambda: complete(runner.run(call))) for _ in range(10))
    print(f"one execution: {found} calls, at most {EXECUTION_BOUND}")
    assert 0 < found <= EXECUTION_BOUND
