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
from libcni.frozen import array_of, object_of
from libcni.journal import Journal
from libcni.locks import Locks
from libcni.slots import SlotFolder
from libcni.storage import Folder
from libcni.versions import PREV_RESULT_ON_DEL_SINCE, is_at_least

if TYPE_CHECKING:
    from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
    from libcni.config import PluginConfig
    from libcni.entry import CacheEntry
    from libcni.journal import OpenRecord
    from libcni.record import Record

__all__ = [
    "Known",
    "Store",
    "is_single",
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


def is_single(network: NetworkConfigList) -> bool:
    """Say whether a network is one that :func:`network_of` makes."""
    return len(network.plugins) == 1 and network.raw == network.plugins[0].raw


def parse_stored(config: bytes, *, single: bool | None = None) -> NetworkConfigList:
    """Decode a stored configuration, which is that of a list or of a single plugin.

    :param single: which of both it is, where that is known.
    :raises CNIError: if it is damaged.
    """
    if single is None:
        single = not _is_list(config)
    return network_of(parse_plugin(config)) if single else parse_network(config)


def _is_list(config: bytes) -> bool:
    """Tell a list by its plugins: Go libcni writes a list as it was given, with a stray type perhaps."""
    if b'"plugins"' not in config:
        return False
    try:
        document = parse_object(config)
    except ValueError:
        return True
    plugins = array_of(document.get("plugins"))
    return "type" not in document or any(isinstance(object_of(plugin).get("type"), str) for plugin in plugins)


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
    record, entry = known.record, known.entry
    if record is not None and (entry is None or entry.config in {None, record.config}):
        return record.runtime_conf(rt.netns)
    if entry is not None:
        return replace(entry.runtime_conf(rt), netns=rt.netns or entry.netns)
    return rt


def prev_result(entry: CacheEntry, version: str) -> str:
    """Return the stored result as a request carries it: as it was printed, or converted to the version.

    :raises CacheError: if it is damaged.
    """
    if entry.decoded_result is None:
        return ""
    checked = entry.checked_result(version)
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
