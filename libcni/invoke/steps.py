"""File work in steps, with a sync between two of them, which may take long.

The work is a generator that yields each sync; a runner does it where no event loop waits, and lets the work go on.
What a sync raises is raised in the work. Go counterpart: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


__all__ = ["Steps", "Sync", "Walk", "finish", "one_step"]

T = TypeVar("T")


class Sync(Protocol):
    """One sync to do."""

    def now(self) -> None:
        """Do it.

        :raises OSError: if it fails.
        """
        ...


Steps: TypeAlias = "Generator[Sync, None, T]"
"""File work that returns a ``T``."""


def _now(sync: Sync) -> None:
    sync.now()


class Walk(Generic[T]):
    """File work in progress: it runs to its first sync when constructed, then from sync to sync. Its owner closes it.

    What the work raises passes through.
    """

    __slots__ = ("_steps", "sync", "value")

    value: T
    """The return value of the work, at its end."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self.sync: Sync | None = None
        """The sync to do now; ``None`` at the end of the work."""
        self.go_on()

    def go_on(self, error: BaseException | None = None) -> None:
        """Go on to the next sync.

        :param error: what the last one raised.
        """
        try:
            self.sync = next(self._steps) if error is None else self._steps.throw(error)
        except StopIteration as stop:
            self.sync = None
            self.value = stop.value

    def finish(self, do: Callable[[Sync], object] = _now) -> T:
        """Go on to the end, with each sync at once, and return the value of the work.

        :param do: does a sync; what it raises is raised in the work.
        """
        while self.sync is not None:
            try:
                do(self.sync)
            except BaseException as error:  # noqa: BLE001  # raised in the work, which passes it on
                self.go_on(error)
            else:
                self.go_on()
        return self.value

    def close(self) -> None:
        """Close the work where it is, which releases its locks and descriptors."""
        self._steps.close()


def finish(steps: Steps[T], do: Callable[[Sync], object] = _now) -> T:
    """Run file work to its end, with each sync at once, and return its value, as :meth:`Walk.finish`.

    >>> def work():
    ...     yield from ()
    ...     return "done"
    >>> finish(work())
    'done'
    """
    try:
        return Walk(steps).finish(do)
    finally:
        # Now, and not with the last reference: an exception that came between two steps holds one.
        steps.close()


def one_step(work: Callable[[], T]) -> Steps[T]:
    """Return work without a sync in its form of steps."""
    yield from ()
    return work()
