"""One thread at a time, also after a fork.

Go counterpart: ``sync.Mutex``; Go has no fork to survive.
"""

from __future__ import annotations

import os
import threading

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """A lock between the threads of one process: in a forked child, where its holder does not exist, it is free.

    >>> lock = ForkSafeLock()
    >>> with lock.lock:
    ...     "alone"
    'alone'
    """

    __slots__ = ("_locks",)

    def __init__(self) -> None:
        self._locks = {os.getpid(): threading.Lock()}

    @property
    def lock(self) -> threading.Lock:
        """The lock of this process, to be taken in a ``with`` block.

        The lock itself: between the end of an ``__enter__`` in Python and the block, a KeyboardInterrupt could hit, and
        the lock would be held for ever.
        """
        pid = os.getpid()
        # A forked child begins anew; in one step, as its threads may all be first.
        return self._locks.get(pid) or self._locks.setdefault(pid, threading.Lock())
