"""Findings as text, JSON, SARIF and annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import libcni
from libcni.lint import CODES, FORMATS, Finding, Severity, lint_paths, write_report
from tests.lint.trees import write_tree

LINE = '\t"plugins": [{"type": "ptp",\t"mtu": "x", "ipam": {"type": "dhcp"}}]'
TEXT = '{\n\t"cniVersion": "1.0.0",\n\t"name": "lab",\n' + LINE + "\n}\n"


def _findings(directory: Path) -> list[Finding]:
    return lint_paths([write_tree(directory, {"10 a,b.conflist": TEXT})])


def test_text_shows_the_line_with_a_caret_below_the_place(tmp_path: Path) -> None:
    lines = write_report(_findings(tmp_path)).split("\n")
    place = f"{tmp_path}/10 a,b.conflist:4:37"
    assert lines[0] == f"{place}: error CNI301: plugins[0].mtu: expected an integer, found a string"
    assert lines[1] == f"  4 | {LINE}"
    assert lines[2].startswith("    | \t")
    assert lines[2].endswith("^")
    assert len(lines[2]) - 1 == lines[1].index('"x"')
    assert lines[2].count("\t") == 2
    assert lines[-1] == "1 error"


def test_text_of_nothing_says_so() -> None:
    assert write_report([]) == "no findings"


def test_text_of_a_long_line_is_cut_around_the_place(tmp_path: Path) -> None:
    plugins = ",".join('{"type": "loopback"}' for _ in range(500))
    text = f'{{"cniVersion": "1.0.0", "name": "lab", "plugins": [{plugins},{{"type": 5}},{plugins}]}}'
    finding = lint_paths([write_tree(tmp_path, {"10.conflist": text})])[0]
    assert len(finding.source_line) == 200
    assert finding.source_line[finding.caret] == "5"
    assert finding.column == text.index("5}") + 1


def test_text_holds_no_control_character_of_the_file(tmp_path: Path) -> None:
    text = '{"name": "\x1b[31mred"}'
    report = write_report(lint_paths([write_tree(tmp_path, {"10.conflist": text})]))
    assert "\x1b" not in report
    assert "CNI002" in report


def test_json_has_every_field(tmp_path: Path) -> None:
    (found,) = json.loads(write_report(_findings(tmp_path), "json"))
    assert found == {
        "code": "CNI301",
        "severity": "error",
        "file": str(tmp_path / "10 a,b.conflist"),
        "line": 4,
        "column": 37,
        "field": "plugins[0].mtu",
        "message": "expected an integer, found a string",
        "hint": "",
        "source": LINE,
    }


def _all_findings() -> list[Finding]:
    places: list[dict[str, Any]] = [
        {"file": Path("a b/ü.conflist"), "line": 3, "column": 2, "field": "name"},
        {"file": Path("/net.d"), "line": None, "column": None, "field": ""},
    ]
    return [
        Finding(code=code.code, severity=code.severity, message="100% wrong\nhere", hint="mend it", **place)
        for code in CODES.values()
        for place in places
    ]


def test_sarif_has_the_structure_of_2_1_0() -> None:
    document = json.loads(write_report(_all_findings(), "sarif"))
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("cnitool lint", libcni.__version__)
    assert [rule["id"] for rule in driver["rules"]] == list(CODES)
    for rule in driver["rules"]:
        assert set(rule) == {"id", "shortDescription", "fullDescription", "defaultConfiguration"}
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"error", "warning", "note"}
    assert len(run["results"]) == 2 * len(CODES)
    for result in run["results"]:
        assert set(result) == {"ruleId", "ruleIndex", "level", "message", "locations"}
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in {"error", "warning", "note"}
        (location,) = result["locations"]
        uri = location["physicalLocation"]["artifactLocation"]["uri"]
        assert uri in {"a%20b/%C3%BC.conflist", "file:///net.d"}
        assert ("region" in location["physicalLocation"]) == (not uri.startswith("file:"))


def test_sarif_of_nothing_is_a_run_without_results() -> None:
    (run,) = json.loads(write_report([], "sarif"))["runs"]
    assert run["results"] == []


def test_github_annotations_are_escaped(tmp_path: Path) -> None:
    del tmp_path
    lines = write_report(_all_findings()[:2], "github").split("\n")
    title = CODES["CNI001"].title
    assert lines == [
        f"::error file=a b/ü.conflist,line=3,col=2,title=CNI001 {title}::name: 100%25 wrong%0Ahere (mend it)",
        f"::error file=/net.d,title=CNI001 {title}::100%25 wrong%0Ahere (mend it)",
    ]
    comma = Finding("CNI001", Severity.NOTE, Path("a,b:c"), None, None, field="", message="m")
    assert write_report([comma], "github").startswith("::notice file=a%2Cb%3Ac,title=")


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_format_takes_every_finding(form: str) -> None:
    assert write_report(_all_findings(), form)
