"""The verbs: ADD, CHECK, DEL, STATUS, VERSION and validation, written once over a runner.

Each verb is an ordinary coroutine that waits for nothing but its runner. What happens to a container is under that container's
lock, and an ADD or DEL is in the journal before its first plugin runs. Go counterpart: ``libcni/api.go``. Source: SPEC 1.1.0,
section 3, "Execution of Network Configurations".
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from libcni.cache import ResultCache
from libcni.chain import Caller, Job, Limits
from libcni.config import NetworkConfigList, parse_network, parse_plugin
from libcni.document import parse_object
from libcni.errors import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CacheError,
    CheckNotSupportedError,
    CNIError,
    CNIErrorGroup,
    ConfigError,
    IncompatibleVersionError,
    LockTimeoutError,
)
from libcni.identifiers import check_container_id, check_network_name
from libcni.journal import Journal, State, record_of
from libcni.leftover import end_noted
from libcni.locks import Locks, container_lock, network_lock
from libcni.results import Result
from libcni.storage import FileOperations, Folder
from libcni.versions import CHECK_SINCE, PREV_RESULT_ON_DEL_SINCE, STATUS_SINCE, check_supported, is_at_least

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
    from libcni.cache import CacheEntry
    from libcni.config import PluginConfig
    from libcni.invoke.answer import Answer
    from libcni.journal import Record
    from libcni.locks import HeldLock
    from libcni.versions import PluginInfo

__all__ = ["Known", "Operations", "Store", "cached_config", "cached_result", "check_network", "network_of"]

_log = logging.getLogger("libcni")

ROLLBACK_BUDGET = 60.0
"""Seconds that the deletion of a failed ADD may take in all."""

_LOCK_POLL = (0.001, 0.05)
"""Seconds between two tries for a lock: the first, doubled up to the last."""


class Store:
    """Everything that one cache directory holds: results, records, locks, and what was damaged."""

    def __init__(self, cache_dir: str, *, durable: bool, operations: FileOperations | None = None) -> None:
        def folder(name: str, *, durable: bool = durable) -> Folder:
            return Folder(cache_dir, name, operations or FileOperations(), durable=durable)

        self.damaged = folder("damaged")
        self.cache = ResultCache(folder("results"), self.damaged)
        self.journal = Journal(folder("journal"), self.damaged)
        self.locks = Locks(folder("locks", durable=False))

    def sweep(self) -> None:
        """Remove the temporary files and lock files of processes that are gone.

        :raises CacheError: if a folder cannot be read.
        """
        for folder in (self.cache.folder, self.journal.folder):
            try:
                folder.remove_temporary()
            except OSError as error:
                raise CacheError(folder.path(""), f"cannot be swept: {error.strerror or error}") from error
        self.locks.sweep()


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored about an attachment; a damaged file counts as nothing, and is kept as a problem."""

    entry: CacheEntry | None
    record: Record | None
    problems: tuple[CacheError, ...] = ()

    def attachment(self) -> NetworkAttachment | None:
        """Return it in its public form, with the result if that can be read."""
        if self.entry is not None:
            try:
                return self.entry.attachment()
            except CNIError:
                return replace(self.entry, result="").attachment()
        return None if self.record is None else self.record.attachment()


