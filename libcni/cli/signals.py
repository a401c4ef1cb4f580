"""Signals: a verb that is interrupted cleans up and says so, and a command that it runs gets them.

Exit status of a shell: 128 and the number of the signal, 130 for Ctrl-C.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator
    from types import FrameType

__all__ = ["OF_SIGNAL", "Forwarding", "held_back", "install", "received"]

OF_SIGNAL = 128
"""Exit status for a signal, less its number."""

GRACE = 10.0
"""Seconds from SIGTERM or SIGHUP to the SIGKILL for a command that goes on."""

_LOOK = 1000
"""Milliseconds between looks at a running command whose end is not noticed: the grace is measured with it."""

_ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))  # Windows has one
_ALL = (signal.SIGINT, *_ENDING)

_last = signal.SIGINT


def received() -> signal.Signals:
    """Return the signal behind the last KeyboardInterrupt."""
    return _last


def install() -> None:
    """Let SIGTERM and SIGHUP end a verb as Ctrl-C does; one that is ignored, as ``nohup`` has it, stays so."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Interrupt as SIGINT does, which the library holds back where it must not be interrupted."""
    global _last  # noqa: PLW0603 -- there is one process, and it gets one signal
    _last = signal.Signals(number)
    if callable(signal.getsignal(signal.SIGINT)):
        signal.raise_signal(signal.SIGINT)
    else:  # ignored, as in a shell's background job
        raise KeyboardInterrupt


@contextmanager
def held_back() -> Generator[None]:
    """Hold all of these signals back: what is inside must come to its end, and does so in bounded time."""
    before = {number: signal.signal(number, _ignore) for number in _ALL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN this is not inherited by the plugins."""


class Forwarding:
    """Hands signals to a command, and waits for it.

    Ctrl-C on a terminal reaches the command without help; in all other cases it is handed on as well.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._deadline: float | None = None

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._forward) for number in _ALL}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def wait(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the end of a command, and return its exit status, or less than 0 for a signal."""
        self._process = process
        for number in self._early:
            self._send(number)
        descriptor = os.pidfd_open(process.pid)
        try:
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            while not poller.poll(_LOOK):
                if self._deadline is not None and time.monotonic() > self._deadline:
                    process.kill()
        finally:
            os.close(descriptor)
        return process.wait()

    def _forward(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
        elif number != signal.SIGINT or not os.isatty(0):
            self._send(number)

    def _send(self, number: int) -> None:
        if number in _ENDING and self._deadline is None:
            self._deadline = time.monotonic() + GRACE
        if self._process is not None:
            self._process.send_signal(number)
