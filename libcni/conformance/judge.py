"""Judging: what the function of a check comes to, as an outcome with its evidence.

Owns :func:`judge`, and the shell line that repeats a check and shows what was compared.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from libcni.conformance import isolation
from libcni.conformance.calls import shell_line
from libcni.conformance.expect import (
    BlockedError,
    MismatchError,
    NotApplicableError,
    UnstatedError,
    error_document,
    has_code,
    is_text_alone,
)
from libcni.conformance.lab import CancelledError
from libcni.conformance.outcome import Outcome, Status
from libcni.conformance.sentences import Level
from libcni.errors import CNIError

if TYPE_CHECKING:
    from libcni.conformance.catalogue import Check
    from libcni.conformance.lab import Lab
    from libcni.conformance.subject import Subject

__all__ = ["evidence", "judge", "make_outcome"]

_PUZZLED = (AttributeError, LookupError, TypeError, ValueError)
"""Errors of a check that reads an answer of the wrong shape, which another check reports."""


def judge(subject: Subject, check: Check, lab: Lab) -> Outcome:
    """Run the function of a check and say how it went."""
    try:
        check.function(lab, **check.arguments)
    except NotApplicableError as error:
        return make_outcome(subject, check, Status.SKIPPED, reason=error.msg)
    except MismatchError as error:
        return _failure(subject, check, lab, error=error)
    except CancelledError:
        raise
    except (CNIError, OSError, *_PUZZLED) as error:
        if time.monotonic() < lab.deadline:
            return make_outcome(
                subject,
                check,
                Status.BROKEN,
                reason=f"the check could not be done: {type(error).__name__}: {error}",
                **evidence(subject, lab),
            )
        over = MismatchError("the check to end within its time", "it was ended")
        return _failure(subject, check, lab, error=over)
    reason = subject.known.get(check.id, "")
    return make_outcome(
        subject, check, Status.PASSED, reason=f"it passes now, though known to fail: {reason}" if reason else ""
    )


def _failure(subject: Subject, check: Check, lab: Lab, *, error: MismatchError) -> Outcome:
    status = Status.FAILED if check.level is Level.MUST else Status.WARNED
    steps = tuple(lab.steps)
    blocker = _blocker(lab) if isinstance(error, UnstatedError) else ""
    lab.steps[:] = steps
    blocker = "" if blocker == check.id else blocker
    if isinstance(error, BlockedError) or blocker:
        status = Status.BLOCKED
    reason = subject.known.get(check.id, "")
    if reason:
        status = Status.KNOWN
    call = next((step.document() for step in reversed(lab.steps) if error.answer and step.answer is error.answer), None)
    told = {"blocker": blocker, "reason": reason, "expected": error.expected, "seen": error.seen, "call": call}
    return make_outcome(subject, check, status, **told, **evidence(subject, lab))


def _blocker(lab: Lab) -> str:
    """Provoke another error, and return the check that its form fails; empty if it is an object with code and text.

    A plugin whose errors have no such form in general has one fault, and not one for each error.
    """
    answer = lab.send(lab.request("ADD"))
    document = error_document(answer)
    if is_text_alone(answer):
        return "output-error-status"
    if document is None:
        return "" if answer.is_success or answer.output.timed_out else "output-error-json"
    return "" if has_code(document) and document.get("msg") else "output-error-members"


def evidence(subject: Subject, lab: Lab) -> dict[str, Any]:
    """Return the steps of a check, and the shell line that repeats them."""
    folders = " ".join(dict.fromkeys((*isolation.PRIVATE_FOLDERS, *subject.private)))
    machine = lab.machine
    before = [
        f"for folder in {folders}; do mkdir -p $folder; mount -t tmpfs tmpfs $folder; done",
        "mount -t sysfs sysfs /sys",
        f"mkdir -p {machine.data} {machine.work} {machine.scratch} {machine.tools} {machine.logs}",
        f"cd {machine.work}",
    ]
    steps = [step.document() for step in lab.steps]
    line = shell_line(lab.steps, before, _still_there(lab))
    for text, stand_in in lab.substitutes.items():
        line = line.replace(text, stand_in)
    return {"steps": tuple(steps), "shell": line}


def _still_there(lab: Lab) -> list[str]:
    """Return the commands that show what was compared, those about namespaces that are gone left out."""
    gone = [f"ns-{number}" for number in range(1, lab.count + 1) if f"ns-{number}" not in lab.machine.namespaces]
    return [line for line in lab.shows if not any(f"/{name} " in line for name in gone)]


def make_outcome(subject: Subject, check: Check, status: Status, **members: Any) -> Outcome:
    """Return an outcome of a check of a plugin."""
    return Outcome(
        subject=subject.name,
        check=check.id,
        level=str(check.level),
        title=check.title,
        section=check.section,
        rule=check.rule,
        word=check.sentence.word,
        sentence=check.sentence.text,
        status=status,
        **members,
    )
