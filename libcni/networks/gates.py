"""The limit of plugin chains at once, in two colours."""

from __future__ import annotations

import threading

from libcni.errors import InvalidParameterError

__all__ = ["AsyncGate", "BlockingGate", "check_limit"]


def check_limit(limit: int) -> int:
    """Return the limit.

    :raises InvalidParameterError: if nothing could run.
    """
    if limit < 1:
        raise InvalidParameterError("limit", limit, "at least one plugin chain must be able to run")
    return limit


class BlockingGate:
    """Lets so many threads in at once; the others wait for one to leave, which the timeouts of the plugins bound."""

    def __init__(self, limit: int) -> None:
        self._free = threading.BoundedSemaphore(limit)

    async def __aenter__(self) -> None:
        self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()


class AsyncGate:
    """Lets so many tasks in at once."""

    def __init__(self, limit: int) -> None:
        import anyio  # noqa: PLC0415 -- blocking callers need none

        self._free = anyio.Semaphore(limit, fast_acquire=True)

    async def __aenter__(self) -> None:
        await self._free.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._free.release()
