"""What is published: the matrix of many plugins, badges, known faults, and the tables of the page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from libcni.cli.root import cnitool
from libcni.conformance.faults import known_faults
from libcni.conformance.outcome import Outcome, Report, Status
from libcni.conformance.reports import FORMATS
from libcni.conformance.reports.badge import badge_text
from libcni.conformance.reports.matrix import matrix_text, rows_of
from libcni.conformance.subject import profile_names
from libcni.conformance.tables import with_tables
from tests.conformance import bench, whole_run

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

PAGE = bench.TESTDATA.parents[1] / "docs" / "conformance.md"
PASSED = Outcome("bridge", "del-twice", "MUST", "A second <DEL>", "2, DEL", "It is so.", Status.PASSED)
FAILED = replace(  # noqa: S604 -- a text in the report
    PASSED, check="add-mac", status=Status.FAILED, expected="mac", seen="a & b", shell="unshare sh -c 'x'"
)
WARNED = replace(FAILED, check="gc-twice", status=Status.WARNED)
REPORT = Report(
    (
        PASSED,
        FAILED,
        replace(PASSED, subject="ptp"),
        replace(PASSED, subject="ptp", check="gc-twice", status=Status.SKIPPED),
    ),
    {"bridge": {"versions": ["0.4.0", "1.0.0"], "notes": ["supports <1.0.0>"]}, "ptp": {"versions": ["1.1.0"]}},
)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cnitool, ["conformance", *arguments], catch_exceptions=False)


# -------- faults


def test_known_faults_are_those_that_a_run_over_all_plugins_sees() -> None:
    recorded = json.loads(whole_run.RECORDED.read_text())["outcomes"]
    seen = {(check, name) for name in recorded for check, status in recorded[name].items() if status != "skipped"}
    known = {(f.check, name) for f in known_faults() for name in profile_names() if f.is_of(name) and not f.is_rare}

    assert known == seen


def test_known_faults_say_cause_and_effect() -> None:
    for fault in known_faults():
        assert fault.cause.endswith((".", '"', '."')), fault
        assert fault.effect.endswith("."), fault
        assert fault.check in bench.check_ids()
        assert set(fault.plugins) <= {*profile_names(), "all"}
        assert not fault.issue or re.fullmatch(
            r"https://github\.com/containernetworking/plugins/issues/\d+", fault.issue
        )


def test_explain_shows_known_faults_of_a_check_and_of_a_plugin() -> None:
    of_check, of_plugin = call("--explain", "check-passes").stdout, call("--explain", "portmap").stdout

    for text in (of_check, of_plugin):
        assert "plugins/issues/819" in text
        assert "set disableCheck" in text
    assert "now and then" in of_plugin
    assert "version-echo" in of_plugin


def test_tables_of_the_page_are_made_of_the_data() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert with_tables(text) == text, "run python -m libcni.conformance docs/conformance.md"
    assert text.count("| not checked: ") > 10
    assert with_tables("no table") == "no table"


# -------- matrix


def test_matrix_has_a_row_for_each_plugin_and_leads_to_evidence() -> None:
    page = matrix_text(rows_of({"a": REPORT}))

    assert page.count("<tr><th>") == 3
    assert "2 plugins" in page
    assert "0.4.0 to 1.0.0" in page
    links = set(re.findall('href="#([^"]+)"', page))
    assert links == {"bridge--all", "bridge--add", "bridge--delete", "ptp--all", "ptp--delete"}
    assert links <= set(re.findall('id="([^"]+)"', page))
    for part in ("a &amp; b", "unshare sh -c", "A second &lt;DEL&gt;", "supports &lt;1.0.0&gt;", ">1/2</a>"):
        assert part in page
    for foreign in ("http:", "https:", "<script", "@import", "url("):
        assert foreign not in page


def test_matrix_tells_two_reports_of_one_plugin_apart() -> None:
    alone = Report((PASSED,))
    names = [row.name for row in rows_of({"old": alone, "new": REPORT})]

    assert names == ["bridge (old)", "bridge (new)", "ptp"]
    assert "1 plugin." in matrix_text(rows_of({"old": alone}))
    other = matrix_text(rows_of({"old": Report((replace(PASSED, check="of-another-version", status=Status.KNOWN),))}))
    assert "of-another-version" in other


@pytest.mark.parametrize(
    ("outcomes", "text", "colour"),
    [
        ((PASSED,), "1 passed", "#2e7d32"),
        ((PASSED, WARNED), "1 passed, 1 warned", "#9a6700"),
        ((PASSED, WARNED, FAILED), "1 failed, 1 passed", "#b3261e"),
    ],
)
def test_badge_says_how_the_plugin_did(outcomes: tuple[Outcome, ...], text: str, colour: str) -> None:
    (row,) = rows_of({"a": Report(outcomes)})
    badge = badge_text(row)

    root = ET.fromstring(badge)  # noqa: S314 -- written by us
    assert root.get("aria-label") == f"CNI conformance: {text}"
    assert colour in badge
    assert int(root.get("width", "0")) > 100


def test_matrix_is_written_with_badges(tmp_path: Path) -> None:
    source = tmp_path / "one.json"
    source.write_text(FORMATS["json"](REPORT))

    done = call("matrix", str(source), "--report", f"html={tmp_path}/page.html", "--badges", str(tmp_path / "badges"))

    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.html").read_text() == call("matrix", str(source)).stdout
    assert sorted(path.name for path in (tmp_path / "badges").iterdir()) == ["bridge.svg", "ptp.svg"]


@pytest.mark.parametrize("arguments", [(), ("/nonexistent.json",), ("ONE", "--report", "tap=x")])
def test_wrong_use_of_matrix_has_status_2(arguments: tuple[str, ...], tmp_path: Path) -> None:
    source = tmp_path / "one.json"
    source.write_text(FORMATS["json"](REPORT))

    assert call("matrix", *(str(source) if word == "ONE" else word for word in arguments)).exit_code == 2
