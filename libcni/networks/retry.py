"""Trying again: an operation that a plugin answers with code 11 is repeated, with a pause, until its deadline.

Source: SPEC 1.1.0, section 5, "Error", code 11.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, TypeVar

from libcni.errors import AttachmentExistsError, ErrorCode, PluginError, PluginTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from libcni.invoke.runner import Runner
    from libcni.networks.gates import Turn

__all__ = ["Retrier"]

T = TypeVar("T")

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0
"""Seconds between two tries: the first, doubled up to the longest."""


class Retrier:
    """Repeats an operation while a plugin asks for it.

    :param seconds: how long to go on, from the first try; ``None`` for no limit.
    :param turn: the place below the limit of plugin chains, which another one has during the pauses.
    """

    def __init__(self, runner: Runner, seconds: float | None, turn: Turn) -> None:
        self._runner = runner
        self._seconds = seconds
        self._turn = turn

    async def run(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run an operation that leaves nothing behind when it fails, as ADD does, or may be repeated, as DEL.

        :raises PluginError: the last one, when no time for another try is left, or for any other code.
        """
        started = time.monotonic()
        pause = FIRST_PAUSE
        tries = 0
        last: PluginError | None = None
        while True:
            tries += 1
            try:
                return await operation()
            except AttachmentExistsError:
                if last is not None:  # its clean-up did not succeed, which it says
                    raise last from None
                raise
            except PluginError as error:
                spent = time.monotonic() - started
                if not self._is_worth_another_try(error, spent + pause):
                    if tries > 1:
                        error.add_note(f"tried {tries} times in {spent:.1f} s")
                    raise
                last = error
            await self._turn.leave_for(functools.partial(self._runner.sleep, pause))
            pause = min(pause * 2, LONGEST_PAUSE)

    def _is_worth_another_try(self, error: PluginError, spent: float) -> bool:
        # A plugin that was ended at its deadline did not ask for another try.
        if error.code != ErrorCode.TRY_AGAIN_LATER or isinstance(error, PluginTimeoutError):
            return False
        return self._seconds is None or spent < self._seconds
