"""Completion in real shells: the script is put where the help says, and names are completed as a person types."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.terminal import PATIENCE, terminal
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
BEGINNING, END, TAB = "\x01", "\x05", "\t"
"""Keys for the beginning and the end of a line, in the shells as they come."""


@pytest.fixture
def home(place: Place) -> Path:
    """Return a home directory with ``cnitool`` in ``bin``, two networks and a container."""
    place.network("second", file="20.conflist")
    place.run("add", "dbnet", NETNS, "--container-id", "web-1")
    folder = place.folder / "home"
    (folder / "bin").mkdir(parents=True)
    tool = folder / "bin" / "cnitool"
    tool.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m libcni "$@"\n')
    tool.chmod(0o755)
    return folder


def needed(shell: str) -> str:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    return path


def environ_of(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "NETCONFPATH": str(home.parent / "net.d"),
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "PS1": "ready> ",
        "TERM": "xterm",
        "XDG_CONFIG_HOME": str(home / ".config"),
    }


def installed(place: Place, home: Path, shell: str) -> Path:
    """Install the script with the command of the help, its place being below the home directory."""
    text = place.run_bare("completion", "--help").stdout
    found = re.search(rf'cnitool completion {shell} > "?(\S+?)"?\n', text)
    assert found, text
    path = home / found[1].replace("${fpath[1]}", "functions").replace("~/", "").lstrip("/")
    path.parent.mkdir(parents=True)
    command = f"cnitool completion {shell} > {path}"
    subprocess.run(["sh", "-c", command], env={**os.environ, **environ_of(home)}, check=True, timeout=60)
    return path


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell_completes_names_as_they_are_typed(place: Place, home: Path, shell: str) -> None:
    program = needed(shell)
    script = installed(place, home, shell)
    words = {
        "bash": [program, "--noprofile", "--norc", "-i"],
        "zsh": [program, "--no-rcs", "--no-globalrcs", "-i"],
    }[shell]
    ready = {
        "bash": f"source {script}",
        "zsh": f"fpath=({script.parent} $fpath); autoload -U compinit; compinit -u -D",
    }[shell]
    typed = {
        "cnitool add db": "cnitool add dbnet",
        "cnitool run dbnet --network se": "cnitool run dbnet --network second",
        f"cnitool --cache-dir {place.cache} forget we": f"cnitool --cache-dir {place.cache} forget web-1",
        "cnitool atta": "cnitool attachments",
    }
    with terminal(words, columns=500, environ=environ_of(home)) as screen:
        screen.expect("ready> ")
        screen.type(f"{ready}; mkdir {home}/is-ready\n")
        waited_for(home / "is-ready")
        for number, line in enumerate(typed):
            said = home / f"said-{number}"
            # What stands in the line after the key is echoed into a file, in place of being run.
            screen.type(f"{line}{TAB}{BEGINNING}echo {END}> {said}.new; mv {said}.new {said}\n")
            waited_for(said)
        screen.type("exit\n")
        assert screen.end() == 0
    assert {line: (home / f"said-{number}").read_text().strip() for number, line in enumerate(typed)} == typed


def waited_for(path: Path) -> None:
    """Wait until a shell has made a file."""
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.01)


def test_fish_completes_names_and_describes_them(place: Place, home: Path) -> None:
    program = needed("fish")
    installed(place, home, "fish")
    typed = {
        "cnitool add ": {"dbnet\tfake", "second\tfake"},
        f"cnitool --cache-dir {place.cache} forget we": {"web-1\tdbnet"},
        "cnitool atta": {"attachments\tShow the stored attachments"},
    }
    for line, offered in typed.items():
        done = subprocess.run(
            [program, "--command", f"complete --do-complete '{line}'"],
            env=environ_of(home),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert set(done.stdout.splitlines()) == offered, done.stderr
