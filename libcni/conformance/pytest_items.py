"""Tests for pytest, one for each check of each plugin; loaded when the option asks for them.

A test runs its check in a thread of its own, as a session does: the thread leaves the network of the test run.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation, kernel
from libcni.conformance.catalogue import load_checks
from libcni.conformance.outcome import Status, bad_statuses
from libcni.conformance.reports.text import evidence_text
from libcni.conformance.session import Job, Session, private_folders, reason_to_skip
from libcni.conformance.subject import load_subject
from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libcni.conformance.outcome import Outcome
    from libcni.conformance.subject import Subject

__all__ = ["ConformanceFailure", "ConformanceItem", "make_items"]

DEFAULT_BIN_DIRS = ("/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni")


def make_items(session: pytest.Session, files: Sequence[str], bin_dirs: Sequence[str]) -> Iterator[pytest.Item]:
    """Make a test for every check of the plugins that the files describe.

    :raises pytest.UsageError: if a description cannot be used, a plugin is not there, or a tool is missing.
    """
    runner = Session()
    try:
        jobs = _jobs(runner, files, bin_dirs)
    except (CNIError, OSError) as error:
        raise pytest.UsageError(str(error)) from None
    for job in jobs:
        name = f"{job.subject.name}::{job.check.id}"
        item: ConformanceItem = ConformanceItem.from_parent(session, name=name, job=job, runner=runner)  # pyright: ignore[reportUnknownMemberType]  # pytest leaves it so
        yield item


def _jobs(runner: Session, files: Sequence[str], bin_dirs: Sequence[str]) -> list[Job]:
    if isolation.is_possible():
        kernel.check_tools()
    jobs: list[Job] = []
    for file in files:
        subject = _located(load_subject(file), bin_dirs)
        with isolation.existing_folders(private_folders([subject])):
            probe = runner.probe(subject)
        jobs += [Job(subject, probe, check) for check in load_checks()]
    return jobs


def _located(subject: Subject, bin_dirs: Sequence[str]) -> Subject:
    """Return the subject with the directories of the plugin and its delegates."""
    folders = tuple(os.fspath(Path(folder).absolute()) for folder in bin_dirs)
    if "/" not in subject.plugin:
        return replace(subject, bin_dirs=(*folders, *DEFAULT_BIN_DIRS))
    return replace(subject, bin_dirs=(str(Path(subject.plugin).parent), *folders, *DEFAULT_BIN_DIRS))


class ConformanceFailure(Exception):  # noqa: N818 -- it is a verdict, and pytest shows its text only
    """A check failed; the text is the evidence."""


class ConformanceItem(pytest.Item):
    """One check of one plugin."""

    def __init__(self, *, job: Job, runner: Session, **keywords: object) -> None:
        super().__init__(**keywords)  # type: ignore[arg-type]  # what from_parent hands on is pytest's business
        self._job = job
        self._runner = runner

    def runtest(self) -> None:
        """Run the check."""
        job = self._job
        reason = reason_to_skip(job.subject, job.probe, job.check)
        if reason is not None:
            pytest.skip(reason)
        outcome = self._perform()
        if outcome.status is Status.SKIPPED:
            pytest.skip(outcome.reason)
        if outcome.status in {Status.WARNED, Status.KNOWN}:
            pytest.xfail(f"{outcome.status}: {outcome.reason or outcome.seen}")
        if outcome.status in bad_statuses():
            raise ConformanceFailure(evidence_text(outcome))

    def _perform(self) -> Outcome:
        """Run the check in a thread; Ctrl-C ends what it started, and the thread with it."""
        job = self._job
        with isolation.existing_folders(private_folders([job.subject])), ThreadPoolExecutor(1) as pool:
            try:
                return pool.submit(self._runner.perform, job).result()
            except KeyboardInterrupt:
                self._runner.cancel()
                raise

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: object, **__: object) -> str:
        """Show the evidence, without a traceback through this library."""
        if isinstance(excinfo.value, ConformanceFailure):
            return str(excinfo.value)
        return str(excinfo.getrepr())

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return the origin of the test: the description of the plugin."""
        return Path(self._job.subject.source), None, self.name
