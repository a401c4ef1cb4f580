"""The end of an ADD that failed: what is undone, and what is left for another time.

Go counterpart: none; the caller of Go libcni must call DEL. Source: SPEC 1.1.0, section 3, "Adding an attachment": the
runtime should halt and report, and delete what the plugins before the failure have made.

A failed ADD ends in one of four ways, and the caller gets the error of the ADD with each:

======================================================  ===========================================================
no plugin has got a request                             withdrawn: the record is removed, nothing was done
a plugin could not be killed and lives on               marked: the record says that a DEL is needed
the interface was in the namespace before               left alone: the record is removed, and nothing is deleted
the caller wants no rollback                            marked, as above
all other                                               rolled back: DEL in reverse order, then the record is removed
======================================================  ===========================================================
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from libcni.errors import AttachmentExistsError, CacheError, PluginTimeoutError, note_errors
from libcni.invoke.runner import do_steps, run_shielded
from libcni.storage.journal_record import State
from libcni.storage.namespace import is_no_namespace
from libcni.verbs.chain import Limits
from libcni.verbs.delete import forget_stored
from libcni.verbs.holders import LOOPBACK, holder_in
from libcni.verbs.orphans import still_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from libcni.invoke.steps import Steps
    from libcni.protocol.attachment import RuntimeConf
    from libcni.storage.journal import OpenRecord
    from libcni.storage.journal_record import Record
    from libcni.verbs.chain import Job
    from libcni.verbs.context import VerbContext

__all__ = ["FailedAdd"]

ROLLBACK_BUDGET = 60.0
"""Seconds that the deletion of a failed ADD may take in all."""


class FailedAdd:
    """An ADD that failed with an error, whose lock is still held.

    :param opened: its record, open.
    :param rollback: whether the caller wants the chain deleted.
    """

    def __init__(self, context: VerbContext, job: Job, *, opened: OpenRecord, record: Record, rollback: bool) -> None:
        self._context = context
        self._job = job
        self._opened = opened
        self._record = record
        self._rollback = rollback

    async def end(self, error: BaseException, *, has_begun: bool) -> None:
        """End it as the table above says; what that cannot do is noted on the error.

        :param has_begun: whether a plugin may have got its request.
        """
        job = functools.partial(self._end_behind_shield, error, has_begun=has_begun)
        await run_shielded(self._context.runner, job)

    async def _end_behind_shield(self, error: BaseException, *, has_begun: bool) -> None:
        ending = await self._chosen_ending(error, has_begun=has_begun)
        try:
            await ending(error)
        except CacheError as problem:  # the record stays, and recovery finds it
            note_errors(error, "clean-up after the failed ADD", [problem])

    async def _chosen_ending(
        self, error: BaseException, *, has_begun: bool
    ) -> Callable[[BaseException], Coroutine[Any, Any, None]]:
        if not has_begun:
            return self._withdraw
        if _lives_on(error) or await self._context.runner.call(self._plugin_lives_on):
            return self._mark
        if self._record.found_interface:
            return self._leave_alone
        return self._roll_back if self._rollback else self._mark

    def _plugin_lives_on(self) -> bool:
        """Return whether a plugin that could not be killed is on record, which an interrupt does not tell."""
        try:
            record = self._opened.find()
        except CacheError:
            return False
        return record is not None and still_runs(record)

    async def _withdraw(self, error: BaseException) -> None:
        if not isinstance(error, AttachmentExistsError):  # the record is that of the other one
            self._opened.withdraw(self._record)

    async def _leave_alone(self, error: BaseException) -> None:
        key = self._job.key
        await do_steps(self._context.runner, forget_stored(self._context.store, key, self._opened))
        error.add_note(
            f"nothing was deleted: interface {key.ifname!r} was in the namespace before this ADD. To delete it, and "
            f"what the ADD has left: cnitool del {key.network} {self._job.rt.netns} --container-id {key.container_id} "
            f"--ifname {key.ifname}",
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
        rt = await self._context.runner.call(self._clean_up_conf)
        clean_up = job._replace(rt=rt, limits=Limits(job.limits.timeout, deadline), prev_result="")
        problems = await self._context.caller.delete_all(clean_up)
        if not problems:
            await do_steps(self._context.runner, forget_stored(self._context.store, job.key, self._opened))
        note_errors(error, "clean-up after the failed ADD", problems)

    def _clean_up_conf(self) -> RuntimeConf:
        """Return the arguments of the DEL: without a namespace where that is none, or where it would harm another."""
        rt, namespace = self._job.rt, self._record.identity
        is_shared_loopback = (
            rt.ifname == LOOPBACK
            and namespace is not None
            and holder_in(self._context.store, namespace, self._job.key) is not None
        )
        return replace(rt, netns="") if is_shared_loopback or is_no_namespace(rt.netns) else rt

    def _marking(self) -> Steps[None]:
        self._opened.mark(State.NEEDS_DELETE)
        yield from self._opened.settling()


def _lives_on(error: BaseException) -> bool:
    """Return whether a plugin could not be killed: a DEL beside it would work against it."""
    return isinstance(error, PluginTimeoutError) and error.pid is not None
