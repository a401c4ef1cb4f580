"""The page from a clone to a ping: its commands are run on a clone of this repository, and print what it says.

No package index is asked: what the library needs is found where the tests have it, and so is what builds it.
"""

from __future__ import annotations

import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support import kernel, pages

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "docs/session.md"
AS_ROOT, WITHOUT_ROOT = [block for block in pages.blocks(pages.ROOT / PAGE) if block.language == "console"]
COMMANDS_LESS_THAN = 10

OFFLINE = f"""\
export HOME=$PWD PYTHONPATH={sysconfig.get_path("purelib")}
export PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1
git config --global safe.directory '*'
"""
"""For pip "0" is what switches the isolation off."""


@pytest.fixture(autouse=True)
def _clone() -> None:
    if not (pages.ROOT / ".git").exists():
        pytest.skip("not in a clone")


def test_ping_comes_after_few_commands_and_the_demo_after_one() -> None:
    as_root, without = pages.steps(AS_ROOT.text), pages.steps(WITHOUT_ROOT.text)
    assert as_root[0].command.startswith("git clone ")
    assert " ping " in as_root[-1].command
    assert len(as_root) < COMMANDS_LESS_THAN
    assert len(without) == 1
    assert without[0].command in (pages.ROOT / "README.md").read_text(encoding="utf-8").splitlines()


def test_session_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    if missing := kernel.missing_requirement():
        pytest.skip(missing)
    place = f"mount -t tmpfs tmpfs /srv && mkdir -p /srv/git && ln -s {pages.ROOT} /srv/git/libcni.git\n"
    commands = pages.steps(AS_ROOT.text)
    demo = pages.steps(WITHOUT_ROOT.text)[0]
    # What comes before the demo has been done as root; in a user namespace without a mapping nobody is root.
    without_root = pages.Step(f"unshare --user {demo.command.rpartition('&& ')[2]}", demo.output)
    pages.run_steps(PAGE, [*commands, without_root], tmp_path, world=place + OFFLINE)
