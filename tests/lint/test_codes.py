"""The table of codes: each has an example that has it and one that has nothing, and the page is made from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from libcni.lint import CODES, Severity, lint_paths
from libcni.lint.manual import manual
from tests.lint.trees import ROOT, write_plugins, write_tree

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.lint import Finding
    from libcni.lint.codes import Example

each_code = pytest.mark.parametrize("code", list(CODES))


def _lint(example: Example, directory: Path) -> list[Finding]:
    tree = write_tree(directory / "net.d", example.files)
    if example.plugins is None:
        return lint_paths([tree])
    return lint_paths([tree], bin_dirs=[str(write_plugins(directory / "bin", example.plugins))])


@each_code
def test_bad_example_has_the_finding(code: str, tmp_path: Path) -> None:
    findings = _lint(CODES[code].bad, tmp_path)
    assert code in {finding.code for finding in findings}
    assert all(finding.severity == CODES[finding.code].severity for finding in findings)


@each_code
def test_bad_example_has_nothing_else(code: str, tmp_path: Path) -> None:
    beside = {"CNI508": {"CNI503"}}
    found = {finding.code for finding in _lint(CODES[code].bad, tmp_path) if finding.severity is not Severity.NOTE}
    assert found - {code} == beside.get(code, set())


@each_code
def test_good_example_has_no_finding(code: str, tmp_path: Path) -> None:
    assert [finding for finding in _lint(CODES[code].good, tmp_path) if finding.severity is not Severity.NOTE] == []
    assert code not in {finding.code for finding in _lint(CODES[code].good, tmp_path)}


@each_code
def test_code_is_complete(code: str) -> None:
    entry = CODES[code]
    assert re.fullmatch(r"CNI[0-6][0-9]{2}", code)
    assert not entry.title.endswith(".")
    assert entry.text.endswith(".")


def test_codes_are_in_order() -> None:
    assert list(CODES) == sorted(CODES)


def test_codes_that_are_used_and_codes_of_the_table_are_the_same() -> None:
    used: set[str] = set()
    for path in (ROOT / "libcni" / "lint").glob("*.py"):
        used |= set(re.findall(r'"(CNI[0-9]{3})"', path.read_text()))
    assert used == set(CODES)


def test_page_is_what_the_table_gives() -> None:
    assert (ROOT / "docs" / "lint.md").read_text() == manual(), "run python -m libcni.lint docs/lint.md"


def test_page_lists_every_code_with_two_examples() -> None:
    page = manual()
    for code in CODES:
        section = page.split(f"### {code}\n")[1].split("\n### ")[0]
        assert section.index("Bad:") < section.index("Good:")
