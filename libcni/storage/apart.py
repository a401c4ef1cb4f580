"""Work in a thread that nothing else ever uses, and that may end in another network namespace.

A thread that could not come back from a namespace would start plugins there. So none that anybody else uses enters one.
Go counterpart: the locked threads of ``ns.NetNS.Do``. Source: ``setns(2)``.
"""

from __future__ import annotations

import _thread  # the class of threading waits for the beginning of a thread as well: on a busy machine twice as long
import functools
import os
import sys
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WorkApart", "do_inside", "enter"]

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_NO_LIMIT = -1


class WorkApart(Generic[T]):
    """A piece of work, begun at once in a thread of its own.

    :raises RuntimeError: if there is no thread left.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._results: list[T] = []
        self._errors: list[BaseException] = []
        self._running = _thread.allocate_lock()
        self._running.acquire()
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 -- raised again, in the thread that waits
            self._errors.append(error)
        finally:
            self._running.release()

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return not self._running.locked()

    def result(self, timeout: float | None = None) -> T:
        """Wait for the end, and return the result or raise the error.

        :param timeout: seconds to wait at most; ``None`` for no limit.
        :raises TimeoutError: if it has not ended by then; it goes on.
        """
        if not self._running.acquire(timeout=_NO_LIMIT if timeout is None else timeout):
            raise TimeoutError(f"it has not ended in {timeout} s")
        self._running.release()
        if self._errors:
            raise self._errors[0]
        return self._results[0]


def do_inside(descriptor: int, work: Callable[[], T]) -> T:
    """Do a piece of work inside a network namespace, in a thread of its own that ends there, and return its result.

    :raises OSError: if this process may not enter the namespace.
    :raises ImportError: if this Python, older than 3.12, was built without ctypes.
    :raises RuntimeError: if there is no thread left.
    """
    # Its own: a caller that is interrupted closes the descriptor, and something else gets the number.
    own = os.dup(descriptor)

    def entered() -> T:
        try:
            enter(own)
            return work()
        finally:
            os.close(own)

    try:
        begun = WorkApart(entered)
    except RuntimeError:
        os.close(own)
        raise
    return begun.result()


def enter(descriptor: int) -> None:
    """Move the calling thread into the network namespace of a descriptor, for the rest of its life.

    :raises OSError: if it may not.
    :raises ImportError: if this Python, older than 3.12, was built without ctypes.
    """
    if sys.version_info >= (3, 12):
        os.setns(descriptor, _CLONE_NEWNET)
    else:
        _setns()(descriptor, _CLONE_NEWNET)


@functools.cache
def _setns() -> Callable[[int, int], None]:
    """Return the function of the C library, which Python has from 3.12 on."""
    import ctypes  # noqa: PLC0415 -- for Python 3.11 alone

    function = ctypes.CDLL(None, use_errno=True).setns

    def setns(descriptor: int, kind: int) -> None:
        if function(descriptor, kind):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return setns
