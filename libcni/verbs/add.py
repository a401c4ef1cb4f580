"""ADD: attach a container to a network, or leave nothing of the attempt behind (:mod:`libcni.verbs.failed_add`).

Go counterpart: ``AddNetworkList``. Source: SPEC 1.1.0, section 3, "Adding an attachment".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from libcni.errors import AttachmentExistsError, DamagedFileError, PluginStartError
from libcni.invoke.output import PrevResult
from libcni.invoke.runner import do_steps
from libcni.storage.journal_record import State, record_of
from libcni.storage.namespace import NamespaceView, look_into
from libcni.storage.store import is_single
from libcni.verbs.admission import admit
from libcni.verbs.chain import Job, Limits, warn_of_undeclared
from libcni.verbs.context import check_network
from libcni.verbs.failed_add import FailedAdd
from libcni.verbs.holders import LOOPBACK
from libcni.verbs.lock_wait import open_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.invoke.output import Invocation
    from libcni.invoke.steps import Steps
    from libcni.protocol.attachment import RuntimeConf
    from libcni.results.result import Result
    from libcni.storage.journal import OpenRecord
    from libcni.storage.journal_record import Record
    from libcni.verbs.context import VerbContext

__all__ = ["add"]


async def add(  # noqa: PLR0917 -- all verbs take these four
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, rollback: bool
) -> Result:
    """Attach a container to a network: each plugin gets the result of the one before, the last result is stored."""
    work = _add(context, network, rt, timeout, rollback=rollback)
    return await context.observed(work, "ADD", network=network.name, container_id=rt.container_id, ifname=rt.ifname)


async def _add(  # noqa: PLR0917 -- as above
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, rollback: bool
) -> Result:
    key = rt.check(network.name)
    check_network(network)
    context.store.check_fits(key, rt, network.raw)
    warn_of_undeclared(network, rt)
    invocations = context.caller.locate("ADD", network, rt)
    async with context.waiter.locked(key.network, key.container_id) as locked:
        with context.store.journal.open(key) as opened:
            job = Job(network, rt, Limits(timeout), opened)
            view = await admit(context, job, opened=opened, locked=locked)
            single = is_single(network)
            record = record_of(key, rt, config=network.raw, owner=context.owner, is_single=single, view=view)
            attempt = _Add(context, job, opened=opened, record=record)
            try:
                return await attempt.run(invocations)
            except BaseException as error:
                failed = FailedAdd(context, job, opened=opened, record=record, rollback=rollback)
                await failed.end(error, has_begun=attempt.has_begun)
                raise


class _Add:
    """One ADD, whose lock is held: its record, its plugins, its result."""

    def __init__(self, context: VerbContext, job: Job, *, opened: OpenRecord, record: Record) -> None:
        self._context = context
        self._job = job
        self._opened = opened
        self._record = record
        self.has_begun = False
        """Whether a plugin may have got its request."""

    async def run(self, invocations: Sequence[Invocation]) -> Result:
        """Run the chain, and store the last result."""
        caller, network = self._context.caller, self._job.network
        store, runner = self._context.store, self._context.runner
        await open_folders(runner, store.journal.folder, store.cache.folder)
        if await do_steps(runner, self._begin()):
            await runner.call(functools.partial(store.cache.set_aside_of, self._job.key))
        environment = caller.environment("ADD", self._job)
        answer = PrevResult("")
        before: Steps[None] | None = self._settle()
        for invocation, plugin in zip(invocations, network.plugins, strict=True):
            call = self._job, invocation, plugin
            try:
                answer = await caller.add(*call, previous=answer, environment=environment, before=before)
            except PluginStartError:
                self.has_begun = before is None  # else not even the first plugin could be started
                raise
            before = None
        view = await runner.call(self._look_again)
        await do_steps(runner, self._finish(answer, view))
        return answer.result

    def _look_again(self) -> NamespaceView:
        """Return the view of the namespace after the last plugin: the interface that is there is this attachment's."""
        rt, namespace = self._job.rt, self._record.identity
        if namespace is None or rt.ifname == LOOPBACK:
            return NamespaceView()
        view = look_into(rt.netns, rt.ifname)
        return view if view.identity is not None and view.identity.is_same(namespace) else NamespaceView()

    def _begin(self) -> Steps[bool]:
        """Put the ADD into the journal, unless the attachment is there; return whether its result is a damaged file."""
        store, key = self._context.store, self._job.key
        is_damaged = False
        try:
            if store.cache.find(key) is not None:
                raise AttachmentExistsError(*key)
        except DamagedFileError:
            is_damaged = True
        # What was added and has no result any more, another program has deleted.
        in_place_of = None if is_damaged else State.ADDED
        if not (yield from self._opened.beginning(self._record, in_place_of=in_place_of)):
            raise AttachmentExistsError(*key, unfinished=self._opened.is_unfinished(has_result=is_damaged))
        if is_damaged:
            yield from self._opened.settling()
        return is_damaged

    def _settle(self) -> Steps[None]:
        """Make sure that the record survives a power loss: the first plugin gets its request only then."""
        yield from self._opened.settling()
        self.has_begun = True

    def _finish(self, answer: PrevResult, view: NamespaceView) -> Steps[None]:
        job = self._job
        yield from self._context.store.cache.storing(job.key, job.rt, config=job.network.raw, result=answer.text)
        self._opened.note_added(view.ifindex)
