"""The keep-list of garbage collection: the attachments that are in use, and must stay.

Go counterpart: ``GCArgs.ValidAttachments``, which is copied before anything is locked. Source: SPEC 1.1.0, section 3,
"Garbage-collecting a network".
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from libcni.errors import InvalidParameterError
from libcni.protocol.attachment import GCAttachment
from libcni.protocol.cni_args import check_pairs
from libcni.protocol.names import check_container_id, check_interface_name

__all__ = ["KeepList", "KeepSource", "KeptAttachments"]

Pairs: TypeAlias = Iterable[tuple[str, str]]
KeepList: TypeAlias = Pairs | Callable[[], Pairs | Awaitable[Pairs]]
"""Pairs of container id and interface name, or a function that returns them and is called when the locks are held."""


@dataclass(frozen=True, slots=True)
class KeptAttachments:
    """The attachments in use, and when that was known: what was added later is in use as well.

    ``since_boot`` and ``wall`` are seconds, of the clock since boot and of the wall clock.
    """

    pairs: frozenset[GCAttachment]
    since_boot: float
    wall: float


class KeepSource:
    """The keep-list of one call, an iterable or a callable; an iterable is checked at once.

    :raises InvalidParameterError: if it makes no sense.
    """

    def __init__(self, given: KeepList) -> None:
        self._read = given if callable(given) else None
        self._kept = None if callable(given) else _known_now(given)

    async def read(self) -> KeptAttachments:
        """Return the attachments in use: those of the iterable, or of a call made now.

        :raises InvalidParameterError: if the callable returns something else.
        """
        if self._kept is not None:
            return self._kept
        pairs = () if self._read is None else self._read()
        return _known_now(await pairs if isinstance(pairs, Awaitable) else pairs)


def _known_now(pairs: Pairs) -> KeptAttachments:
    if not isinstance(pairs, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without types
        raise InvalidParameterError("valid_attachments", pairs, "is neither an iterable of pairs nor a function")
    # Read first: what is added from here on may be missing in the list.
    since_boot, wall = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    # What is not understood here would be deleted.
    kept = frozenset(GCAttachment(*pair) for pair in check_pairs("valid_attachments", pairs))
    for item in kept:
        check_container_id(item.container_id)
        check_interface_name(item.ifname)
    return KeptAttachments(kept, since_boot, wall)
