"""Badges as SVG: how a plugin did, for the page of its project."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from libcni.conformance.outcome import Status, bad_statuses

if TYPE_CHECKING:
    from libcni.conformance.reports.matrix import Row

__all__ = ["badge_text"]

_LABEL = "CNI conformance"
_WIDTH = 6.6
"""Units of a character of the font, a little more than most need."""

_PADDING = 12
_GOOD, _FAIR, _BAD = "#2e7d32", "#9a6700", "#b3261e"


def badge_text(row: Row) -> str:
    """Return the badge of a plugin: red if something counts as a failure, amber with warnings, green otherwise."""
    statuses = [outcome.status for outcome in row.outcomes if outcome.status is not Status.SKIPPED]
    failed = sum(status in bad_statuses() for status in statuses)
    warned = statuses.count(Status.WARNED)
    passed = f"{statuses.count(Status.PASSED)} passed"
    if failed:
        return _badge(f"{failed} failed, {passed}", _BAD)
    return _badge(f"{passed}, {warned} warned", _FAIR) if warned else _badge(passed, _GOOD)


def _badge(text: str, colour: str) -> str:
    left, right = (round(len(part) * _WIDTH) + _PADDING for part in (_LABEL, text))
    said = escape(f"{_LABEL}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{said}">'
        f"<title>{said}</title>"
        f'<rect width="{left + right}" height="20" rx="3" fill="#444c56"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{right - 3}z" fill="{colour}"/>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">{_LABEL}</text>'
        f'<text x="{left + right / 2:g}" y="14">{escape(text)}</text></g></svg>\n'
    )
