"""The page of errors, each produced by a command: ``python -m tests.cli.errors_page docs/errors.md`` writes it."""

from __future__ import annotations

import shlex
import sys
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.conftest import Place, make_place

if TYPE_CHECKING:
    from collections.abc import Callable

NETNS = "/run/netns/blue"

HEAD = """\
<!-- Written by `python -m tests.cli.errors_page docs/errors.md`, which produces each error. -->

# Errors

Every failure is a `CNIError`, or an `OSError` that keeps its meaning (no permission, a full disk). `code`, `msg` and
`details` are those of the specification's error document, `to_dict()` is that document; each class has more fields, as
`help()` says, and pickles with them. No decision needs the text of an error: catch the class, or compare `code` with
`ErrorCode`. `cnitool` says what failed, why, and what to do next; `cnitool explain CODE` explains a code.

`AttachmentNotFoundError`, `NetworkNotFoundError` and `PluginNotFoundError` are a `LookupError` as well, timeouts a
`TimeoutError`, and what concerns a value a `ValueError`.
"""


@dataclass(frozen=True)
class Case:
    """An error: its class, what causes it, what to do, how a place comes to have it, and the command that meets it."""

    name: str
    cause: str
    todo: str
    command: str
    prepare: Callable[[Place], object]
    status: int = 1


def plugin(place: Place, script: str) -> None:
    (place.bin / "fake").write_text(script)


def conf(place: Place, text: str) -> None:
    (place.conf / "10-dbnet.conflist").write_text(text)


def open_to_all(place: Place) -> None:
    place.cache.mkdir()
    place.cache.chmod(0o1777)


def stuck(place: Place) -> None:
    for name in ("a", "b"):
        place.run("add", "dbnet", NETNS, "--container-id", name)
    place.fails("DEL", 11, "busy")


