"""Running checks: which apply, each in a thread with a machine of its own, several at once, all ended on request.

Owns :class:`Session`. The decision what applies is pure (:func:`reason_to_skip`); a thread does the rest.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from libcni.conformance import isolation, kernel
from libcni.conformance.interrupts import on_interrupt
from libcni.conformance.judge import evidence, judge, make_outcome
from libcni.conformance.lab import CancelledError, Lab, Probe, elements
from libcni.conformance.outcome import Outcome, Report, Status
from libcni.conformance.processes import kill_groups
from libcni.errors import PluginNotFoundError
from libcni.invoke.find import find_in_path
from libcni.protocol.versions import SUPPORTED_VERSIONS, is_at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from libcni.conformance.catalogue import Check
    from libcni.conformance.processes import Process
    from libcni.conformance.subject import Subject

__all__ = ["DEFAULT_LIMIT", "Job", "Session", "private_folders", "reason_to_skip"]

DEFAULT_LIMIT = 60.0
"""Seconds for one check."""

_FALLBACK = ("0.3.1", "0.4.0", "1.0.0")
"""Versions to try when VERSION lists none: nearly every plugin knows one of them."""


@dataclass(frozen=True)
class Job:
    """One check of one plugin."""

    subject: Subject
    probe: Probe
    check: Check


@dataclass
class Session:
    """One run of many checks.

    :param jobs: how many checks run at the same time.
    :param limit: seconds for one check.
    :param report: gets each outcome as it comes, in the calling thread.
    """

    jobs: int = field(default_factory=lambda: max(2, os.cpu_count() or 1))
    limit: float = DEFAULT_LIMIT
    report: Callable[[Outcome], None] = lambda _outcome: None
    _running: set[Process] = field(default_factory=set["Process"])
    _is_cancelled: threading.Event = field(default_factory=threading.Event)

    def run(self, subjects: Sequence[Subject], checks: Sequence[Check]) -> Report:
        """Run every check for every subject; Ctrl-C or another signal ends it early, with what is known by then.

        :raises CNIError: if this machine lacks what the checks need, or a plugin is not found.
        """
        started = time.monotonic()
        if isolation.is_possible():
            kernel.check_tools()
        outcomes: list[Outcome] = []
        known: list[tuple[Subject, Probe]] = []
        with on_interrupt(self.cancel), isolation.existing_folders(private_folders(subjects)):
            with suppress(CancelledError):
                for subject in subjects:
                    known.append((subject, self.probe(subject)))  # noqa: PERF401 -- what is known when it is cancelled stays
            work: list[Job] = []
            for subject, probe in known:
                for check in checks:
                    reason = reason_to_skip(subject, probe, check)
                    if reason is None:
                        work.append(Job(subject, probe, check))
                    else:
                        outcomes.append(self._told(make_outcome(subject, check, Status.SKIPPED, reason=reason)))
            outcomes += [self._told(outcome) for _, outcome in self.work(work)]
        order = {
            (subject.name, check.id): n for n, (subject, check) in enumerate((s, c) for s in subjects for c in checks)
        }
        outcomes.sort(key=lambda outcome: order[outcome.subject, outcome.check])
        described = {subject.name: _description(subject, probe, checks) for subject, probe in known}
        seconds = time.monotonic() - started
        return Report(tuple(outcomes), described, seconds, was_stopped=self._is_cancelled.is_set())

    def cancel(self) -> None:
        """End every plugin that runs, and start nothing more."""
        self._is_cancelled.set()
        kill_groups(tuple(self._running))

    def probe(self, subject: Subject) -> Probe:
        """Ask a plugin for its versions, and the kernel for the kinds of links that the configuration needs.

        :raises PluginNotFoundError: if the plugin is not there.
        """
        path = subject.plugin if Path(subject.plugin).is_absolute() else find_in_path(subject.plugin, subject.bin_dirs)
        if not os.access(path, os.X_OK):
            raise PluginNotFoundError(f"{path} is no executable file", plugin=subject.name, path=path)

        def ask() -> Probe:
            with _machine(subject) as machine:
                lab = self._lab(subject, Probe(path, SUPPORTED_VERSIONS), machine)
                document = lab.send(lab.version_request()).document or {}
                missing = tuple(kind for kind in subject.links if lab.has_namespaces and not kernel.has_link_kind(kind))
                return _probe(path, document.get("supportedVersions"), missing)

        with ThreadPoolExecutor(1) as pool:  # a thread of its own, which ends: it has left the host's namespaces
            return pool.submit(ask).result()

    def trace(self, subject: Subject, check: Check) -> str:
        """Run a check, and return one shell line that does what it did.

        :raises CancelledError: if a signal ended it.
        """
        with on_interrupt(self.cancel), isolation.existing_folders(private_folders([subject])):
            job = Job(subject, self.probe(subject), check)
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(self._trace, job).result()

    def _trace(self, job: Job) -> str:
        with _machine(job.subject) as machine:
            lab = self._lab(job.subject, job.probe, machine)
            judge(job.subject, job.check, lab)
            line: str = evidence(job.subject, lab)["shell"]
            return line

    def _lab(self, subject: Subject, probe: Probe, machine: isolation.Machine) -> Lab:
        deadline = time.monotonic() + self.limit
        return Lab(subject, probe, machine, deadline, self._running, self._is_cancelled.is_set)

    def _told(self, outcome: Outcome) -> Outcome:
        self.report(outcome)
        return outcome

    def work(self, work: Sequence[Job]) -> Generator[tuple[Job, Outcome]]:
        """Run the jobs in threads that each do one, and hand out what they say as it comes."""
        done: SimpleQueue[tuple[Job, Outcome | BaseException | None]] = SimpleQueue()
        waiting = iter(work)
        threads: list[threading.Thread] = []

        def start_next() -> int:
            job = None if self._is_cancelled.is_set() else next(waiting, None)
            if job is None:
                return 0
            threads.append(threading.Thread(target=lambda: done.put((job, self._attempt(job)))))
            threads[-1].start()
            return 1

        active = sum(start_next() for _ in range(self.jobs))
        errors: list[BaseException] = []
        while active:
            job, outcome = done.get()
            active += start_next() - 1
            if isinstance(outcome, BaseException):
                self.cancel()
                errors.append(outcome)
            elif outcome is not None:
                yield job, outcome
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _attempt(self, job: Job) -> Outcome | BaseException | None:
        try:
            outcome = self.perform(job)
        except CancelledError:
            return None
        except BaseException as error:  # noqa: BLE001 -- it is handed to the thread that waits for it
            return error
        # What was killed in the middle has not failed.
        return None if self._is_cancelled.is_set() and outcome.status is not Status.PASSED else outcome

    def perform(self, job: Job) -> Outcome:
        """Run one check in the calling thread, which has to end afterwards.

        :raises CancelledError: if the run was given up.
        """
        started = time.monotonic()
        with _machine(job.subject) as machine:
            outcome = judge(job.subject, job.check, self._lab(job.subject, job.probe, machine))
        return replace(outcome, seconds=time.monotonic() - started)


def private_folders(subjects: Iterable[Subject]) -> list[str]:
    """Return the folders that are made private, which have to exist for that."""
    if not isolation.is_possible():
        return []
    return sorted({folder for subject in subjects for folder in (*isolation.PRIVATE_FOLDERS, *subject.private)})


def _machine(subject: Subject) -> Any:
    if isolation.is_possible():
        folders = dict.fromkeys((*isolation.PRIVATE_FOLDERS, *subject.private))
        return isolation.open_machine(isolation.ROOT, folders, subject.visible)
    return _plain_machine()


class _plain_machine:  # noqa: N801 -- used like a function
    """A folder, for a process that may not make namespaces."""

    def __enter__(self) -> isolation.Machine:
        self._folder = tempfile.mkdtemp(prefix="cni-conformance-")
        machine = isolation.Machine(Path(self._folder))
        machine.make_folders()
        return machine

    def __exit__(self, *_error: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _probe(path: str, listed: object, missing: tuple[str, ...]) -> Probe:
    items = tuple(map(str, elements(listed)))
    versions = tuple(version for version in SUPPORTED_VERSIONS if version in items)
    return Probe(path, versions or _FALLBACK, items, missing)


def _description(subject: Subject, probe: Probe, checks: Sequence[Check]) -> dict[str, Any]:
    return {
        "notes": list(_notes(probe, checks)),
        "path": probe.path,
        "profile": str(subject.kind),
        "versions": list(probe.listed),
        "config": dict(subject.config),
        "source": subject.source,
    }


def _notes(probe: Probe, checks: Sequence[Check]) -> Generator[str]:
    """Yield what there is to say of a subject as a whole."""
    late = sum(bool(check.since) and not is_at_least(probe.newest, check.since) for check in checks)
    if late:
        lacks = f"{late} check{'s' if late > 1 else ''} of what later versions have"
        yield f"supports versions up to {probe.newest}: {lacks} {'do' if late > 1 else 'does'} not apply"


def reason_to_skip(subject: Subject, probe: Probe, check: Check) -> str | None:
    """Return why a check does not apply to a subject, ``None`` if it does."""
    for reason in _reasons(subject, probe, check):
        return reason
    return None


def _reasons(subject: Subject, probe: Probe, check: Check) -> Generator[str]:
    if check.profiles and subject.kind not in check.profiles:
        yield f"is not for plugins of the profile {subject.kind}"
    if check.since and not is_at_least(probe.newest, check.since):
        yield f"supports no version from {check.since} on"
    ignored = subject.reason_to_ignore(check.id)
    if ignored:
        yield ignored
    for need in check.needs:
        missing = _missing(subject, probe, need)
        if missing:
            yield missing


def _missing(subject: Subject, probe: Probe, need: str) -> str | None:
    name, _, detail = need.partition(":")
    needs: dict[str, tuple[list[object], str]] = {
        "netns": ([isolation.is_possible()], "needs root, for network namespaces"),
        "add": (
            [not probe.missing_links, not subject.missing],
            subject.missing or f"this kernel has no links of type {', '.join(probe.missing_links)}",
        ),
        "data": ([subject.has_data or subject.private], "the configuration names no data directory"),
        "delegate": ([subject.delegate], "the configuration names no delegate"),
        "addresses": ([subject.reason_to_ignore("addresses") is None], subject.reason_to_ignore("addresses") or ""),
        "unready": ([subject.unready], "nothing is known that makes the plugin not ready"),
        "capabilities": ([subject.capabilities], "the plugin declares no capability"),
        "capability": ([detail in subject.capabilities], f"the plugin does not declare the capability {detail}"),
        "args-ip": ([subject.args_ip], "the plugin does not declare that it takes addresses from args.cni.ips"),
    }
    present, reason = needs[name]
    return None if all(present) else reason
