"""Records of what was begun: the attachments that a crash, a kill or a power loss would otherwise leak.

Before the first plugin of an ADD gets its request, a record is on the disk with all that a DEL needs. States:
``adding`` (added, once the result is stored too), ``deleting``, ``needs-delete``; a record goes when every plugin has
succeeded in deleting. Go libcni keeps nothing of the kind. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from libcni.errors import CacheError, DamagedFileError
from libcni.log import Log
from libcni.storage.journal_record import (
    PLUGIN_OFFSET,
    STATE_OFFSET,
    Added,
    added_field,
    decode_record,
    encode_record,
    is_to_be_deleted,
    plugin_field,
    record_in_state_of,
    record_name,
    settled_part,
    state_field,
)
from libcni.storage.namespace import start_of_process
from libcni.storage.open_file import read_error, write_error
from libcni.storage.recent import Recent
from libcni.storage.sync import finish

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.protocol.attachment import AttachmentKey
    from libcni.storage.folder import Folder
    from libcni.storage.journal_record import Record, State
    from libcni.storage.open_file import OpenFile
    from libcni.storage.sync import Steps

__all__ = ["Journal", "OpenRecord"]

_log = Log("libcni.cache")

_DAMAGE = (ValueError, KeyError, TypeError, OverflowError)
"""The errors of decoding a damaged record."""


class OpenRecord:
    """The record of one attachment, while an operation on it runs; opened when it is first needed.

    Its user holds the lock of the container.
    """

    def __init__(self, journal: Journal, key: AttachmentKey) -> None:
        self._journal = journal
        self._folder = journal.folder
        self._recent = journal.recent
        self._name = record_name(key)
        self._opened: OpenFile | None = None
        self.is_settled = True
        """Whether what was written last is on the disk, where that is asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _path(self) -> str:
        return self._folder.path(self._name)

    def _file(self) -> OpenFile | None:
        if self._opened is None:
            self._opened = self._folder.open_file(self._name)
        return self._opened

    def beginning(self, record: Record, *, in_place_of: State | None = None) -> Steps[bool]:
        """Write it, and say whether there was none; it is on the disk after :meth:`settling`.

        :param in_place_of: a state in which another record only waits to be replaced.
        :raises CacheError: if it cannot be written; then nothing may run.
        """
        if (yield from self._creating(record)):
            return True
        if in_place_of is None or not self._is_in(in_place_of):
            return False
        self.remove()
        return (yield from self._creating(record))

    def _creating(self, record: Record) -> Steps[bool]:
        text = encode_record(record)
        try:
            self._opened = yield from self._folder.creating_opened(self._name, text)
        except FileExistsError:
            return False
        except OSError as error:
            raise write_error(error, self._path, "written") from error
        self._recent.keep(self._name, settled_part(text), record)
        self.is_settled = not self._folder.durable
        return True

    def _is_in(self, state: State) -> bool:
        try:
            found = self.find()
        except DamagedFileError:
            return False
        return found is not None and found.state is state

    def find(self) -> Record | None:
        """Return it, or ``None``.

        :raises CacheError: if it cannot be read or is damaged.
        """
        try:
            file = self._file()
            return None if file is None else self._decoded(file.read())
        except OSError as error:
            raise read_error(error, self._path) from error
        except _DAMAGE as error:
            raise DamagedFileError(self._path, f"damaged record: {error}") from None

    def is_unfinished(self, *, has_result: bool) -> bool:
        """Return whether it is that of an ADD or DEL that did not end; a damaged one may be.

        :param has_result: as for :meth:`Record.is_unfinished`.
        :raises CacheError: if it cannot be read.
        """
        try:
            found = self.find()
        except DamagedFileError:
            return True
        return found is not None and found.is_unfinished(has_result=has_result)

    def _decoded(self, data: bytes) -> Record:
        known = self._recent.get(self._name, settled_part(data))
        return decode_record(data, self._name) if known is None else record_in_state_of(data, known)

    def mark(self, state: State) -> bool:
        """Change its state, and say whether there is a record; it is on the disk after :meth:`settling`.

        :raises CacheError: if that fails.
        """
        try:
            file = self._file()
            if file is not None:
                file.patch(state_field(state), STATE_OFFSET)
                self.is_settled = not self._folder.durable
        except OSError as error:
            raise write_error(error, self._path, "changed") from error
        return file is not None

    def settle(self) -> None:
        """Bring what was written last to the disk, as :meth:`settling`."""
        finish(self.settling())

    def settling(self) -> Steps[None]:
        """Bring what was written last to the disk, when the journal is durable: nothing may come of it before.

        :raises CacheError: if that fails.
        """
        if self.is_settled or self._opened is None:
            return
        try:
            yield from self._opened.syncing()
        except OSError as error:
            raise write_error(error, self._path, "synced") from error
        self.is_settled = True

    def note_added(self, ifindex: int | None) -> None:
        """Note that the result is stored, which tells so too: a disk that fails now undoes no ADD.

        :param ifindex: of the interface, as in :class:`libcni.storage.journal_record.Added`.
        """
        added = Added(time.clock_gettime(time.CLOCK_BOOTTIME), ifindex)
        self._note(added_field(added), STATE_OFFSET, "the end of the ADD")

    def note_plugin(self, pid: int) -> None:
        """Note the process that was just started. It need not survive a power loss, which no process does.

        Recovery finds the process without the note too, so that a disk that fails stops no plugin, least of all a DEL.
        """
        # Its own start time, whenever it is noted: with its id, that is what tells it from a later process.
        ticks = start_of_process(pid)
        started = ticks / os.sysconf("SC_CLK_TCK") if ticks else time.clock_gettime(time.CLOCK_BOOTTIME)
        self._note(plugin_field(pid, started), PLUGIN_OFFSET, f"process {pid}")

    def _note(self, data: bytes, offset: int, what: str) -> None:
        try:
            file = self._file()
            if file is not None:
                file.patch(data, offset)
        except (OSError, CacheError) as error:
            _log.warning("%s is not noted in %s: %s", what, self._path, error)

    def withdraw(self, record: Record) -> None:
        """Remove it if it is that of an operation that does not begin; that of another one stays.

        :raises CacheError: if it cannot be removed.
        """
        found = self.find()
        if found is not None and (found.time, found.boot_id) == (record.time, record.boot_id):
            self.remove()

    def remove(self) -> None:
        """Remove it. It need not be synced: one that comes back after a power loss is finished again.

        :raises CacheError: if it cannot be removed.
        """
        try:
            file = self._file()
            if file is not None:
                file.remove()
                self._recent.forget(self._name)
        except OSError as error:
            if isinstance(read_error(error, self._path), DamagedFileError):  # a folder or a link in its place, say
                self._journal.set_aside(self._name)
                return
            raise write_error(error, self._path, "removed") from error
        self._close()


