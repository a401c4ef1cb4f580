"""ADD: attach a container to a network, or leave nothing of the attempt behind.

Go counterpart: ``AddNetworkList``. Source: SPEC 1.1.0, section 3, "Adding an attachment".

A failed ADD ends in one of four ways; each of them leaves the caller with the error of the ADD:

======================================================  ===========================================================
no plugin has got a request                             withdrawn: the record is removed, nothing was done
the interface was in the namespace before               left alone: the record is removed, and nothing is deleted
a plugin lives on, or the caller wants no rollback      marked: the record says that a DEL is needed
all other                                               rolled back: DEL in reverse order, then the record is removed
======================================================  ===========================================================
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.errors import (
    AttachmentExistsError,
    CacheError,
    CNIError,
    DamagedFileError,
    PluginStartError,
    PluginTimeoutError,
    note_errors,
)
from libcni.invoke.answer import Answer
from libcni.invoke.plugin import do_steps
from libcni.namespace import is_no_namespace
from libcni.record import State, record_of
from libcni.store import is_single
from libcni.verbs.admission import admit
from libcni.verbs.chain import Job, Limits
from libcni.verbs.context import check_network
from libcni.verbs.delete import forget_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from libcni.attachment import RuntimeConf
    from libcni.config import NetworkConfigList
    from libcni.invoke.answer import Invocation
    from libcni.journal import OpenRecord
    from libcni.record import Record
    from libcni.results import Result
    from libcni.steps import Steps
    from libcni.verbs.context import VerbContext

__all__ = ["add"]

ROLLBACK_BUDGET = 60.0
"""Seconds that the deletion of a failed ADD may take in all."""


async def add(
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, rollback: bool
) -> Result:
    """Attach a container to a network: each plugin gets the result of the one before, the last result is stored."""
    key = rt.check(network.name)
    check_network(network)
    context.store.check_fits(key, rt, network.raw)
    invocations = context.caller.locate("ADD", network, rt)
    async with context.waiter.locked(key.network, key.container_id):
        with context.store.journal.open(key) as opened:
            job = Job(network, rt, Limits(timeout), opened)
            view = await admit(context, job, opened)
            single = is_single(network)
            record = record_of(key, rt, config=network.raw, owner=context.owner, is_single=single, view=view)
            return await _Add(context, job, opened, record, rollback=rollback).run(invocations)


class _Add:
    """One ADD, whose lock is held: its record, its plugins, its result, and its end if it fails."""

    def __init__(
        self, context: VerbContext, job: Job, opened: OpenRecord, record: Record, *, rollback: bool
    ) -> None:
        self._context = context
        self._job = job
        self._opened = opened
        self._record = record
        self._rollback = rollback
        self._has_begun = False
        """Whether a plugin may have got its request."""
        self._is_ending = False

    async def run(self, invocations: Sequence[Invocation]) -> Result:
        """Run the chain."""
        caller, network = self._context.caller, self._job.network
        answer = Answer("")
        try:
            await do_steps(self._context.runner, self._begin())
            environment = caller.environment("ADD", self._job)
            before: Steps[None] | None = self._settle()
            for invocation, plugin in zip(invocations, network.plugins, strict=True):
                answer = await caller.add(self._job, invocation, plugin, answer, environment=environment, before=before)
                before = None
            await do_steps(self._context.runner, self._finish(answer))
        except BaseException as error:
            if isinstance(error, PluginStartError) and not answer.text:
                self._has_begun = False  # not even the first plugin could be started
            await self._end(error)
            raise
        return answer.result

    def _begin(self) -> Steps[None]:
        """Put the ADD into the journal, unless the attachment is there."""
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
            store.cache.set_aside_of(key)

    def _settle(self) -> Steps[None]:
        """Make sure that the record survives a power loss: the first plugin gets its request only then."""
        yield from self._opened.settling()
        self._has_begun = True

    def _finish(self, answer: Answer) -> Steps[None]:
        job = self._job
        yield from self._context.store.cache.storing(job.key, job.rt, config=job.network.raw, result=answer.text)
        self._opened.note_added()

    async def _end(self, error: BaseException) -> None:
        """End a failed ADD; see the table at the top."""
        ending: Callable[[BaseException], Coroutine[Any, Any, None]]
        if not self._has_begun:
            ending = self._withdraw
        elif self._record.found_interface:
            ending = self._leave_alone
        elif not self._rollback or _lives_on(error):
            ending = self._mark
        else:
            ending = self._roll_back
        shielded = functools.partial(self._end_behind_shield, ending, error)
        try:
            await self._context.runner.shielded(shielded)
        except BaseException:
            if not self._is_ending:  # an interrupt came before the shield was up
                await self._context.runner.shielded(shielded)
            raise

    async def _end_behind_shield(
        self, ending: Callable[[BaseException], Coroutine[Any, Any, None]], error: BaseException
    ) -> None:
        self._is_ending = True
        try:
            await ending(error)
        except CacheError as problem:  # the record stays, and recovery finds it
            note_errors(error, "clean-up after the failed ADD", [problem])

    async def _withdraw(self, error: BaseException) -> None:
        if not isinstance(error, AttachmentExistsError):
            self._opened.withdraw(self._record)

    async def _leave_alone(self, error: BaseException) -> None:
        key = self._job.key
        await do_steps(self._context.runner, forget_stored(self._context.store, key, self._opened))
        error.add_note(
            f"nothing was deleted: interface {key.ifname!r} was in the namespace before this ADD. A DEL of container "
            f"{key.container_id!r} from network {key.network!r} deletes what the ADD has left, and that interface",
        )

    async def _mark(self, _error: BaseException) -> None:
        await do_steps(self._context.runner, self._marking())

    async def _roll_back(self, error: BaseException) -> None:
        deadline = time.monotonic() + ROLLBACK_BUDGET
        # The result may be stored: with it, and without this mark, a crash from here on would look like success.
        try:
            await self._mark(error)
        except CacheError as problem:
            error.add_note(str(problem))
        job = self._job
        rt = replace(job.rt, netns="") if is_no_namespace(job.rt.netns) else job.rt
        clean_up = job._replace(rt=rt, limits=Limits(job.limits.timeout, deadline), prev_result="")
        problems: list[CNIError] = await self._context.caller.delete_all(clean_up)
        if not problems:
            await do_steps(self._context.runner, forget_stored(self._context.store, job.key, self._opened))
        note_errors(error, "clean-up after the failed ADD", problems)

    def _marking(self) -> Steps[None]:
        self._opened.mark(State.NEEDS_DELETE)
        yield from self._opened.settling()


def _lives_on(error: BaseException) -> bool:
    """Return whether a plugin could not be killed: a DEL beside it would work against it."""
    return isinstance(error, PluginTimeoutError) and error.pid is not None
