"""DEL: detach a container from a network, with what the ADD was called with.

Go counterpart: ``DelNetworkList``, which works with what it is given. Source: SPEC 1.1.0, section 3, "Deleting an
attachment".
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import AttachmentNotFoundError, CacheError, CNIError, NoRoomError, note_errors
from libcni.invoke.runner import do_steps
from libcni.log import Log
from libcni.storage.journal_record import State, record_of
from libcni.storage.namespace import NamespaceView, identify, look_into
from libcni.storage.store import is_single
from libcni.verbs.chain import Job, Limits
from libcni.verbs.context import check_network
from libcni.verbs.holders import LOOPBACK, holder_in
from libcni.verbs.lock_wait import open_folders
from libcni.verbs.orphans import end_left_behind, end_noted, may_still_run
from libcni.verbs.stored import prev_result_for_delete, stored_network, stored_runtime_conf

if TYPE_CHECKING:
    from libcni.config.model import NetworkConfigList
    from libcni.invoke.steps import Steps
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf
    from libcni.storage.journal import OpenRecord
    from libcni.storage.journal_record import Record
    from libcni.storage.store import Known, Store
    from libcni.verbs.context import VerbContext

__all__ = ["Deletion", "delete", "delete_known", "delete_stored", "forget_stored", "is_left_alone", "left_alone_error"]

_log = Log("libcni")


class Deletion(NamedTuple):
    """A deleted attachment: what was stored, and why the given configuration was taken although one was stored."""

    known: Known
    problem: CNIError | None


async def delete(  # noqa: PLR0917 -- all verbs take these four
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None
) -> None:
    """Detach a container from a network; deleting what is not there succeeds, after the plugins were asked."""
    key = rt.check(network.name)
    check_network(network)
    await delete_known(context, key, rt, limits=Limits(timeout), given=network)


async def delete_known(
    context: VerbContext, key: AttachmentKey, rt: RuntimeConf, *, limits: Limits, given: NetworkConfigList | None
) -> None:
    """Delete an attachment from what is stored about it, under its locks.

    :param given: the configuration for what is not stored, or damaged; ``None`` where there is none.
    :raises AttachmentNotFoundError: if there is no configuration at all.
    """
    work = _delete_known(context, key, rt, limits=limits, given=given)
    await context.observed(work, "DEL", **key._asdict())


async def _delete_known(
    context: VerbContext, key: AttachmentKey, rt: RuntimeConf, *, limits: Limits, given: NetworkConfigList | None
) -> None:
    async with context.waiter.locked(key.network, key.container_id):
        with context.store.journal.open(key) as opened:
            deletion = await delete_stored(context, key, opened, given=given, rt=rt, limits=limits)
    if deletion.problem is not None:
        _log.warning("deleted %s with the given configuration: %s", "/".join(key), deletion.problem)


async def delete_stored(
    context: VerbContext,
    key: AttachmentKey,
    opened: OpenRecord,
    *,
    given: NetworkConfigList | None,
    rt: RuntimeConf,
    limits: Limits,
) -> Deletion:
    """Delete an attachment from what is stored about it, or else from what is given; its lock must be held.

    :raises CNIError: if a plugin fails; everything that is stored then stays.
    """
    known = await context.known(key, opened)
    for damage in known.problems:
        _log.warning("deleting %s without what is stored: %s", "/".join(key), damage)
    network, problem = stored_network(known, given)
    if network is None:
        raise problem or AttachmentNotFoundError(*key)
    prev_result = prev_result_for_delete(known.entry, network.cni_version)
    find_rt = functools.partial(_runtime_conf, context.store, key, known, rt=rt)
    job = Job(network, await context.runner.call(find_rt), limits, opened, prev_result)
    await _end_left_behind(context, known)
    await open_folders(context.runner, context.store.journal.folder)
    await do_steps(context.runner, _beginning(context, opened, job))
    try:
        await _run_chain(context, job, known, given=given)
    except CNIError:
        if known.entry is None and known.record is None:
            # Nothing is known to be there: the caller may try again, and nothing is left to recover.
            opened.remove()
        raise
    await do_steps(context.runner, _forgetting(context.store, key, opened))
    return Deletion(known, problem)


def _runtime_conf(store: Store, key: AttachmentKey, known: Known, *, rt: RuntimeConf) -> RuntimeConf:
    """Return the arguments of a DEL; without the namespace when the interface there is that of another attachment."""
    rt = stored_runtime_conf(known, rt)
    if not rt.netns or key.ifname == LOOPBACK:
        return rt
    view = look_into(rt.netns, key.ifname)
    if view.identity is None or not view.has_interface:
        return rt
    record = known.recorded
    if record is not None and record.added is not None:
        is_another = record.added.ifindex not in {None, view.ifindex}
    else:
        since = record.time if record is not None else store.cache.written_at(key) or 0.0
        is_another = holder_in(store, view.identity, key, since=since) is not None
    if not is_another:
        return rt
    _log.warning("deleting %s without its namespace: interface %s there is another one", "/".join(key), key.ifname)
    return replace(rt, netns="")


async def _run_chain(context: VerbContext, job: Job, known: Known, *, given: NetworkConfigList | None) -> None:
    """Run DEL with the stored configuration; that of an ADD that failed may be the mistake, and is not insisted on.

    :raises CNIError: if that fails, and for an unfinished ADD also with the given configuration, when it differs.
    """
    is_settled = job.record is None or job.record.is_settled
    try:
        await context.caller.delete(job, before=None if is_settled else _settling(job))
    except CNIError as error:
        if not known.is_unfinished_add or given is None or given.raw == job.network.raw:
            raise
        _log.warning("deleting %s with the given configuration: %s", "/".join(job.key), error)
        try:
            await context.caller.delete(job._replace(network=given, prev_result=""))
        except CNIError as second:
            note_errors(second, "with the configuration of the ADD", [error])
            raise


def _beginning(context: VerbContext, opened: OpenRecord, job: Job) -> Steps[None]:
    """Put the DEL into the journal. On a full disk it goes on without: it makes room."""
    try:
        if not opened.mark(State.DELETING):
            record = record_of(
                job.key,
                job.rt,
                config=job.network.raw,
                owner=context.owner,
                state=State.DELETING,
                is_single=is_single(job.network),
                view=NamespaceView(identify(job.rt.netns)),
            )
            yield from opened.beginning(record)
    except CacheError as error:
        _log.warning("deleting %s without a record: %s", "/".join(job.key), error)


def _settling(job: Job) -> Steps[None]:
    """Bring the record to the disk while the first plugin starts."""
    try:
        if job.record is not None:
            yield from job.record.settling()
    except CacheError as error:
        _log.warning("deleting %s without a record: %s", "/".join(job.key), error)


async def _end_left_behind(context: VerbContext, known: Known) -> None:
    """End what a dead process left behind; after an operation that did not finish it may not be noted."""
    record = known.record
    if record is not None and record.is_unfinished(has_result=known.has_file):
        await context.runner.call(functools.partial(end_left_behind, record, context.caller.paths))
    elif record is not None and may_still_run(record):
        await context.runner.call(functools.partial(end_noted, record))


def forget_stored(store: Store, key: AttachmentKey, opened: OpenRecord) -> Steps[None]:
    """Remove what is stored about an attachment: the record last, so that a crash between is finished later.

    :raises CacheError: if that fails.
    """
    yield from store.cache.removing(key)
    opened.remove()


def _forgetting(store: Store, key: AttachmentKey, opened: OpenRecord) -> Steps[None]:
    """Forget what every plugin has deleted. A disk that is full or read-only keeps it, for a later DEL or GC."""
    try:
        yield from forget_stored(store, key, opened)
    except NoRoomError as error:
        _log.warning("deleted %s, and what is stored about it stays: %s", "/".join(key), error)


def is_left_alone(known: Known) -> bool:
    """Return whether an unfinished ADD met an interface that is still there: nothing deletes that unasked."""
    record = known.record
    if record is None or not record.found_interface or not known.is_unfinished_add or record.identity is None:
        return False
    view = look_into(record.netns, record.key.ifname)
    return view.identity is not None and view.identity.is_same(record.identity) and view.has_interface is not False


def left_alone_error(record: Record) -> CNIError:
    """Return the error for an unfinished ADD that is left alone."""
    key = record.key
    return CNIError(
        f"container {key.container_id!r}, interface {key.ifname!r}, network {key.network!r}: its ADD was not finished, "
        f"and nothing was deleted: the interface was in the namespace before. A DEL deletes it, forget() gives it up",
    )
