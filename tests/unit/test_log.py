"""The loggers of the library: they name their caller, and set logging up when there is a line."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

from libcni import log
from libcni.log import Log

if TYPE_CHECKING:
    import pytest


def test_line_has_its_level_and_its_caller(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    Log("libcni.here").info("%s of %d", "one", 2)
    Log("libcni.here").warning("two")
    try:
        int("three")
    except ValueError:
        Log("libcni.here").exception("four")
    assert [(each.name, each.levelname, each.getMessage(), each.funcName) for each in caplog.records] == [
        ("libcni.here", level, text, "test_line_has_its_level_and_its_caller")
        for level, text in (("INFO", "one of 2"), ("WARNING", "two"), ("ERROR", "four"))
    ]
    assert "ValueError: invalid literal" in caplog.text


def test_preparation_is_done_once_before_the_first_line(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[list[str]] = []
    log.prepare(lambda: seen.append(["replaced"]))
    log.prepare(lambda: seen.append(list(caplog.messages)))
    assert seen == []
    Log("libcni.here").warning("first")
    Log("libcni.here").warning("second")
    assert seen == [[]]
    assert caplog.messages == ["first", "second"]


def test_logging_loads_with_the_first_line() -> None:
    program = """
import sys
from libcni.log import Log
made = Log("libcni")
before = "logging" in sys.modules
made.warning("said")
print(before, "logging" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False True\n", "said\n")
