"""Starting one process: with three descriptors and no other, in a group of its own, with no signal blocked or ignored.

By libc where it can close what a child would inherit (see :mod:`libcni.invoke.libc`), else by :func:`os.posix_spawn`,
which does the same more slowly. Go counterpart: ``os/exec``. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

import os
import signal
from functools import partial
from itertools import starmap
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Cell", "Child", "Descriptors", "Spawn", "spawn"]

_FIRST_FREE = 3
_SIGNALS = tuple(sorted(int(number) for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


class Cell(Protocol):
    """Where a process id is put."""

    value: int


class _Number:
    """A cell that Python itself fills."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0


class Child:
    """A process that is started: its id is here before any exception can hit, and 0 until there is one."""

    __slots__ = ("cell",)

    def __init__(self) -> None:
        self.cell = _new_cell()

    @property
    def pid(self) -> int:
        """The process id."""
        return self.cell.value


Descriptors: TypeAlias = tuple[int, int, int]
"""What becomes stdin, stdout and stderr."""


class Spawn(Protocol):
    """Starts a program without arguments; ``child`` knows the process from then on.

    :raises OSError: if it cannot be started.
    :raises ValueError: if a text has a NUL character, where C ends it, or the name of a variable is none.
    """

    def __call__(self, child: Child, path: str, environment: Mapping[str, str], *, descriptors: Descriptors) -> None:
        """Start it."""
        ...


def _python_spawn(child: Child, path: str, environment: Mapping[str, str], *, descriptors: Descriptors) -> None:
    """Start a process where libc cannot close what it would inherit: that is listed and closed one by one.

    Python's own descriptors are not inheritable, but what the program inherited itself and those of C libraries may be.
    """
    listed = map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208  # 8 us
    others = set(listed).difference(range(_FIRST_FREE), descriptors)
    actions = [
        *[(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(descriptors)],
        *[(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in others if _is_inheritable(descriptor)],
    ]
    start = partial(os.posix_spawn, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_SIGNALS)
    # In one call: the handler of a signal may raise between a call and an assignment, but not within a built-in one.
    any(map(partial(setattr, child.cell, "value"), starmap(start, ((path, [path], environment),))))


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # closed since it was listed, as the one of the listing itself
        return False


def _chosen() -> tuple[Spawn, Callable[[], Cell]]:
    try:
        from libcni.invoke.libc import LibcSpawn, new_cell  # noqa: PLC0415 -- ctypes may be missing

        return LibcSpawn(), new_cell
    except (ImportError, OSError, AttributeError):
        return _python_spawn, _Number


spawn, _new_cell = _chosen()
