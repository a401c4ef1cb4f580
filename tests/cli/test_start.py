"""The start of the tool: what a call loads, and the compiled part of pydantic's core without its package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcni.cli.root import _VERBS
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
CALLS: dict[str, list[list[str]]] = {
    "add": [["dbnet", NETNS], ["dbnet", NETNS, "--ifname", "eth1", "--mac", "02:00:00:00:00:01", "--arg", "A=1"]],
    "check": [["dbnet", NETNS]],
    "status": [["dbnet"]],
    "run": [["dbnet", "--mac", "02:00:00:00:00:01", "--pid", str(os.getpid()), "--keep"]],
    "networks": [[], ["create", "web", "--dry-run"]],
    "attachments": [[]],
    "inspect": [[NETNS]],
    "plugins": [[]],
    "trace": [["check", "dbnet", NETNS], ["del", "dbnet", NETNS, "--ifname", "eth1"]],
    "explain": [[], ["11"], ["CNI201"]],
    "lint": [[]],
    "plan": [["dbnet", NETNS, "--ifname", "eth2", "--mac", "02:00:00:00:00:01"]],
    "schema": [[], ["plugins/bridge"], ["capabilities/mac"]],
    "conformance": [["--list"]],
    "demo": [[]],
    "completion": [["bash"]],
    "del": [["dbnet", NETNS]],
    "gc": [["dbnet", "--keep", "kept/eth0"]],
    "recover": [[]],
    "forget": [["kept"]],
}
"""Calls of each verb, in this order."""

ALL = """
import json, sys
from click.testing import CliRunner
from libcni.cli.root import cnitool
for call in json.load(sys.stdin):
    done = CliRunner().invoke(cnitool, call, prog_name="cnitool")
    assert done.exit_code == 0, (call, done.output)
    assert "pydantic" not in sys.modules, call
"""

ONE = """
import atexit, json, sys
heavy = ("anyio", "asyncio", "importlib.metadata", "jsonschema", "logging", "psutil", "pydantic", "rich")
atexit.register(lambda: print([name for name in (*heavy, "pydantic_core") if name in sys.modules], file=sys.stderr))
from libcni.cli import main
main()
"""


def directories(place: Place) -> list[str]:
    return ["--conf-dir", str(place.conf), "--bin-dir", str(place.bin), "--cache-dir", str(place.cache)]


def test_no_verb_loads_pydantic(place: Place) -> None:
    assert CALLS.keys() == _VERBS.keys()
    place.network(plugins=[{"type": "fake", "capabilities": {"mac": True}}])
    place.run("add", "dbnet", NETNS, "--container-id", "kept")
    words = [[*directories(place), verb, *rest] for verb, calls in CALLS.items() for rest in calls]
    done = subprocess.run(
        [sys.executable, "-c", ALL],
        input=json.dumps(words),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr


def test_add_loads_nothing_that_is_heavy(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ONE, *directories(place), "add", "dbnet", NETNS],
        env={name: value for name, value in os.environ.items() if not name.startswith("COV")}
        | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == "[]\n"


LATER = """
import sys
{before}
from libcni.cli.core import load_compiled_core
load_compiled_core()
load_compiled_core()
print("pydantic_core._pydantic_core" in sys.modules, "pydantic_core" in sys.modules)
from libcni.protocol.documents import core
from libcni.protocol.documents.core_schemas import validated
import pydantic, pydantic_core
assert core.ValidationError is pydantic.ValidationError is pydantic_core.ValidationError
try:
    validated("PluginDocument", {{}})
except pydantic.ValidationError as error:
    print(error.errors(include_url=False)[0]["type"])
class Model(pydantic.BaseModel):
    number: int
print(Model(number="1").number)
"""

NOT_FOUND = """
import importlib.machinery
import libcni.cli.core
class Without(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, *place):
        return None if name == {name!r} else super().find_spec(name, *place)
libcni.cli.core.PathFinder = Without
"""


@pytest.mark.parametrize(
    ("before", "loaded"),
    [
        ("", "True False"),
        ("import pydantic_core", "True True"),
        (NOT_FOUND.format(name="pydantic_core"), "False False"),
        (NOT_FOUND.format(name="pydantic_core._pydantic_core"), "False False"),
    ],
    ids=["alone", "after-the-package", "no-package", "another-form"],
)
def test_compiled_core_is_that_of_the_package(before: str, loaded: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LATER.format(before=before)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout.splitlines() == [loaded, "missing", "1"], done.stderr
