"""Recovery of what was begun and not finished.

Go counterpart: none. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from libcni.errors import CNIError
from libcni.protocol.attachment import AttachmentKey, Recovery, RuntimeConf
from libcni.verbs.chain import Limits
from libcni.verbs.damaged_files import DamagedFiles
from libcni.verbs.delete import delete_stored, is_left_alone, left_alone_error
from libcni.verbs.gc import PARALLEL_CONTAINERS, by_container, with_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.journal import OpenRecord
    from libcni.verbs.context import VerbContext

__all__ = ["Recoverer"]


class Recoverer:
    """Recovery over the verbs."""

    def __init__(self, context: VerbContext) -> None:
        self.context = context
        self.store = context.store
        self.runner = context.runner

    async def pending(self) -> list[NetworkAttachment]:
        """Return the attachments whose ADD or DEL was begun and not finished.

        :raises CacheError: if the journal cannot be read.
        """
        return await self.runner.call(self._pending)

    def _pending(self) -> list[NetworkAttachment]:
        records = self.store.unfinished()
        keys = {record.key for record in records}
        return self.store.in_their_states([record.attachment() for record in records], keys)

    async def recover(self, timeout: float | None) -> list[Recovery]:
        """Finish what was begun: DEL with the configuration and arguments of the ADD. Damaged files are reported, too.

        :raises CacheError: if the cache directory cannot be read.
        """
        return await self.context.observed(self._recover(timeout), "RECOVER")

    async def _recover(self, timeout: float | None) -> list[Recovery]:
        damaged = await DamagedFiles(self.context).set_aside()
        reports = [Recovery("", "", "", done=False, error=error) for error in damaged]
        unfinished = await self.runner.call(self.store.unfinished)
        mine = [record.key for record in unfinished if record.owner == self.context.owner]
        jobs = [functools.partial(self._finish_all, keys, Limits(timeout)) for keys in by_container(mine)]
        for finished in await self.runner.gather(jobs, limit=PARALLEL_CONTAINERS):
            reports += finished
        return reports

    async def _finish_all(self, keys: Sequence[AttachmentKey], limits: Limits) -> list[Recovery]:
        finished = [await self._finish(key, limits) for key in keys]
        return [report for report in finished if report is not None]

    async def _finish(self, key: AttachmentKey, limits: Limits) -> Recovery | None:
        """Delete one unfinished attachment; do nothing when another process has finished it meanwhile."""
        try:
            async with self.context.waiter.locked(key.network, key.container_id):
                is_done = await self._finish_locked(key, limits)
        except CNIError as error:
            return Recovery(*key, done=False, error=with_subject(self.store, key, error))
        return Recovery(*key, done=True) if is_done else None

    async def _finish_locked(self, key: AttachmentKey, limits: Limits) -> bool:
        with self.store.journal.open(key) as opened:
            if not await self.runner.call(functools.partial(self._is_still_unfinished, opened)):
                return False
            known = await self.runner.call(functools.partial(self.store.known, key, opened))
            if known.record is not None and await self.runner.call(functools.partial(is_left_alone, known)):
                raise left_alone_error(known.record)
            rt = RuntimeConf(key.container_id, "", key.ifname)
            deletion = delete_stored(self.context, key, opened, given=None, rt=rt, limits=limits)
            await self.context.observed(deletion, "DEL", **key._asdict())
        return True

    def _is_still_unfinished(self, opened: OpenRecord) -> bool:
        record = opened.find()
        return record is not None and self.store.is_unfinished(record)
