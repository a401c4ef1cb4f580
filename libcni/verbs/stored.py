"""Stored attachments, for the next verb and for the caller.

Go counterpart: ``GetNetworkListCachedResult`` and ``GetNetworkListCachedConfig``. Source: SPEC 1.1.0, section 3,
"Caching".
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from libcni.errors import CNIError
from libcni.log import Log
from libcni.protocol.names import check_container_id
from libcni.protocol.versions import PREV_RESULT_ON_DEL_SINCE, is_at_least
from libcni.results.result import result_of
from libcni.storage.namespace import is_no_namespace, was_there_before
from libcni.storage.store import parse_stored

if TYPE_CHECKING:
    from libcni.config.model import NetworkConfigList
    from libcni.protocol.attachment import RuntimeConf
    from libcni.results.result import Result
    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.cache_entry import CacheEntry
    from libcni.storage.store import Known
    from libcni.verbs.context import VerbContext

__all__ = [
    "attachments",
    "cached_config",
    "cached_result",
    "prev_result",
    "prev_result_for_delete",
    "stored_network",
    "stored_runtime_conf",
]

_log = Log("libcni")


async def attachments(context: VerbContext, container_id: str | None = None) -> list[NetworkAttachment]:
    """Return every stored attachment, or those of one container."""
    if container_id is not None:
        check_container_id(container_id)
    return await context.runner.call(functools.partial(context.store.attachments, container_id))


async def cached_result(context: VerbContext, network: NetworkConfigList, rt: RuntimeConf) -> Result | None:
    """Return the stored result in the version of the network, or ``None``."""
    entry = await context.entry(rt.check(network.name))
    if entry is None or not entry.result:
        return None
    return result_of(entry.checked_result(network.cni_version)).as_version(network.cni_version)


async def cached_config(
    context: VerbContext, network: NetworkConfigList, rt: RuntimeConf
) -> tuple[bytes, RuntimeConf] | None:
    """Return the stored configuration document and the arguments of the ADD, or ``None``."""
    entry = await context.entry(rt.check(network.name))
    return None if entry is None or entry.config is None else (entry.config, entry.runtime_conf(rt))


def stored_network(
    known: Known,
    given: NetworkConfigList | None,
) -> tuple[NetworkConfigList | None, CNIError | None]:
    """Return the configuration of the ADD; the given one, and why, when the stored one is damaged."""
    problem: CNIError | None = None
    entry, record = known.entry, known.record
    for config in (entry and entry.config, record and record.config):
        if not config:
            continue
        if given is not None and config == given.raw:
            return given, None
        single = record.is_single if record is not None and record.config == config else None
        try:
            return parse_stored(config, single=single), problem
        except CNIError as error:
            problem = error
    return given, problem


def stored_runtime_conf(known: Known, rt: RuntimeConf) -> RuntimeConf:
    """Return the arguments of the ADD, and the given namespace, or the stored one while it is still the same.

    The entry may be another program's that has deleted what was recorded, and added it with another configuration.
    """
    record, entry = known.recorded, known.entry
    if record is not None:
        return record.runtime_conf(rt.netns)
    netns = rt.netns
    if entry is not None:
        netns = netns or (entry.netns if was_there_before(entry.netns, entry.path) else "")
        rt = entry.runtime_conf(rt)
    return replace(rt, netns="" if is_no_namespace(netns) else netns)


def prev_result(entry: CacheEntry, version: str) -> str:
    """Return the stored result as a request carries it: as it was printed, or converted to the version.

    :raises CacheError: if it is damaged.
    """
    if entry.decoded_result is None:
        return ""
    checked = entry.checked_result(version)
    return entry.result if checked.version == version else result_of(checked).as_version(version).to_json()


def prev_result_for_delete(entry: CacheEntry | None, version: str) -> str:
    """Return the stored result for DEL: empty below 0.4.0, and when it is missing or damaged."""
    if entry is None or not is_at_least(version, PREV_RESULT_ON_DEL_SINCE):
        return ""
    try:
        return prev_result(entry, version)
    except CNIError as error:
        _log.warning("deleting without the stored result, which is damaged: %s", error)
        return ""
