"""The tutorial: each command of it is run, in its order, and prints what the page says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.contract.modules import ROOT
from tests.support import pages

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS_AT_MOST = 10
"""Commands from the clone to the first ping."""


def test_every_command_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    assert len(pages.steps(PAGE)) > 10
    pages.run("docs/tutorial.md", tmp_path, languages=("console",))


def test_demo_of_the_page_is_that_of_the_readme() -> None:
    (demo,) = [block.text for block in pages.blocks(ROOT / "docs" / "tutorial.md") if block.language == "sh"]
    assert demo in (ROOT / "README.md").read_text(encoding="utf-8")


def test_ping_comes_after_few_commands_and_the_demo_after_one() -> None:
    before = PAGE.partition("# cnitool run web -- ping")[0]
    assert len(re.findall(r"^# ", before, re.MULTILINE)) + 3 <= COMMANDS_AT_MOST  # the clone, the demo's, the path
    assert re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0].count("\n") == 1
