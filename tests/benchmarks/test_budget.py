"""How much Python a verb runs: calls of functions, which do not depend on the machine's load.

The budgets were read off at the commit that wrote them, on CPython 3.11; a change that needs a tenth more has to say so
here.
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

MARGIN = 1.10

BUDGETS = {"add_network_list": 664, "check_network_list": 501, "del_network_list": 516}
"""With a scripted runner, for a chain of three."""

EXECUTION_BUDGET = 45
"""One plugin that answers at once, from the call of the runner to its output."""

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
        for verb in BUDGETS:
            method = getattr(config, verb)
            found[verb] = count_calls(lambda method=method, rt=rt: method(network, rt))  # type: ignore[misc]  # bound at once
    return found


@pytest.mark.parametrize("verb", BUDGETS)
def test_verb_stays_within_its_budget_of_calls(counts: dict[str, int], verb: str) -> None:
    print(f"{verb}: {counts[verb]} calls, budget {BUDGETS[verb]}")
    assert counts[verb] <= BUDGETS[verb] * MARGIN
    # A budget far above what is used would let a slow change through.
    assert counts[verb] >= BUDGETS[verb] / MARGIN / MARGIN


@pytest.mark.needs_c
def test_execution_stays_within_its_budget_of_calls() -> None:
    runner = BlockingRunner()
    call = PluginCall("/bin/true", b"{}", {"PATH": "/bin"}, 10.0)
    # A machine that is busy may take longer than the first look at a plugin: then there is more to do.
    found = min(count_calls(lambda: complete(runner.run(call))) for _ in range(10))
    print(f"one execution: {found} calls, budget {EXECUTION_BUDGET}")
    assert EXECUTION_BUDGET / MARGIN / MARGIN <= found <= EXECUTION_BUDGET * MARGIN
