"""Cleaning up: garbage collection of networks, and recovery of what was begun and not finished.

Go counterpart: ``GCNetworkList``; recovery has none. Source: SPEC 1.1.0, section 3, "Garbage-collecting a network".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.attachment import AttachmentKey, GCAttachment, Recovery, RuntimeConf
from libcni.chain import Limits
from libcni.errors import CacheError, CNIError, CNIErrorGroup, ConfigError, DamagedFileError, LockTimeoutError
from libcni.identifiers import check_container_id, check_interface_name, check_network_name, check_pairs
from libcni.locks import container_lock, network_lock
from libcni.operations import check_network
from libcni.record import Record, State
from libcni.versions import GC_SINCE, is_at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from libcni.attachment import NetworkAttachment
    from libcni.cache import ResultCache
    from libcni.config import NetworkConfigList
    from libcni.journal import Journal, OpenRecord
    from libcni.operations import Operations

__all__ = ["Collector"]

PARALLEL_CONTAINERS = 32
"""How many containers garbage collection works on at once: it waits for plugins, not for the processor."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """What one network has stored: attachments to delete, and attachments to keep."""

    stale: tuple[AttachmentKey, ...]
    kept: tuple[AttachmentKey, ...]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one stale attachment: it, when it was deleted, and what is to be reported."""

    attachment: NetworkAttachment | None
    problems: tuple[CNIError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Damage:
    """A damaged file: where it is, and what is wrong with it."""

    place: ResultCache | Journal
    name: str
    error: CacheError

    @property
    def container_id(self) -> str:
        """The container whose record it may be, as far as the name tells: an operation on it may be about to use it."""
        return "@".join(self.name.split("@")[1:2])

    def set_aside(self) -> None:
        """Move it to where it blocks nothing."""
        self.place.set_aside(self.name)


class Collector:
    """Garbage collection and recovery over the verbs."""

    def __init__(self, operations: Operations) -> None:
        self.operations = operations
        self.store = operations.store
        self.runner = operations.runner

    # Garbage collection

    async def collect(
        self,
        networks: Sequence[NetworkConfigList],
        keep: Iterable[tuple[str, str]],
        timeout: float | None,
        *,
        with_unlisted: bool = False,
        dry_run: bool = False,
    ) -> list[NetworkAttachment]:
        """Delete the stale attachments of networks, then let the plugins collect.

        :param keep: container id and interface name of what is in use.
        :param with_unlisted: also delete the attachments of networks that are not given.
        :raises CNIErrorGroup: with every failure, after all that can be done is done.
        """
        wanted = _checked_keep(keep)
        for given in networks:
            check_network_name(given.name)
            check_network(given)
        named = {network.name: network for network in networks}
        targets: list[tuple[str, NetworkConfigList | None]] = [(n.name, n) for n in named.values() if not n.disable_gc]
        if with_unlisted:
            unlisted = await self.runner.call(self._stored_networks)
            targets += [(name, None) for name in sorted(unlisted - named.keys())]
        deleted: list[NetworkAttachment] = []
        errors: list[CNIError] = []
        for name, network in targets:
            try:
                done, failed = await self._collect_one(name, network, keep=wanted, timeout=timeout, dry_run=dry_run)
            except LockTimeoutError as error:
                if not with_unlisted:
                    raise
                errors.append(error)  # the other networks are not busy
                continue
            deleted += done
            errors += failed
        if errors:
            keys = [item.key for item in deleted]
            raise CNIErrorGroup("garbage collection did not succeed in everything", errors, deleted=keys)
        return deleted

    async def _collect_one(
        self,
        name: str,
        network: NetworkConfigList | None,
        *,
        keep: frozenset[GCAttachment],
        timeout: float | None,
        dry_run: bool,
    ) -> tuple[list[NetworkAttachment], list[CNIError]]:
        if dry_run:
            found = await self.runner.call(functools.partial(self._stale_attachments, name, keep))
            damaged = await self.runner.call(self._damaged_files)
            return found, [each.error for each in damaged]
        subject = f"network {name!r}"
        held = await self.operations.waiter.lock(network_lock(name), "", subject=subject)
        try:
            return await self._collect_locked(name, network, keep=keep, timeout=timeout)
        finally:
            held.release()

    async def _collect_locked(
        self,
        name: str,
        network: NetworkConfigList | None,
        *,
        keep: frozenset[GCAttachment],
        timeout: float | None,
    ) -> tuple[list[NetworkAttachment], list[CNIError]]:
        errors = await self._set_aside_damaged()
        stored = await self.runner.call(functools.partial(self._stored, name, keep))
        delete = functools.partial(self._delete_stale, network=network, limits=Limits(timeout))
        jobs = [functools.partial(delete, keys) for keys in _by_container(stored.stale)]
        outcomes = [each for job in await self.runner.gather(jobs, limit=PARALLEL_CONTAINERS) for each in job]
        errors += [problem for outcome in outcomes for problem in outcome.problems]
        if network is not None and is_at_least(network.cni_version, GC_SINCE):
            kept = keep | {GCAttachment(key.container_id, key.ifname) for key in stored.kept}
            errors += await self.operations.caller.collect(network, sorted(kept), Limits(timeout))
        return [outcome.attachment for outcome in outcomes if outcome.attachment is not None], errors

    def _stored_networks(self) -> set[str]:
        """Return the names of all networks that have something stored."""
        entries = {item.network for item in self.store.cache.scan().known()}
        return entries | {item.key.network for _, item in self.store.journal.scan() if isinstance(item, Record)}

    def _stored(self, network: str, keep: frozenset[GCAttachment]) -> _Stored:
        """Read what a network has stored, and tell what is stale.

        :raises CacheError: if something cannot be read.
        """
        owners = {item.key: item.owner for _, item in self.store.journal.scan() if isinstance(item, Record)}
        entries = {item.key for item in self.store.cache.scan().known()}
        keys = entries | owners.keys()
        stale: list[AttachmentKey] = []
        kept: list[AttachmentKey] = []
        for key in sorted(key for key in keys if key.network == network):
            is_ours = owners.get(key) == self.operations.owner
            is_stale = is_ours and GCAttachment(key.container_id, key.ifname) not in keep
            (stale if is_stale else kept).append(key)
        return _Stored(tuple(stale), tuple(kept))

    def _stale_attachments(self, network: str, keep: frozenset[GCAttachment]) -> list[NetworkAttachment]:
        found = [self.store.known(key).attachment() for key in self._stored(network, keep).stale]
        return [attachment for attachment in found if attachment is not None]

    def _damaged_files(self) -> list[_Damage]:
        """Return what is damaged.

        :raises CacheError: if a file cannot be read at all.
        """
        cache, journal = self.store.cache, self.store.journal
        # A file whose result alone is damaged can still be deleted from.
        found = [_Damage(cache, item.name, item.problem) for item in cache.scan().damaged if item.attachment is None]
        found += [_Damage(journal, name, item) for name, item in journal.scan() if isinstance(item, CacheError)]
        for damage in found:
            if not isinstance(damage.error, DamagedFileError):
                raise damage.error
        return found

    async def _set_aside_damaged(self) -> list[CNIError]:
        """Set damaged files aside, and return why."""
        damaged = await self.runner.call(self._damaged_files)
        if not damaged:
            return []
        errors: list[CNIError] = [damage.error for damage in damaged]
        works: list[tuple[str, Callable[[], None]]] = [
            (key.container_id, functools.partial(self._set_result_aside, key))
            for key in await self.runner.call(self._added_with_damage)
        ]
        works += [(damage.container_id, damage.set_aside) for damage in damaged]
        for container_id, work in works:
            try:
                held = await self.operations.waiter.lock(container_lock(container_id), container_id)
            except CNIError as error:
                return [*errors, error]  # another time
            try:
                await self.runner.call(work)
            finally:
                held.release()
        return errors

    def _added_with_damage(self) -> list[AttachmentKey]:
        return [
            item.key for _, item in self.store.journal.scan() if isinstance(item, Record) and self._is_damaged(item)
        ]

    def _is_damaged(self, record: Record) -> bool:
        """Say whether an attachment is added, and its result damaged."""
        try:
            self.store.cache.find(record.key)
        except DamagedFileError:
            return record.state in {State.ADDING, State.ADDED}
        return False

    def _set_result_aside(self, key: AttachmentKey) -> None:
        """Set a damaged result aside, and note that the attachment is there. Its container's lock must be held."""
        with self.store.journal.open(key) as opened:
            record = opened.find()
            if record is not None and self._is_damaged(record):
                opened.mark(State.RESULT_LOST)
                opened.settle()
                self.store.cache.set_aside_of(key)

    async def _delete_stale(
        self,
        keys: Sequence[AttachmentKey],
        network: NetworkConfigList | None,
        limits: Limits,
    ) -> list[_Outcome]:
        """Delete the attachments of one container, whose network is locked already."""
        container_id = keys[0].container_id
        try:
            held = await self.operations.waiter.lock(container_lock(container_id), container_id)
        except CNIError as error:
            return [_Outcome(None, (error,))]
        try:
            return [await self._delete_one(key, network, limits) for key in keys]
        finally:
            held.release()

    async def _delete_one(self, key: AttachmentKey, network: NetworkConfigList | None, limits: Limits) -> _Outcome:
        rt = RuntimeConf(key.container_id, "", key.ifname)
        with self.store.journal.open(key) as opened:
            try:
                known, problem = await self.operations.delete_stored(key, opened, given=network, rt=rt, limits=limits)
            except CNIError as error:
                return _Outcome(None, (self._with_subject(key, error),))
        return _Outcome(known.attachment(), () if problem is None else (self._with_subject(key, problem),))

    def _with_subject(self, key: AttachmentKey, error: CNIError) -> CNIError:
        """Say whose stored configuration is damaged, which the mistake in it does not tell."""
        if not isinstance(error, ConfigError):
            return error
        subject = f"container {key.container_id!r}, interface {key.ifname!r}, network {key.network!r}"
        reason = f"the stored configuration of {subject} is damaged: {error}"
        return DamagedFileError(self.store.cache.folder.cache_dir, reason)

    # Recovery

    async def pending(self) -> list[NetworkAttachment]:
        """Return the attachments whose ADD or DEL was begun and not finished.

        :raises CacheError: if the journal cannot be read.
        """
        return [record.attachment() for record in await self.runner.call(self._unfinished)]

    def _unfinished(self) -> list[Record]:
        records = [item for _, item in self.store.journal.scan() if isinstance(item, Record)]
        return sorted([record for record in records if self._is_unfinished(record)], key=lambda record: record.key)

    def _is_unfinished(self, record: Record) -> bool:
        return record.is_unfinished(has_result=record.state is State.ADDING and self.store.cache.has_file(record.key))

    async def recover(self, timeout: float | None) -> list[Recovery]:
        """Finish what was begun: DEL with the configuration and arguments of the ADD; then sweep what is left over.

        :raises CacheError: if the cache directory cannot be read.
        """
        damaged = await self._set_aside_damaged()
        reports = [Recovery("", "", "", done=False, error=error) for error in damaged]
        unfinished = await self.runner.call(self._unfinished)
        mine = [record.key for record in unfinished if record.owner == self.operations.owner]
        jobs = [functools.partial(self._finish_all, keys, Limits(timeout)) for keys in _by_container(mine)]
        for finished in await self.runner.gather(jobs, limit=PARALLEL_CONTAINERS):
            reports += finished
        await self.runner.call(self.store.sweep)
        return reports

    async def _finish_all(self, keys: Sequence[AttachmentKey], limits: Limits) -> list[Recovery]:
        finished = [await self._finish(key, limits) for key in keys]
        return [report for report in finished if report is not None]

    async def _finish(self, key: AttachmentKey, limits: Limits) -> Recovery | None:
        """Delete one unfinished attachment; nothing, when somebody else has finished it meanwhile."""
        try:
            async with self.operations.waiter.locked(key.network, key.container_id):
                is_done = await self._finish_locked(key, limits)
        except CNIError as error:
            return Recovery(*key, done=False, error=self._with_subject(key, error))
        return Recovery(*key, done=True) if is_done else None

    async def _finish_locked(self, key: AttachmentKey, limits: Limits) -> bool:
        with self.store.journal.open(key) as opened:
            if not await self.runner.call(functools.partial(self._is_still_unfinished, opened)):
                return False
            rt = RuntimeConf(key.container_id, "", key.ifname)
            await self.operations.delete_stored(key, opened, given=None, rt=rt, limits=limits)
        return True

    def _is_still_unfinished(self, opened: OpenRecord) -> bool:
        record = opened.find()
        return record is not None and self._is_unfinished(record)


def _checked_keep(keep: Iterable[tuple[str, str]]) -> frozenset[GCAttachment]:
    # What is not understood here would be deleted.
    pairs = check_pairs("valid_attachments", keep)
    wanted = frozenset(GCAttachment(container_id, ifname) for container_id, ifname in pairs)
    for item in wanted:
        check_container_id(item.container_id)
        check_interface_name(item.ifname)
    return wanted


def _by_container(keys: Iterable[AttachmentKey]) -> list[list[AttachmentKey]]:
    containers: dict[str, list[AttachmentKey]] = {}
    for key in keys:
        containers.setdefault(key.container_id, []).append(key)
    return list(containers.values())
