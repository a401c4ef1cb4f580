"""``BlockingNetworks``: the layer that a runtime embeds, for threads.

Go counterpart: ``cni.CNI`` of ``go-cni`` and ``ocicni.CNIPlugin``. Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.networks.embedding import STATUS_INTERVAL, Embedding
from libcni.networks.gates import BlockingGate
from libcni.networks.reconcile import DEFAULT_POLICY, Reconciler
from libcni.verbs.configured import CONFIGURED, DEFAULT_CACHE_DIR, DEFAULT_LOCK_TIMEOUT, DEFAULT_TIMEOUT
from libcni.verbs.forget import forget
from libcni.verbs.stored import attachments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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

__all__ = ["BlockingNetworks"]


class BlockingNetworks:
    """Attaches containers to the networks of a configuration directory; a context manager, shared by threads.

    :param conf_dir: the configuration directory; it may be made later.
    :param bin_dirs: plugin directories, in order of preference.
    :param cache_dir: where results and records are kept; made with mode 0700 when it is missing.
    :param owner: tag of what is added here; garbage collection, recovery and reconciliation touch nothing else.
    :param default_network: name of the default network; left out, it is the first that can be used.
    :param watch: whether to follow the configuration directory and the plugin directories (needs ``libcni[watch]``).
    :param limit: plugin chains at once; the others wait for their turn.
    :param timeout: seconds for each plugin execution, ``None`` for no limit; a plugin that answers with code 11, "try
        again later", is tried for as long.
    :param lock_timeout: seconds to wait for another operation on the same container, 0 for none, ``None`` for no limit.
    :param environ: base environment of the plugins; the current one when left out.
    :param durable: whether results and records are synced to the disk; without, they survive the process only.
    :param on_event: gets an event for each plugin call, as :class:`libcni.CNIConfig` has it.
    :param runner: runs plugins and waits.
    :raises InvalidParameterError: if an argument makes no sense.
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
        runner = runner or BlockingRunner()
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
        self._operations.gate = BlockingGate(limit)

    def __enter__(self) -> Self:
        self._embedding.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._embedding.stop()

    @property
    def snapshot(self) -> Snapshot:
        """The networks of the configuration directory as they were read last."""
        return self._embedding.snapshot

    def reload(self) -> Snapshot:
        """Read the configuration directory now, and return the snapshot."""
        return self._embedding.feed.reload()

    def setup(
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
        return complete(
            self._operations.setup(
                self.snapshot,
                container_id,
                netns,
                networks=networks,
                options=options,
                timeout=self._operations.seconds(timeout),
            )
        )

    def remove(
        self, container_id: str, *, netns: str | PathLike[str] | None = None, timeout: Timeout = CONFIGURED
    ) -> None:
        """Detach a container from everything that is stored for it, the last network first.

        It goes on after an error. Configurations that are gone are not needed: what was stored at the ADD counts. What
        is not stored is not there to be removed.

        :param netns: path of the namespace, when it has another one than at the setup.
        :raises CNIErrorGroup: with every failure.
        """
        seconds = self._operations.seconds(timeout)
        complete(self._operations.remove(self.snapshot, container_id, namespace=netns, timeout=seconds))

    def check(self, container_id: str, *, timeout: Timeout = CONFIGURED) -> None:
        """Check everything that a container is attached to, with the configurations of the setup.

        :raises AttachmentNotFoundError: if nothing is stored for it.
        :raises CNIErrorGroup: with every failure.
        """
        complete(self._operations.check(container_id, timeout=self._operations.seconds(timeout)))

    def status(self) -> Status:
        """Return whether containers can be added, and the readiness of each network.

        Each plugin has ten seconds at most; nothing that a setup needs is locked.
        """
        return complete(self._embedding.probe.probe(self.snapshot))

    def gc(self, keep: Expected, *, dry_run: bool = False, timeout: Timeout = CONFIGURED) -> list[NetworkAttachment]:
        """Delete what is stored and not in use, of every network, and let the plugins collect.

        What belongs to a setup that runs, or that has ended since this began, is in use.

        :param keep: container ids, or pairs of container id and interface name; or a function that returns them, which
            is called when the network is locked.
        :param dry_run: change nothing.
        :returns: what was deleted, or would be.
        :raises CNIErrorGroup: with every failure.
        """
        seconds = self._operations.seconds(timeout)
        return complete(self._operations.collect(self.snapshot, keep, dry_run=dry_run, timeout=seconds))

    def reconcile(
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
        return complete(reconciler.run(expected, policy, dry_run=dry_run))

    def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container."""
        return complete(attachments(self._operations.context, container_id))

    def recover(self, *, timeout: Timeout = CONFIGURED) -> list[Recovery]:
        """Finish what a process that is gone has begun: call it at the start, before :meth:`reconcile`."""
        return complete(self._operations.recoverer.recover(self._operations.seconds(timeout)))

    def forget(
        self, container_id: str, *, ifname: str | None = None, network: str | None = None
    ) -> list[NetworkAttachment]:
        """Give attachments up: no plugin runs, and what they made may stay behind."""
        return complete(forget(self._operations.context, container_id, ifname=ifname, network=network))

    def changes(self, *, timeout: float | None = None) -> Iterator[Snapshot]:
        """Iterate over snapshots: the current one, then each that differs, until the context ends.

        A slow reader gets the latest.

        :param timeout: end when so many seconds have passed without a change.
        """
        seen: Snapshot | None = None
        while (current := self._embedding.feed.wait(seen, timeout)) is not None:
            seen = current
            yield current

    def status_changes(self, *, interval: float = STATUS_INTERVAL) -> Iterator[Status]:
        """Iterate over the readiness: as it is, then each time that it differs.

        :param interval: seconds between two looks; a changed directory is looked at once.
        """
        feed, seen = self._embedding.feed, None
        while not feed.is_closed:
            snapshot = self.snapshot
            found = self.status()
            if found != seen:
                seen = found
                yield found
            feed.wait(snapshot, interval)
