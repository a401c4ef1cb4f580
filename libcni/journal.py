"""Records of what was begun: the attachments that a crash, a kill or a power loss would otherwise leak.

Before the first plugin of an ADD runs, a record is on the disk with all that a DEL needs. States: ``adding`` (added,
once the result is stored too), ``deleting``, ``needs-delete``; a record goes when every plugin has succeeded in
deleting. Go libcni keeps nothing of the kind. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Self

from libcni.errors import CacheError, DamagedFileError
from libcni.record import (
    PLUGIN_OFFSET,
    STATE_OFFSET,
    decode_record,
    encode_record,
    plugin_field,
    record_name,
    state_field,
)
from libcni.storage import write_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.attachment import AttachmentKey
    from libcni.record import Record, State
    from libcni.storage import Folder, Place

__all__ = ["Journal", "OpenRecord"]

_log = logging.getLogger("libcni.cache")

_DAMAGE = (ValueError, KeyError, TypeError, OverflowError)
"""What the text of a damaged record gives."""


class OpenRecord:
    """A record that is changed in place while an operation runs; opened when it is first changed."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._place: Place | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        place, self._place = self._place, None
        if place is not None:
            os.close(place.descriptor)

    def mark(self, state: State) -> bool:
        """Change the state on the disk, and say whether there is a record.

        :raises CacheError: if that fails.
        """
        try:
            return self._patch(state_field(state), STATE_OFFSET, durable=True)
        except OSError as error:
            raise write_error(error, self._folder.path(self._name), "changed") from error

    def note_plugin(self, pid: int) -> None:
        """Note the process that was just started. It need not survive a power loss, which no process does.

        Recovery finds the process without the note too, so that a disk that fails stops no plugin, least of all a DEL.
        """
        started = time.clock_gettime(time.CLOCK_BOOTTIME)
        try:
            self._patch(plugin_field(pid, started), PLUGIN_OFFSET, durable=False)
        except (OSError, CacheError) as error:
            _log.warning("process %d is not noted in %s: %s", pid, self._folder.path(self._name), error)

    def _patch(self, data: bytes, offset: int, *, durable: bool) -> bool:
        if self._place is None:
            self._place = self._folder.open_to_change(self._name)
        if self._place is None:
            return False
        self._folder.patch(self._place, data, offset, durable=durable)
        return True


class Journal:
    """The records of one cache directory."""

    def __init__(self, folder: Folder, damaged: Folder) -> None:
        self.folder = folder
        self.damaged = damaged

    def begin(self, record: Record) -> bool:
        """Write a record, durably when the journal is, and say whether there was none.

        :raises CacheError: if it cannot be written; then nothing may run.
        """
        try:
            self.folder.create(record_name(record.key), encode_record(record))
        except FileExistsError:
            return False
        except OSError as error:
            raise write_error(error, self._path(record.key), "written") from error
        return True

    def withdraw(self, record: Record) -> None:
        """Remove a record whose operation does not begin, if it was written at all; that of another one stays.

        :raises CacheError: if it cannot be removed.
        """
        found = self.find(record.key)
        if found is not None and (found.time, found.boot_id) == (record.time, record.boot_id):
            self.remove(record.key)

    def mark(self, key: AttachmentKey, state: State) -> bool:
        """Change the state of a record on the disk, and say whether there is one.

        :raises CacheError: if that fails.
        """
        with self.open(key) as record:
            return record.mark(state)

    def open(self, key: AttachmentKey) -> OpenRecord:
        """Return what changes the record of an attachment in place; it is to be closed."""
        return OpenRecord(self.folder, record_name(key))

    def find(self, key: AttachmentKey) -> Record | None:
        """Return the record of an attachment, or ``None``.

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
            raise CacheError(self.folder.path(name), f"cannot be read: {error.strerror or error}") from error

    def remove(self, key: AttachmentKey) -> None:
        """Remove a record. It need not be synced: one that comes back after a power loss is finished again.

        :raises CacheError: if it cannot be removed.
        """
        try:
            self.folder.remove(record_name(key))
        except OSError as error:
            raise write_error(error, self._path(key), "removed") from error

    def scan(self) -> Iterator[tuple[str, Record | CacheError]]:
        """Go through the records, with an error in place of each that is damaged.

        :raises CacheError: if the journal cannot be read.
        """
        try:
            for name, data in self.folder.items():
                record = self._scanned(name, data)
                if record is not None:
                    yield name, record
        except OSError as error:
            raise CacheError(self.folder.path(""), f"cannot be read: {error.strerror or error}") from error

    def _scanned(self, name: str, data: bytes) -> Record | CacheError | None:
        try:
            return self._decoded(name, data)
        except CacheError as error:
            return error

    def set_aside(self, name: str) -> None:
        """Move a damaged record to ``<cache_dir>/damaged``, where it blocks nothing.

        It is read once more: it may be another one by now.

        :raises CacheError: if that fails.
        """
        try:
            self._load(name)
        except DamagedFileError:
            pass
        else:
            return
        try:
            self.folder.move_to(self.damaged, name, f"{name[:200]}.{time.time_ns()}")
        except FileNotFoundError:
            return
        except OSError as error:
            raise CacheError(self.folder.path(name), f"cannot be set aside: {error.strerror or error}") from error

    def _path(self, key: AttachmentKey) -> str:
        return self.folder.path(record_name(key))
