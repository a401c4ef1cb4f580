"""What is there before an ADD: other attachments of the interface, and the interface itself.

An ADD that meets one of them is refused before any plugin runs: its failure would be cleaned up by a DEL that takes the
other one down. Go counterpart: none; Go libcni compares nothing. Source: SPEC 1.1.0, section 3, "Adding an attachment":
no second ADD for the same container id and interface name without a DEL between.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import AttachmentExistsError
from libcni.namespace import identify, is_same_namespace, look_into
from libcni.record import Record, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.attachment import AttachmentKey, NetworkAttachment
    from libcni.namespace import NamespaceView, NetnsIdentity
    from libcni.store import Store

__all__ = ["LOOPBACK", "check_is_free"]

LOOPBACK = "lo"
"""The interface that every namespace has."""


class _Holder(NamedTuple):
    """A stored attachment: its key, and its namespace by path and, where that was recorded, by identity."""

    key: AttachmentKey
    netns: str
    identity: NetnsIdentity | None


def check_is_free(store: Store, key: AttachmentKey, view: NamespaceView) -> None:
    """Check that no stored attachment has the interface of a new one.

    :param view: of the namespace of the new one.
    :raises AttachmentExistsError: if the container has that interface from another network, or if it is in the
        namespace and another container has it there; it names the attachment that is stored.
    :raises CacheError: if the stored attachments cannot be read.
    """
    for holder in _of_interface(store, key):
        if holder.key.network != key.network and not _is_gone(holder, view):
            raise AttachmentExistsError(*holder.key)
    if view.has_interface and key.ifname != LOOPBACK:
        for holder in _everything(store):
            if holder.key.ifname == key.ifname and holder.key != key and _is_in(holder, view):
                raise AttachmentExistsError(*holder.key)


def _of_interface(store: Store, key: AttachmentKey) -> Iterator[_Holder]:
    entries = store.cache.of_interface(key.container_id, key.ifname)
    yield from _holders(entries, store.journal.of_interface(key.container_id, key.ifname))


def _everything(store: Store) -> Iterator[_Holder]:
    records = [item for _, item in store.journal.scan() if isinstance(item, Record)]
    yield from _holders(list(store.cache.scan().known()), records)


def _holders(entries: list[NetworkAttachment], records: list[Record]) -> Iterator[_Holder]:
    with_result = {entry.key for entry in entries}
    for record in records:
        # Without a result, another program that shares the cache directory has deleted what was added.
        if record.state is not State.ADDED or record.key in with_result:
            yield _Holder(record.key, record.netns, record.identity)
    recorded = {record.key for record in records}
    for entry in entries:
        if entry.key not in recorded:
            yield _Holder(entry.key, entry.netns, None)


def _is_gone(holder: _Holder, view: NamespaceView) -> bool:
    """Return whether the interface of a stored attachment is gone; where that cannot be told it is there."""
    if view.identity is None or view.has_interface is None:
        return False
    if holder.identity is not None and holder.identity.is_same(view.identity):
        return not view.has_interface
    if holder.identity is not None and not is_same_namespace(holder.netns, holder.identity):
        return True
    there = look_into(holder.netns, holder.key.ifname)
    if there.identity is None:
        return not Path(holder.netns).exists()
    return there.has_interface is False


def _is_in(holder: _Holder, view: NamespaceView) -> bool:
    """Return whether a stored attachment has the namespace of a view."""
    if view.identity is None:
        return False
    if holder.identity is not None:
        return holder.identity.is_same(view.identity)
    # Nothing was recorded, as of Go's: at the same time, one inode is one namespace.
    now = identify(holder.netns)
    return now is not None and now[:2] == view.identity[:2]
