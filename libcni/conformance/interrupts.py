"""Ctrl-C and what else asks a program to end, as a call in place of an exception.

An exception may hit anywhere, also between the start of a thread and the note of it.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["last_signal", "on_interrupt"]

_ASK_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


_received: list[int] = []


def last_signal() -> int | None:
    """Return the number of the signal that has last asked the program to end; ``None`` if none has."""
    return _received[-1] if _received else None


@contextmanager
def on_interrupt(function: Callable[[], None]) -> Generator[None]:
    """Call a function for each signal that asks the program to end.

    A signal that is ignored stays ignored. Does nothing in a thread, which gets no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        _received.append(number)
        function()

    wanted = [number for number in _ASK_TO_END if signal.getsignal(number) not in {signal.SIG_IGN, None}]
    before = {number: signal.signal(number, end) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
