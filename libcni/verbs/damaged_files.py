"""Damaged files of a cache directory: found, reported, and set aside where they block nothing.

Go counterpart: none; a file that Go libcni cannot read blocks its attachment for ever.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.errors import CacheError, CNIError, DamagedFileError
from libcni.locks import container_lock
from libcni.record import Record, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni.attachment import AttachmentKey
    from libcni.cache import ResultCache
    from libcni.journal import Journal
    from libcni.verbs.context import VerbContext

__all__ = ["Damage", "DamagedFiles"]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that is damaged or cannot be read: where it is, and what is wrong with it."""

    place: ResultCache | Journal
    name: str
    error: CacheError

    @property
    def container_id(self) -> str:
        """The container that its name tells, or an empty text: an operation on it may be about to use the file."""
        return "@".join(self.name.split("@")[1:2])

    @property
    def is_lasting(self) -> bool:
        """Whether to read it again will not help."""
        return isinstance(self.error, DamagedFileError)

    def set_aside(self) -> None:
        """Move it to where it blocks nothing."""
        self.place.set_aside(self.name)


class DamagedFiles:
    """The damaged files of one cache directory."""

    def __init__(self, context: VerbContext) -> None:
        self.context = context
        self.store = context.store
        self.runner = context.runner

    def find(self) -> list[Damage]:
        """Return the files that are damaged or cannot be read.

        :raises CacheError: if a folder cannot be read.
        """
        cache, journal = self.store.cache, self.store.journal
        # A file whose result alone is damaged can still be deleted from.
        found = [Damage(cache, item.name, item.problem) for item in cache.scan().damaged if item.attachment is None]
        return found + [Damage(journal, name, item) for name, item in journal.scan() if isinstance(item, CacheError)]

    async def set_aside(self) -> list[CNIError]:
        """Set the damaged files aside, and return why, and why others cannot be read; those stay where they are.

        :raises CacheError: if a folder cannot be read.
        """
        await self.runner.call(self.store.sweep)
        found = await self.runner.call(self.find)
        if not found:
            return []
        errors: list[CNIError] = [damage.error for damage in found]
        works: list[tuple[str, Callable[[], None]]] = [
            (key.container_id, functools.partial(self._set_result_aside, key))
            for key in await self.runner.call(self._added_with_damage)
        ]
        works += [(damage.container_id, damage.set_aside) for damage in found if damage.is_lasting]
        for container_id, work in works:
            errors += await self._do_locked(container_id, work)
        return errors

    async def _do_locked(self, container_id: str, work: Callable[[], None]) -> list[CNIError]:
        """Do a piece of work on a container; one that cannot be done now is done another time."""
        try:
            held = await self.context.waiter.lock(container_lock(container_id), container_id)
            try:
                await self.runner.call(work)
            finally:
                held.release()
        except CNIError as error:
            return [error]
        return []

    def _added_with_damage(self) -> list[AttachmentKey]:
        return [
            item.key for _, item in self.store.journal.scan() if isinstance(item, Record) and self._is_damaged(item)
        ]

    def _is_damaged(self, record: Record) -> bool:
        """Return whether an attachment is added, and its result damaged."""
        try:
            self.store.cache.find(record.key)
        except DamagedFileError:
            return record.state in {State.ADDING, State.ADDED}
        except CacheError:
            return False
        return False

    def _set_result_aside(self, key: AttachmentKey) -> None:
        """Set a damaged result aside, and note that the attachment is there. Its container's lock must be held."""
        with self.store.journal.open(key) as opened:
            record = opened.find()
            if record is not None and self._is_damaged(record):
                opened.mark(State.RESULT_LOST)
                opened.settle()
                self.store.cache.set_aside_of(key)
