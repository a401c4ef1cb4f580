"""The outcomes of checks with their evidence, of which reports are made.

Owns :class:`Outcome` and :class:`Report` and their JSON form, which is also what two runs are compared by.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from libcni.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from libcni.jsontext.scan import JSONObject

__all__ = ["Outcome", "Report", "Status", "bad_statuses", "read_report"]

FORMAT = 1


class Status(StrEnum):
    """The verdict of a check.

    A failure that does not count is a warning (the rule is no MUST) or known (the description of the plugin says why).
    """

    PASSED = "passed"
    FAILED = "failed"
    WARNED = "warned"
    KNOWN = "known"
    BLOCKED = "blocked"
    SKIPPED = "skipped"
    BROKEN = "broken"


_BAD = frozenset({Status.FAILED, Status.BLOCKED, Status.BROKEN})


def bad_statuses(*, is_strict: bool = False) -> frozenset[Status]:
    """Return the verdicts that count as a failure; with ``is_strict`` also a warning."""
    return _BAD | {Status.WARNED} if is_strict else _BAD


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check of one plugin.

    :param reason: why it was skipped, blocked, or known to fail.
    :param word: key word of the sentence of the specification that the check is made of.
    :param sentence: that sentence, in our words.
    :param blocker: the check whose failure makes that this one cannot be judged.
    :param call: the execution that the failure is about, with environment, stdin, stdout and stderr.
    :param steps: everything that was done up to there.
    :param shell: one line that repeats it.
    """

    subject: str
    check: str
    level: str
    title: str
    section: str
    rule: str
    status: Status
    seconds: float = 0.0
    reason: str = ""
    expected: str = ""
    seen: str = ""
    call: JSONObject | None = None
    steps: tuple[JSONObject, ...] = ()
    shell: str = ""
    blocker: str = ""
    word: str = ""
    sentence: str = ""

    def document(self) -> JSONObject:
        """Return the outcome as JSON."""
        members = {name: getattr(self, name) for name in _MEMBERS}
        kept = {name: value for name, value in members.items() if value is not None and value not in ("", ())}
        return kept | {"status": str(self.status), "seconds": round(self.seconds, 3), "steps": list(self.steps)}


_MEMBERS = tuple(item.name for item in fields(Outcome))


@dataclass(frozen=True)
class Report:
    """A whole run."""

    outcomes: tuple[Outcome, ...]
    subjects: Mapping[str, JSONObject] = field(default_factory=dict[str, "JSONObject"])
    seconds: float = 0.0
    tool: str = "cnitool conformance"
    was_stopped: bool = False

    def counts(self, subject: str | None = None) -> dict[Status, int]:
        """Return how many checks went each way."""
        chosen = [outcome.status for outcome in self.outcomes if subject in {None, outcome.subject}]
        return {status: chosen.count(status) for status in Status}

    def exit_status(self, *, is_strict: bool = False) -> int:
        """Return 0 if everything that counts passed, 1 otherwise."""
        bad = bad_statuses(is_strict=is_strict)
        return int(self.was_stopped or any(outcome.status in bad for outcome in self.outcomes))

    def document(self) -> JSONObject:
        """Return the report as JSON."""
        return {
            "format": FORMAT,
            "tool": self.tool,
            "seconds": round(self.seconds, 1),
            "stopped": self.was_stopped,
            "subjects": dict(self.subjects),
            "outcomes": [outcome.document() for outcome in self.outcomes],
        }


def read_report(path: Path) -> Report:
    """Read a JSON report.

    :raises InvalidParameterError: if it cannot be read, or is no report.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        outcomes = tuple(_outcomes(document["outcomes"]))
        is_known = document["format"] == FORMAT
    except OSError as error:
        raise InvalidParameterError("report", str(path), f"cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidParameterError(
            "report", str(path), f"is not a JSON report of this tool: {type(error).__name__}: {error}"
        ) from None
    if not is_known:
        raise InvalidParameterError("report", str(path), f"has a format other than {FORMAT}")
    members = {name: document[name] for name in ("subjects", "seconds", "tool") if name in document}
    return Report(outcomes, **members, was_stopped=document.get("stopped") is True)


def _outcomes(documents: Iterable[Mapping[str, Any]]) -> Iterable[Outcome]:
    for document in documents:
        members: dict[str, Any] = {name: value for name, value in document.items() if name in _MEMBERS}
        members |= {"status": Status(document["status"]), "steps": tuple(document.get("steps", ()))}
        yield Outcome(**members)
