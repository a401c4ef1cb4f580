"""The context of all verbs of one configuration: runner, plugins, cache directory, locks, owner."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

from libcni.errors import ConfigError
from libcni.invoke.runner import do_steps
from libcni.invoke.steps import one_step
from libcni.protocol.versions import check_supported
from libcni.verbs.lock_wait import LockWaiter

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import AttachmentKey
    from libcni.storage.cache_entry import CacheEntry
    from libcni.storage.journal import OpenRecord
    from libcni.storage.store import Known, Store
    from libcni.verbs.chain import Caller

__all__ = ["VerbContext", "check_network"]

T = TypeVar("T")


class VerbContext:
    """The runner, the plugins and the store that verbs work with.

    :param lock_timeout: seconds to wait for another operation, ``None`` for no limit.
    :param owner: tag of what is added; garbage collection and recovery touch only what has the same.
    """

    def __init__(self, caller: Caller, store: Store, *, lock_timeout: float | None, owner: str | None) -> None:
        self.caller = caller
        self.runner = caller.runner
        self.store = store
        self.waiter = LockWaiter(self.runner, store.locks, lock_timeout)
        self.owner = owner

    async def observed(
        self, work: Coroutine[Any, Any, T], verb: str, *, network: str = "", container_id: str = "", ifname: str = ""
    ) -> T:
        """Do the work of an operation; an observer is told of its start and its end."""
        watcher = self.caller.watcher
        if watcher is None:
            return await work
        return await watcher.operation(work, verb, network=network, container_id=container_id, ifname=ifname)

    async def known(self, key: AttachmentKey, opened: OpenRecord) -> Known:
        """Return what is stored about an attachment, whose lock must be held."""
        return await do_steps(self.runner, one_step(functools.partial(self.store.known, key, opened)))

    async def entry(self, key: AttachmentKey) -> CacheEntry | None:
        """Return the stored result of an attachment and what belongs to it, or ``None``.

        :raises CacheError: if it cannot be read.
        """
        return await do_steps(self.runner, one_step(functools.partial(self.store.cache.find, key)))


def check_network(network: NetworkConfigList) -> None:
    """Check what a list that was not loaded from a file may lack.

    :raises VersionError: if its version is malformed or not supported.
    :raises ConfigError: if it has no plugins.
    """
    check_supported(network.cni_version)
    if not network.plugins:
        raise ConfigError(f"network {network.name!r} has no plugins", source=network.source, field="plugins")
