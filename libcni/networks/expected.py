"""The containers that the caller says exist: ids, or pairs with an interface name; a list, or a function that reads it.

A function is called when the locks are held, so that no container is missing in the list because it is new.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from libcni.errors import InvalidParameterError
from libcni.protocol.attachment import GCAttachment
from libcni.protocol.cni_args import check_pairs
from libcni.protocol.names import check_container_id, check_interface_name

if TYPE_CHECKING:
    from libcni.protocol.attachment import AttachmentKey

__all__ = ["Expected", "ExpectedAttachments", "read_expected", "read_now", "read_once"]

Items: TypeAlias = Iterable[str | tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ExpectedAttachments:
    """The containers of which everything exists, and single attachments of others."""

    containers: frozenset[str]
    pairs: frozenset[GCAttachment]

    def has(self, key: AttachmentKey) -> bool:
        """Return whether an attachment is one of them."""
        return key.container_id in self.containers or key[1:] in self.pairs


Expected: TypeAlias = Items | ExpectedAttachments | Callable[[], Items | Awaitable[Items]]
"""Container ids, or pairs of container id and interface name; or a function that returns them."""


async def read_expected(given: Expected) -> ExpectedAttachments:
    """Return what exists, of an iterable or of a call made now.

    :raises InvalidParameterError: if an item is neither a container id nor a pair.
    """
    if isinstance(given, ExpectedAttachments):
        return given
    items = given() if callable(given) else given
    return read_now(await items if isinstance(items, Awaitable) else items)


def read_once(given: Expected) -> Expected:
    """Return what can be read several times: an iterable is read now, a function whenever it is needed."""
    return given if callable(given) or isinstance(given, ExpectedAttachments) else read_now(given)


def read_now(items: Items) -> ExpectedAttachments:
    """Return what exists, of an iterable.

    :raises InvalidParameterError: if it is none, or an item is neither a container id nor a pair.
    """
    if isinstance(items, str) or not isinstance(items, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers without types
        raise InvalidParameterError("expected", items, "is neither an iterable nor a function")
    containers: set[str] = set()
    pairs: set[GCAttachment] = set()
    for item in items:
        if isinstance(item, str):
            check_container_id(item)
            containers.add(item)
        else:
            pairs.add(_pair(item))
    return ExpectedAttachments(frozenset(containers), frozenset(pairs))


def _pair(item: tuple[str, str]) -> GCAttachment:
    pair = GCAttachment(*check_pairs("expected", [item])[0])
    check_container_id(pair.container_id)
    check_interface_name(pair.ifname)
    return pair
