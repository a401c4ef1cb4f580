"""What holds for every test: no child process stays, and no skip counts where the machine was prepared for all."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.children import no_new_child

if TYPE_CHECKING:
    from collections.abc import Generator

NO_SKIP = "LIBCNI_NO_SKIP"


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
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _forbid_skip(report)
    return report
