"""What an ADD looks at before its first plugin: earlier attempts, other attachments, and the interface itself.

An ADD that meets another attachment of the interface is refused: its failure would be cleaned up by a DEL that takes
the other one down. Go counterpart: none; Go libcni compares nothing. Source: SPEC 1.1.0, section 3, "Adding an
attachment": no second ADD for the same container id and interface name without a DEL between.
"""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import AttachmentExistsError, CNIError, note_errors
from libcni.namespace import NamespaceView, identify, is_same_namespace, look_into
from libcni.record import Record, State
from libcni.verbs.delete import delete_stored, is_left_alone, left_alone_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
    from libcni.journal import OpenRecord
    from libcni.namespace import NetnsIdentity
    from libcni.store import Store
    from libcni.verbs.chain import Job
    from libcni.verbs.context import VerbContext

__all__ = ["admit", "look_first"]

_log = logging.getLogger("libcni")

LOOPBACK = "lo"
"""The interface that every namespace has, and that no plugin makes or deletes."""


async def admit(context: VerbContext, job: Job, opened: OpenRecord) -> NamespaceView:
    """Finish an earlier attempt, make sure that the interface is free, and return the view of the namespace.

    :raises AttachmentExistsError: if an earlier attempt cannot be finished, or another attachment has the interface.
    """
    await _finish_earlier(context, job, opened)
    return await context.runner.call(functools.partial(look_first, context.store, job.key, job.rt))


async def _finish_earlier(context: VerbContext, job: Job, opened: OpenRecord) -> None:
    """Delete what an earlier ADD or DEL of the attachment has begun and not finished.

    :raises AttachmentExistsError: if that fails.
    """
    known = await context.known(job.key, opened)
    if known.record is None or not known.record.is_unfinished(has_result=known.has_file):
        return
    if await context.runner.call(functools.partial(is_left_alone, known)):
        _log.warning("%s", left_alone_error(known.record))
        await context.runner.call(opened.remove)
        return
    try:
        await delete_stored(context, job.key, opened, given=job.network, rt=job.rt, limits=job.limits)
    except CNIError as problem:
        error = AttachmentExistsError(*job.key, unfinished=True)
        note_errors(error, "to delete it fails", [problem])
        raise error from problem


def look_first(store: Store, key: AttachmentKey, rt: RuntimeConf) -> NamespaceView:
    """Return the view of the namespace of an ADD, and make sure that no other attachment has its interface.

    :raises AttachmentExistsError: if one has.
    :raises CacheError: if the stored attachments cannot be read.
    """
    view = look_into(rt.netns, rt.ifname) if rt.netns else NamespaceView()
    _check_is_free(store, key, view)
    return NamespaceView(view.identity) if rt.ifname == LOOPBACK else view


class _Holder(NamedTuple):
    """A stored attachment: its key, and its namespace by path and, where that was recorded, by identity."""

    key: AttachmentKey
    netns: str
    identity: NetnsIdentity | None
    unfinished: bool = False


def _check_is_free(store: Store, key: AttachmentKey, view: NamespaceView) -> None:
    """Check that no stored attachment has the interface of a new one.

    :param view: of the namespace of the new one.
    :raises AttachmentExistsError: if the container has that interface from another network, or if it is in the
        namespace and another container has it there; it names the attachment that is stored.
    :raises CacheError: if the stored attachments cannot be read.
    """
    for holder in _of_interface(store, key):
        if holder.key.network != key.network and not _is_gone(holder, view):
            raise AttachmentExistsError(*holder.key, unfinished=holder.unfinished)
    if view.has_interface and key.ifname != LOOPBACK:
        for holder in _everything(store):
            if holder.key.ifname == key.ifname and holder.key != key and _is_in(holder, view):
                raise AttachmentExistsError(*holder.key, unfinished=holder.unfinished)


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
            is_unfinished = record.is_unfinished(has_result=record.key in with_result)
            yield _Holder(record.key, record.netns, record.identity, is_unfinished)
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
