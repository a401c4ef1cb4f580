"""What is stored about attachments, and what follows from it for the next verb.

Owns :class:`Store`, which holds the parts of one cache directory, and :class:`Known`, what they say about one
attachment.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from libcni.cache import ResultCache
from libcni.config import NetworkConfigList, parse_network, parse_plugin
from libcni.disk import FileOperations
from libcni.document import parse_object
from libcni.errors import CacheError, CNIError
from libcni.journal import Journal
from libcni.locks import Locks
from libcni.results import check_result
from libcni.slots import SlotFolder
from libcni.storage import Folder
from libcni.versions import PREV_RESULT_ON_DEL_SINCE, is_at_least

if TYPE_CHECKING:
    from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
    from libcni.cache import CacheEntry
    from libcni.config import PluginConfig
    from libcni.journal import OpenRecord
    from libcni.record import Record

__all__ = [
    "Known",
    "Store",
    "network_of",
    "parse_stored",
    "prev_result",
    "prev_result_for_delete",
    "stored_network",
    "stored_runtime_conf",
]

_log = logging.getLogger("libcni")


class Store:
    """Everything that one cache directory holds: results, records, locks, and what was damaged."""

    def __init__(self, cache_dir: str, *, durable: bool, operations: FileOperations | None = None) -> None:
        def folder(name: str, kind: type[Folder] = Folder) -> Folder:
            return kind(cache_dir, name, operations or FileOperations(), durable=durable)

        self.damaged = folder("damaged")
        self.cache = ResultCache(folder("results"), self.damaged)
        self.journal = Journal(folder("journal", SlotFolder), self.damaged)
        # The first folder that is made, and the cache directory with it, is this one: it is made as the others are.
        self.locks = Locks(folder("locks"))

    def known(self, key: AttachmentKey, opened: OpenRecord | None = None) -> Known:
        """Read what is stored about an attachment; nothing that is damaged stops a DEL.

        :param opened: its record, for who holds the lock and is about to change it.
        """
        problems: list[CacheError] = []
        entry = record = None
        has_file = False
        try:
            entry = self.cache.find(key)
            has_file = entry is not None
        except CacheError as error:
            problems.append(error)
            has_file = True
        try:
            record = self.journal.find(key) if opened is None else opened.find()
        except CacheError as error:
            problems.append(error)
        return Known(entry, record, tuple(problems), has_file)

    def sweep(self) -> None:
        """Remove the temporary files of processes that are gone.

        :raises CacheError: if a folder cannot be read.
        """
        for folder in (self.cache.folder, self.journal.folder):
            try:
                folder.remove_temporary()
            except OSError as error:
                raise CacheError(folder.path(""), f"cannot be swept: {error.strerror or error}") from error


class Known(NamedTuple):
    """What is stored about an attachment; a damaged file counts as nothing, and is kept as a problem."""

    entry: CacheEntry | None
    record: Record | None
    problems: tuple[CacheError, ...] = ()
    has_file: bool = False
    """Whether there is a file for the result, be it one that cannot be read."""

    def attachment(self) -> NetworkAttachment | None:
        """Return it in its public form, with the result if that can be read."""
        if self.entry is not None:
            try:
                return self.entry.attachment()
            except CNIError:
                return replace(self.entry, decoded_result=None).attachment()
        return None if self.record is None else self.record.attachment()


def network_of(plugin: PluginConfig) -> NetworkConfigList:
    """Return a network with that one plugin, which is stored as the plugin's own document, as Go libcni does."""
    return NetworkConfigList(name=plugin.name, cni_version=plugin.version, plugins=(plugin,), raw=plugin.raw)


def parse_stored(config: bytes) -> NetworkConfigList:
    """Decode a stored configuration, which is that of a list or of a single plugin.

    :raises CNIError: if it is damaged.
    """
    return parse_network(config) if b'"plugins"' in config and _is_list(config) else network_of(parse_plugin(config))


def _is_list(config: bytes) -> bool:
    try:
        return "type" not in parse_object(config)
    except ValueError:
        return True


def stored_network(
    known: Known,
    given: NetworkConfigList | None,
) -> tuple[NetworkConfigList | None, CNIError | None]:
    """Return the configuration of the ADD; the given one, and why, when the stored one is damaged."""
    problem: CNIError | None = None
    for config in (known.entry and known.entry.config, known.record and known.record.config):
        if not config:
            continue
        if given is not None and config == given.raw:
            return given, None
        try:
            return parse_stored(config), problem
        except CNIError as error:
            problem = error
    return given, problem


def stored_runtime_conf(known: Known, rt: RuntimeConf) -> RuntimeConf:
    """Return the arguments of the ADD, and the given namespace, or the stored one while it is still the same."""
    record, entry = known.record, known.entry
    if record is not None:
        return record.runtime_conf(rt.netns)
    if entry is not None:
        return replace(entry.runtime_conf(rt), netns=rt.netns or entry.netns)
    return rt


def prev_result(entry: CacheEntry, version: str) -> str:
    """Return the stored result as a request carries it: as it was printed, or converted to the version."""
    if entry.decoded_result is None:
        return ""
    checked = check_result(entry.decoded_result, version)
    return entry.result if checked.version == version else checked.result().as_version(version).to_json()


def prev_result_for_delete(entry: CacheEntry | None, version: str) -> str:
    """Return the stored result for DEL: empty below 0.4.0, and when it is missing or damaged."""
    if entry is None or not is_at_least(version, PREV_RESULT_ON_DEL_SINCE):
        return ""
    try:
        return prev_result(entry, version)
    except CNIError as error:
        _log.warning("deleting without the stored result, which is damaged: %s", error)
        return ""
