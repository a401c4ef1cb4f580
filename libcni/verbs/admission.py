"""The checks of an ADD before its first plugin: earlier attempts, other attachments, and the interface itself.

An ADD that meets another attachment of the interface is refused: its failure would be cleaned up by a DEL that takes
the other one down. Go counterpart: none; Go libcni compares nothing. Source: SPEC 1.1.0, section 3, "Adding an
attachment": no second ADD for the same container id and interface name without a DEL between.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.errors import AttachmentExistsError, CNIError, note_errors
from libcni.log import Log
from libcni.storage.locks import interface_lock
from libcni.storage.namespace import NamespaceView, identify, look_into
from libcni.verbs.delete import delete_stored, is_left_alone, left_alone_error
from libcni.verbs.holders import LOOPBACK, holder_in, holders_of_interface

if TYPE_CHECKING:
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf
    from libcni.storage.journal import OpenRecord
    from libcni.storage.store import Store
    from libcni.verbs.chain import Job
    from libcni.verbs.context import VerbContext
    from libcni.verbs.lock_wait import Locked

__all__ = ["admit", "look_first"]

_log = Log("libcni")


async def admit(context: VerbContext, job: Job, *, opened: OpenRecord, locked: Locked) -> NamespaceView:
    """Finish an earlier attempt, make sure that the interface is free, and return the view of the namespace.

    :param locked: the locks of the ADD; from now on the interface is locked with them.
    :raises AttachmentExistsError: if an earlier attempt cannot be finished, or another attachment has the interface.
    """
    await _finish_earlier(context, job, opened)
    await _lock_interface(job.rt, locked)
    return await context.runner.call(functools.partial(look_first, context.store, job.key, job.rt))


async def _lock_interface(rt: RuntimeConf, locked: Locked) -> None:
    """Hold off other ADDs of the interface: what one made after this look, the rollback of this ADD would delete.

    :raises LockTimeoutError: if that is not possible in time.
    """
    namespace = identify(rt.netns) if rt.netns and rt.ifname != LOOPBACK else None
    if namespace is not None:
        subject = f"interface {rt.ifname!r} of network namespace {rt.netns}"
        await locked.also(interface_lock(namespace, rt.ifname), subject)


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
        await delete_stored(
            context, job.key, opened, given=job.network, rt=replace(job.rt, netns=""), limits=job.limits
        )
    except CNIError as problem:
        error = AttachmentExistsError(*job.key, unfinished=True)
        note_errors(error, "to delete it fails", [problem])
        raise error from problem


def look_first(store: Store, key: AttachmentKey, rt: RuntimeConf) -> NamespaceView:
    """Return the view of the namespace of an ADD, and make sure that no other attachment has its interface.

    :raises AttachmentExistsError: if the container has the interface from another network, or if it is in the
        namespace and another container has it there; the error names the attachment that is stored.
    :raises CacheError: if the stored attachments cannot be read.
    """
    view = look_into(rt.netns, rt.ifname) if rt.netns else NamespaceView()
    if rt.ifname == LOOPBACK:
        return NamespaceView(view.identity)
    for holder in holders_of_interface(store, key.container_id, key.ifname):
        if holder.key.network != key.network and not holder.is_gone(view):
            raise AttachmentExistsError(*holder.key, unfinished=holder.unfinished, is_another=True)
    other = holder_in(store, view.identity, key) if view.identity is not None and view.has_interface else None
    if other is not None:
        raise AttachmentExistsError(*other.key, unfinished=other.unfinished, is_another=True)
    return view
