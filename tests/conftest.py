"""What holds for every test: no child process stays, and no skip counts where the machine was prepared for all.

Tests of the C part are marked ``needs_c``. Without the C part they are skipped, and with ``LIBCNI_PURE=1`` that is the
one skip that counts on every machine: there the user has asked for Python.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest

from libcni.invoke.process.backend import PURE
from tests.support.children import no_new_child

if TYPE_CHECKING:
    from collections.abc import Generator

NO_SKIP = "LIBCNI_NO_SKIP"


def pytest_configure() -> None:
    """Take SIGINT, which tests send: a shell that starts the tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _why_without_c() -> str | None:
    """Return why tests of the C part cannot run; ``None`` if they can."""
    if os.environ.get(PURE):
        return f"{PURE}={os.environ[PURE]} asks for Python in place of the C part"
    try:
        importlib.import_module("libcni.invoke.process._spawn")
    except ImportError:
        return "the C part was not built: no compiler, or no headers of Python"
    return None


WITHOUT_C = _why_without_c()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if WITHOUT_C and item.get_closest_marker("needs_c"):
        pytest.skip(WITHOUT_C)


def _forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure (xfail) is reported as skipped too: it stays what it is.
    if os.environ.get(NO_SKIP) != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{NO_SKIP}=1 allows no skipped test, and {report.nodeid} was: {reason}"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Generator[None]:
    """Undo what the command line sets: with its level, pytest keeps every line of a plugin that floods its stderr."""
    log = logging.getLogger("libcni")
    level, handlers = log.level, list(log.handlers)
    yield
    log.setLevel(level)
    log.handlers[:] = handlers


@pytest.fixture(autouse=True, scope="module")
def _no_child_of_a_module() -> Generator[None]:
    """Fail a module whose fixtures leave a child process: a test elsewhere would be blamed for it."""
    with no_new_child():
        yield


@pytest.fixture(autouse=True)
def _no_child_of_a_test() -> Generator[None]:
    """Fail a test after which there is a child process that was not there before."""
    with no_new_child():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not (os.environ.get(PURE) and item.get_closest_marker("needs_c")):
        _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
