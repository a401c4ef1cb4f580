"""The evidence of one outcome as plain text, which several reports show.

Owns :func:`evidence_text`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.outcome import Outcome

__all__ = ["call_lines", "evidence_text", "headline"]


def headline(outcome: Outcome) -> str:
    """Return the failure in one line."""
    if outcome.expected:
        return f"expected {outcome.expected}; seen: {outcome.seen}"
    return outcome.reason


def evidence_text(outcome: Outcome) -> str:
    """Return everything that is known about an outcome."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    yield f"{outcome.title} (SPEC {outcome.section}; {outcome.level})"
    yield f"rule:     {outcome.rule}"
    for name, text in (("reason", outcome.reason), ("expected", outcome.expected), ("seen", outcome.seen)):
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
