"""What an import costs: in a fresh interpreter, what is loaded by what."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import libcni
from tests.contract.modules import ROOT

VERSIONS = ("0.2.0", "0.4.0", "1.0.0", "1.1.0")
NETWORK = '{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge"}]}'
VERB_MODULES = ("attach", "run", "trace", "collect", "forget", "inspect", "explain", "networks", "attachments", "show")
HEAVY = ("anyio", "jsonschema", "psutil", "click", "rich", "pydantic", "asyncio", "trio")


def loaded_after(statement: str) -> set[str]:
    """Return which of the heavy packages are loaded after a statement in a fresh interpreter."""
    return {name for name in modules_after(statement) if name in HEAVY}


def modules_after(statement: str) -> set[str]:
    """Return which modules a statement loads in a fresh interpreter."""
    program = f"import sys\nbefore = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import libcni", set[str]()),
        ("import libcni; dir(libcni); libcni.__version__; libcni.__all__", set[str]()),
        ("from libcni import CNIError, PluginInfo, SUPPORTED_VERSIONS", set[str]()),
        ("from libcni import RuntimeConf, GCAttachment", set[str]()),
        ("from libcni import Result, load_network_conf", set[str]()),
        ("from libcni import CNIConfig; CNIConfig(['/opt/cni/bin'])", set[str]()),
        ("from libcni.networks import BlockingNetworks; BlockingNetworks('/etc/cni/net.d', [])", set[str]()),
        ("from libcni.invoke import BlockingRunner, find_in_path; BlockingRunner()", set[str]()),
        (f"import libcni; libcni.network_conf_from_bytes({NETWORK!r})", set[str]()),
        *((f"import libcni; libcni.Result.from_dict({{'cniVersion': {each!r}}})", set[str]()) for each in VERSIONS),
        ("import libcni.cli", set[str]()),
        *((f"import libcni.cli.{module}", {"click"}) for module in VERB_MODULES),
    ],
    ids=[
        "package",
        "names",
        "errors",
        "data",
        "documents",
        "synchronous",
        "networks",
        "runner",
        "network",
        *VERSIONS,
        "command-line",
        *(f"verb-{module}" for module in VERB_MODULES),
    ],
)
def test_import_loads_no_more_than_it_needs(statement: str, allowed: set[str]) -> None:
    assert loaded_after(statement) <= allowed


def test_configuration_loads_garbage_collection_when_it_is_asked_for() -> None:
    made = "from libcni import CNIConfig; config = CNIConfig(['/opt/cni/bin']); config."
    assert "libcni.verbs.gc" not in modules_after(f"{made}path")
    assert "libcni.verbs.gc" in modules_after(f"{made}_collector")


def test_asynchronous_configuration_loads_anyio() -> None:
    assert "anyio" in loaded_after("from libcni import AsyncCNIConfig; AsyncCNIConfig(['/opt/cni/bin'])")


def test_every_public_name_can_be_imported_alone() -> None:
    program = "import sys, importlib\nfor name in sys.argv[1:]: getattr(importlib.import_module('libcni'), name)"
    subprocess.run([sys.executable, "-c", program, *libcni.__all__], check=True, timeout=60, cwd=ROOT)
