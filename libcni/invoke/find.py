"""Finding the binary of a plugin.

Go counterpart: ``invoke.FindInPath``. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from libcni.errors import InvalidParameterError, PluginNotFoundError
from libcni.protocol.names import plugin_type_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find_in_path"]


def find_in_path(plugin: str, paths: Sequence[str]) -> str:
    """Return the path of the plugin binary: the first regular, executable file of that name.

    :param plugin: the plugin's type, which is a plain file name.
    :param paths: directories in order of preference.
    :raises InvalidParameterError: if ``plugin`` is empty, ``.`` or ``..``, or contains a separator.
    :raises PluginNotFoundError: if no directory has an executable file of that name.
    """
    problem = plugin_type_problem(plugin)
    if problem is not None:
        raise InvalidParameterError("plugin", plugin, problem)
    unusable = ""
    for directory in filter(None, paths):
        path = f"{directory.rstrip('/') or '/'}/{plugin}"
        try:
            if _is_program(path):
                return path
        except ValueError:  # a name that has no bytes names no file
            continue
        reason = _why_not_executable(path)
        unusable = unusable or (f"; {path} {reason}" if reason else "")
    where = ", ".join(paths) if paths else "no directories, as none were given"
    raise PluginNotFoundError(f"not found in {where}{unusable}", paths=paths, plugin=plugin)


def _is_program(path: str) -> bool:
    """Return whether a path leads to a regular file that may be executed."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- a look-up on the way of every plugin call; Path costs more than the call
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and os.access(path, os.X_OK)


def _why_not_executable(path: str) -> str:
    """Return why a file cannot be executed; an empty text if there is none of that path."""
    try:
        status = os.stat(path)  # noqa: PTH116 -- text in
    except OSError:
        return ""
    return "is not executable" if stat.S_ISREG(status.st_mode) else "is not a regular file"
