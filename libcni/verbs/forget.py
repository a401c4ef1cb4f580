"""Giving attachments up: what is stored about them goes, and no plugin runs.

For what no DEL can delete any more: a plugin that is gone for good, a configuration that every verb refuses. It needs
neither plugins nor configurations. Go counterpart: none. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering": one
operation at a time on a container.
"""

from __future__ import annotations

import functools
from contextlib import suppress
from typing import TYPE_CHECKING

from libcni.errors import DamagedFileError, InvalidParameterError
from libcni.invoke.steps import finish
from libcni.log import Log
from libcni.protocol.attachment import AttachmentKey
from libcni.protocol.names import check_container_id, check_interface_name, check_network_name
from libcni.storage.attachment import NetworkAttachment
from libcni.storage.journal_record import record_name
from libcni.storage.store import Known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.invoke.steps import Steps
    from libcni.storage.cache_entry import CacheEntry
    from libcni.storage.journal import OpenRecord
    from libcni.storage.journal_record import Record
    from libcni.storage.store import Store
    from libcni.verbs.context import VerbContext

__all__ = ["forget", "stored_keys"]

_log = Log("libcni")


async def forget(
    context: VerbContext, container_id: str, *, ifname: str | None, network: str | None
) -> list[NetworkAttachment]:
    """Give up what is stored about attachments of a container, and return them, sorted.

    :param ifname: of the one interface, ``None`` for all.
    :param network: name of the one network, ``None`` for all.
    :raises InvalidParameterError: if a name is not allowed.
    :raises LockTimeoutError: if the container, or one of the networks, is busy for too long.
    :raises CacheError: if what is stored cannot be read or removed.
    """
    check_container_id(container_id)
    if ifname is not None:
        check_interface_name(ifname)
    if network is not None:
        check_network_name(network)
    find = functools.partial(stored_keys, context.store, container_id, ifname=ifname, network=network)
    forgotten: list[NetworkAttachment] = []
    for name, keys in _by_network(await context.runner.call(find)):
        async with context.waiter.locked(name, container_id):
            for key in keys:
                with context.store.journal.open(key) as opened:
                    giving_up = functools.partial(finish, _giving_up(context.store, key, opened))
                    attachment = await context.runner.call(giving_up)  # to set a file aside may take long
                if attachment is not None:
                    forgotten.append(attachment)
                    _warn(attachment)
    return forgotten


def stored_keys(
    store: Store,
    container_id: str,
    *,
    ifname: str | None = None,
    network: str | None = None,
    is_quick: bool = False,
) -> set[AttachmentKey]:
    """Return the attachments of a container that may have something stored, as far as names or contents tell.

    :raises CacheError: if the cache directory cannot be read.
    """
    contents = store.cache.scan(container_id, is_quick=is_quick)
    found = {item.key for item in contents.known()}
    names = [item.name for item in contents.damaged] + store.journal.names_of(container_id)
    found |= {key for name in names if (key := _key_of(name)) is not None}
    if ifname is not None and network is not None:
        found.add(AttachmentKey(network, container_id, ifname))
    wanted = {key for key in found if key.container_id == container_id}
    return {key for key in wanted if ifname in {None, key.ifname} and network in {None, key.network}}


def _key_of(name: str) -> AttachmentKey | None:
    """Return the attachment that the name of a file can only be of, or ``None``.

    >>> _key_of("net@my-box@eth0")
    AttachmentKey(network='net', container_id='my-box', ifname='eth0')
    >>> _key_of("net-box-eth0")
    AttachmentKey(network='net', container_id='box', ifname='eth0')
    >>> _key_of("net-my-box-eth0")
    """
    # '@' is not allowed in the first two parts, '-' is allowed in all.
    parts = name.split("@", 2) if "@" in name else name.split("-")
    if len(parts) == len(AttachmentKey._fields):
        key = AttachmentKey(*parts)
        with suppress(InvalidParameterError):
            key.check()
            return key
    return None


def _by_network(keys: Iterable[AttachmentKey]) -> list[tuple[str, list[AttachmentKey]]]:
    networks: dict[str, list[AttachmentKey]] = {}
    for key in sorted(keys):
        networks.setdefault(key.network, []).append(key)
    return list(networks.items())


def _giving_up(store: Store, key: AttachmentKey, opened: OpenRecord) -> Steps[NetworkAttachment | None]:
    """Remove what is stored about an attachment, and return it; the lock of its container must be held.

    The record goes last: after a crash between, recovery or another call still finds it.

    :raises CacheError: if something cannot be read, set aside or removed.
    """
    entry, has_file = _stored_entry(store, key)
    record, has_record = _stored_record(opened)
    if has_file and _may_be_of_another(store, key, entry):
        entry, has_file = None, (yield from store.cache.removing_own(key))
    elif has_file:
        store.cache.set_aside_of(key)
        yield from store.cache.removing(key)
    if record is not None:
        opened.remove()
    elif has_record:
        store.journal.set_aside(record_name(key))
    if not (has_file or has_record):
        return None
    attachment = Known(entry, record).attachment()
    return attachment or NetworkAttachment(key.container_id, key.network, key.ifname, config=b"")


def _stored_entry(store: Store, key: AttachmentKey) -> tuple[CacheEntry | None, bool]:
    """Return the stored result, and whether there is a file for it, be it damaged."""
    try:
        entry = store.cache.find(key)
    except DamagedFileError:
        return None, True
    return entry, entry is not None


def _stored_record(opened: OpenRecord) -> tuple[Record | None, bool]:
    """Return the record, and whether there is one, be it damaged."""
    try:
        record = opened.find()
    except DamagedFileError:
        return None, True
    return record, record is not None


def _may_be_of_another(store: Store, key: AttachmentKey, entry: CacheEntry | None) -> bool:
    """Return whether a file that does not say whose it is has the name of another attachment on record, too.

    Network ``a-b`` with container ``c`` and network ``a`` with container ``b-c`` share a file name, and that is all
    that a damaged file or one of an old version of Go libcni has.
    """
    if entry is not None and entry.config is not None:
        return False
    others = {other for name, _ in store.journal.scan() if (other := _key_of(name)) is not None} - {key}
    return any("-".join(other) == "-".join(key) for other in others)


def _warn(attachment: NetworkAttachment) -> None:
    """Log what may be left behind: nothing else knows of it from now on."""
    place = attachment.netns or "unknown"
    _log.warning(
        "forgot %s: no plugin has deleted it; its interface (namespace %s), addresses and rules may still be there",
        "/".join(attachment.key),
        place,
    )
