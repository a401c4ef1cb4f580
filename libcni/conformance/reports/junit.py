"""The report as JUnit XML, which most CI systems show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from libcni.conformance.outcome import Status
from libcni.conformance.reports.text import evidence_text, headline

if TYPE_CHECKING:
    from libcni.conformance.outcome import Outcome, Report

__all__ = ["junit_text"]

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_text(report: Report) -> str:
    """Return the XML document; warnings and known failures pass, with a note.

    :returns: one ``testsuite`` for each plugin, one ``testcase`` for each check.
    """
    root = ET.Element("testsuites", {"name": report.tool, "time": f"{report.seconds:.1f}"})
    for subject in dict.fromkeys(outcome.subject for outcome in report.outcomes):
        root.append(_suite(subject, [outcome for outcome in report.outcomes if outcome.subject == subject], report))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(subject: str, outcomes: list[Outcome], report: Report) -> ET.Element:
    counts = report.counts(subject)
    suite = ET.Element(
        "testsuite",
        {
            "name": subject,
            "tests": str(len(outcomes)),
            "failures": str(counts[Status.FAILED] + counts[Status.BLOCKED]),
            "errors": str(counts[Status.BROKEN]),
            "skipped": str(counts[Status.SKIPPED]),
            "time": f"{sum(outcome.seconds for outcome in outcomes):.3f}",
        },
    )
    for outcome in outcomes:
        suite.append(_case(outcome))
    return suite


def _case(outcome: Outcome) -> ET.Element:
    case = ET.Element(
        "testcase", {"classname": outcome.subject, "name": outcome.check, "time": f"{outcome.seconds:.3f}"}
    )
    message = {"message": _clean(headline(outcome))}
    if outcome.status is Status.SKIPPED:
        ET.SubElement(case, "skipped", message)
    elif outcome.status in {Status.FAILED, Status.BLOCKED}:
        ET.SubElement(case, "failure", message).text = _clean(evidence_text(outcome))
    elif outcome.status is Status.BROKEN:
        ET.SubElement(case, "error", message).text = _clean(evidence_text(outcome))
    elif outcome.status in {Status.WARNED, Status.KNOWN}:
        ET.SubElement(case, "system-out").text = _clean(f"{outcome.status}: {evidence_text(outcome)}")
    return case


def _clean(text: str) -> str:
    """Replace what XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", text)
