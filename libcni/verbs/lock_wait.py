"""Waiting for locks: an operation tries, sleeps through its runner, and tries again, until its patience ends.

Go counterpart: none. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering": no two operations at once on one container.
"""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from libcni.errors import CacheError, LockTimeoutError
from libcni.storage.locks import container_lock, network_lock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.invoke.runner import Runner
    from libcni.storage.folder import Folder
    from libcni.storage.locks import HeldLock, Locks

__all__ = ["LockWaiter", "Locked", "open_folders"]

_POLL = (0.001, 0.05)
"""Seconds between two tries: the first, doubled up to the last."""

_INSIST = 2.0
"""Seconds: longer than nearly every operation, and short for one that waits."""


async def open_folders(runner: Runner, *folders: Folder) -> None:
    """Make folders and open them where that holds up no event loop. One for which that fails fails again when used."""
    if not all(folder.is_open for folder in folders):
        await runner.call(partial(_open_all, folders))


def _open_all(folders: Iterable[Folder]) -> None:
    for folder in folders:
        with suppress(OSError, CacheError):
            folder.open(create=True)


class LockWaiter:
    """Takes locks for operations.

    :param timeout: seconds to wait for one lock, ``None`` for no limit.
    """

    def __init__(self, runner: Runner, locks: Locks, timeout: float | None) -> None:
        self.runner = runner
        self.locks = locks
        self.timeout = timeout

    def locked(self, network: str, container_id: str) -> Locked:
        """Hold off garbage collection of the network and everything else on the container, in an ``async with`` block.

        :raises LockTimeoutError: on entering it, if that is not possible in time.
        """
        return Locked(self, network, container_id)

    async def lock(
        self,
        name: str,
        container_id: str,
        *,
        shared: bool = False,
        subject: str = "",
        beside: HeldLock | None = None,
    ) -> HeldLock:
        """Wait for one lock.

        :param subject: what to call busy, when it is not the container.
        :param beside: what is held already, and is to be released together with it.
        :raises LockTimeoutError: if it is not free in time.
        """
        await open_folders(self.runner, self.locks.folder)
        started = time.monotonic()
        pause, longest = _POLL
        wanted: HeldLock | None = None
        try:
            while True:
                held = self.locks.try_lock(name, shared=shared) if beside is None else beside.also(name)
                if held is not None:
                    return held
                waited = time.monotonic() - started
                if self.timeout is not None and waited >= self.timeout:
                    raise LockTimeoutError(container_id, self.locks.holder(name), waited, subject=subject)
                wanted = None if shared else self._insist(name, waited, wanted)
                await self.runner.sleep(pause)
                pause = min(pause * 2, longest)
        finally:
            if wanted is not None:
                wanted.release()

    def _insist(self, name: str, waited: float, wanted: HeldLock | None) -> HeldLock | None:
        """Hold off those who would share a lock, for a while, and let them pass for a while.

        A plugin that hangs keeps its lock until its deadline: others must not wait for it as well all that time.
        """
        if waited // _INSIST % 2:
            if wanted is not None:
                wanted.release()
            return None
        return wanted or self.locks.announce(name)


class Locked:
    """The locks of one container and, shared, of its network, for an ``async with`` block."""

    def __init__(self, waiter: LockWaiter, network: str, container_id: str) -> None:
        self._waiter = waiter
        self._network = network
        self._container_id = container_id
        self._held: HeldLock | None = None

    async def __aenter__(self) -> Self:
        # Always in this order, which garbage collection follows too.
        self._held = await self._waiter.lock(network_lock(self._network), self._container_id, shared=True)
        try:
            await self._waiter.lock(container_lock(self._container_id), self._container_id, beside=self._held)
        except BaseException:
            self._held.release()
            raise
        return self

    async def also(self, name: str, subject: str) -> None:
        """Wait for another lock, which ends with these.

        :param subject: what to call busy.
        :raises LockTimeoutError: if it is not free in time.
        """
        await self._waiter.lock(name, self._container_id, subject=subject, beside=self._held)

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            self._held.release()
