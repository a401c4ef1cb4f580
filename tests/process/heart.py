"""The pulse of an event loop: how long it stood still."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

T = TypeVar("T")

_BEAT = 0.005


async def with_pulse(function: Callable[[], Coroutine[Any, Any, T]]) -> tuple[T | BaseException, float]:
    """Run a coroutine beside a task that does nothing but wake up.

    :returns: what it returned or raised, and the largest number of seconds between two beats.
    """
    beats: list[float] = []

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await anyio.sleep(_BEAT)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        outcome: T | BaseException
        try:
            outcome = await function()
        except BaseException as error:  # noqa: BLE001  # the outcome
            outcome = error
        with anyio.CancelScope(shield=True):
            await anyio.sleep(2 * _BEAT)
        tasks.cancel_scope.cancel()
    beats.append(time.monotonic())
    return outcome, max(late - early for early, late in pairwise(beats))
