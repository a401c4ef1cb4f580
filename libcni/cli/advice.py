"""The next step after an error: the last of its three parts, after what failed and why. Each is a command, or a name.

Loaded when something has failed. It decides on classes and facts, never on the text of an error.
"""

from __future__ import annotations

import difflib
import os
import shlex
import stat
from typing import TYPE_CHECKING

from libcni.errors import (
    AttachmentNotFoundError,
    CacheError,
    CNIError,
    CNIErrorGroup,
    ConfigError,
    ErrorCode,
    LockTimeoutError,
    NetworkNotFoundError,
    NoConfigsFoundError,
    PluginError,
    PluginNotFoundError,
    PluginStartError,
    PluginTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["closest", "next_steps"]

_EXPLAINED = frozenset(ErrorCode) - {ErrorCode.INTERNAL}
_DEPTH = 8
"""Causes of causes that are looked at."""


def closest(wrong: str, known: Iterable[str]) -> str | None:
    """Return the name that was probably meant; ``None`` if none is near.

    >>> closest("dbent", ["web", "dbnet"])
    'dbnet'
    """
    names = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(wrong.casefold(), names, n=1)
    return names[near[0]] if near else None


def next_steps(error: BaseException) -> list[str]:
    """Return what a person can do about an error, the most likely first; empty when nothing better is known."""
    steps = _of_rights(error)
    if steps:
        return steps
    for kind, advise in _ADVICE:
        if isinstance(error, kind):
            return advise(error)
    return []


def _of_rights(error: BaseException) -> list[str]:
    """Return the advice for one who lacks the right: to be root; or, where others may write, to stop them."""
    if isinstance(error, CacheError) and _is_writable_by_others(os.fspath(error.path)):
        return [f"next: chmod go-w {shlex.quote(os.fspath(error.path))}"]
    if hasattr(os, "geteuid") and os.geteuid() != 0 and _is_of_permission(error):
        return ["next: run as root"]
    return []


def _is_writable_by_others(path: str) -> bool:
    try:
        return bool(os.lstat(path).st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    except OSError:
        return False


def _is_of_permission(error: BaseException) -> bool:
    cause: BaseException | None = error
    for _ in range(_DEPTH):
        if cause is None:
            return False
        if isinstance(cause, PermissionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _of_network(error: NetworkNotFoundError) -> list[str]:
    from libcni.config.load import load_conf_dir  # noqa: PLC0415 -- loaded when it is needed

    directory = os.fspath(error.directory)
    for problem in error.problems:  # files that may have the network
        return _of_config(problem)
    near = closest(error.name, [network.name for network in load_conf_dir(directory).networks])
    look = f"next: cnitool networks --conf-dir {shlex.quote(directory)}"
    return [f"did you mean {near!r}?", look] if near else [look]


def _of_no_network(error: NoConfigsFoundError) -> list[str]:
    return [f"next: cnitool networks --conf-dir {shlex.quote(os.fspath(error.directory))} create NAME"]


def _of_config(error: ConfigError) -> list[str]:
    return [] if error.source is None else [f"next: cnitool lint {shlex.quote(os.fspath(error.source))}"]


def _of_missing_plugin(error: PluginNotFoundError) -> list[str]:
    near = closest(error.plugin, _names_in(error.paths))
    look = (
        f"next: {shlex.join(['cnitool', 'plugins', *[word for path in error.paths for word in ('--bin-dir', path)]])}"
    )
    return [f"did you mean {near!r}?", look] if near else [look]


def _names_in(directories: Sequence[str]) -> list[str]:
    names: list[str] = []
    for directory in directories:
        try:
            names += os.listdir(directory)  # noqa: PTH208 -- text out
        except OSError:
            continue
    return names


def _of_timeout(error: PluginTimeoutError) -> list[str]:
    return [f"next: give it more than {error.timeout:g} s with --timeout, or see what it does with cnitool trace"]


def _of_start(error: PluginStartError) -> list[str]:
    return [f"next: ls -l {shlex.quote(error.path)}; file {shlex.quote(error.path)}"]


def _of_plugin(error: PluginError) -> list[str]:
    if error.command == "CHECK" and error.container_id:
        return [f"next: cnitool inspect {shlex.quote(error.container_id)}"]
    return [f"next: cnitool explain {error.code}"] if error.code in _EXPLAINED else []


def _of_lock(error: LockTimeoutError) -> list[str]:
    return ["next: cnitool attachments" if error.holder is None else f"next: ps -fp {error.holder}"]


def _of_attachment(_error: AttachmentNotFoundError) -> list[str]:
    return ["next: cnitool attachments"]


def _of_group(error: CNIErrorGroup) -> list[str]:
    """Return the advice that holds for the errors of a group, each once."""
    steps = [step for each in error.exceptions for step in next_steps(each)]
    return list(dict.fromkeys(steps))


_ADVICE: tuple[tuple[type[CNIError], Callable[..., list[str]]], ...] = (
    (CNIErrorGroup, _of_group),
    (NetworkNotFoundError, _of_network),
    (NoConfigsFoundError, _of_no_network),
    (ConfigError, _of_config),
    (PluginNotFoundError, _of_missing_plugin),
    (PluginTimeoutError, _of_timeout),
    (PluginStartError, _of_start),
    (PluginError, _of_plugin),
    (LockTimeoutError, _of_lock),
    (AttachmentNotFoundError, _of_attachment),
)
"""The first class that fits counts."""
