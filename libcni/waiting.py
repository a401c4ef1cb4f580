"""Waiting for locks: an operation tries, sleeps through its runner, and tries again, until its patience ends.

Go counterpart: none. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering": no two operations at once on one container.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from libcni.errors import LockTimeoutError
from libcni.locks import container_lock, network_lock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from libcni.invoke.plugin import Runner
    from libcni.locks import HeldLock, Locks

__all__ = ["LockWaiter"]

_POLL = (0.001, 0.05)
"""Seconds between two tries: the first, doubled up to the last."""

_INSIST = 2.0
"""Seconds: longer than nearly every operation, and short for one that waits."""


class LockWaiter:
    """Takes locks for operations.

    :param timeout: seconds to wait for one lock, ``None`` for no limit.
    """

    def __init__(self, runner: Runner, locks: Locks, timeout: float | None) -> None:
        self.runner = runner
        self.locks = locks
        self.timeout = timeout

    @contextlib.asynccontextmanager
    async def locked(self, network: str, container_id: str) -> AsyncGenerator[None]:
        """Hold off garbage collection of the network and everything else on the container.

        :raises LockTimeoutError: if that is not possible in time.
        """
        # Always in this order, which garbage collection follows too.
        held = await self.lock(network_lock(network), container_id, shared=True)
        try:
            await self.lock(container_lock(container_id), container_id, beside=held)
            yield
        finally:
            held.release()

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
