"""``Networks``: the layer that a runtime embeds, for asyncio and trio.

Go counterpart: ``cni.CNI`` of ``go-cni`` and ``ocicni.CNIPlugin``. Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Self

from libcni.networks.embedding import STATUS_INTERVAL, Embedding
from libcni.networks.gates import AsyncGate
from libcni.networks.reconcile import DEFAULT_POLICY, Reconciler
from libcni.verbs.configured import CONFIGURED, DEFAULT_CACHE_DIR, DEFAULT_LOCK_TIMEOUT, DEFAULT_TIMEOUT
from libcni.verbs.forget import forget
from libcni.verbs.stored import attachments

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from os import PathLike

    from libcni.capabilities import ContainerOptions
    from libcni.invoke.events import PluginEvent
    from libcni.invoke.runner import Runner
    from libcni.networks.expected import Expected
    from libcni.networks.join import Join
    from libcni.networks.readiness import Status
    from libcni.networks.reconcile import ReconcilePolicy, ReconcileStep
    from libcni.networks.setup import Setup
    from libcni.networks.snapshot import Snapshot
    from libcni.protocol.attachment import Recovery
    from libcni.storage.attachment import NetworkAttachment
    from libcni.verbs.configured import Timeout

__all__ = ["Networks"]


class Networks:
    """Attaches containers to the networks of a configuration directory; an async context manager.

    The arguments are those of :class:`libcni.networks.BlockingNetworks`. An instance belongs to one event loop.
    """

    def __init__(  # noqa: PLR0913 -- the one place where all of this is chosen
        self,
        conf_dir: str | PathLike[str],
        bin_dirs: Sequence[str | PathLike[str]],
        *,
        cache_dir: str | PathLike[str] = DEFAULT_CACHE_DIR,
        owner: str | None = None,
        default_network: str | None = None,
        watch: bool = True,
        limit: int = 16,
        timeout: float | None = DEFAULT_TIMEOUT,
        lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        durable: bool = True,
        on_event: Callable[[PluginEvent], object] | None = None,
        runner: Runner | None = None,
    ) -> None:
        if runner is None:
            # anyio loads with this flavour only.
            from libcni.invoke.anyio_runner import AnyioRunner  # noqa: PLC0415 -- see above

            runner = AnyioRunner()
        self._runner = runner
        self._embedding = Embedding(
            conf_dir,
            bin_dirs,
            runner,
            cache_dir=cache_dir,
            owner=owner,
            default_network=default_network,
            watch=watch,
            limit=limit,
            timeout=timeout,
            lock_timeout=lock_timeout,
            environ=environ,
            durable=durable,
            on_event=on_event,
        )
        self._operations = self._embedding.operations
        self._operations.gate = AsyncGate(limit)

    async def __aenter__(self) -> Self:
        started: list[bool] = []

        def start() -> None:
            self._embedding.start()
            started.append(True)

        try:
            await self._runner.call(start)
        except BaseException:
            if started:  # a cancellation: its caller never comes to leave the context
                await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.shielded(functools.partial(self._runner.call, self._embedding.stop))

    @property
    def snapshot(self) -> Snapshot:
        """The networks of the configuration directory as they were read last."""
        return self._embedding.snapshot

    async def reload(self) -> Snapshot:
        """Read the configuration directory now, and return the snapshot."""
        return await self._runner.call(self._embedding.feed.reload)

    async def setup(
        self,
        container_id: str,
        netns: str | PathLike[str],
        *,
        networks: Sequence[str | Join] | None = None,
        options: ContainerOptions | None = None,
        timeout: Timeout = CONFIGURED,
    ) -> Setup:
        """Attach a container to networks, one after the other, in the order given; all or nothing.

        The loopback interface of the namespace is set up, too.

        :param netns: path of the network namespace, or a :class:`libcni.netns.NetNS`.
        :param networks: names, or joins with an interface name and options; left out, the default network.
        :param options: of the container; what concerns one interface goes to the first network that declares it.
        :raises NetworkNotFoundError: if there is no network of that name.
        :raises InvalidParameterError: if a name or an option is not allowed; nothing has run then.
        :raises AttachmentExistsError: if the container has an interface of that name.
        :raises PluginError: if a plugin fails; what could not be undone is in the error's notes.
        :raises LockTimeoutError: if another operation on the container does not end in time.
        """
        return await self._operations.setup(
            self.snapshot,
            container_id,
            netns,
            networks=networks,
            options=options,
            timeout=self._operations.seconds(timeout),
        )

    async def remove(
        self, container_id: str, *, netns: str | PathLike[str] | None = None, timeout: Timeout = CONFIGURED
    ) -> None:
        """Detach a container from everything that is stored for it, the last network first.

        It goes on after an error. Configurations that are gone are not needed: what was stored at the ADD counts. What
        is not stored is not there to be removed.

        :param netns: path of the namespace, when it has another one than at the setup.
        :raises CNIErrorGroup: with every failure.
        """
        seconds = self._operations.seconds(timeout)
        await self._operations.remove(self.snapshot, container_id, namespace=netns, timeout=seconds)

    async def check(self, container_id: str, *, timeout: Timeout = CONFIGURED) -> None:
        """Check everything that a container is attached to, with the configurations of the setup.

        :raises AttachmentNotFoundError: if nothing is stored for it.
        :raises CNIErrorGroup: with every failure.
        """
        await self._operations.check(container_id, timeout=self._operations.seconds(timeout))

    async def status(self) -> Status:
        """Return whether containers can be added, and the readiness of each network.

        Each plugin has ten seconds at most; nothing that a setup needs is locked.
        """
        return await self._embedding.probe.probe(self.snapshot)

    async def gc(
        self, keep: Expected, *, dry_run: bool = False, timeout: Timeout = CONFIGURED
    ) -> list[NetworkAttachment]:
        """Delete what is stored and not in use, of every network, and let the plugins collect.

        What belongs to a setup that runs, or that has ended since this began, is in use.

        :param keep: container ids, or pairs of container id and interface name; or a function that returns them, which
            is called when the network is locked.
        :param dry_run: change nothing.
        :returns: what was deleted, or would be.
        :raises CNIErrorGroup: with every failure.
        """
        seconds = self._operations.seconds(timeout)
        return await self._operations.collect(self.snapshot, keep, dry_run=dry_run, timeout=seconds)

    async def reconcile(
        self,
        expected: Expected,
        *,
        policy: ReconcilePolicy = DEFAULT_POLICY,
        dry_run: bool = False,
        timeout: Timeout = CONFIGURED,
    ) -> list[ReconcileStep]:
        """Compare what is stored with the containers and namespaces that exist, and do as the policy says.

        :param expected: the containers that exist, as for :meth:`gc`.
        :param dry_run: change nothing, and run no CHECK.
        :returns: a finding for each attachment, and what was done; errors are in them.
        """
        reconciler = Reconciler(self._operations, self.snapshot, timeout=self._operations.seconds(timeout))
        return await reconciler.run(expected, policy, dry_run=dry_run)

    async def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container."""
        return await attachments(self._operations.context, container_id)

    async def recover(self, *, timeout: Timeout = CONFIGURED) -> list[Recovery]:
        """Finish what a process that is gone has begun: call it at the start, before :meth:`reconcile`."""
        return await self._operations.recoverer.recover(self._operations.seconds(timeout))

    async def forget(
        self, container_id: str, *, ifname: str | None = None, network: str | None = None
    ) -> list[NetworkAttachment]:
        """Give attachments up: no plugin runs, and what they made may stay behind."""
        return await forget(self._operations.context, container_id, ifname=ifname, network=network)

    def changes(self) -> AsyncIterator[Snapshot]:
        """Iterate over snapshots: the current one, then each that differs, until the context ends.

        A slow reader gets the latest.
        """
        from libcni.networks.changes import SnapshotChanges  # noqa: PLC0415 -- anyio loads with this flavour only

        return SnapshotChanges(self._embedding.feed)

    def status_changes(self, *, interval: float = STATUS_INTERVAL) -> AsyncIterator[Status]:
        """Iterate over the readiness: as it is, then each time that it differs, until the context ends.

        :param interval: seconds between two looks; a changed directory is looked at once.
        """
        from libcni.networks.changes import StatusChanges  # noqa: PLC0415 -- as above

        return StatusChanges(self._embedding.feed, self.status, interval)
