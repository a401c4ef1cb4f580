"""``CNIConfig``: the verbs as a runtime calls them, blocking.

Thin on purpose: each method names its arguments, and hands them to the one implementation. Go counterpart:
``libcni.CNI``. Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.invoke.blocking_runner import BlockingRunner, complete
from libcni.storage.store import network_of
from libcni.verbs.add import add
from libcni.verbs.check import check
from libcni.verbs.configured import CONFIGURED, DEFAULT_CACHE_DIR, DEFAULT_LOCK_TIMEOUT, DEFAULT_TIMEOUT, Config
from libcni.verbs.delete import delete
from libcni.verbs.status import status, validate, validate_list, version
from libcni.verbs.stored import attachments, cached_config, cached_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from os import PathLike

    from libcni.config.model import NetworkConfigList, PluginConfig
    from libcni.invoke.events import PluginEvent
    from libcni.invoke.runner import Runner
    from libcni.protocol.attachment import Recovery, RuntimeConf
    from libcni.protocol.versions import PluginInfo
    from libcni.results.result import Result
    from libcni.storage.attachment import NetworkAttachment
    from libcni.verbs.configured import Timeout
    from libcni.verbs.keep_list import KeepList

__all__ = ["CNIConfig"]


class CNIConfig(Config):
    """The verbs, blocking; safe to share between threads.

    :param path: plugin directories, in order of preference.
    :param cache_dir: where results and records are kept; made with mode 0700 when it is missing.
    :param runner: runs plugins and waits; the blocking one when left out.
    :param timeout: seconds for each plugin execution, ``None`` for no limit.
    :param lock_timeout: seconds to wait for another operation on the same container, 0 for none, ``None`` for no limit.
    :param environ: base environment of the plugins; the current one when left out.
    :param owner: tag of what is added here; garbage collection and recovery touch only what has the same tag.
    :param durable: whether results and records are synced to the disk; without, they survive the process only.
    :param on_event: called with a :class:`libcni.observe.PluginEvent` at the end of each plugin call, in the thread of
        the verb; what it raises is logged. An :class:`libcni.observe.Observer` gets more.
    :raises InvalidParameterError: if a directory contains the path separator, a variable cannot be in an environment,
        or another argument makes no sense.
    """

    def __init__(  # noqa: PLR0913 -- the one place where all of this is chosen
        self,
        path: Sequence[str | PathLike[str]],
        *,
        cache_dir: str | PathLike[str] = DEFAULT_CACHE_DIR,
        runner: Runner | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        owner: str | None = None,
        durable: bool = True,
        on_event: Callable[[PluginEvent], object] | None = None,
    ) -> None:
        super().__init__(
            path,
            runner or BlockingRunner(),
            cache_dir=cache_dir,
            timeout=timeout,
            lock_timeout=lock_timeout,
            environ=environ,
            owner=owner,
            durable=durable,
            on_event=on_event,
        )

    def add_network_list(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = CONFIGURED,
    ) -> Result:
        """Attach a container to a network: run ADD along the chain (SPEC 1.1.0, section 3, "Adding an attachment").

        :param rollback: when a plugin fails, delete the chain again before the error is raised.
        :raises InvalidParameterError: if a name or an argument is not allowed.
        :raises AttachmentExistsError: if it is added already, or an earlier ADD or DEL was not finished.
        :raises PluginNotFoundError: if a plugin of the chain is missing; then none has run.
        :raises PluginError: if a plugin fails; what a rollback could not do is in the error's notes.
        :raises LockTimeoutError: if the container is busy for too long.
        :raises CacheError: if the record or the result cannot be stored.
        """
        return complete(add(self._context, network, rt, self._seconds(timeout), rollback=rollback))

    def add_network(
        self,
        plugin: PluginConfig,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = CONFIGURED,
    ) -> Result:
        """Run ADD of a single plugin; otherwise as :meth:`add_network_list`."""
        return complete(add(self._context, network_of(plugin), rt, self._seconds(timeout), rollback=rollback))

    def check_network_list(self, network: NetworkConfigList, rt: RuntimeConf, *, timeout: Timeout = CONFIGURED) -> None:
        """Run CHECK along the chain, unless it is disabled (SPEC 1.1.0, section 3, "Checking an attachment").

        :raises CheckNotSupportedError: if the version of the network is below 0.4.0.
        :raises AttachmentNotFoundError: if no ADD is known.
        :raises PluginError: if a plugin finds something wrong; the first such error.
        """
        complete(check(self._context, network, rt, self._seconds(timeout)))

    def check_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = CONFIGURED) -> None:
        """Run CHECK of a single plugin; otherwise as :meth:`check_network_list`."""
        complete(check(self._context, network_of(plugin), rt, self._seconds(timeout)))

    def del_network_list(self, network: NetworkConfigList, rt: RuntimeConf, *, timeout: Timeout = CONFIGURED) -> None:
        """Detach a container: run DEL along the chain in reverse (SPEC 1.1.0, section 3, "Deleting an attachment").

        The stored configuration and arguments of the ADD are used when there are any, else the given ones. Deleting
        what is not there succeeds. What is stored goes only after every plugin has succeeded.

        :raises PluginError: if a plugin fails; nothing that is stored is lost.
        """
        complete(delete(self._context, network, rt, self._seconds(timeout)))

    def del_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = CONFIGURED) -> None:
        """Run DEL of a single plugin; otherwise as :meth:`del_network_list`."""
        complete(delete(self._context, network_of(plugin), rt, self._seconds(timeout)))

    def gc_network_list(
        self,
        network: NetworkConfigList,
        valid_attachments: KeepList,
        *,
        dry_run: bool = False,
        timeout: Timeout = CONFIGURED,
    ) -> list[NetworkAttachment]:
        """Delete stale attachments, then run GC (SPEC 1.1.0, section 3, "Garbage-collecting a network").

        :param valid_attachments: what is in use and must stay; or a function that returns that, which is called when
            the network is locked. What was added after an iterable was given is in use, too.
        :param dry_run: change nothing.
        :returns: the attachments that were deleted, or would be.
        :raises CNIErrorGroup: with every failure; everything else was done all the same.
        :raises CacheError: if what is stored cannot be read.
        """
        return complete(self._collector.collect([network], valid_attachments, self._seconds(timeout), dry_run=dry_run))

    def gc_networks(
        self,
        networks: Iterable[NetworkConfigList],
        valid_attachments: KeepList,
        *,
        dry_run: bool = False,
        timeout: Timeout = CONFIGURED,
    ) -> list[NetworkAttachment]:
        """Do the same over all the given networks, and delete what is stored of networks that are not among them.

        :raises CNIErrorGroup: with every failure; everything else was done all the same.
        :raises CacheError: if what is stored cannot be read.
        """
        return complete(
            self._collector.collect(
                list(networks),
                valid_attachments,
                self._seconds(timeout),
                with_unlisted=True,
                dry_run=dry_run,
            ),
        )

    def get_status_network_list(self, network: NetworkConfigList, *, timeout: Timeout = CONFIGURED) -> None:
        """Ask whether a network is ready for ADD; below 1.1.0 nothing is asked (SPEC 1.1.0, section 2, "STATUS").

        :raises PluginError: from the first plugin that is not ready, with code 50 or 51.
        """
        complete(status(self._context, network, self._seconds(timeout)))

    def validate_network_list(self, network: NetworkConfigList, *, timeout: Timeout = CONFIGURED) -> list[str]:
        """Check that every plugin is there and supports the version of the network.

        :returns: the capabilities in use, sorted.
        :raises CNIErrorGroup: with one error for each plugin that cannot be used.
        """
        return complete(validate_list(self._context, network, self._seconds(timeout)))

    def validate_network(self, plugin: PluginConfig, *, timeout: Timeout = CONFIGURED) -> list[str]:
        """Check a single plugin; otherwise as :meth:`validate_network_list`."""
        return complete(validate(self._context, [plugin], plugin.version, timeout=self._seconds(timeout)))

    def get_version_info(self, plugin_type: str, *, timeout: Timeout = CONFIGURED) -> PluginInfo:
        """Ask a plugin which versions it supports (SPEC 1.1.0, section 2, "VERSION").

        :raises PluginNotFoundError: if it is missing.
        :raises PluginError: if it fails or answers something else.
        """
        return complete(version(self._context, plugin_type, self._seconds(timeout)))

    def get_network_list_cached_result(self, network: NetworkConfigList, rt: RuntimeConf) -> Result | None:
        """Return the stored result in the version of the network, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return complete(cached_result(self._context, network, rt))

    def get_network_cached_result(self, plugin: PluginConfig, rt: RuntimeConf) -> Result | None:
        """Return the stored result of a single plugin; otherwise as :meth:`get_network_list_cached_result`."""
        return complete(cached_result(self._context, network_of(plugin), rt))

    def get_network_list_cached_config(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
    ) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored configuration document and what the ADD was called with, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return complete(cached_config(self._context, network, rt))

    def get_network_cached_config(self, plugin: PluginConfig, rt: RuntimeConf) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored document of a single plugin; otherwise as :meth:`get_network_list_cached_config`."""
        return complete(cached_config(self._context, network_of(plugin), rt))

    def get_cached_attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container; damaged files are left out and logged.

        :raises CacheError: if the folder cannot be read.
        """
        return complete(attachments(self._context, container_id))

    def forget(
        self, container_id: str, *, ifname: str | None = None, network: str | None = None
    ) -> list[NetworkAttachment]:
        """Give attachments up: their records and results go, and no plugin runs; each is a warning in the log.

        For what no DEL can delete any more. Interfaces, addresses and rules may stay behind. Neither plugins nor
        configurations are needed, and nothing of another container is touched.

        :param ifname: of the one interface, ``None`` for all of the container.
        :param network: name of the one network, ``None`` for all.
        :returns: what was given up; ``config`` is empty in one of which only damaged files were left.
        :raises LockTimeoutError: if the container, or one of the networks, is busy for too long.
        :raises CacheError: if what is stored cannot be read or removed.
        """
        from libcni.verbs.forget import forget  # noqa: PLC0415 -- what an ADD does not need

        return complete(forget(self._context, container_id, ifname=ifname, network=network))

    def pending(self) -> list[NetworkAttachment]:
        """Return the attachments whose ADD or DEL was begun and not finished.

        :raises CacheError: if the journal cannot be read.
        """
        return complete(self._recoverer.pending())

    def recover(self, *, timeout: Timeout = CONFIGURED) -> list[Recovery]:
        """Finish what was begun: DEL with the configuration and arguments of the ADD, also after a reboot.

        A plugin that a dead process left behind is ended first. What cannot be finished stays, and says why.

        :raises CacheError: if the cache directory cannot be read.
        """
        return complete(self._recoverer.recover(self._seconds(timeout)))
