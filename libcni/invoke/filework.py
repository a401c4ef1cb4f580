"""File work for which there is time while a plugin starts and runs.

Owns :class:`FileWork`: what must be on the disk before the plugin gets its request, and a file that will be needed
afterwards. A runner does it, in C together with the plugin where that can be. Go counterpart: none.
"""

from __future__ import annotations

import os
from array import array
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.disk import Unsynced

__all__ = ["FileWork"]

Numbers: TypeAlias = "array[int]"

_SYNC, _SYNC_ERROR, _FOLDER, _DRAFT = range(4)
"""Parts of the array, as ``native.c`` has them: the descriptor to sync, how that went, the folder for a file without a
name, and that file."""

_CLOSED = -1
_NOT_DONE = -1


class FileWork:
    """What is done while a plugin starts, and while it runs.

    :param before: done before the plugin gets its request; what it raises ends the plugin without. It is called with
        what returns or raises as the sync did, if that is done already, else with ``None``.
    :param unsynced: what ``before`` syncs; ``None`` when only ``before`` may do that.
    :param during: done while the plugin runs. It is called with the descriptor of a new file without a name, which is
        its own from then on, if there is one already, else with ``None``.
    :param folder: the descriptor of the folder in which ``during`` makes that file; ``None`` when only ``during`` may.
    """

    def __init__(
        self,
        *,
        before: Callable[[Callable[[], object] | None], object] | None = None,
        unsynced: Unsynced | None = None,
        during: Callable[[int | None], object] | None = None,
        folder: int | None = None,
    ) -> None:
        self._before = before
        self._during = during
        self._shared = None if unsynced is None else unsynced.shared
        descriptor = _CLOSED if unsynced is None else unsynced.descriptor
        self._numbers = array("q", (descriptor, _NOT_DONE, _CLOSED if folder is None else folder, _CLOSED))

    @property
    def in_c(self) -> tuple[Numbers, Numbers | None] | None:
        """What the functions of ``native.c`` do; ``None`` if a part of it has to be done in Python."""
        numbers = self._numbers
        is_whole = (self._before is None or numbers[_SYNC] != _CLOSED) and (
            self._during is None or numbers[_FOLDER] != _CLOSED
        )
        return (numbers, self._shared) if is_whole else None

    def before(self) -> None:
        """Do what comes before the request, or take note of how it went; raise what it does."""
        if self._before is not None:
            error = self._numbers[_SYNC_ERROR]
            self._before(None if error == _NOT_DONE else lambda: _report(error))

    def during(self) -> None:
        """Do what there is time for while the plugin runs, or hand over what was made; raise what it does."""
        if self._during is not None:
            descriptor, self._numbers[_DRAFT] = self._numbers[_DRAFT], _CLOSED
            self._during(None if descriptor == _CLOSED else descriptor)

    def close(self) -> None:
        """Close what was made and not handed over."""
        descriptor, self._numbers[_DRAFT] = self._numbers[_DRAFT], _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


def _report(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))
