"""The verbs of a container with several networks, written once for both flavours.

Everything that runs or waits does so through the runner. Go counterpart: ``ocicni`` and ``go-cni``. Source: SPEC 1.1.0,
section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import functools
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.capabilities import ContainerOptions
from libcni.errors import AttachmentNotFoundError, CNIError, CNIErrorGroup, InvalidParameterError, note_errors
from libcni.invoke.runner import run_shielded
from libcni.networks.expected import read_expected, read_once
from libcni.networks.join import Join, joins_of, plan_attachments
from libcni.networks.loopback import LoopbackSetup
from libcni.networks.retry import Retrier
from libcni.networks.setup import setup_of
from libcni.networks.stored import added_after, all_keys, read_stored
from libcni.protocol.attachment import GCAttachment
from libcni.protocol.names import check_container_id
from libcni.protocol.versions import CHECK_SINCE, is_at_least
from libcni.storage.locks import setup_lock
from libcni.verbs.add import add
from libcni.verbs.chain import Limits
from libcni.verbs.check import check
from libcni.verbs.configured import Config
from libcni.verbs.delete import delete_known

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from os import PathLike

    from libcni.config.model import NetworkConfigList
    from libcni.networks.expected import Expected
    from libcni.networks.gates import Gate, Turn
    from libcni.networks.join import PlannedAttachment
    from libcni.networks.setup import Setup
    from libcni.networks.snapshot import Snapshot
    from libcni.networks.stored import StoredAttachment
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf
    from libcni.results.result import Result
    from libcni.storage.attachment import NetworkAttachment
    from libcni.verbs.configured import Timeout
    from libcni.verbs.context import VerbContext
    from libcni.verbs.recover import Recoverer

__all__ = ["ContainerOperations"]


class ContainerOperations(Config):
    """The verbs of containers over the verbs of one network.

    A lock of each container is held for a whole operation, so that a removal never meets half a setup; it holds across
    the processes that share the cache directory.
    """

    gate: Gate
    """Lets a limited number of plugin chains in at once."""

    @property
    def context(self) -> VerbContext:
        """The context of the verbs of one network."""
        return self._context

    @property
    def recoverer(self) -> Recoverer:
        """Recovery."""
        return self._recoverer

    def seconds(self, timeout: Timeout) -> float | None:
        """Return the limit for one call: its own, or the configured one."""
        return self._seconds(timeout)

    async def setup(
        self,
        snapshot: Snapshot,
        container_id: str,
        namespace: str | PathLike[str],
        *,
        networks: Sequence[str | Join] | None,
        options: ContainerOptions | None,
        timeout: float | None,
    ) -> Setup:
        """Attach a container to networks, or leave nothing of the attempt behind."""
        if not isinstance(namespace, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without types
            raise InvalidParameterError("netns", namespace, "is neither a text nor a path")
        if options is not None and not isinstance(options, ContainerOptions):  # pyright: ignore[reportUnnecessaryIsInstance] -- as above
            raise InvalidParameterError("options", options, "is no ContainerOptions")
        work = self._setup(
            snapshot, container_id, os.fspath(namespace), networks=networks, options=options, timeout=timeout
        )
        return await self._context.observed(work, "SETUP", container_id=container_id)

    async def _setup(
        self,
        snapshot: Snapshot,
        container_id: str,
        path: str,
        *,
        networks: Sequence[str | Join] | None,
        options: ContainerOptions | None,
        timeout: float | None,
    ) -> Setup:
        check_container_id(container_id)
        joins = [Join(snapshot.find_default())] if networks is None else joins_of(networks)
        async with self.alone(container_id):
            stored = await self.stored_of(container_id)
            plan = plan_attachments(
                joins,
                snapshot.find,
                container_id=container_id,
                netns=path,
                options=options,
                taken={item.key.ifname: item.key.network for item in stored if not item.is_unfinished},
            )
            async with self.gate.turn() as turn:
                return await self._set_up_all(plan, timeout, turn=turn)

    @asynccontextmanager
    async def alone(self, container_id: str) -> AsyncGenerator[None]:
        """Hold off other operations of containers on this one.

        :raises LockTimeoutError: if another one does not end in time.
        """
        subject = f"the setup or removal of container {container_id!r}"
        held = await self._context.waiter.lock(setup_lock(container_id), container_id, subject=subject)
        try:
            yield
        finally:
            held.release()

    async def stored_of(self, container_id: str) -> list[StoredAttachment]:
        """Return what is stored about a container, in the order of the ADDs."""
        return await self._context.runner.call(functools.partial(read_stored, self._context.store, container_id))

    async def _set_up_all(self, plan: Sequence[PlannedAttachment], timeout: float | None, *, turn: Turn) -> Setup:
        """Run the ADDs, or leave nothing of them behind, whatever is raised until the setup can be returned."""
        runner = self._context.runner
        added: list[PlannedAttachment] = []
        try:
            loopback = await runner.call(functools.partial(LoopbackSetup, plan[0].rt.netns))
            triples: list[tuple[str, str, Result]] = []
            for item in plan:
                added.append(item)
                result = await self.add_one(item.network, item.rt, timeout, turn=turn)
                triples.append((item.network.name, item.rt.ifname, result))
            if not loopback.is_done:
                await runner.call(loopback.wait)
            return setup_of(plan[0].rt.container_id, plan[0].rt.netns, triples)
        except BaseException as error:
            await run_shielded(runner, functools.partial(self._undo, added, error, timeout=timeout, turn=turn))
            raise

    async def add_one(
        self, network: NetworkConfigList, rt: RuntimeConf, timeout: float | None, *, turn: Turn
    ) -> Result:
        """Run ADD, again while a plugin asks for that."""
        once = functools.partial(add, self._context, network, rt, timeout, rollback=True)
        return await Retrier(self._context.runner, timeout, turn).run(once)

    async def _undo(
        self, begun: Sequence[PlannedAttachment], error: BaseException, *, timeout: float | None, turn: Turn
    ) -> None:
        """Detach a container from the networks that a failed setup has attached it to; what that cannot is noted.

        :param begun: the ADDs that were begun. One that failed has cleaned up itself; but an interrupt may come when it
            has succeeded, and before it can say so.
        """
        problems: list[CNIError] = []
        done = begun[:-1]
        try:
            stored = await self.stored_of(begun[0].rt.container_id) if begun else []
            complete = {item.key for item in stored if not item.is_unfinished}
            done = [item for item in begun if item.key in complete]
        except CNIError as problem:
            problems.append(problem)
        for item in reversed(done):
            try:
                await self.delete_one(item.key, item.rt, given=item.network, timeout=timeout, turn=turn)
            except CNIError as problem:
                problems.append(problem)
        note_errors(error, "clean-up of the other networks", problems)

    async def delete_one(
        self,
        key: AttachmentKey,
        rt: RuntimeConf,
        *,
        given: NetworkConfigList | None,
        timeout: float | None,
        turn: Turn,
    ) -> None:
        """Run DEL from what is stored, again while a plugin asks for that.

        :param given: for what is not stored, or damaged.
        """
        once = functools.partial(delete_known, self._context, key, rt, limits=Limits(timeout), given=given)
        await Retrier(self._context.runner, timeout, turn).run(once)

    async def remove(
        self, snapshot: Snapshot, container_id: str, *, namespace: str | PathLike[str] | None, timeout: float | None
    ) -> None:
        """Detach a container from everything that is stored for it."""
        work = self._remove(snapshot, container_id, namespace=namespace, timeout=timeout)
        await self._context.observed(work, "REMOVE", container_id=container_id)

    async def _remove(
        self, snapshot: Snapshot, container_id: str, *, namespace: str | PathLike[str] | None, timeout: float | None
    ) -> None:
        check_container_id(container_id)
        errors: list[CNIError] = []
        async with self.alone(container_id):
            stored = await self.stored_of(container_id)
            async with self.gate.turn() as turn:
                for item in reversed(stored):
                    error = await self._remove_one(snapshot, item, namespace=namespace, timeout=timeout, turn=turn)
                    errors += [] if error is None else [error]
        if errors:
            raise CNIErrorGroup(f"container {container_id!r} is not removed from every network", errors)

    async def _remove_one(
        self,
        snapshot: Snapshot,
        item: StoredAttachment,
        *,
        namespace: str | PathLike[str] | None,
        timeout: float | None,
        turn: Turn,
    ) -> CNIError | None:
        rt = item.runtime_conf
        if namespace is not None:
            rt = replace(rt, netns=os.fspath(namespace))
        given = next((network for network in snapshot.networks if network.name == item.key.network), None)
        try:
            await self.delete_one(item.key, rt, given=given, timeout=timeout, turn=turn)
        except CNIError as error:
            return error
        return None

    async def check(self, container_id: str, *, timeout: float | None) -> None:
        """Run CHECK of everything that a container is attached to."""
        check_container_id(container_id)
        async with self.alone(container_id):
            stored = await self.stored_of(container_id)
            if not stored:
                raise AttachmentNotFoundError("any", container_id, "any")
            async with self.gate.turn():
                found = [await self.check_one(item, timeout) for item in stored]
        errors = [error for error in found if error is not None]
        if errors:
            raise CNIErrorGroup(f"container {container_id!r} is not as it was set up", errors)

    async def check_one(self, item: StoredAttachment, timeout: float | None) -> CNIError | None:
        """Run CHECK with the configuration of the ADD, where its version has CHECK, and return the problem."""
        network = item.network()
        if item.is_unfinished or network is None:
            return AttachmentNotFoundError(*item.key)
        if not is_at_least(network.cni_version, CHECK_SINCE):
            return None
        try:
            await check(self._context, network, item.runtime_conf, timeout)
        except CNIError as error:
            return error
        return None

    async def collect(
        self, snapshot: Snapshot, keep: Expected, *, dry_run: bool, timeout: float | None
    ) -> list[NetworkAttachment]:
        """Delete what is not in use, in every network; what belongs to a setup that runs or has just ended stays."""
        started = time.clock_gettime(time.CLOCK_BOOTTIME)
        source = read_once(keep)  # an iterator has its items once

        async def read() -> list[tuple[str, str]]:
            return await self._in_use(source, started)

        return await self._collector.collect(
            list(snapshot.networks), read, timeout, with_unlisted=True, dry_run=dry_run
        )

    async def _in_use(self, keep: Expected, started: float) -> list[tuple[str, str]]:
        """Return the attachments that are in use.

        :param started: when garbage collection began, in seconds since boot.
        """
        runner = self._context.runner
        # Those that run are looked for first: one that ends meanwhile is in the list that is read after.
        keys, kept = await runner.call(functools.partial(self._kept_by_setups, started))
        expected = await read_expected(keep)
        kept |= {GCAttachment(key.container_id, key.ifname) for key in keys if key.container_id in expected.containers}
        return list(kept | expected.pairs)

    def _kept_by_setups(self, started: float) -> tuple[set[AttachmentKey], set[GCAttachment]]:
        """Return the keys of everything, and of that what a setup is at work on, or has added since ``started``."""
        store = self._context.store
        keys = all_keys(store)
        busy = store.locks.holders({setup_lock(key.container_id) for key in keys})
        new = added_after(store, started)
        kept = {key for key in keys if key in new or setup_lock(key.container_id) in busy}
        return keys, {GCAttachment(key.container_id, key.ifname) for key in kept}
