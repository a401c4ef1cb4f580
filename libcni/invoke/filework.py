"""File work for which there is time while a plugin starts and runs, and syncs that threads without Python can do.

Owns :class:`FileWork`: what must be on the disk before the plugin gets its request, and a file that will be needed
afterwards. A runner does it, in C together with the plugin where that can be. Go counterpart: none.
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, TypeAlias

from libcni.steps import Walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.disk import Sync
    from libcni.steps import Steps

__all__ = ["FileWork", "WorkInC", "outcome_in_c", "sync_in_c"]

_Numbers: TypeAlias = "array[int]"
WorkInC: TypeAlias = "tuple[_Numbers, _Numbers | None]"
"""What the functions of ``native.c`` take: the numbers of one piece of work, and those that syncs of a thing share."""

_SYNC, _IS_OF_NAMES, _SYNC_ERROR, _FOLDER, _DRAFT = range(5)
"""Parts of the numbers, as ``native.c`` has them: the descriptor to sync, whether it is that of a folder, and how that
went; the folder for a file without a name, and that file."""

_CLOSED = -1
_NOT_DONE = -1
_NOTHING = (_CLOSED, False, None)


class FileWork:
    """What is done while a plugin starts, and while it runs.

    :param before: done before the plugin gets its request, but for what comes before its first sync, which is done
        at once; what it raises ends the plugin without.
    :param during: done while the plugin runs. It is called with the descriptor of a new file without a name, which is
        its own from then on, if there is one already, else with ``None``.
    :param folder: the descriptor of the folder in which ``during`` makes that file; ``None`` when only ``during`` may.
    """

    def __init__(
        self,
        before: Steps[None] | None = None,
        *,
        during: Callable[[int | None], object] | None = None,
        folder: int | None = None,
    ) -> None:
        self._before = None if before is None else Walk(before)
        self._during = during
        sync = None if self._before is None else self._before.sync
        known = _NOTHING if sync is None else sync.in_c
        is_for_c = known is not None and (during is None or folder is not None)
        self.in_c = _work(known or _NOTHING, _CLOSED if folder is None else folder)
        """What the functions of ``native.c`` do."""
        self.is_for_c = is_for_c
        """Whether they may."""

    def before(self) -> None:
        """Do what comes before the request, or what is left of it; raise what it does."""
        walk, (numbers, _) = self._before, self.in_c
        if walk is not None:
            if numbers[_SYNC_ERROR] != _NOT_DONE:
                walk.go_on(outcome_in_c(self.in_c))
            walk.finish()

    def during(self) -> None:
        """Do what there is time for while the plugin runs, or hand over what was made; raise what it does."""
        if self._during is not None:
            descriptor = self._take_draft()
            self._during(None if descriptor == _CLOSED else descriptor)

    def close(self) -> None:
        """Leave what was not done, and close what was made and not handed over."""
        if self._before is not None:
            self._before.close()
        descriptor = self._take_draft()
        if descriptor != _CLOSED:
            os.close(descriptor)

    def _take_draft(self) -> int:
        numbers, _ = self.in_c
        descriptor, numbers[_DRAFT] = numbers[_DRAFT], _CLOSED
        return descriptor


def sync_in_c(sync: Sync) -> WorkInC | None:
    """Return the work that is one sync, ``None`` if only Python may do that."""
    known = sync.in_c
    return None if known is None else _work(known, _CLOSED)


def outcome_in_c(work: WorkInC) -> OSError | None:
    """Return why a sync that was done in C failed, if it did."""
    error = work[0][_SYNC_ERROR]
    return OSError(error, os.strerror(error)) if error else None


def _work(known: tuple[int, bool, _Numbers | None], folder: int) -> WorkInC:
    descriptor, is_of_names, shared = known
    return array("q", (descriptor, is_of_names, _NOT_DONE, folder, _CLOSED)), shared
