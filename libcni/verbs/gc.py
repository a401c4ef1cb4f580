"""Garbage collection of networks.

Go counterpart: ``GCNetworkList``. Source: SPEC 1.1.0, section 3, "Garbage-collecting a network".
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.errors import CNIError, CNIErrorGroup, ConfigError, DamagedFileError, LockTimeoutError
from libcni.protocol.attachment import AttachmentKey, GCAttachment, RuntimeConf
from libcni.protocol.names import check_network_name
from libcni.protocol.versions import GC_SINCE, is_at_least
from libcni.storage.journal_record import Record
from libcni.storage.locks import container_lock, network_lock
from libcni.storage.namespace import current_boot_id
from libcni.verbs.chain import Limits
from libcni.verbs.context import check_network
from libcni.verbs.damaged_files import DamagedFiles
from libcni.verbs.delete import delete_stored, is_left_alone, left_alone_error
from libcni.verbs.keep_list import KeepSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.journal import OpenRecord
    from libcni.storage.store import Store
    from libcni.verbs.context import VerbContext
    from libcni.verbs.keep_list import KeepList, KeptAttachments

__all__ = ["Collector", "by_container", "with_subject"]

PARALLEL_CONTAINERS = 32
"""How many containers garbage collection works on at once: it waits for plugins, not for the processor."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored attachments of one network: those to delete, and those to keep."""

    stale: tuple[AttachmentKey, ...]
    kept: tuple[AttachmentKey, ...]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The outcome for one stale attachment: it, when it was deleted, and the errors to report."""

    attachment: NetworkAttachment | None
    problems: tuple[CNIError, ...] = ()


class Collector:
    """Garbage collection over the verbs."""

    def __init__(self, context: VerbContext) -> None:
        self.context = context
        self.store = context.store
        self.runner = context.runner

    async def collect(
        self,
        networks: Sequence[NetworkConfigList],
        keep: KeepList,
        timeout: float | None,
        *,
        with_unlisted: bool = False,
        dry_run: bool = False,
    ) -> list[NetworkAttachment]:
        """Delete the stale attachments of networks, then let the plugins collect.

        :param keep: container id and interface name of each attachment that is in use.
        :param with_unlisted: also delete the attachments of networks that are not given.
        :raises CNIErrorGroup: with every failure, after all that can be done is done.
        """
        work = self._collect(networks, keep, timeout, with_unlisted=with_unlisted, dry_run=dry_run)
        name = networks[0].name if len(networks) == 1 and not with_unlisted else ""
        return await self.context.observed(work, "GC", network=name)

    async def _collect(
        self,
        networks: Sequence[NetworkConfigList],
        keep: KeepList,
        timeout: float | None,
        *,
        with_unlisted: bool,
        dry_run: bool,
    ) -> list[NetworkAttachment]:
        wanted = KeepSource(keep)
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
        keep: KeepSource,
        timeout: float | None,
        dry_run: bool,
    ) -> tuple[list[NetworkAttachment], list[CNIError]]:
        if dry_run:
            found = await self.runner.call(functools.partial(self._stale_attachments, name, await keep.read()))
            damaged = await self.runner.call(DamagedFiles(self.context).find)
            return found, [each.error for each in damaged]
        subject = f"network {name!r}"
        held = await self.context.waiter.lock(network_lock(name), "", subject=subject)
        try:
            return await self._collect_locked(name, network, keep=keep, timeout=timeout)
        finally:
            held.release()

    async def _collect_locked(
        self,
        name: str,
        network: NetworkConfigList | None,
        *,
        keep: KeepSource,
        timeout: float | None,
    ) -> tuple[list[NetworkAttachment], list[CNIError]]:
        read = await keep.read()
        errors = await DamagedFiles(self.context).set_aside()
        is_all_known = all(isinstance(error, DamagedFileError) for error in errors)
        stored = await self.runner.call(functools.partial(self._stored, name, read))
        delete = functools.partial(self._delete_stale, network=network, limits=Limits(timeout))
        jobs = [functools.partial(delete, keys) for keys in by_container(stored.stale)]
        outcomes = [each for job in await self.runner.gather(jobs, limit=PARALLEL_CONTAINERS) for each in job]
        errors += [problem for outcome in outcomes for problem in outcome.problems]
        # What cannot be read may be in use: the plugins are not told otherwise.
        if network is not None and is_all_known and is_at_least(network.cni_version, GC_SINCE):
            kept = read.pairs | {GCAttachment(key.container_id, key.ifname) for key in stored.kept}
            errors += await self.context.caller.collect(network, sorted(kept), Limits(timeout))
        return [outcome.attachment for outcome in outcomes if outcome.attachment is not None], errors

    def _stored_networks(self) -> set[str]:
        """Return the names of all networks that have something stored."""
        entries = {item.network for item in self.store.cache.scan().known()}
        return entries | {item.key.network for _, item in self.store.journal.scan() if isinstance(item, Record)}

    def _stored(self, network: str, keep: KeptAttachments) -> _Stored:
        """Read what a network has stored, and tell what is stale.

        :raises CacheError: if a folder cannot be read.
        """
        scanned = [item for _, item in self.store.journal.scan() if isinstance(item, Record)]
        records = {item.key: item for item in scanned if item.key.network == network}
        entries = {item.key for item in self.store.cache.scan().known() if item.network == network}
        stale: list[AttachmentKey] = []
        kept: list[AttachmentKey] = []
        for key in sorted(entries | records.keys()):
            (stale if self._is_stale(key, records.get(key), keep) else kept).append(key)
        return _Stored(tuple(stale), tuple(kept))

    def _is_stale(self, key: AttachmentKey, record: Record | None, keep: KeptAttachments) -> bool:
        owner = None if record is None else record.owner
        if owner != self.context.owner or GCAttachment(key.container_id, key.ifname) in keep.pairs:
            return False
        return not self._is_added_since(key, record, keep)

    def _is_added_since(self, key: AttachmentKey, record: Record | None, keep: KeptAttachments) -> bool:
        """Return whether an attachment was added after the keep-list was made: then it cannot be in that."""
        if record is not None and record.added is not None:
            return record.boot_id == current_boot_id() and record.added.at >= keep.since_boot
        written = self.store.cache.written_at(key)
        return written is not None and written >= keep.wall

    def _stale_attachments(self, network: str, keep: KeptAttachments) -> list[NetworkAttachment]:
        found = [self.store.known(key).attachment() for key in self._stored(network, keep).stale]
        return [attachment for attachment in found if attachment is not None]

    async def _delete_stale(
        self,
        keys: Sequence[AttachmentKey],
        network: NetworkConfigList | None,
        limits: Limits,
    ) -> list[_Outcome]:
        """Delete the attachments of one container, whose network is locked already."""
        container_id = keys[0].container_id
        try:
            held = await self.context.waiter.lock(container_lock(container_id), container_id)
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
                await self._check_not_left_alone(key, opened)
                deletion = delete_stored(self.context, key, opened, given=network, rt=rt, limits=limits)
                known, problem = await self.context.observed(deletion, "DEL", **key._asdict())
            except CNIError as error:
                return _Outcome(None, (with_subject(self.store, key, error),))
        return _Outcome(known.attachment(), () if problem is None else (with_subject(self.store, key, problem),))

    async def _check_not_left_alone(self, key: AttachmentKey, opened: OpenRecord) -> None:
        known = await self.runner.call(functools.partial(self.store.known, key, opened))
        if known.record is not None and await self.runner.call(functools.partial(is_left_alone, known)):
            raise left_alone_error(known.record)


def with_subject(store: Store, key: AttachmentKey, error: CNIError) -> CNIError:
    """Return an error that names the attachment whose stored configuration is damaged, which the mistake does not."""
    if not isinstance(error, ConfigError):
        return error
    subject = f"container {key.container_id!r}, interface {key.ifname!r}, network {key.network!r}"
    reason = f"the stored configuration of {subject} is damaged: {error}"
    return DamagedFileError(store.cache.folder.cache_dir, reason)


def by_container(keys: Iterable[AttachmentKey]) -> list[list[AttachmentKey]]:
    """Return keys in groups, one for each container."""
    containers: dict[str, list[AttachmentKey]] = {}
    for key in keys:
        containers.setdefault(key.container_id, []).append(key)
    return list(containers.values())
