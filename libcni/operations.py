"""The verbs: ADD, CHECK, DEL, STATUS, VERSION and validation, written once over a runner.

Each verb is an ordinary coroutine that waits for nothing but its runner. What happens to a container is under that
container's lock, and an ADD or DEL is in the journal before its first plugin gets a request. Go counterpart:
``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Execution of Network Configurations".
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from libcni.chain import Caller, Job, Limits
from libcni.errors import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CacheError,
    CheckNotSupportedError,
    CNIError,
    CNIErrorGroup,
    ConfigError,
    DamagedFileError,
    IncompatibleVersionError,
    NoRoomError,
    note_errors,
)
from libcni.existing import LOOPBACK, check_is_free
from libcni.identifiers import check_container_id, check_network_name
from libcni.invoke.plugin import do_steps
from libcni.leftover import end_left_behind, end_noted, may_still_run
from libcni.namespace import NamespaceView, identify, is_no_namespace, is_same_namespace, look_into
from libcni.record import State, record_of
from libcni.steps import one_step
from libcni.store import (
    check_size,
    is_left_alone,
    is_single,
    is_unfinished_add,
    left_alone_error,
    prev_result,
    prev_result_for_delete,
    stored_network,
    stored_runtime_conf,
)
from libcni.versions import CHECK_SINCE, STATUS_SINCE, check_supported, is_at_least
from libcni.waiting import LockWaiter, open_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
    from libcni.config import NetworkConfigList, PluginConfig
    from libcni.entry import CacheEntry
    from libcni.invoke.answer import Answer, Invocation
    from libcni.journal import OpenRecord
    from libcni.record import Record
    from libcni.results import Result
    from libcni.steps import Steps
    from libcni.store import Known, Store
    from libcni.versions import PluginInfo

__all__ = ["Deletion", "Operations", "cached_config", "cached_result", "check_network"]

_log = logging.getLogger("libcni")

ROLLBACK_BUDGET = 60.0
"""Seconds that the deletion of a failed ADD may take in all."""


class Deletion(NamedTuple):
    """What was known of a deleted attachment, and why the given configuration was taken although one is stored."""

    known: Known
    problem: CNIError | None


class Operations:
    """The verbs over one runner and one store."""

    def __init__(self, caller: Caller, store: Store, *, lock_timeout: float | None, owner: str | None) -> None:
        self.caller = caller
        self.runner = caller.runner
        self.store = store
        self.waiter = LockWaiter(self.runner, store.locks, lock_timeout)
        self.owner = owner

    # ADD

    async def add(
        self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, rollback: bool
    ) -> Result:
        """Attach a container to a network (SPEC 1.1.0, section 3, "Adding an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        self.store.cache.check_name(key)
        check_size(key, rt, network.raw)
        invocations = self.caller.locate("ADD", network, rt)
        async with self.waiter.locked(key.network, key.container_id):
            with self.store.journal.open(key) as opened:
                job = Job(network, rt, Limits(timeout), opened)
                await self._finish_earlier(job, opened)
                view = await self.runner.call(functools.partial(self._look_first, key, rt))
                record = self._record(key, network, rt, state=State.ADDING, view=view)
                return await self._add(job, opened, record, invocations=invocations, rollback=rollback)

    async def _finish_earlier(self, job: Job, opened: OpenRecord) -> None:
        """Delete what an earlier ADD or DEL of the attachment has begun and not finished.

        :raises AttachmentExistsError: if that fails.
        """
        known = await self._known(job.key, opened)
        if known.record is None or not known.record.is_unfinished(has_result=known.has_file):
            return
        if is_left_alone(known):
            await self.runner.call(opened.remove)
            _log.warning("%s", left_alone_error(known.record))
            return
        try:
            await self.delete_stored(job.key, opened, given=job.network, rt=job.rt, limits=job.limits)
        except CNIError as problem:
            error = AttachmentExistsError(*job.key)
            error.add_note(f"an earlier ADD or DEL of it was not finished, and to delete it fails: {problem}")
            raise error from problem

    def _look_first(self, key: AttachmentKey, rt: RuntimeConf) -> NamespaceView:
        """Look into the namespace of an ADD, and make sure that no other attachment has its interface.

        :raises AttachmentExistsError: if one has.
        """
        view = look_into(rt.netns, rt.ifname) if rt.netns else NamespaceView()
        check_is_free(self.store, key, view)
        return view if rt.ifname != LOOPBACK else NamespaceView(view.identity)

    async def _add(
        self, job: Job, opened: OpenRecord, record: Record, *, invocations: Sequence[Invocation], rollback: bool
    ) -> Result:
        begun: list[Record] = []
        try:
            await open_folders(self.runner, self.store.journal.folder, self.store.cache.folder)
            if await do_steps(self.runner, self._beginning_add(opened, record, begun)):
                await self.runner.call(functools.partial(self.store.cache.set_aside_of, job.key))
            answer = await self.caller.add(job, invocations, before=self._settling_add(opened, begun))
            await do_steps(self.runner, self._storing_result(job, opened, answer))
        except BaseException as error:
            # An attachment that was there before is not this ADD's to delete.
            if not begun:
                self._withdraw(opened, record, error)
            elif record.found_interface:
                self._leave_alone(opened, record, error)
            elif rollback:
                began: list[bool] = []
                try:
                    await self.runner.shielded(functools.partial(self._roll_back, job, opened, error, began=began))
                except BaseException:
                    if not began:  # an interrupt came before the shield was up
                        await self.runner.shielded(functools.partial(self._roll_back, job, opened, error, began=began))
                    raise
            else:
                await self.runner.shielded(functools.partial(self._mark_unfinished, opened, error))
            raise
        return answer.result

    def _record(
        self,
        key: AttachmentKey,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        state: State,
        view: NamespaceView | None = None,
    ) -> Record:
        single = is_single(network)
        return record_of(key, rt, config=network.raw, owner=self.owner, state=state, is_single=single, view=view)

    def _beginning_add(self, opened: OpenRecord, record: Record, begun: list[Record]) -> Steps[bool]:
        """Put the ADD into the journal, unless the attachment is there; ``begun`` says so, whoever still listens.

        :returns: whether a damaged file has the place of the result.
        """
        damaged = self._look_for_entry(record.key)
        # What was added and has no result any more, another program has deleted.
        if not (yield from opened.beginning(record, in_place_of=None if damaged else State.ADDED)):
            raise AttachmentExistsError(*record.key, unfinished=opened.is_unfinished(has_result=damaged))
        begun.append(record)
        if damaged:
            yield from self._settling_add(opened, begun)
        return damaged

    def _settling_add(self, opened: OpenRecord, begun: list[Record]) -> Steps[None]:
        """Make sure that the record of an ADD survives a power loss; one that may not does not begin."""
        try:
            yield from opened.settling()
        except CacheError:
            begun.clear()
            raise

    def _withdraw(self, opened: OpenRecord, record: Record, error: BaseException) -> None:
        """Take the record of an ADD back that does not begin: one that a failing disk or an interrupt left in between.

        What stays in spite of that is finished by recovery, like every record.
        """
        if isinstance(error, AttachmentExistsError):
            return
        try:
            opened.withdraw(record)
        except CacheError as problem:
            error.add_note(str(problem))

    def _leave_alone(self, opened: OpenRecord, record: Record, error: BaseException) -> None:
        """Take the record of a failed ADD back whose interface was there before: to delete it is not ours to decide."""
        self._withdraw(opened, record, error)
        key = record.key
        error.add_note(
            f"nothing was deleted: interface {key.ifname!r} was in the namespace before this ADD. A DEL of container "
            f"{key.container_id!r} from network {key.network!r} would delete what the ADD has left, and that interface",
        )

    def _look_for_entry(self, key: AttachmentKey) -> bool:
        """Make sure that an attachment is not stored, and say whether a damaged file has its place."""
        try:
            if self.store.cache.find(key) is not None:
                raise AttachmentExistsError(*key)
        except DamagedFileError:
            return True
        return False

    def _storing_result(self, job: Job, opened: OpenRecord, answer: Answer) -> Steps[None]:
        yield from self.store.cache.storing(job.key, job.rt, config=job.network.raw, result=answer.text)
        opened.note_added()

    async def _roll_back(self, job: Job, opened: OpenRecord, error: BaseException, *, began: list[bool]) -> None:
        """Delete what a failed ADD may have left; what remains stays in the journal and is noted on the error."""
        began.append(True)  # behind the shield, where nothing interrupts it
        deadline = time.monotonic() + ROLLBACK_BUDGET
        # The result may be stored: with it, and without this mark, a crash from here on would look like success.
        await self._mark_unfinished(opened, error)
        rt = replace(job.rt, netns="") if is_no_namespace(job.rt.netns) else job.rt
        clean_up = job._replace(rt=rt, limits=Limits(job.limits.timeout, deadline), prev_result="")
        problems = await self.caller.delete_all(clean_up)
        if not problems:
            problems = await do_steps(self.runner, self._trying_to_forget(job.key, opened))
        note_errors(error, "clean-up after the failed ADD", problems)

    def _trying_to_forget(self, key: AttachmentKey, opened: OpenRecord) -> Steps[list[CNIError]]:
        try:
            yield from self._forgetting(key, opened)
        except CacheError as error:
            return [error]
        return []

    async def _mark_unfinished(self, opened: OpenRecord, error: BaseException) -> None:
        await do_steps(self.runner, self._marking_unfinished(opened, error))

    def _marking_unfinished(self, opened: OpenRecord, error: BaseException) -> Steps[None]:
        try:
            opened.mark(State.NEEDS_DELETE)
            yield from opened.settling()
        except CacheError as problem:
            error.add_note(str(problem))

    def _forgetting(self, key: AttachmentKey, opened: OpenRecord) -> Steps[None]:
        """Remove what is stored about an attachment: the record last, so that a crash between is finished later."""
        yield from self.store.cache.removing(key)
        opened.remove()

    async def find(self, key: AttachmentKey) -> CacheEntry | None:
        """Return what is stored about an attachment, or ``None``."""
        return await do_steps(self.runner, one_step(functools.partial(self.store.cache.find, key)))

    # CHECK

    async def check(self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None) -> None:
        """Check an attachment (SPEC 1.1.0, section 3, "Checking an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        if network.disable_check:
            return
        if not is_at_least(network.cni_version, CHECK_SINCE):
            raise CheckNotSupportedError(network.cni_version)
        async with self.waiter.locked(key.network, key.container_id):
            entry = await self.find(key)
            if entry is None:
                raise AttachmentNotFoundError(*key)
            await self.runner.call(functools.partial(self._check_namespace, key, rt))
            stored = prev_result(entry, network.cni_version)
            await self.caller.check(Job(network, rt, Limits(timeout), prev_result=stored))

    def _check_namespace(self, key: AttachmentKey, rt: RuntimeConf) -> None:
        """Check that the namespace is that of the ADD, as a DEL does.

        :raises AttachmentNotFoundError: if another one has its path, or none.
        """
        record = self.store.known(key).record
        if record is None or record.identity is None or is_same_namespace(rt.netns, record.identity):
            return
        error = AttachmentNotFoundError(*key)
        error.add_note(f"{rt.netns} is not the network namespace of the ADD: that one is gone, or has another path")
        raise error

    # DEL

    async def delete(self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None) -> None:
        """Detach a container from a network (SPEC 1.1.0, section 3, "Deleting an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        async with self.waiter.locked(key.network, key.container_id):
            with self.store.journal.open(key) as opened:
                deletion = await self.delete_stored(key, opened, given=network, rt=rt, limits=Limits(timeout))
        if deletion.problem is not None:
            _log.warning("deleted %s with the given configuration: %s", "/".join(key), deletion.problem)

    async def delete_stored(
        self,
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
        known = await self._known(key, opened)
        job, deletion = self._deletion(key, opened, known, given=given, rt=rt, limits=limits)
        await self._end_left_behind(known)
        await open_folders(self.runner, self.store.journal.folder)
        await do_steps(self.runner, self._beginning_delete(key, opened, job))
        try:
            await self._run_delete(job, known, given=given, before=self._delete_work(key, opened))
        except CNIError:
            if known.entry is None and known.record is None:
                # Nothing is known to be there: the caller may try again, and nothing is left to recover.
                opened.remove()
            raise
        await do_steps(self.runner, self._forgetting_deleted(key, opened))
        return deletion

    async def _known(self, key: AttachmentKey, opened: OpenRecord) -> Known:
        return await do_steps(self.runner, one_step(functools.partial(self.store.known, key, opened)))

    async def _run_delete(
        self, job: Job, known: Known, *, given: NetworkConfigList | None, before: Steps[None] | None
    ) -> None:
        """Run DEL with the stored configuration; that of an ADD that failed may be the mistake, and is not insisted on.

        :raises CNIError: if that fails, and for an unfinished ADD also with the given configuration, when it differs.
        """
        try:
            await self.caller.delete(job, before=before)
        except CNIError as error:
            if not is_unfinished_add(known) or given is None or given.raw == job.network.raw:
                raise
            _log.warning("deleting %s with the given configuration: %s", "/".join(job.key), error)
            try:
                await self.caller.delete(job._replace(network=given, prev_result=""))
            except CNIError as second:
                second.add_note(f"with the configuration of the ADD: {error}")
                raise

    def _deletion(
        self,
        key: AttachmentKey,
        opened: OpenRecord,
        known: Known,
        *,
        given: NetworkConfigList | None,
        rt: RuntimeConf,
        limits: Limits,
    ) -> tuple[Job, Deletion]:
        """Decide what every plugin is called with."""
        for damage in known.problems:
            _log.warning("deleting %s without what is stored: %s", "/".join(key), damage)
        network, problem = stored_network(known, given)
        if network is None:
            raise problem or AttachmentNotFoundError(*key)
        prev_result = prev_result_for_delete(known.entry, network.cni_version)
        return Job(network, stored_runtime_conf(known, rt), limits, opened, prev_result), Deletion(known, problem)

    def _beginning_delete(self, key: AttachmentKey, opened: OpenRecord, job: Job) -> Steps[None]:
        """Put the DEL into the journal. On a full disk it goes on without: it makes room."""
        try:
            if not opened.mark(State.DELETING):
                view = NamespaceView(identify(job.rt.netns))
                record = self._record(key, job.network, job.rt, state=State.DELETING, view=view)
                yield from opened.beginning(record)
        except CacheError as error:
            _log.warning("deleting %s without a record: %s", "/".join(key), error)

    def _delete_work(self, key: AttachmentKey, opened: OpenRecord) -> Steps[None] | None:
        """Return what settles the record while the first plugin starts, if that is still to be done."""
        return None if opened.is_settled else self._settling_delete(key, opened)

    def _settling_delete(self, key: AttachmentKey, opened: OpenRecord) -> Steps[None]:
        try:
            yield from opened.settling()
        except CacheError as error:
            _log.warning("deleting %s without a record: %s", "/".join(key), error)

    async def _end_left_behind(self, known: Known) -> None:
        """End what a dead process left behind; after an operation that did not finish it may not be noted."""
        record = known.record
        if record is not None and record.is_unfinished(has_result=known.has_file):
            await self.runner.call(functools.partial(end_left_behind, record, self.caller.paths))
        elif record is not None and may_still_run(record):
            await self.runner.call(functools.partial(end_noted, record))

    def _forgetting_deleted(self, key: AttachmentKey, opened: OpenRecord) -> Steps[None]:
        """Forget what every plugin has deleted. A disk that is full or read-only keeps it, for a later DEL or GC."""
        try:
            yield from self._forgetting(key, opened)
        except NoRoomError as error:
            _log.warning("deleted %s, and what is stored about it stays: %s", "/".join(key), error)

    async def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container."""
        if container_id is not None:
            check_container_id(container_id)
        return await self.runner.call(functools.partial(self.store.attachments, container_id))

    # STATUS, VERSION, validation

    async def status(self, network: NetworkConfigList, timeout: float | None) -> None:
        """Ask whether a network is ready (SPEC 1.1.0, section 3, "Checking a network for readiness")."""
        check_network_name(network.name)
        check_network(network)
        if is_at_least(network.cni_version, STATUS_SINCE):
            await self.caller.status(network, Limits(timeout))

    async def version(self, plugin_type: str, timeout: float | None) -> PluginInfo:
        """Ask a plugin which versions it supports."""
        return await self.caller.version(plugin_type, Limits(timeout))

    async def validate_list(self, network: NetworkConfigList, timeout: float | None) -> list[str]:
        """Check a whole list, as :meth:`validate`."""
        check_network_name(network.name)
        check_network(network)
        return await self.validate(network.plugins, network.cni_version, timeout)

    async def validate(self, plugins: Iterable[PluginConfig], version: str, timeout: float | None) -> list[str]:
        """Check that every plugin is there and supports the version, and return the capabilities in use, sorted."""
        check_supported(version)
        capabilities: set[str] = set()
        errors: list[CNIError] = []
        for plugin in plugins:
            capabilities |= plugin.used_capabilities
            try:
                info = await self.version(plugin.type, timeout)
            except CNIError as error:
                errors.append(error)
                continue
            if version not in info.supported_versions:
                known = ", ".join(info.supported_versions)
                message = f"plugin {plugin.type!r} does not support version {version!r} (it supports {known})"
                errors.append(IncompatibleVersionError(message))
        if errors:
            raise CNIErrorGroup("the configuration cannot be used", errors)
        return sorted(capabilities)


async def cached_result(operations: Operations, network: NetworkConfigList, rt: RuntimeConf) -> Result | None:
    """Return the stored result in the version of the network, or ``None``."""
    key = rt.check(network.name)
    entry = await operations.find(key)
    if entry is None or not entry.result:
        return None
    return entry.checked_result(network.cni_version).result().as_version(network.cni_version)


async def cached_config(
    operations: Operations,
    network: NetworkConfigList,
    rt: RuntimeConf,
) -> tuple[bytes, RuntimeConf] | None:
    """Return the stored configuration document and what the ADD was called with, or ``None``."""
    key = rt.check(network.name)
    entry = await operations.find(key)
    return None if entry is None or entry.config is None else (entry.config, entry.runtime_conf(rt))


def check_network(network: NetworkConfigList) -> None:
    """Check what a list that was not loaded from a file may lack.

    :raises VersionError: if its version is malformed or not supported.
    :raises ConfigError: if it has no plugins.
    """
    check_supported(network.cni_version)
    if not network.plugins:
        raise ConfigError(f"network {network.name!r} has no plugins", source=network.source, field="plugins")
