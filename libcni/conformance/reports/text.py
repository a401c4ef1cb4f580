"""The evidence of one outcome as plain text, which several reports show.

Owns :func:`evidence_text`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.outcome import Outcome

__all__ = ["call_lines", "evidence_text", "headline", "place"]


def place(section: str) -> str:
    """Return where a sentence stands, as a reader looks for it.

    >>> place("2, DEL"), place("0.4.0, Parameters"), place("Conventions, CNI_ARGS")
    ('specification 1.1.0, 2, DEL', 'specification 0.4.0, Parameters', 'Conventions, CNI_ARGS')
    """
    if not section[:1].isdigit():
        return section
    return f"specification {section}" if section.partition(",")[0].count(".") else f"specification 1.1.0, {section}"


def headline(outcome: Outcome) -> str:
    """Return the failure in one line."""
    if outcome.expected:
        return f"expected {outcome.expected}; seen: {outcome.seen}"
    return outcome.reason


def evidence_text(outcome: Outcome) -> str:
    """Return everything that is known about an outcome."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.title} ({place(outcome.section)}; {outcome.level})"
    if outcome.sentence:
        yield f"sentence: {outcome.sentence} ({outcome.word})"
    yield f"rule:     {outcome.rule}"
    for name, text in (
        ("reason", outcome.reason),
        ("blocked", outcome.blocker),
        ("expected", outcome.expected),
        ("seen", outcome.seen),
    ):
        if text:
            yield f"{name + ':':9} {text}"
    if outcome.call:
        yield from call_lines(outcome.call)
    if outcome.shell:
        yield f"repeat:   {outcome.shell}"


def call_lines(call: dict[str, Any]) -> Iterator[str]:
    """Return the lines about one execution of a plugin."""
    environment = " ".join(f"{key}={value}" for key, value in call["environment"].items())
    yield f"env:      {environment}"
    ended = f"signal {call['signal']}" if call["signal"] else f"status {call['exitStatus']}"
    yield f"ended:    {ended} after {call['seconds']} s"
    for name in ("stdin", "stdout", "stderr"):
        yield f"{name + ':':9} {call[name].strip() or '(nothing)'}"
