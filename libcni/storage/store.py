"""The parts of one cache directory together.

Owns :class:`Store`, which holds the parts of one cache directory, and :class:`Known`, what they say about one
attachment.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from libcni.config.model import NetworkConfigList
from libcni.config.parse import parse_network, parse_plugin
from libcni.errors import CacheError, CNIError, InvalidParameterError
from libcni.jsontext.decode import parse_object
from libcni.jsontext.frozen import array_of, object_of
from libcni.log import Log
from libcni.storage.cache_entry import members_of
from libcni.storage.folder import Folder
from libcni.storage.journal import Journal
from libcni.storage.journal_record import State
from libcni.storage.locks import Locks, container_lock
from libcni.storage.open_file import READ_LIMIT
from libcni.storage.operations import FileOperations
from libcni.storage.result_cache import ResultCache
from libcni.storage.slot_file import SlotFolder

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from libcni.config.model import PluginConfig
    from libcni.protocol.attachment import AttachmentKey, RuntimeConf
    from libcni.storage.attachment import NetworkAttachment
    from libcni.storage.cache_entry import CacheEntry
    from libcni.storage.journal import OpenRecord
    from libcni.storage.journal_record import Record

__all__ = ["STORED_LIMIT", "Known", "Store", "is_single", "network_of", "parse_stored"]

_log = Log("libcni")

STORED_LIMIT = READ_LIMIT // 2
"""Bytes of what is stored before the result; plugins may print 16 MiB."""


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

    def attachments(self, container_id: str | None = None) -> list[NetworkAttachment]:
        """Return the stored attachments, or those of one container, each in its state.

        :raises CacheError: if a folder cannot be read.
        """
        found = self.cache.attachments(container_id)
        return self.in_their_states(found, self.journal.unfinished(container_id))

    def in_their_states(
        self, attachments: Sequence[NetworkAttachment], unfinished: Container[AttachmentKey]
    ) -> list[NetworkAttachment]:
        """Return attachments in their states: ``unfinished`` are those whose ADD or DEL has not ended."""
        holders = self.locks.holders({container_lock(item.container_id) for item in attachments})

        def in_its_state(item: NetworkAttachment) -> NetworkAttachment:
            lock = container_lock(item.container_id)
            if lock in holders:
                return item.in_state("running", holders[lock])
            return item.in_state("unfinished") if item.key in unfinished else item

        return [in_its_state(item) for item in attachments]

    def unfinished(self) -> list[Record]:
        """Return the records of the ADDs and DELs that have not ended, in the order of their keys.

        :raises CacheError: if a folder cannot be read.
        """
        found: list[Record] = []
        for _, item in self.journal.scan():
            if isinstance(item, CacheError):
                _log.warning("record left out: %s", item)
            elif self.is_unfinished(item):
                found.append(item)
        return sorted(found, key=lambda record: record.key)

    def is_unfinished(self, record: Record) -> bool:
        """Return whether the ADD or DEL of a record has not ended.

        :raises CacheError: if the results cannot be read.
        """
        return record.is_unfinished(has_result=record.state is State.ADDING and self.cache.has_file(record.key))

    def check_fits(self, key: AttachmentKey, rt: RuntimeConf, config: bytes) -> None:
        """Refuse names, arguments and configurations that cannot be stored and read again, before anything runs.

        :raises InvalidParameterError: if they are too long or too large.
        """
        self.cache.check_name(key)
        size = sum(len(text) for _, text in members_of(key, rt, config))
        if size > STORED_LIMIT:
            reason = f"with the configuration they are {size} bytes, more than the {STORED_LIMIT} that are stored"
            raise InvalidParameterError("capability_args", sorted(rt.capability_args), reason)

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
    """The stored parts of one attachment; a damaged file counts as nothing, and is kept as a problem."""

    entry: CacheEntry | None
    record: Record | None
    problems: tuple[CacheError, ...] = ()
    has_file: bool = False
    """Whether there is a file for the result, be it one that cannot be read."""

    @property
    def recorded(self) -> Record | None:
        """The record, unless the result is of another program that has deleted what was recorded, and added it anew."""
        record, entry = self.record, self.entry
        if record is None or entry is None or entry.config is None:
            return record
        mine = record.config, record.netns, tuple(record.args)
        if mine != (entry.config, entry.netns, tuple(entry.args)):
            return None
        return None if record.added is not None and entry.is_written_after(record.added.at) else record

    @property
    def is_unfinished_add(self) -> bool:
        """Whether its ADD was begun, and has no result."""
        return self.record is not None and not self.has_file and self.record.is_unfinished(has_result=False)

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
    """Return whether a network is one that :func:`network_of` makes."""
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
    """Return whether a stored configuration is a list; Go libcni writes one as it was given, a stray type with it."""
    if b'"plugins"' not in config:
        return False
    try:
        document = parse_object(config)
    except ValueError:
        return True
    plugins = array_of(document.get("plugins"))
    return "type" not in document or any(isinstance(object_of(plugin).get("type"), str) for plugin in plugins)
