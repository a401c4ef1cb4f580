"""Reports, their comparison, and the terminal."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from libcni.conformance.compare import compare
from libcni.conformance.outcome import Outcome, Report, Status, read_report
from libcni.conformance.reports import FORMATS
from libcni.conformance.reports.terminal import progress_bar, show_report
from libcni.errors import InvalidParameterError

if TYPE_CHECKING:
    from pathlib import Path

CALL = {
    "shell": "printf x | plugin",
    "environment": {"CNI_COMMAND": "ADD"},
    "stdin": '{"name": "<net>"}',
    "stdout": "\x01 no JSON",
    "stderr": "",
    "exitStatus": None,
    "signal": 9,
    "timedOut": False,
    "seconds": 0.1,
}
PLAIN = Outcome("bridge", "add-mac", "MUST", "The <mac>", "5, Success", "It is so.", Status.PASSED, 0.25)
FAILED = replace(  # noqa: S604 -- a text in the report
    PLAIN,
    check="del-twice",
    status=Status.FAILED,
    expected="DEL to succeed",
    seen="status 1 & <more>",
    call=CALL,
    steps=(CALL,),
    shell="unshare sh -c 'x'",
)
OUTCOMES = (
    PLAIN,
    FAILED,
    replace(FAILED, check="a", status=Status.WARNED, level="SHOULD"),
    replace(FAILED, check="b", status=Status.KNOWN, reason="old # story"),
    replace(PLAIN, check="c", status=Status.SKIPPED, reason="not for it"),
    replace(PLAIN, check="d", status=Status.BROKEN, reason="no space"),
    replace(FAILED, check="e", status=Status.BLOCKED, call={**CALL, "signal": None, "exitStatus": 0}),
    replace(PLAIN, subject="ptp"),
)
REPORT = Report(OUTCOMES, {"bridge": {"path": "/x"}}, 3.0)


def test_json_report_reads_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(FORMATS["json"](REPORT))

    assert read_report(path).outcomes == OUTCOMES


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "outcomes": []}', '{"format": 1, "outcomes": [{}]}'])
def test_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)

    with pytest.raises(InvalidParameterError):
        read_report(path)


def test_junit_counts_what_counts() -> None:
    root = ET.fromstring(FORMATS["junit"](REPORT).split("\n", 1)[1])  # noqa: S314 -- written by us
    bridge, ptp = root.findall("testsuite")

    assert (bridge.get("tests"), bridge.get("failures"), bridge.get("errors"), bridge.get("skipped")) == (
        "7",
        "2",
        "1",
        "1",
    )
    assert ptp.get("failures") == "0"
    failure = root.find(".//testcase[@name='del-twice']/failure")
    assert failure is not None
    assert "signal 9" in str(failure.text)
    assert len(root.findall(".//system-out")) == 2


def test_tap_marks_what_does_not_count() -> None:
    lines = FORMATS["tap"](replace(REPORT, was_stopped=True)).splitlines()

    assert lines[:3] == ["TAP version 14", "1..8", "ok 1 - bridge add-mac"]
    assert "not ok 2 - bridge del-twice" in lines
    assert "not ok 3 - bridge a # TODO a rule of level SHOULD" in lines
    assert "not ok 4 - bridge b # TODO known: old story" in lines
    assert "ok 5 - bridge c # SKIP not for it" in lines
    assert lines[-1] == "Bail out! The run was stopped"


def test_page_is_complete_and_needs_nothing_else() -> None:
    page = FORMATS["html"](replace(REPORT, was_stopped=True))

    assert 'href="#bridge--del-twice"' in page
    links = re.findall('href="#([^"]+)"', page)
    assert len(links) == len(REPORT.outcomes), "each cell opens something"
    assert sorted(links) == sorted(re.findall('<section id="([^"]+)"', page))
    assert 'id="bridge--del-twice"' in page
    assert "status 1 &amp; &lt;more&gt;" in page
    assert "unshare sh -c" in page
    assert "The run was stopped" in page
    for foreign in ("http:", "https:", "<script", "@import", "url("):
        assert foreign not in page
    many = FORMATS["html"](Report(tuple(replace(PLAIN, subject=name) for name in "abcd")))
    assert "a, b, c …" in many


def test_page_leaves_a_place_empty_that_was_not_run() -> None:
    assert "<td></td>" in FORMATS["html"](REPORT)


def test_terminal_shows_evidence_and_counts() -> None:
    text = io.StringIO()
    show_report(replace(REPORT, was_stopped=True), Console(file=text, width=200))

    for part in ("del-twice", "DEL to succeed", "repeat:", "CNI_COMMAND=ADD", "PASSED", "ptp", "was stopped"):
        assert part in text.getvalue()


def test_progress_bar_advances_on_a_terminal_only() -> None:
    for is_terminal in (True, False):
        text = io.StringIO()
        with progress_bar(2, Console(file=text, force_terminal=is_terminal)) as advance:
            advance(PLAIN)
        assert bool(text.getvalue().strip()) == is_terminal


@pytest.mark.parametrize(
    ("outcomes", "strict", "status"),
    [
        ((PLAIN,), False, 0),
        ((FAILED,), False, 1),
        (OUTCOMES[2:4], False, 0),
        (OUTCOMES[2:4], True, 1),
        (OUTCOMES[5:6], False, 1),
    ],
)
def test_exit_status_says_whether_something_counts(outcomes: tuple[Outcome, ...], strict: bool, status: int) -> None:
    assert Report(outcomes).exit_status(is_strict=strict) == status
    assert Report(outcomes, was_stopped=True).exit_status() == 1


def test_comparison_puts_what_is_worse_first() -> None:
    old = Report((PLAIN, replace(PLAIN, check="x"), FAILED))
    new = Report(
        (
            PLAIN,
            replace(PLAIN, check="x", status=Status.WARNED),
            replace(FAILED, status=Status.PASSED),
            replace(FAILED, check="new"),
        )
    )

    changes = compare(old, new)

    assert [(change.check, change.is_worse) for change in changes] == [
        ("new", True),
        ("x", False),
        ("del-twice", False),
    ]
    assert str(changes[0]) == "bridge new: not run -> failed"
    assert json.loads(FORMATS["json"](new))["format"] == 1
