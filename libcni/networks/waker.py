"""Waking up a task of asyncio or trio from any thread."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopWaker"]


class LoopWaker:
    """An event of the running loop that every thread may set; :meth:`rest` unsets it."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._soon = _call_soon()

    def rest(self) -> None:
        """Unset it: what happens from now on counts."""
        if self._event.is_set():
            self._event = anyio.Event()

    def wake(self) -> None:
        """Set it, from whatever thread; nothing happens when the loop has ended."""
        with suppress(RuntimeError):
            self._soon(self._set)

    def _set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until it is set, or so many seconds."""
        with anyio.move_on_after(seconds):
            await self._event.wait()


def _call_soon() -> Callable[[Callable[[], None]], object]:
    """Return the function of the running loop that calls another one in it, from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio  # noqa: PLC0415 -- it runs

        return trio.lowlevel.current_trio_token().run_sync_soon