CASES = (
    Case(
        "NoConfigsFoundError",
        "The configuration directory has no file with a network, or is not there.",
        "Name the directory with `--conf-dir` or `NETCONFPATH`, or write a network.",
        "cnitool networks",
        lambda place: (place.conf / "10-dbnet.conflist").unlink(),
    ),
    Case(
        "NetworkNotFoundError",
        "No good file has the network. `problems` has an error for each file that cannot be used.",
        "Correct the name, or the files that the error names.",
        f"cnitool add dbent {NETNS}",
        lambda _: None,
    ),
    Case(
        "ConfigError",
        "A configuration cannot be used. `source`, `line`, `column` and `field` say where the mistake is.",
        "`cnitool lint` explains every mistake of a file.",
        f"cnitool add dbnet {NETNS}",
        lambda place: conf(place, '{\n  "name": "dbnet",\n  "plugins": [{"type": "fake",}]\n}\n'),
    ),
    Case(
        "IncompatibleVersionError",
        "The configuration names no version of the specification that the library supports. A plugin that does "
        "not support "
        "the version of the network is a `PluginError` with code 1.",
        "Choose one of `SUPPORTED_VERSIONS` that all plugins of the chain support: `cnitool plugins` lists theirs.",
        f"cnitool add dbnet {NETNS}",
        lambda place: place.network(cniVersion="9.0.0"),
    ),
    Case(
        "InvalidParameterError",
        "A value that the caller passed is not allowed; `name` says which, `value` has it. Nothing has run.",
        "Correct it.",
        f"cnitool add dbnet {NETNS} --ifname interface-name-0",
        lambda _: None,
        status=2,
    ),
    Case(
        "PluginNotFoundError",
        "No plugin directory has an executable file of that name. ADD looks for all plugins before the first one runs.",
        "Install it, or name its directory with `--bin-dir` or `CNI_PATH`.",
        f"cnitool add dbnet {NETNS}",
        lambda place: place.network(plugins=[{"type": "fakke"}]),
    ),
    Case(
        "PluginStartError",
        "The plugin's file cannot be executed: a binary of another machine, no interpreter, no permission.",
        "Install the plugin for this machine.",
        f"cnitool add dbnet {NETNS}",
        lambda place: plugin(place, "no program\n"),
    ),
    Case(
        "PluginError",
        "A plugin failed. `code`, `msg` and `details` are its own when it printed an error document; `exit_status` or "
        "`signal`, `stderr` and `duration` say how it ended. A failed ADD was deleted again; what that could not "
        "do is in "
        "the notes.",
        "Do what its message says; `cnitool trace` shows what it was asked.",
        f"cnitool add dbnet {NETNS}",
        lambda place: place.fails("ADD", 7, "bridge name is missing"),
    ),
    Case(
        "PluginTimeoutError",
        "A plugin did not end in time: 120 s, or `timeout`. It was ended, with all its children.",
        "Look for what it waits for, or give it more time.",
        "cnitool --timeout 0.1 status dbnet",
        lambda place: plugin(place, "#!/bin/sh\nexec sleep 60\n"),
    ),
    Case(
        "PluginOutputError",
        "A plugin printed something that is no JSON, or no document of its verb. `stdout` has the beginning of it. "
        "`PluginResultError` is one whose `field` of a result is wrong.",
        "Report it to the plugin's author: `cnitool conformance` checks a plugin. Logs belong on stderr.",
        f"cnitool add dbnet {NETNS}",
        lambda place: plugin(place, "#!/bin/sh\ncat >/dev/null\necho starting\n"),
    ),
    Case(
        "AttachmentExistsError",
        "The container has an interface of that name already, from this network or another; or an earlier ADD or "
        "DEL of it was "
        "not finished (`unfinished`). Nothing has run.",
        "Delete it first, or choose another interface name.",
        f"cnitool add dbnet {NETNS}",
        lambda place: place.run("add", "dbnet", NETNS),
    ),
    Case(
        "AttachmentNotFoundError",
        "CHECK of something that was not added, was deleted since, or whose namespace is another one by now.",
        "See what is there.",
        f"cnitool check dbnet {NETNS}",
        lambda _: None,
    ),
    Case(
        "CheckNotSupportedError",
        "CHECK came with version 0.4.0 of the specification, and the network has an older one.",
        "Use a newer `cniVersion` if the plugins support it.",
        f"cnitool check dbnet {NETNS}",
        lambda place: place.network(cniVersion="0.3.1"),
    ),
    Case(
        "CacheError",
        "The cache directory, or a file in it, cannot be used; `path` names it. `DamagedFileError`: a file makes "
        "no sense. "
        "`NoRoomError`: the disk is full, or read-only.",
        "Correct the permissions, or make room. What is stored is unchanged.",
        f"cnitool add dbnet {NETNS}",
        open_to_all,
    ),
    Case(
        "CNIErrorGroup",
        "GC, recovery and validation go on after an error, and raise all of them together; `exceptions` has each "
        "of its own "
        "class, `deleted` what GC has deleted all the same.",
        "Treat each of them: `except*` works.",
        "cnitool gc dbnet --all",
        stuck,
    ),
)


def produced(case: Case, place: Place) -> str:
    """Return what the command of a case writes to stderr, with the usual paths in place of those of the test."""
    case.prepare(place)
    words = shlex.split(case.command)[1:]
    text = place.run(*words, status=case.status).stderr
    usual = {str(place.conf): "/etc/cni/net.d", str(place.bin): "/opt/cni/bin", str(place.cache): "/var/lib/cni"}
    for path, name in usual.items():
        text = text.replace(path, name)
    return text


def section(case: Case, text: str) -> str:
    """Return the section of an error."""
    cause, todo = (textwrap.fill(part, 118) for part in (case.cause, case.todo))
    return f"\n## {case.name}\n\n{cause}\n\n{todo}\n\n```console\n# {case.command}\n{text}```\n"


def page() -> str:
    """Return the page."""
    sections: list[str] = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            sections.append(section(case, produced(case, make_place(Path(folder)))))
    return HEAD + "".join(sections)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
