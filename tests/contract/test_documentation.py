"""What is written: docstrings on everything public, budgets, the pages, and nothing that does not belong here."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from libcni import errors
from tests.contract.modules import ROOT, load, module_names, public_methods, public_objects, source_of, tree_of

if TYPE_CHECKING:
    from pathlib import Path

MODULE_LINES = 400
FUNCTION_LINES = 40

LONGER_MODULES = {
    "libcni.errors": "a flat list of classes and their texts, which is read as one",
}
LONGER_FUNCTIONS: dict[str, str] = {}
"""Exceptions from the budgets, each with its reason."""


@pytest.mark.parametrize("name", module_names())
def test_everything_public_has_a_docstring(name: str) -> None:
    module = load(name)
    assert module.__doc__, name
    for each, value in public_objects(name):
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        _check_docstring(f"{name}.{each}", value.__doc__)
        if inspect.isclass(value):
            for method, function in public_methods(value):
                _check_docstring(f"{name}.{each}.{method}", function.__doc__)


def _check_docstring(place: str, text: str | None) -> None:
    assert text, f"{place} has no docstring"
    first = text.strip().splitlines()[0]
    assert first.endswith((".", ":")), f"{place}: the first line is no sentence: {first!r}"
    assert not re.search(r"^\s*(Args|Returns|Raises|Parameters):\s*$", text, re.MULTILINE), f"{place}: not reST fields"


@pytest.mark.parametrize("name", module_names())
def test_raised_errors_that_are_documented_exist(name: str) -> None:
    text = source_of(name).read_text(encoding="utf-8")
    for documented in re.findall(r":raises (\w+):", text):
        known = (errors, builtins, load(name), load("libcni.jsontext.scan"), load("libcni.testing"))
        assert any(hasattr(place, documented) for place in known), documented


@pytest.mark.parametrize("name", module_names())
def test_module_is_within_its_budget(name: str) -> None:
    lines = len(source_of(name).read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES or name in LONGER_MODULES, f"{name} has {lines} lines"


@pytest.mark.parametrize("name", module_names())
def test_functions_are_within_their_budget(name: str) -> None:
    for node in ast.walk(tree_of(name)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.end_lineno is None:
            continue
        documented = bool(ast.get_docstring(node))
        code = node.body[1:] if documented else node.body
        lines = (code[-1].end_lineno or 0) - code[0].lineno + 1 if code else 0
        place = f"{name}.{node.name}"
        assert lines <= FUNCTION_LINES or place in LONGER_FUNCTIONS, f"{place} has {lines} lines"


def named_tests(text: str) -> list[tuple[str, str]]:
    """Return the file and the function of each test that a page names."""
    return re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", text)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.name)
def test_tests_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file, name in named_tests(text):
        functions = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{page.name} names {name}, which is not in {file}"


def test_every_fault_of_other_layers_has_a_test() -> None:
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    rows = [row for row in text.partition("| fault |")[2].splitlines()[2:] if row.startswith("|")]
    assert len(rows) >= 10
    assert all(named_tests(row) for row in rows)


def test_exceptions_from_the_budgets_are_still_needed() -> None:
    for name in LONGER_MODULES:
        assert len(source_of(name).read_text(encoding="utf-8").splitlines()) > MODULE_LINES


def is_source(path: Path) -> bool:
    """Return whether somebody wrote a file; what a compiler makes holds the paths of the machine."""
    return path.is_file() and path.suffix not in {".pyc", ".so"}


def tracked_files() -> list[Path]:
    """Return the files of the project: what git knows, or without git everything but hidden files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True)
    names = listed.stdout.split("\0") if listed.returncode == 0 else []
    found = [ROOT / name for name in names if name]
    return [path for path in found if path.is_file()] or [
        path for folder in ("libcni", "schemas", "docs") for path in (ROOT / folder).rglob("*") if is_source(path)
    ]


# Written so that this file does not hold the words it looks for.
FOREIGN = re.compile(
    "|".join(
        [
            r"\b(chat" + "gpt|clau" + "de|anthro" + "pic|open" + r"ai|co" + r"pilot|gem" + "ini)",
            r"\blarge language " + "model",
            r"\bAI[- ](generated|assist" + "ed|written)",
            r"\bas an " + "ai",
            r"(?-i:CONTRACT" + r"\.md|BEHAVIOUR" + r"\.md|STYLE" + r"\.md|ARCHITECTURE" + r"\.md)",
            r"/work" + "/(main|shared|wt)",
            "/root" + "/",
            r"issues" + " show",
            r"\bthe (brief|prompt|task)" + " (says|asks|wants)",
        ]
    ),
    re.IGNORECASE,
)


def test_no_file_tells_how_the_project_was_made() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        for match in FOREIGN.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def test_top_of_the_repository_holds_nothing_else() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    allowed = {
        *("pyproject.toml", "libcni", "schemas", "tests", "testdata", "tox.ini"),
        *("README.md", "CHANGELOG.md", "LICENSE", "docs", ".ci", ".gitignore", ".github", ".pre-commit-hooks.yaml"),
    }
    assert {path.relative_to(ROOT).parts[0] for path in tracked_files()} <= allowed


LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_difference_from_go_names_a_test_that_exists() -> None:
    rows = [
        line
        for line in (ROOT / "docs" / "differences.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| subject"))
    ]
    assert len(rows) > 30
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 4, row
        tests = re.findall(r"`(tests/[^`]+)::(\w+)`", cells[3])
        assert tests, f"no test is named: {row}"
        for path, function in tests:
            assert f"def {function}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path}::{function}"
