"""The pages: their blocks of code, and a script that runs all blocks of a page as a reader would, in their order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")], key=lambda path: path.as_posix()
)

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?(?P<indent> *)```(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
FILE = re.compile(r"# (/\S+)\n")
"""The first line of a block that is a file, and where it belongs."""
LANGUAGES = ("sh", "console", "python", "ini", "text")
END = "@@ end of a block "
LIMIT = 100.0
"""Seconds for a page."""

ALONE = """\
set -e
mount --make-rprivate /
mkdir -p /etc/cni /var/lib/cni /run/netns
for folder in /etc/cni /var/lib/cni /run/netns; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
ip link set lo up
"""
"""For a shell in a network and a mount namespace of its own: what the tool writes by default is gone with it."""


class Block(NamedTuple):
    """A block of code of a page; ``reason`` says why it is not run, and is empty where it is."""

    page: str
    line: int
    language: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


class Step(NamedTuple):
    """A command in a block, and what it prints there; ``…`` stands for anything, white space at an end for nothing."""

    command: str
    output: str

    def matches(self, seen: str) -> bool:
        parts = [re.escape(part) for part in self.output.split("…")]
        return re.fullmatch(r"[\s\S]*".join(parts), re.sub(r" +$", "", seen, flags=re.MULTILINE)) is not None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, text.count("\n", 0, match.start()) + 1, match["language"], match["text"], match["reason"] or "")
        for match in FENCE.finditer(text)
    ]


def steps(console: str) -> list[Step]:
    """Return the commands of a block of a terminal; a line that begins with ``# `` or ``$ `` is one."""
    lines = re.split(r"^[#$] ", console.replace("\\\n", ""), flags=re.MULTILINE)[1:]
    return [Step(command, output) for command, _, output in (line.partition("\n") for line in lines)]


def commands_of(block: Block) -> list[Step]:
    """Return what a block has a shell run; where no output is expected, any is right."""
    if block.language == "console":
        return steps(block.text)
    if place := FILE.match(block.text):
        path = shlex.quote(place[1])
        return [Step(f"set -e\nmkdir -p $(dirname {path})\ncat > {path} <<'PASTED'\n{block.text}PASTED", "")]
    if block.language == "python":
        return [Step(f"python3 -W error - <<'PASTED'\n{block.text}PASTED", "…")]
    return [Step(f"set -e\n{block.text.rstrip()}", "…")]


def expected(found: list[Block]) -> list[Step]:
    """Return all commands of blocks; a block of plain text is what the command before it prints."""
    result: list[Step] = []
    for block in found:
        if block.reason:
            continue
        if block.language == "text":
            result[-1] = Step(result[-1].command, block.text)
        else:
            result += commands_of(block)
    return result


def run(page: str, folder: Path, *, world: str = "", languages: tuple[str, ...] = LANGUAGES) -> None:
    """Run the blocks of a page in their order, in one shell and in namespaces of its own.

    :param page: path of the page below the repository.
    :param folder: where it is run.
    :param world: commands that make what the page takes for granted.
    :param languages: those of the blocks to run.
    """
    wanted = expected([block for block in blocks(ROOT / page) if block.language in languages])
    run_steps(page, wanted, folder, world=world)


def run_steps(page: str, wanted: list[Step], folder: Path, *, world: str = "") -> None:
    """Run commands of a page in one shell, and compare what they print."""
    assert wanted, page
    compare(page, wanted, in_own_namespaces(f"{world}\n{script_of(wanted)}", folder))


def script_of(wanted: list[Step]) -> str:
    """Return a script of a shell that runs commands one after the other, and marks the end of each."""
    lines = ["set +e"]
    for step in wanted:
        lines += [f"{{ {step.command}\n}} 2>&1", f"status=$?; set +e; echo; echo {shlex.quote(END)}$status"]
    return "\n".join(lines)


def in_own_namespaces(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of a shell in namespaces of its own, and return what it printed."""
    return in_shell(["unshare", "--mount", "--net", "bash", "-c", f"{ALONE}{script}"], folder)


def in_shell(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command with the tool under test on its path, and return what it printed."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        env=environment(folder),
    )


def compare(page: str, wanted: list[Step], done: subprocess.CompletedProcess[str]) -> None:
    """Check what each command printed, or that a script succeeded: a failure in a terminal shows in what it printed."""
    seen = re.findall(rf"(.*?)\n{END}(\d+)\n", done.stdout, re.DOTALL)
    for step, (output, status) in zip(wanted, seen, strict=False):
        assert step.output != "…" or status == "0", f"{page}: {step.command}\n{output}\n{done.stderr}"
        assert step.matches(output), f"{page}: {step.command} printed:\n{output}\n{done.stderr}"
    assert len(seen) == len(wanted), f"{page}: {wanted[len(seen)].command}\n{done.stdout}\n{done.stderr}"


_LEFT_OUT = {"CNI_PATH", "NETCONFPATH", "COLUMNS", "LINES"}
"""Variables of those who run the tests, of which what a page shows must not depend."""


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which ``cnitool`` and ``python3`` are those under test."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    for name, arguments in (("cnitool", "-m libcni"), ("python3", ""), ("python", "")):
        path = programs / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        path.chmod(0o755)
    paths = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"], "/usr/sbin"]
    kept = {name: text for name, text in os.environ.items() if name not in _LEFT_OUT}
    return {**kept, "PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT)}
