"""A free-threaded Python, which cannot load the C part: plugins are started by Python, and one line says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from libcni.invoke.process import backend
from tests.contract.modules import ROOT

LINE = "free-threaded Python: plugins are started by Python, not by C; LIBCNI_PURE=1 says that it is meant so\n"

DEMO = """
import sys, sysconfig
sys.modules["libcni.invoke.process._spawn"] = None  # an import of it fails
sysconfig.get_config_vars()["Py_GIL_DISABLED"] = {disabled}
from libcni.cli import main
sys.argv = ["cnitool", "demo"]
main()
"""


@pytest.mark.parametrize(
    ("disabled", "pure", "said"), [(1, "", LINE), (0, "", ""), (1, "1", "")], ids=["free", "ordinary", "asked-for"]
)
def test_free_threaded_python_falls_back_with_one_line(disabled: int, pure: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEMO.format(disabled=disabled)],
        env={**os.environ, "PYTHONPATH": str(ROOT), backend.PURE: pure},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, said)
    assert "Attachments left: 0. Unfinished: 0." in done.stdout
