"""Children that could not be reaped yet: killed and still alive, or dead and kept by a process that traces them.

Owns :data:`unreaped`, a bounded list that each start of a plugin goes through without waiting. Go counterpart: none.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from typing import NamedTuple

from libcni.invoke.process.process_tree import read_process

__all__ = ["Unreaped", "unreaped"]

_LIMIT = 1024


class _Child(NamedTuple):
    """A child of one process; its start time tells it from a later one with the same id."""

    pid: int
    started: int
    parent: int


class Unreaped:
    """Process ids of children that are still to be reaped. Threads may share it; a forked child leaves it alone.

    :param limit: of how many are kept; the oldest is forgotten first, and stays a zombie until this process ends.
    """

    def __init__(self, limit: int = _LIMIT) -> None:
        self._children: deque[_Child] = deque(maxlen=limit)

    def __len__(self) -> int:
        return len(self._children)

    def add(self, pid: int) -> None:
        """Keep a child, to be reaped later."""
        with suppress(OSError):
            process = read_process(pid)
            if process is not None:
                self._children.append(_Child(pid, process.started, os.getpid()))

    def reap(self) -> None:
        """Reap those that can be reaped by now, and wait for none."""
        for _ in range(len(self._children)):
            try:
                child = self._children.popleft()
            except IndexError:  # another thread was quicker
                return
            if _is_left(child):
                self._children.append(child)


def _is_left(child: _Child) -> bool:
    """Reap a child, if that is possible now, and return whether it is still unreaped."""
    if child.parent != os.getpid():
        return False
    try:
        process = read_process(child.pid)
        # Its id may be that of another child by now, if something else in this program reaps them.
        if process is None or process.started != child.started:
            return False
        return os.waitpid(child.pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False
    except OSError:  # no descriptor is left, say
        return True


unreaped = Unreaped()
