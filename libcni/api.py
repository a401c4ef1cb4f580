"""``CNIConfig`` and ``AsyncCNIConfig``: the verbs as a runtime calls them, blocking or awaitable.

Thin on purpose: each method names its arguments, and hands them to the one implementation. Go counterpart: ``libcni.CNI``.
Source: SPEC 1.1.0, section 3.
"""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeAlias

from libcni.chain import Caller
from libcni.collection import Collector
from libcni.errors import InvalidParameterError
from libcni.invoke.blocking import BlockingRunner, complete
from libcni.operations import Operations, Store, cached_config, cached_result, network_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from libcni.attachment import GCAttachment, NetworkAttachment, Recovery, RuntimeConf
    from libcni.config import NetworkConfigList, PluginConfig
    from libcni.invoke.plugin import Runner
    from libcni.results import Result
    from libcni.versions import PluginInfo

__all__ = ["DEFAULT_CACHE_DIR", "AsyncCNIConfig", "CNIConfig"]

DEFAULT_CACHE_DIR = "/var/lib/cni"
DEFAULT_TIMEOUT = 120.0
DEFAULT_LOCK_TIMEOUT = 60.0


class _Default(Enum):
    """Stands for "as the constructor was told", where ``None`` means "no limit"."""

    TIMEOUT = "timeout"


_TIMEOUT: Final = _Default.TIMEOUT

Timeout: TypeAlias = float | None | _Default
"""Seconds for each plugin execution, ``None`` for no limit; left out, what the constructor was told."""


class _Config:
    """What both flavours are made of."""

    def __init__(
        self,
        path: Sequence[str],
        runner: Runner,
        *,
        cache_dir: str | PathLike[str],
        timeout: float | None,
        lock_timeout: float | None,
        environ: Mapping[str, str] | None,
        owner: str | None,
        durable: bool,
    ) -> None:
        _check_directories(path)
        _check_seconds("timeout", timeout)
        _check_seconds("lock_timeout", lock_timeout)
        self.path = tuple(path)
        self.cache_dir = os.fspath(cache_dir)
        self.timeout = timeout
        caller = Caller(runner, self.path, None if environ is None else dict(environ))
        store = Store(self.cache_dir, durable=durable)
        self._operations = Operations(caller, store, lock_timeout=lock_timeout, owner=owner)
        self._collector = Collector(self._operations)

    def _seconds(self, timeout: Timeout) -> float | None:
        if isinstance(timeout, _Default):
            return self.timeout
        _check_seconds("timeout", timeout)
        return timeout


def _check_directories(path: Sequence[str]) -> None:
    if isinstance(path, str):
        raise InvalidParameterError("path", path, "expected a sequence of directories, found one string")
    for directory in path:
        if os.pathsep in directory or "\0" in directory:
            raise InvalidParameterError("path", directory, f"a directory in CNI_PATH must not contain {os.pathsep!r}")


def _check_seconds(name: str, seconds: float | None) -> None:
    if seconds is not None and not seconds > 0:
        raise InvalidParameterError(name, seconds, "expected a positive number of seconds, or None for no limit")


