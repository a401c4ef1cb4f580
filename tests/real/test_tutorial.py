"""The tutorial: each command of it is run, in its order, and prints what the page says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from tests.contract.modules import ROOT
from tests.contract.test_readme import ALONE

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
MARK = "end-of-a-command"
COMMANDS_AT_MOST = 10
"""Commands from the clone to the first ping."""


class Step(NamedTuple):
    """A command of the page, and what it prints there; ``…`` stands for anything."""

    command: str
    output: str

    def matches(self, seen: str) -> bool:
        parts = [re.escape(part) for part in self.output.split("…")]
        return re.fullmatch(r"[\s\S]*".join(parts), seen) is not None


def steps() -> list[Step]:
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^# ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append(Step(command, output))
    return found


def test_every_command_of_the_page_prints_what_it_says(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "cnitool"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m libcni "$@"\n')
    tool.chmod(0o755)
    found = steps()
    script = "".join(f"{step.command} 2>&1 || true\necho {shlex.quote(MARK)}\n" for step in found)
    paths = os.pathsep.join([str(tool.parent), os.environ["PATH"], "/usr/sbin"])
    environ = {name: text for name, text in os.environ.items() if name not in {"CNI_PATH", "NETCONFPATH"}}
    done = subprocess.run(
        ["unshare", "--mount", "--net", "sh", "-c", f"{ALONE}set +e\n{script}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        cwd=tmp_path,
        env={**environ, "PATH": paths, "PYTHONPATH": str(ROOT)},
    )
    outputs = done.stdout.split(f"{MARK}\n")[:-1]
    assert len(outputs) == len(found) > 10
    for step, output in zip(found, outputs, strict=True):
        assert step.matches(output), f"{step.command} printed:\n{output}"


def test_ping_comes_after_few_commands_and_the_demo_after_one() -> None:
    before = PAGE.partition("# cnitool run web -- ping")[0]
    assert len(re.findall(r"^# ", before, re.MULTILINE)) + 3 <= COMMANDS_AT_MOST  # the clone, the demo's, the path
    assert re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0].count("\n") == 1
