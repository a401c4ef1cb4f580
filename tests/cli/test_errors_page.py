"""The page of errors: each of its texts is what a command has just printed, and each class is the one that is named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from libcni import errors
from tests.cli.errors_page import CASES, HEAD, Case, produced, section
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Place

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_error_of_the_page_is_what_its_command_prints(place: Place, case: Case) -> None:
    assert section(case, produced(case, place)) in PAGE, "run python -m tests.cli.errors_page docs/errors.md"


def test_page_has_nothing_else_and_every_class_that_a_caller_meets() -> None:
    assert PAGE.startswith(HEAD)
    headings = re.findall(r"^## (\w+)$", PAGE, re.MULTILINE)
    assert headings == [case.name for case in CASES]
    shown = set(re.findall(r"\w+Error(?:Group)?", PAGE))
    bases = {"VersionError", "ResultError", "MissingExtraError", "LockTimeoutError"}
    others = {"MalformedVersionError", "IncompatibleConfigError", "UnsupportedResultVersionError"}
    assert set(errors.__all__) - shown - bases - others <= {"ErrorCode", "note_errors"}
