"""One thread at a time, also after a fork.

Go counterpart: ``sync.Mutex``; Go has no fork to survive.
"""

from __future__ import annotations

import os
import threading

__all__ = ["Turn"]


class Turn:
    """A lock between the threads of one process: in a forked child, where its holder does not exist, it is free.

    >>> turn = Turn()
    >>> with turn:
    ...     "alone"
    'alone'
    """

    __slots__ = ("_lock", "_pid")

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self.__init__()  # type: ignore[misc]  # a forked child begins anew
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
