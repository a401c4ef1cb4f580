"""Debian's 16 reference plugins: the outcome of every check is the recorded one, and nothing is left on the machine.

To record anew: copy ``withoutLinks`` and ``outcomes`` of what ``tests.conformance.whole_run`` writes with
``LIBCNI_ALL_MUTANTS=1``, in which every check is run with every plugin.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from libcni.conformance.subject import profile_names
from tests.conformance import bench, whole_run
from tests.support import kernel

if TYPE_CHECKING:
    from pathlib import Path

RECORDED = whole_run.RECORDED
ROOT = bench.TESTDATA.parents[1]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def seen(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run over all of them saw."""
    del namespaces
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    target: Path = tmp_path_factory.mktemp("whole") / "seen.json"
    command = ["unshare", "--net", "--mount", sys.executable, "-m", "tests.conformance.whole_run", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(target.read_text())
    return document


@pytest.mark.parametrize("name", profile_names())
def test_every_outcome_is_the_recorded_one(name: str, seen: dict[str, Any]) -> None:
    recorded = json.loads(RECORDED.read_text())
    if (name in seen["withoutLinks"]) != (name in recorded["withoutLinks"]):
        known = {check for check, status in recorded["outcomes"][name].items() if status == "failed"}
        assert known <= set(seen["outcomes"][name]), "this kernel has other links, so that more was checked"
    else:
        assert seen["outcomes"][name] == recorded["outcomes"][name]


def test_run_takes_a_few_minutes(seen: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{seen['checks']} checks of {len(seen['outcomes'])} plugins in {seen['seconds']:.0f} s")  # noqa: T201 -- asked for
    assert seen["seconds"] < 600


def test_nothing_is_left_on_the_machine(seen: dict[str, Any]) -> None:
    assert seen["after"] == seen["before"]