class Journal:
    """The records of one cache directory."""

    def __init__(self, folder: Folder, damaged: Folder) -> None:
        self.folder = folder
        self.damaged = damaged
        self.recent: Recent[Record] = Recent()
        """The records that this process has written."""

    def open(self, key: AttachmentKey) -> OpenRecord:
        """Return the record of an attachment, to be used in a ``with`` block, be there one or not."""
        return OpenRecord(self, key)

    def find(self, key: AttachmentKey) -> Record | None:
        """Return the record of an attachment, or ``None``, as :meth:`OpenRecord.find`; no lock need be held.

        :raises CacheError: if it cannot be read or is damaged.
        """
        return self._load(record_name(key))

    def _load(self, name: str) -> Record | None:
        return self._decoded(name, self._read(name))

    def _decoded(self, name: str, data: bytes | None) -> Record | None:
        while data is not None:
            try:
                return decode_record(data, name)
            except _DAMAGE as error:
                # It may have been removed and written anew, or changed in place, while it was read.
                again = self._read(name)
                if again == data:
                    raise DamagedFileError(self.folder.path(name), f"damaged record: {error}") from None
                data = again
        return None

    def _read(self, name: str) -> bytes | None:
        try:
            return self.folder.read(name)
        except OSError as error:
            raise read_error(error, self.folder.path(name)) from error

    def scan(self) -> Iterator[tuple[str, Record | CacheError]]:
        """Go through the records, with an error in place of each that is damaged or cannot be read.

        :raises CacheError: if the journal cannot be read.
        """
        try:
            for name, data in self.folder.items():
                record = self._scanned(name, data)
                if record is not None:
                    yield name, record
        except OSError as error:
            raise CacheError(self.folder.path(""), f"cannot be read: {error.strerror or error}") from error

    def unfinished(self, container_id: str | None = None) -> set[AttachmentKey]:
        """Return the keys of the attachments, or of those of one container, whose DEL was begun or is needed.

        :raises CacheError: if the journal cannot be read.
        """
        found: set[AttachmentKey] = set()
        try:
            for name, data in self._items(container_id):
                if not isinstance(data, bytes) or not is_to_be_deleted(data):
                    continue
                record = self._scanned(name, data)
                if not isinstance(record, CacheError | None):
                    found.add(record.key)
        except OSError as error:
            raise CacheError(self.folder.path(""), f"cannot be read: {error.strerror or error}") from error
        return found

    def _items(self, container_id: str | None) -> Iterator[tuple[str, bytes | OSError | None]]:
        """Go through the texts of the records, or of those that may be of one container."""
        if container_id is None:
            yield from self.folder.items()
        else:
            for name in self.folder.names_with(f"@{container_id}@"):
                try:
                    yield name, self.folder.read(name)
                except OSError as error:  # of one file: it hides no other
                    yield name, error

    def _scanned(self, name: str, data: bytes | OSError) -> Record | CacheError | None:
        if isinstance(data, OSError):
            return read_error(data, self.folder.path(name))
        try:
            return self._decoded(name, data)
        except CacheError as error:
            return error

    def of_interface(self, container_id: str, ifname: str) -> list[Record]:
        """Return the records of an interface of a container, of whatever network; what is damaged is left out.

        :raises CacheError: if the journal cannot be read.
        """
        records: list[Record] = []
        for name in self.names_of(container_id):
            with suppress(DamagedFileError):
                record = self._load(name) if name.endswith(f"@{ifname}") else None
                if record is not None and record.key[1:] == (container_id, ifname):
                    records.append(record)
        return records

    def names_of(self, container_id: str) -> list[str]:
        """Return the names of the records that may be of a container; the others are not read.

        :raises CacheError: if the journal cannot be read.
        """
        try:
            return self.folder.names_with(f"@{container_id}@")
        except OSError as error:
            raise CacheError(self.folder.path(""), f"cannot be read: {error.strerror or error}") from error

    def set_aside(self, name: str) -> None:
        """Move a damaged record to ``<cache_dir>/damaged``, where it blocks nothing.

        It is read once more: it may be another one by now.

        :raises CacheError: if that fails.
        """
        try:
            self._load(name)
        except DamagedFileError:
            self.folder.set_aside(name, self.damaged)
