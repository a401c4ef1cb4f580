"""The files in which a plugin keeps state: which count, and what they hold.

Owns :func:`state_files`. Everything in the data directory, in the private folders of the plugin's description, and in
the folders that each check has empty counts; logs do not: what is below ``/var/log``, in the folder that ``{log}``
stands for, and what the description calls a log.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.conformance.isolation import LOG_FOLDER, NETNS_FOLDER, STATE_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.conformance.isolation import Machine
    from libcni.conformance.subject import Subject

__all__ = ["is_log", "state_files"]

_OF_TOOLS = ("/run/xtables.lock", "/run/ebtables.lock")
"""Traces of the programs that plugins call."""


def state_files(subject: Subject, machine: Machine) -> dict[str, bytes]:
    """Return the contents of the files of state, by path."""
    return {str(path): path.read_bytes() for path in _files(subject, machine) if not is_log(subject, machine, path)}


def _files(subject: Subject, machine: Machine) -> Iterator[Path]:
    """Yield the files, each once."""
    others = [Path(folder) for folder in (*STATE_FOLDERS, *subject.private)] if machine.is_entered else []
    seen: set[Path] = set()
    for folder in (machine.data, *others):
        for path in folder.rglob("*"):
            is_ours = path.is_relative_to(machine.root) and folder != machine.data
            if path not in seen and not is_ours and path.is_file() and not path.is_symlink():
                seen.add(path)
                yield path


def is_log(subject: Subject, machine: Machine, path: Path) -> bool:
    """Return whether a file does not count as state."""
    folders = [LOG_FOLDER, str(machine.logs), str(NETNS_FOLDER), *subject.visible, *_OF_TOOLS]
    patterns = [pattern.replace("{data}", str(machine.data)) for pattern in subject.logs]
    return any(path.is_relative_to(folder) for folder in folders) or any(
        fnmatch.fnmatchcase(str(path), pattern) for pattern in patterns
    )
