"""Iterators over snapshots and over the readiness, for asyncio and trio; between two items they hold nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libcni.networks.feed import SnapshotFeed
    from libcni.networks.readiness import Status
    from libcni.networks.snapshot import Snapshot

__all__ = ["SnapshotChanges", "StatusChanges"]


class _Alarm:
    """An event of the running loop that the feed sets from any thread, for a ``with`` block."""

    def __init__(self, feed: SnapshotFeed) -> None:
        self._feed = feed
        self._event = anyio.Event()
        self._soon = _call_soon()

    def __enter__(self) -> Self:
        self._feed.listen(self._ring)
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.unlisten(self._ring)

    def _ring(self) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._soon(self._set)

    def _set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait for the feed, or so many seconds."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


def _call_soon() -> Callable[[Callable[[], None]], object]:
    """Return the function of the running loop that calls another one in it, from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio  # noqa: PLC0415 -- it runs

        return trio.lowlevel.current_trio_token().run_sync_soon


class SnapshotChanges:
    """Iterates over the snapshots of a feed."""

    def __init__(self, feed: SnapshotFeed) -> None:
        self._feed = feed
        self._seen: Snapshot | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Snapshot:
        while True:
            with _Alarm(self._feed) as alarm:  # set up before the look: no change is missed
                current = self._feed.current
                if self._feed.is_closed:
                    raise StopAsyncIteration
                if current is not self._seen:
                    self._seen = current
                    return current
                await alarm.wait()


class StatusChanges:
    """Iterates over the readiness.

    :param interval: seconds between two looks.
    """

    def __init__(self, feed: SnapshotFeed, look: Callable[[], Awaitable[Status]], interval: float) -> None:
        self._feed = feed
        self._look = look
        self._interval = interval
        self._seen: Status | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Status:
        while not self._feed.is_closed:
            with _Alarm(self._feed) as alarm:
                found = await self._look()
                if found != self._seen:
                    self._seen = found
                    return found
                await alarm.wait(self._interval)
        raise StopAsyncIteration
