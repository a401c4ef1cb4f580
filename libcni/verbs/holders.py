"""The stored attachments that have an interface: of one container, or of any in a namespace.

Go counterpart: none; Go libcni compares nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from libcni.storage.journal_record import Record, State
from libcni.storage.namespace import identify, is_same_namespace, look_into

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.protocol.attachment import AttachmentKey
    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.namespace import NamespaceView, NetnsIdentity
    from libcni.storage.store import Store

__all__ = ["LOOPBACK", "Holder", "holder_in", "holders_of_interface"]

LOOPBACK = "lo"
"""The interface that every namespace has, and that no plugin makes or deletes."""


class Holder(NamedTuple):
    """A stored attachment: its key, and its namespace by path and, where that was recorded, by identity.

    ``time`` is the beginning of its ADD in seconds since the epoch; 0 where only another program knows.
    """

    key: AttachmentKey
    netns: str
    identity: NetnsIdentity | None
    time: float = 0.0
    unfinished: bool = False

    def is_in(self, namespace: NetnsIdentity) -> bool:
        """Return whether it is of a namespace that is there now."""
        if self.identity is not None:
            return self.identity.is_same(namespace) or self._is_at_its_path(namespace)
        # Nothing was recorded, as of Go's: at the same time, one inode is one namespace.
        now = identify(self.netns) if self.netns else None
        return now is not None and now[:2] == namespace[:2]

    def _is_at_its_path(self, namespace: NetnsIdentity) -> bool:
        """Return whether its own namespace, as it is at its path, is that one."""
        is_candidate = self.identity is not None and self.identity[:2] == namespace[:2] and bool(self.netns)
        return is_candidate and self.identity is not None and is_same_namespace(self.netns, self.identity)

    def is_gone(self, view: NamespaceView) -> bool:
        """Return whether its interface is gone; where that cannot be told it is there.

        :param view: of a namespace that is looked at, for an interface of that name.
        """
        if view.identity is None or view.has_interface is None:
            return False
        if not self.netns or (self.identity is not None and self.is_in(view.identity)):
            return not view.has_interface
        if self.identity is not None and not is_same_namespace(self.netns, self.identity):
            return True
        there = look_into(self.netns, self.key.ifname)
        if there.identity is None:
            return not os.path.lexists(self.netns)
        return there.has_interface is False


def holders_of_interface(store: Store, container_id: str, ifname: str) -> list[Holder]:
    """Return the stored attachments of an interface of a container, to whatever network.

    :raises CacheError: if what is stored cannot be read.
    """
    entries = store.cache.of_interface(container_id, ifname)
    return list(_holders(entries, store.journal.of_interface(container_id, ifname)))


def holder_in(store: Store, namespace: NetnsIdentity, key: AttachmentKey, *, since: float = 0.0) -> Holder | None:
    """Return another stored attachment than ``key`` that has an interface of that name in a namespace, or ``None``.

    It goes through everything that is stored.

    :param since: leave out those whose ADD began before, in seconds since the epoch.
    :raises CacheError: if what is stored cannot be read.
    """
    records = [item for _, item in store.journal.scan() if isinstance(item, Record) and item.key.ifname == key.ifname]
    entries = [item for item in store.cache.scan().known() if item.ifname == key.ifname]
    for holder in _holders(entries, records):
        if holder.key != key and holder.is_in(namespace):
            began = holder.time or store.cache.written_at(holder.key) or 0.0
            if began >= since:
                return holder
    return None


def _holders(entries: list[NetworkAttachment], records: list[Record]) -> Iterator[Holder]:
    with_result = {entry.key for entry in entries}
    for record in records:
        # Without a result, another program that shares the cache directory has deleted what was added; and a DEL of
        # what was unknown has added nothing.
        is_of_add = record.time > 0 or record.key in with_result
        if is_of_add and (record.state is not State.ADDED or record.key in with_result):
            is_unfinished = record.is_unfinished(has_result=record.key in with_result)
            yield Holder(record.key, record.netns, record.identity, record.time, is_unfinished)
    recorded = {record.key for record in records}
    for entry in entries:
        if entry.key not in recorded:
            yield Holder(entry.key, entry.netns, None)
