"""Our own configurations have nothing wrong with them, and each seeded mistake is found where it is."""

from __future__ import annotations

import collections
import json
from typing import TYPE_CHECKING, Any

import pytest

from libcni.lint import Severity, lint_paths
from tests.lint.trees import CONFIGURATION_DIR, MISTAKES_FILE

if TYPE_CHECKING:
    from pathlib import Path

MISTAKES: list[dict[str, Any]] = json.loads(MISTAKES_FILE.read_text())["mistakes"]
ENOUGH_MISTAKES = 200
ENOUGH_KINDS = 25
ENOUGH_HINTS = 60


def test_configurations_together_have_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    findings = lint_paths([CONFIGURATION_DIR])
    with capsys.disabled():
        print(f"\n{len(list(CONFIGURATION_DIR.iterdir()))} configurations: {len(findings)} findings")  # noqa: T201 -- the numbers are what this test shows
    assert [finding.code for finding in findings] == ["CNI509"], "only that the first of them is the default"


@pytest.mark.parametrize("path", sorted(CONFIGURATION_DIR.iterdir()), ids=lambda path: path.name)
def test_configuration_alone_has_no_finding(path: Path) -> None:
    assert [str(finding) for finding in lint_paths([path])] == []


def _write(mistake: dict[str, Any], directory: Path) -> Path:
    text: str = (CONFIGURATION_DIR / mistake["file"]).read_text()
    path = directory / str(mistake["file"])
    path.write_text(text.replace(mistake["edit"]["find"], mistake["edit"]["with"]))
    return path


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: f"{mistake['kind']}-{mistake['file']}")
def test_mistake_is_found_at_its_field_and_line(mistake: dict[str, Any], tmp_path: Path) -> None:
    findings = lint_paths([_write(mistake, tmp_path)])
    expected = mistake["expect"]
    codes = [found.code for found in findings if (found.field, found.line) == (expected["field"], expected["line"])]
    assert expected["codes"], "say which code it must have"
    assert codes == expected["codes"], [str(finding) for finding in findings]
    if "hint" in expected:
        assert expected["hint"] in {found.hint for found in findings}


def test_mistakes_with_a_hint_are_many() -> None:
    assert sum("hint" in mistake["expect"] for mistake in MISTAKES) >= ENOUGH_HINTS


def test_mistakes_are_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found: collections.Counter[str] = collections.Counter()
    errors = 0
    for mistake in MISTAKES:
        path = _write(mistake, tmp_path)
        findings = lint_paths([path])
        path.unlink()
        place = (mistake["expect"]["field"], mistake["expect"]["line"])
        found[mistake["kind"]] += any((finding.field, finding.line) == place for finding in findings)
        errors += any(finding.severity == Severity.ERROR for finding in findings)
    with capsys.disabled():
        print(f"\n{found.total()} of {len(MISTAKES)} mistakes of {len(found)} kinds found, {errors} as errors")  # noqa: T201 -- the numbers are what this test shows
    assert found.total() == len(MISTAKES) >= ENOUGH_MISTAKES
    assert len(found) >= ENOUGH_KINDS
