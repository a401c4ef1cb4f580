"""The limit of plugin chains at once, in two colours."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from libcni.errors import InvalidParameterError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio import Semaphore

__all__ = ["AsyncGate", "BlockingGate", "Gate", "Turn", "check_limit"]


def check_limit(limit: int) -> int:
    """Return the limit.

    :raises InvalidParameterError: if nothing could run.
    """
    if limit < 1:
        raise InvalidParameterError("limit", limit, "at least one plugin chain must be able to run")
    return limit


class Turn(ABC):
    """A place below the limit, for an ``async with`` block; the others wait for one."""

    def __init__(self) -> None:
        self._is_held = False

    async def __aenter__(self) -> Self:
        await self._take()
        self._is_held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_held:
            self._is_held = False
            self._give()

    async def leave_for(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait for something while another one has the place."""
        if not self._is_held:  # a wait of it was cancelled, and this is the clean-up
            await wait()
            return
        await self.__aexit__()
        await wait()
        await self.__aenter__()

    @abstractmethod
    async def _take(self) -> None: ...

    @abstractmethod
    def _give(self) -> None: ...


class Gate(ABC):
    """Lets a limited number of plugin chains in at once."""

    @abstractmethod
    def turn(self) -> Turn:
        """Return a place, to be taken in an ``async with`` block."""


class BlockingGate(Gate):
    """Lets so many threads in at once; the others wait for one to leave, which the timeouts of the plugins bound."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._free_of = {os.getpid(): threading.BoundedSemaphore(limit)}

    def turn(self) -> Turn:
        """Return a place; in a forked child, where the threads that have some do not exist, all are free."""
        pid = os.getpid()
        free = self._free_of.get(pid) or self._free_of.setdefault(pid, threading.BoundedSemaphore(self._limit))
        return _BlockingTurn(free)


class _BlockingTurn(Turn):
    def __init__(self, free: threading.BoundedSemaphore) -> None:
        super().__init__()
        self._free = free

    async def _take(self) -> None:
        self._free.acquire()

    def _give(self) -> None:
        self._free.release()


class AsyncGate(Gate):
    """Lets so many tasks in at once."""

    def __init__(self, limit: int) -> None:
        import anyio  # noqa: PLC0415 -- blocking callers need none

        self._free = anyio.Semaphore(limit, fast_acquire=True)

    def turn(self) -> Turn:
        """Return a place."""
        return _AsyncTurn(self._free)


class _AsyncTurn(Turn):
    def __init__(self, free: Semaphore) -> None:
        super().__init__()
        self._free = free

    async def _take(self) -> None:
        await self._free.acquire()

    def _give(self) -> None:
        self._free.release()
