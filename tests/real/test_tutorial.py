"""The tutorial: each command of it is run, in its order and in a user namespace, and prints what the page says."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.support import pages

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/tutorial.md"
DEMO, SHELL = [block.text for block in pages.blocks(pages.ROOT / PAGE) if block.language == "sh"]
STEPS = pages.expected([block for block in pages.blocks(pages.ROOT / PAGE) if block.language == "console"])


def test_every_command_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    assert len(STEPS) > 10
    (tmp_path / ".venv").symlink_to(".")
    (tmp_path / "bin").symlink_to(".bin")
    unshare, _, rest = SHELL.partition("\n")
    assert "--user" in unshare
    done = pages.in_shell([*shlex.split(unshare), "bash", "-c", f"set -e\n{rest}{pages.script_of(STEPS)}"], tmp_path)
    pages.compare(PAGE, STEPS, done)


def test_demo_of_the_page_is_that_of_the_readme() -> None:
    assert DEMO in (pages.ROOT / "README.md").read_text(encoding="utf-8")
    assert DEMO.count("\n") == 1
