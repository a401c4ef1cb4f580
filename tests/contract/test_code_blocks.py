"""Every block of code of every page is run by a test, parsed, or says why it is neither."""

from __future__ import annotations

import ast
import configparser
import json
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.contract.modules import ROOT
from tests.support.pages import LANGUAGES, PAGES, blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.pages import Block

AT_MOST_NOT_RUN = 18

RUN_BY = {
    ("README.md", "sh"): "tests/contract/test_readme.py::test_real_thing_of_the_readme_works_as_pasted",
    ("README.md", "python"): "tests/contract/test_readme.py::test_real_thing_of_the_readme_works_as_pasted",
    ("README.md", "console"): "tests/real/test_how_to.py::test_sessions_of_the_readme_print_what_it_says",
    ("docs/session.md", "console"): "tests/real/test_session.py::test_session_of_the_page_prints_what_it_says",
    ("docs/tutorial.md", "sh"): "tests/real/test_tutorial.py::test_every_command_of_the_page_prints_what_it_says",
    ("docs/tutorial.md", "console"): "tests/real/test_tutorial.py::test_every_command_of_the_page_prints_what_it_says",
    ("docs/errors.md", "console"): "tests/cli/test_errors_page.py::test_error_of_the_page_is_what_its_command_prints",
    ("docs/kubernetes.md", "python"): "tests/unit/test_kubernetes.py::test_example_of_the_page_runs",
    ("docs/kubernetes.md", "console"): "tests/unit/test_kubernetes.py::test_example_of_the_page_runs",
    ("docs/namespaces.md", "python"): "tests/real/test_netns.py::test_examples_of_the_page_run",
    ("docs/networks.md", "python"): "tests/examples/test_examples.py::test_example_of_the_page_runs",
    ("docs/networks.md", "console"): "tests/networks/test_snapshot.py::test_page_shows_what_an_explanation_says",
    ("docs/observing.md", "python"): "tests/unit/test_observe.py::test_examples_of_the_page_run",
    ("docs/lint.md", "json"): "tests/lint/test_codes.py::test_page_is_what_the_table_gives",
}
"""The test that runs the blocks of a language of a page."""

RUN_AS_A_WHOLE = {
    "docs/cnitool.md",
    "docs/conformance.md",
    "docs/editors.md",
    "docs/explanation/chain.md",
    "docs/explanation/stored.md",
    "docs/from-go-libcni.md",
    "docs/plugin-authors.md",
}
"""Pages beside the how-to pages that are run from the first block to the last one, by ``tests/real/test_how_to.py``."""


def parse_ini(text: str) -> object:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    return parser.sections()


PARSED: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
    "toml": tomllib.loads,
    "ini": parse_ini,
}

BLOCKS = [block for page in PAGES for block in blocks(page)]


def is_run(block: Block) -> bool:
    whole = block.page.startswith("docs/how-to/") or block.page in RUN_AS_A_WHOLE
    return (block.page, block.language) in RUN_BY or (whole and block.language in LANGUAGES)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_is_run_or_parsed_or_says_why_not(block: Block) -> None:
    if block.reason:
        assert len(block.reason) > 10
        assert block.language not in PARSED, "it can be parsed"
    elif not is_run(block):
        assert block.language in PARSED, "nothing runs it"
        assert PARSED[block.language](block.text)


def test_few_blocks_are_not_run() -> None:
    assert len([block for block in BLOCKS if block.reason]) <= AT_MOST_NOT_RUN


@pytest.mark.parametrize(("page", "language"), sorted(RUN_BY))
def test_test_that_runs_a_page_is_there_and_knows_it(page: str, language: str) -> None:
    assert any((block.page, block.language) == (page, language) for block in BLOCKS)
    file, _, name = RUN_BY[page, language].partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    functions = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    assert name in functions
    assert page.rpartition("/")[2] in source


def test_pages_that_are_run_as_a_whole_are_those_of_the_runner() -> None:
    source = (ROOT / "tests" / "real" / "test_how_to.py").read_text(encoding="utf-8")
    assert [page for page in RUN_AS_A_WHOLE if f'"{page}"' not in source] == []
