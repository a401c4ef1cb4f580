"""The stored attachments of a container, in the order of their ADDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.protocol.attachment import RuntimeConf
from libcni.storage.journal_record import Record
from libcni.storage.namespace import came_after, identify, is_no_namespace, is_same_namespace
from libcni.verbs.forget import stored_keys
from libcni.verbs.stored import stored_network

if TYPE_CHECKING:
    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import AttachmentKey
    from libcni.storage.store import Known, Store

__all__ = ["StoredAttachment", "added_after", "all_keys", "read_stored"]


@dataclass(frozen=True, slots=True)
class StoredAttachment:
    """The record and the result of one attachment."""

    key: AttachmentKey
    known: Known
    time: float
    """Seconds since the epoch: the beginning of the ADD, or when its result was written."""

    @property
    def owner(self) -> str | None:
        """The owner that has added it."""
        return None if self.known.record is None else self.known.record.owner

    @property
    def is_unfinished(self) -> bool:
        """Whether its ADD or DEL was begun and has not ended."""
        record = self.known.record
        return record is not None and record.is_unfinished(has_result=self.known.has_file)

    @property
    def runtime_conf(self) -> RuntimeConf:
        """The parameters of its ADD; without arguments where nothing can be read."""
        attachment = self.known.attachment()
        if attachment is None:
            return RuntimeConf(self.key.container_id, "", self.key.ifname)
        return attachment.runtime_conf()

    def network(self) -> NetworkConfigList | None:
        """Return the configuration of its ADD, ``None`` where that cannot be read."""
        return stored_network(self.known, None)[0]

    def is_namespace_gone(self) -> bool:
        """Return whether the namespace of the ADD is known to be gone: something else is at its path.

        Of what another program has added there is only a path and a time: it is in use unless they say otherwise.
        """
        path = self.runtime_conf.netns
        if not path:
            return False
        record, entry = self.known.recorded, self.known.entry
        if record is not None:
            return record.identity is not None and not is_same_namespace(path, record.identity)
        return is_no_namespace(path) or (entry is not None and came_after(path, entry.path))

    def has_namespace(self) -> bool:
        """Return whether there is a namespace at the path of the ADD, be it another one."""
        return identify(self.runtime_conf.netns) is not None


def read_stored(store: Store, container_id: str) -> list[StoredAttachment]:
    """Return the stored attachments of a container, in the order of their ADDs.

    :raises CacheError: if the cache directory cannot be read.
    """
    found = [_stored(store, key) for key in stored_keys(store, container_id, is_quick=True)]
    return sorted([item for item in found if item is not None], key=lambda item: (item.time, item.key))


def _stored(store: Store, key: AttachmentKey) -> StoredAttachment | None:
    known = store.known(key)
    if known.record is None and not known.has_file:
        return None
    began = known.record.time if known.record is not None else 0.0
    return StoredAttachment(key, known, began or store.cache.written_at(key) or 0.0)


def all_keys(store: Store) -> set[AttachmentKey]:
    """Return the keys of everything that is stored.

    :raises CacheError: if the cache directory cannot be read.
    """
    records = {item.key for _, item in store.journal.scan() if isinstance(item, Record)}
    return records | {item.key for item in store.cache.scan().known()}


def added_after(store: Store, since_boot: float) -> set[AttachmentKey]:
    """Return the keys of what was added after a moment, in seconds since boot.

    :raises CacheError: if the cache directory cannot be read.
    """
    records = [item for _, item in store.journal.scan() if isinstance(item, Record)]
    return {item.key for item in records if item.added is not None and item.added.at >= since_boot}
