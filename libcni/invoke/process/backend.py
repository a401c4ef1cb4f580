"""One child process as an array of numbers, and the functions that start it, wait for its exit, and read its output.

In C (``_spawn.c``) where that was built, else in Python (:mod:`libcni.invoke.process.backend_python`), which does the
same more slowly; with ``LIBCNI_PURE=1`` in the environment of this process, in Python even so. A process is started by
the calling thread, in whose namespaces it runs, with three pipes and no other descriptor, in a group of its own, with
no signal blocked or ignored. Go counterpart: ``os/exec``. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

import functools
import os
from array import array
from typing import TYPE_CHECKING, NamedTuple

from libcni.invoke.environment import PluginEnvironment
from libcni.invoke.process import backend_python as portable
from libcni.log import Log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from libcni.invoke.process.backend_python import Cells, Taken

__all__ = ["PURE", "Processes", "chosen", "encoded_environment", "encoded_path", "new_cells", "processes"]

PURE = "LIBCNI_PURE"
"""The environment variable that asks for Python: without it the C part is used where it was built."""


class Processes(NamedTuple):
    """The functions, in C or in Python. They keep the arrays correct whatever is raised.

    ``start(cells, program, environment, request)`` opens the pipes, writes as much of the request as they take, and
    starts the program, which gets no arguments. With ``None`` the caller writes the request. It may be called again
    after an error.

    ``wait_for_exit(cells, milliseconds, interrupt)`` waits that long for the exit, or until the descriptor
    ``interrupt`` is readable (-1: there is none). ``None`` if the process runs, else what is in both pipes by now;
    it may be reaped, when every writer has closed them.

    ``drain(cells)`` takes what is in the pipes, and waits for nothing.

    None of them waits for a process without an end: another one that traces it may keep it for as long as it likes.

    :raises OSError: if the process cannot be started; then there is none.
    """

    start: Callable[[Cells, bytes, bytes, bytes | None], None]
    wait_for_exit: Callable[[Cells, int, int], Taken | None]
    drain: Callable[[Cells], Taken]


IN_PYTHON = Processes(portable.start, portable.wait_for_exit, portable.drain)

_log = Log("libcni")
_NEW = array("q", portable.NEW)


def new_cells() -> Cells:
    """Return the array of a process that is not started."""
    return _NEW[:]


@functools.lru_cache(128)
def encoded_path(text: str) -> bytes:
    """Encode a path as the system has it.

    :raises ValueError: if it has a NUL character, where C ends it.
    """
    encoded = os.fsencode(text)
    if b"\0" in encoded:
        raise ValueError("embedded null byte")
    return encoded


class _Environments:
    """A cache of the last encoded environment and its base: the plugins of a chain have the same."""

    def __init__(self) -> None:
        # One attribute each: threads see both of its parts or neither.
        self._last: tuple[PluginEnvironment | None, bytes] = None, b""
        self._last_variables: tuple[Mapping[str, str], bytes] = {}, b""

    def __call__(self, environment: Mapping[str, str]) -> bytes:
        """Return ``NAME=VALUE`` texts one after the other, each with a NUL at its end.

        :raises ValueError: if a text has a NUL character, or the name of a variable is none.
        """
        if not isinstance(environment, PluginEnvironment):
            return self._known(environment)
        known, block = self._last
        if environment is not known:
            block = self._known(environment.passed_on) + _encode(environment.own)
            self._last = environment, block
        return block

    def _known(self, variables: Mapping[str, str]) -> bytes:
        known, block = self._last_variables
        if variables != known:
            block = _encode(variables)
            self._last_variables = dict(variables), block
        return block


def _encode(variables: Mapping[str, str]) -> bytes:
    if "" in variables or "=" in "".join(variables):
        raise ValueError("illegal environment variable name")
    block = os.fsencode("".join([f"{name}={value}\0" for name, value in variables.items()]))
    if block.count(b"\0") != len(variables):
        raise ValueError("embedded null byte")
    return block


encoded_environment = _Environments()


def chosen() -> Processes:
    """Return the functions in C, or those in Python where the C part is missing or not wanted."""
    if os.environ.get(PURE):
        return IN_PYTHON
    try:
        from libcni.invoke.process import _spawn  # noqa: PLC0415 -- it may not have been built, or not fit this system
    except ImportError:
        _say_free_threaded()
        return IN_PYTHON
    return Processes(_spawn.start, _spawn.wait_for_exit, _spawn.drain)


def _say_free_threaded() -> None:
    """Say why the C part is not used, where that is because of the build of Python."""
    import sysconfig  # noqa: PLC0415 -- a millisecond that only this needs

    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        _log.warning(
            "free-threaded Python: plugins are started by Python, not by C; %s=1 says that it is meant so", PURE
        )


processes = chosen()