class Operations:
    """The verbs over one runner and one store."""

    def __init__(self, caller: Caller, store: Store, *, lock_timeout: float | None, owner: str | None) -> None:
        self.caller = caller
        self.runner = caller.runner
        self.store = store
        self.lock_timeout = lock_timeout
        self.owner = owner

    # Locks

    @contextlib.asynccontextmanager
    async def locked(self, network: str, container_id: str) -> AsyncIterator[None]:
        """Hold off garbage collection of the network and everything else on the container.

        :raises LockTimeoutError: if that is not possible in time.
        """
        # Always in this order, which garbage collection follows too.
        shared = await self.lock(network_lock(network), container_id, shared=True)
        try:
            alone = await self.lock(container_lock(container_id), container_id)
            try:
                yield
            finally:
                alone.release()
        finally:
            shared.release()

    async def lock(self, name: str, container_id: str, *, shared: bool = False, subject: str = "") -> HeldLock:
        """Wait for one lock.

        :param subject: what to call busy, when it is not the container.
        :raises LockTimeoutError: if it is not free in time.
        """
        started = time.monotonic()
        pause, longest = _LOCK_POLL
        while True:
            held = self.store.locks.try_lock(name, shared=shared)
            if held is not None:
                return held
            waited = time.monotonic() - started
            if self.lock_timeout is not None and waited >= self.lock_timeout:
                raise LockTimeoutError(container_id, self.store.locks.holder(name), waited, subject=subject)
            await self.runner.sleep(pause)
            pause = min(pause * 2, longest)

    # ADD

    async def add(
        self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, rollback: bool
    ) -> Result:
        """Attach a container to a network (SPEC 1.1.0, section 3, "Adding an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        self.store.cache.check_name(key)
        invocations = self.caller.locate("ADD", network, rt)
        job = Job(network, rt, Limits(timeout), functools.partial(self.store.journal.note_plugin, key))
        async with self.locked(key.network, key.container_id):
            await self.runner.call(functools.partial(self._begin_add, job, key))
            try:
                answer = await self.caller.add(job, invocations)
                await self.runner.call(functools.partial(self._store_result, job, key, answer))
            except BaseException as error:
                if rollback:
                    await self.runner.shielded(functools.partial(self._roll_back, job, key, error))
                else:
                    self._mark_unfinished(key, error)
                raise
        return answer.result

    def _begin_add(self, job: Job, key: AttachmentKey) -> None:
        if self.store.cache.exists(key):
            raise AttachmentExistsError(*key)
        if self.store.journal.find(key) is not None:
            error = AttachmentExistsError(*key)
            error.add_note("an earlier ADD or DEL of it was not finished: delete it, or call recover()")
            raise error
        self.store.journal.begin(record_of(key, job.network.raw, job.rt, self.owner, State.ADDING))

    def _store_result(self, job: Job, key: AttachmentKey, answer: Answer) -> None:
        self.store.cache.store(key, job.network.raw, answer.text, job.rt)

    async def _roll_back(self, job: Job, key: AttachmentKey, error: BaseException) -> None:
        """Delete what a failed ADD may have left; what remains stays in the journal and is noted on the error."""
        deadline = time.monotonic() + ROLLBACK_BUDGET
        clean_up = replace(job, limits=Limits(job.limits.timeout, deadline), prev_result="")
        problems = await self.caller.delete_all(clean_up)
        if not problems:
            problems = await self.runner.call(functools.partial(self._try_to_forget, key))
        for problem in problems:
            error.add_note(f"clean-up after the failed ADD: {problem}")
        if problems:
            self._mark_unfinished(key, error)

    def _try_to_forget(self, key: AttachmentKey) -> list[CNIError]:
        try:
            self._forget(key)
        except CacheError as error:
            return [error]
        return []

    def _mark_unfinished(self, key: AttachmentKey, error: BaseException) -> None:
        try:
            self.store.journal.mark(key, State.NEEDS_DELETE)
        except CacheError as problem:
            error.add_note(str(problem))

    def _forget(self, key: AttachmentKey) -> None:
        """Remove what is stored about an attachment: the record last, so that a crash between is finished later."""
        self.store.cache.remove(key)
        self.store.journal.remove(key)

    # CHECK

    async def check(self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None) -> None:
        """Check an attachment (SPEC 1.1.0, section 3, "Checking an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        if network.disable_check:
            return
        if not is_at_least(network.cni_version, CHECK_SINCE):
            raise CheckNotSupportedError(network.cni_version)
        async with self.locked(key.network, key.container_id):
            entry = await self.runner.call(functools.partial(self.store.cache.find, key))
            if entry is None:
                raise AttachmentNotFoundError(*key)
            prev_result = _prev_result(entry, network.cni_version)
            await self.caller.check(Job(network, rt, Limits(timeout), prev_result=prev_result))

    # DEL

    async def delete(self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None) -> None:
        """Detach a container from a network (SPEC 1.1.0, section 3, "Deleting an attachment")."""
        key = rt.check(network.name)
        check_network(network)
        async with self.locked(key.network, key.container_id):
            known = await self.runner.call(functools.partial(self.known, key))
            for damage in known.problems:
                _log.warning("deleting %s without what is stored: %s", "/".join(key), damage)
            problem = await self.delete_known(key, known, network, rt, Limits(timeout))
            if problem is not None:
                _log.warning("deleting %s with the given configuration: %s", "/".join(key), problem)

    async def delete_known(
        self,
        key: AttachmentKey,
        known: Known,
        given: NetworkConfigList | None,
        rt: RuntimeConf,
        limits: Limits,
    ) -> CNIError | None:
        """Delete an attachment from what is stored about it, or else from what is given; its lock must be held.

        :returns: why the given configuration was taken although one is stored.
        :raises CNIError: if a plugin fails; everything that is stored then stays.
        """
        network, problem = _stored_network(known, given)
        if network is None:
            raise problem or AttachmentNotFoundError(*key)
        job = Job(
            network,
            _stored_runtime_conf(known, rt),
            limits,
            functools.partial(self.store.journal.note_plugin, key),
            _prev_result_for_delete(known.entry, network.cni_version),
        )
        if known.record is not None:
            await self.runner.call(functools.partial(end_noted, known.record))
        await self.runner.call(functools.partial(self._begin_delete, job, key))
        try:
            await self.caller.delete(job)
        except CNIError:
            if known.entry is None and known.record is None:
                # Nothing is known to be there: the caller may try again, and nothing is left to recover.
                self.store.journal.remove(key)
            raise
        await self.runner.call(functools.partial(self._forget, key))
        return problem

    def known(self, key: AttachmentKey) -> Known:
        """Read what is stored about an attachment; nothing that is damaged stops a DEL."""
        problems: list[CacheError] = []
        entry = record = None
        try:
            entry = self.store.cache.find(key)
        except CacheError as error:
            problems.append(error)
        try:
            record = self.store.journal.find(key)
        except CacheError as error:
            problems.append(error)
        return Known(entry, record, tuple(problems))

    def _begin_delete(self, job: Job, key: AttachmentKey) -> None:
        """Put the DEL into the journal. On a full disk it goes on without: deleting is what makes room."""
        try:
            if not self.store.journal.mark(key, State.DELETING):
                self.store.journal.begin(record_of(key, job.network.raw, job.rt, self.owner, State.DELETING))
        except CacheError as error:
            _log.warning("deleting %s without a record: %s", "/".join(key), error)

    async def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container."""
        if container_id is not None:
            check_container_id(container_id)
        return await self.runner.call(functools.partial(self.store.cache.attachments, container_id))

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
    entry = await operations.runner.call(functools.partial(operations.store.cache.find, key))
    if entry is None or not entry.result:
        return None
    return Result.from_bytes(entry.result, default_version=network.cni_version).as_version(network.cni_version)


async def cached_config(
    operations: Operations,
    network: NetworkConfigList,
    rt: RuntimeConf,
) -> tuple[bytes, RuntimeConf] | None:
    """Return the stored configuration document and what the ADD was called with, or ``None``."""
    key = rt.check(network.name)
    entry = await operations.runner.call(functools.partial(operations.store.cache.find, key))
    return None if entry is None or entry.config is None else (entry.config, entry.runtime_conf(rt))


def check_network(network: NetworkConfigList) -> None:
    """Check what a list that was not loaded from a file may lack.

    :raises VersionError: if its version is malformed or not supported.
    :raises ConfigError: if it has no plugins.
    """
    check_supported(network.cni_version)
    if not network.plugins:
        raise ConfigError(f"network {network.name!r} has no plugins", source=network.source, field="plugins")


def network_of(plugin: PluginConfig) -> NetworkConfigList:
    """Return a network with that one plugin, which is stored as the plugin's own document, as Go libcni does."""
    return NetworkConfigList(name=plugin.name, cni_version=plugin.version, plugins=(plugin,), raw=plugin.raw)


def parse_stored(config: bytes) -> NetworkConfigList:
    """Decode a stored configuration, which is that of a list or of a single plugin.

    :raises CNIError: if it is damaged.
    """
    return parse_network(config) if b'"plugins"' in config and _is_list(config) else network_of(parse_plugin(config))


def _is_list(config: bytes) -> bool:
    try:
        return "type" not in parse_object(config)
    except ValueError:
        return True


def _stored_network(
    known: Known,
    given: NetworkConfigList | None,
) -> tuple[NetworkConfigList | None, CNIError | None]:
    """Return the configuration of the ADD; the given one, and why, when the stored one is damaged."""
    problem: CNIError | None = None
    for config in (known.entry and known.entry.config, known.record and known.record.config):
        if not config:
            continue
        if given is not None and config == given.raw:
            return given, None
        try:
            return parse_stored(config), problem
        except CNIError as error:
            problem = error
    return given, problem


def _stored_runtime_conf(known: Known, rt: RuntimeConf) -> RuntimeConf:
    """Return the arguments of the ADD. The namespace is the given one, else the stored one while it is still the same."""
    record, entry = known.record, known.entry
    if record is not None:
        stored = record.runtime_conf
        return replace(stored, netns=rt.netns or stored.netns)
    if entry is not None:
        return replace(entry.runtime_conf(rt), netns=rt.netns or entry.netns)
    return rt


def _prev_result(entry: CacheEntry, version: str) -> str:
    """Return the stored result as a request carries it: as it was printed, or converted to the version."""
    if not entry.result:
        return ""
    result = Result.from_bytes(entry.result, default_version=version)
    return entry.result if result.cni_version == version else result.as_version(version).to_json()


def _prev_result_for_delete(entry: CacheEntry | None, version: str) -> str:
    if entry is None or not is_at_least(version, PREV_RESULT_ON_DEL_SINCE):
        return ""
    try:
        return _prev_result(entry, version)
    except CNIError as error:
        _log.warning("deleting without the stored result, which is damaged: %s", error)
        return ""