class CNIConfig(_Config):
    """The verbs, blocking; safe to share between threads.

    :param path: plugin directories, in order of preference.
    :param cache_dir: where results and records are kept; made with mode 0700 when it is missing.
    :param runner: runs plugins and waits; the blocking one when left out.
    :param timeout: seconds for each plugin execution, ``None`` for no limit.
    :param lock_timeout: seconds to wait for another operation on the same container, ``None`` for no limit.
    :param environ: base environment of the plugins; the current one when left out.
    :param owner: tag of what is added here; garbage collection and recovery touch only what has the same tag.
    :param durable: whether results and records are synced to the disk; without, they survive the process only.
    :raises InvalidParameterError: if a directory contains the path separator, or a number of seconds is not positive.
    """

    def __init__(  # noqa: PLR0913 -- the one place where all of this is chosen
        self,
        path: Sequence[str],
        *,
        cache_dir: str | PathLike[str] = DEFAULT_CACHE_DIR,
        runner: Runner | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        owner: str | None = None,
        durable: bool = True,
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
        )

    def add_network_list(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = _TIMEOUT,
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
        return complete(self._operations.add(network, rt, self._seconds(timeout), rollback=rollback))

    def add_network(
        self,
        plugin: PluginConfig,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = _TIMEOUT,
    ) -> Result:
        """Run ADD of a single plugin; otherwise as :meth:`add_network_list`."""
        return complete(self._operations.add(network_of(plugin), rt, self._seconds(timeout), rollback=rollback))

    def check_network_list(self, network: NetworkConfigList, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Run CHECK along the chain; nothing when the network disables it (SPEC 1.1.0, section 3, "Checking an attachment").

        :raises CheckNotSupportedError: if the version of the network is below 0.4.0.
        :raises AttachmentNotFoundError: if no ADD is known.
        :raises PluginError: if a plugin finds something wrong; the first such error.
        """
        complete(self._operations.check(network, rt, self._seconds(timeout)))

    def check_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Run CHECK of a single plugin; otherwise as :meth:`check_network_list`."""
        complete(self._operations.check(network_of(plugin), rt, self._seconds(timeout)))

    def del_network_list(self, network: NetworkConfigList, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Detach a container: run DEL along the chain in reverse (SPEC 1.1.0, section 3, "Deleting an attachment").

        The stored configuration and arguments of the ADD are used when there are any, else the given ones. Deleting what is not
        there succeeds. What is stored goes only after every plugin has succeeded.

        :raises PluginError: if a plugin fails; nothing that is stored is lost.
        """
        complete(self._operations.delete(network, rt, self._seconds(timeout)))

    def del_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Run DEL of a single plugin; otherwise as :meth:`del_network_list`."""
        complete(self._operations.delete(network_of(plugin), rt, self._seconds(timeout)))

    def gc_network_list(
        self,
        network: NetworkConfigList,
        valid_attachments: Iterable[GCAttachment],
        *,
        dry_run: bool = False,
        timeout: Timeout = _TIMEOUT,
    ) -> list[NetworkAttachment]:
        """Delete the stale attachments of a network, then run GC (SPEC 1.1.0, section 3, "Garbage-collecting a network").

        :param valid_attachments: what is in use and must stay.
        :param dry_run: change nothing.
        :returns: the attachments that were deleted, or would be.
        :raises CNIErrorGroup: with every failure; everything else was done all the same.
        :raises CacheError: if what is stored cannot be read.
        """
        return complete(self._collector.collect([network], valid_attachments, self._seconds(timeout), dry_run=dry_run))

    def gc_networks(
        self,
        networks: Iterable[NetworkConfigList],
        valid_attachments: Iterable[GCAttachment],
        *,
        dry_run: bool = False,
        timeout: Timeout = _TIMEOUT,
    ) -> list[NetworkAttachment]:
        """Do the same over all the given networks, and delete the stored attachments of networks that are no longer among them.

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

    def get_status_network_list(self, network: NetworkConfigList, *, timeout: Timeout = _TIMEOUT) -> None:
        """Ask whether a network is ready for ADD; below 1.1.0 nothing is asked (SPEC 1.1.0, section 2, "STATUS").

        :raises PluginError: from the first plugin that is not ready, with code 50 or 51.
        """
        complete(self._operations.status(network, self._seconds(timeout)))

    def validate_network_list(self, network: NetworkConfigList, *, timeout: Timeout = _TIMEOUT) -> list[str]:
        """Check that every plugin is there and supports the version of the network.

        :returns: the capabilities in use, sorted.
        :raises CNIErrorGroup: with one error for each plugin that cannot be used.
        """
        return complete(self._operations.validate(network.plugins, network.cni_version, self._seconds(timeout)))

    def validate_network(self, plugin: PluginConfig, *, timeout: Timeout = _TIMEOUT) -> list[str]:
        """Check a single plugin; otherwise as :meth:`validate_network_list`."""
        return complete(self._operations.validate([plugin], plugin.version, self._seconds(timeout)))

    def get_version_info(self, plugin_type: str, *, timeout: Timeout = _TIMEOUT) -> PluginInfo:
        """Ask a plugin which versions it supports (SPEC 1.1.0, section 2, "VERSION").

        :raises PluginNotFoundError: if it is missing.
        :raises PluginError: if it fails or answers something else.
        """
        return complete(self._operations.version(plugin_type, self._seconds(timeout)))

    def get_network_list_cached_result(self, network: NetworkConfigList, rt: RuntimeConf) -> Result | None:
        """Return the stored result in the version of the network, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return complete(cached_result(self._operations, network, rt))

    def get_network_cached_result(self, plugin: PluginConfig, rt: RuntimeConf) -> Result | None:
        """Return the stored result of a single plugin; otherwise as :meth:`get_network_list_cached_result`."""
        return complete(cached_result(self._operations, network_of(plugin), rt))

    def get_network_list_cached_config(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
    ) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored configuration document and what the ADD was called with, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return complete(cached_config(self._operations, network, rt))

    def get_network_cached_config(self, plugin: PluginConfig, rt: RuntimeConf) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored document of a single plugin; otherwise as :meth:`get_network_list_cached_config`."""
        return complete(cached_config(self._operations, network_of(plugin), rt))

    def get_cached_attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container; damaged files are left out and logged.

        :raises CacheError: if the folder cannot be read.
        """
        return complete(self._operations.attachments(container_id))

    def pending(self) -> list[NetworkAttachment]:
        """Return the attachments whose ADD or DEL was begun and not finished.

        :raises CacheError: if the journal cannot be read.
        """
        return complete(self._collector.pending())

    def recover(self, *, timeout: Timeout = _TIMEOUT) -> list[Recovery]:
        """Finish what was begun: DEL with the configuration and arguments of the ADD, also after a reboot.

        A plugin that a dead process left behind is ended first. What cannot be finished stays, and says why.

        :raises CacheError: if the cache directory cannot be read.
        """
        return complete(self._collector.recover(self._seconds(timeout)))


class AsyncCNIConfig(_Config):
    """The verbs, awaitable, on asyncio and trio; safe to share between tasks.

    :param path: plugin directories, in order of preference.
    :param cache_dir: where results and records are kept; made with mode 0700 when it is missing.
    :param runner: runs plugins and waits; the one for asyncio and trio when left out.
    :param timeout: seconds for each plugin execution, ``None`` for no limit.
    :param lock_timeout: seconds to wait for another operation on the same container, ``None`` for no limit.
    :param environ: base environment of the plugins; the current one when left out.
    :param owner: tag of what is added here; garbage collection and recovery touch only what has the same tag.
    :param durable: whether results and records are synced to the disk; without, they survive the process only.
    :raises InvalidParameterError: if a directory contains the path separator, or a number of seconds is not positive.
    """

    def __init__(  # noqa: PLR0913 -- the one place where all of this is chosen
        self,
        path: Sequence[str],
        *,
        cache_dir: str | PathLike[str] = DEFAULT_CACHE_DIR,
        runner: Runner | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
        lock_timeout: float | None = DEFAULT_LOCK_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        owner: str | None = None,
        durable: bool = True,
    ) -> None:
        if runner is None:
            # anyio is imported by those who await, and by nobody else.
            from libcni.invoke.aio import AnyioRunner

            runner = AnyioRunner()
        super().__init__(
            path,
            runner,
            cache_dir=cache_dir,
            timeout=timeout,
            lock_timeout=lock_timeout,
            environ=environ,
            owner=owner,
            durable=durable,
        )

    async def add_network_list(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = _TIMEOUT,
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
        return await self._operations.add(network, rt, self._seconds(timeout), rollback=rollback)

    async def add_network(
        self,
        plugin: PluginConfig,
        rt: RuntimeConf,
        *,
        rollback: bool = True,
        timeout: Timeout = _TIMEOUT,
    ) -> Result:
        """Run ADD of a single plugin; otherwise as :meth:`add_network_list`."""
        return await self._operations.add(network_of(plugin), rt, self._seconds(timeout), rollback=rollback)

    async def check_network_list(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        timeout: Timeout = _TIMEOUT,
    ) -> None:
        """Run CHECK along the chain; nothing when the network disables it (SPEC 1.1.0, section 3, "Checking an attachment").

        :raises CheckNotSupportedError: if the version of the network is below 0.4.0.
        :raises AttachmentNotFoundError: if no ADD is known.
        :raises PluginError: if a plugin finds something wrong; the first such error.
        """
        await self._operations.check(network, rt, self._seconds(timeout))

    async def check_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Run CHECK of a single plugin; otherwise as :meth:`check_network_list`."""
        await self._operations.check(network_of(plugin), rt, self._seconds(timeout))

    async def del_network_list(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
        *,
        timeout: Timeout = _TIMEOUT,
    ) -> None:
        """Detach a container: run DEL along the chain in reverse (SPEC 1.1.0, section 3, "Deleting an attachment").

        The stored configuration and arguments of the ADD are used when there are any, else the given ones. Deleting what is not
        there succeeds. What is stored goes only after every plugin has succeeded.

        :raises PluginError: if a plugin fails; nothing that is stored is lost.
        """
        await self._operations.delete(network, rt, self._seconds(timeout))

    async def del_network(self, plugin: PluginConfig, rt: RuntimeConf, *, timeout: Timeout = _TIMEOUT) -> None:
        """Run DEL of a single plugin; otherwise as :meth:`del_network_list`."""
        await self._operations.delete(network_of(plugin), rt, self._seconds(timeout))

    async def gc_network_list(
        self,
        network: NetworkConfigList,
        valid_attachments: Iterable[GCAttachment],
        *,
        dry_run: bool = False,
        timeout: Timeout = _TIMEOUT,
    ) -> list[NetworkAttachment]:
        """Delete the stale attachments of a network, then run GC (SPEC 1.1.0, section 3, "Garbage-collecting a network").

        :param valid_attachments: what is in use and must stay.
        :param dry_run: change nothing.
        :returns: the attachments that were deleted, or would be.
        :raises CNIErrorGroup: with every failure; everything else was done all the same.
        :raises CacheError: if what is stored cannot be read.
        """
        return await self._collector.collect([network], valid_attachments, self._seconds(timeout), dry_run=dry_run)

    async def gc_networks(
        self,
        networks: Iterable[NetworkConfigList],
        valid_attachments: Iterable[GCAttachment],
        *,
        dry_run: bool = False,
        timeout: Timeout = _TIMEOUT,
    ) -> list[NetworkAttachment]:
        """Do the same over all the given networks, and delete the stored attachments of networks that are no longer among them.

        :raises CNIErrorGroup: with every failure; everything else was done all the same.
        :raises CacheError: if what is stored cannot be read.
        """
        return await self._collector.collect(
            list(networks),
            valid_attachments,
            self._seconds(timeout),
            with_unlisted=True,
            dry_run=dry_run,
        )

    async def get_status_network_list(self, network: NetworkConfigList, *, timeout: Timeout = _TIMEOUT) -> None:
        """Ask whether a network is ready for ADD; below 1.1.0 nothing is asked (SPEC 1.1.0, section 2, "STATUS").

        :raises PluginError: from the first plugin that is not ready, with code 50 or 51.
        """
        await self._operations.status(network, self._seconds(timeout))

    async def validate_network_list(self, network: NetworkConfigList, *, timeout: Timeout = _TIMEOUT) -> list[str]:
        """Check that every plugin is there and supports the version of the network.

        :returns: the capabilities in use, sorted.
        :raises CNIErrorGroup: with one error for each plugin that cannot be used.
        """
        return await self._operations.validate(network.plugins, network.cni_version, self._seconds(timeout))

    async def validate_network(self, plugin: PluginConfig, *, timeout: Timeout = _TIMEOUT) -> list[str]:
        """Check a single plugin; otherwise as :meth:`validate_network_list`."""
        return await self._operations.validate([plugin], plugin.version, self._seconds(timeout))

    async def get_version_info(self, plugin_type: str, *, timeout: Timeout = _TIMEOUT) -> PluginInfo:
        """Ask a plugin which versions it supports (SPEC 1.1.0, section 2, "VERSION").

        :raises PluginNotFoundError: if it is missing.
        :raises PluginError: if it fails or answers something else.
        """
        return await self._operations.version(plugin_type, self._seconds(timeout))

    async def get_network_list_cached_result(self, network: NetworkConfigList, rt: RuntimeConf) -> Result | None:
        """Return the stored result in the version of the network, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return await cached_result(self._operations, network, rt)

    async def get_network_cached_result(self, plugin: PluginConfig, rt: RuntimeConf) -> Result | None:
        """Return the stored result of a single plugin; otherwise as :meth:`get_network_list_cached_result`."""
        return await cached_result(self._operations, network_of(plugin), rt)

    async def get_network_list_cached_config(
        self,
        network: NetworkConfigList,
        rt: RuntimeConf,
    ) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored configuration document and what the ADD was called with, or ``None``.

        :raises CacheError: if the file cannot be read or is damaged.
        """
        return await cached_config(self._operations, network, rt)

    async def get_network_cached_config(
        self,
        plugin: PluginConfig,
        rt: RuntimeConf,
    ) -> tuple[bytes, RuntimeConf] | None:
        """Return the stored document of a single plugin; otherwise as :meth:`get_network_list_cached_config`."""
        return await cached_config(self._operations, network_of(plugin), rt)

    async def get_cached_attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return every stored attachment, or those of one container; damaged files are left out and logged.

        :raises CacheError: if the folder cannot be read.
        """
        return await self._operations.attachments(container_id)

    async def pending(self) -> list[NetworkAttachment]:
        """Return the attachments whose ADD or DEL was begun and not finished.

        :raises CacheError: if the journal cannot be read.
        """
        return await self._collector.pending()

    async def recover(self, *, timeout: Timeout = _TIMEOUT) -> list[Recovery]:
        """Finish what was begun: DEL with the configuration and arguments of the ADD, also after a reboot.

        A plugin that a dead process left behind is ended first. What cannot be finished stays, and says why.

        :raises CacheError: if the cache directory cannot be read.
        """
        return await self._collector.recover(self._seconds(timeout))
