"""Writing down how a run went: JSON, JUnit XML, TAP, and an HTML page; the terminal has a module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.reports.junit import junit_text
from libcni.conformance.reports.page import page_text
from libcni.conformance.reports.tap import tap_text
from libcni.jsontext.encode import dump

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcni.conformance.outcome import Report

__all__ = ["FORMATS"]


def _json_text(report: Report) -> str:
    return dump(report.document()) + "\n"


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "json": _json_text,
    "junit": junit_text,
    "tap": tap_text,
    "html": page_text,
}
"""The writer of each format."""
