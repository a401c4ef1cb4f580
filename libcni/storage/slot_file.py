"""A folder whose small files are slots of one file: to make and to remove one is to write where there is room already.

To make a file costs a file system many times what it costs to write over one, and its name takes a sync of its own. So
what fits goes into a slot of the file ``slots``, which is found by the name; what does not, or finds no slot free, is
a file of its own in the same folder. Go counterpart: none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple, Self

from libcni.storage.byte_locks import lock_byte, unlock_bytes
from libcni.storage.folder import Folder
from libcni.storage.open_file import OpenFile, open_own
from libcni.storage.operations import FILE_MODE
from libcni.storage.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from libcni.storage.operations import OpenFolder
    from libcni.storage.sync import Steps

__all__ = ["SLOT_SIZE", "SlotFolder"]

SLOT_SIZE = 4096
"""Bytes."""

_FILE = "slots"
_LEVELS = (509, 4093, 16381, 65521)
"""Slots by level. A name has four in each and takes the first that is free, so that few names need little of the file.
Primes: names that differ in a few characters are spread evenly."""

_PROBES = 4
_STARTS = (0, *accumulate(count + _PROBES - 1 for count in _LEVELS))
_STARTS_AND_COUNTS = tuple(zip(_STARTS, _LEVELS, strict=False))
_PROBED = (_PROBES - 1) * SLOT_SIZE
_FREE = b"\0"
_EMPTY = (b"", _FREE)
"""How a free slot begins: behind the end of the file, a hole in it, or removed."""
_ALL_FREE = bytes(SLOT_SIZE)
_END_OF_NAME = b"\n"
_SEPARATOR = "@"
_NAME_LIMIT = 256
_SCAN_SIZE = 256 * SLOT_SIZE
_BY_NUMBER = re.compile(r"slots\[([0-9]{1,6})\]")


class _Slot(NamedTuple):
    """A slot that is not free: its number, and what stands in it: a name, the end of a line, the content."""

    number: int
    data: bytes

    @property
    def name(self) -> str:
        """The name of what it holds; a slot that no name leads to is called by its number."""
        start = b"".join(self.data[:_NAME_LIMIT].partition(_END_OF_NAME)[:2])
        name = start.decode("utf-8", "replace").removesuffix("\n")
        is_here = self.number in {first + probe for first in _first_slots(name) for probe in range(_PROBES)}
        return name if is_here and start == _start(name) else f"{_FILE}[{self.number}]"

    @property
    def content(self) -> bytes:
        """The content behind its name."""
        return _without_free(self.data.partition(_END_OF_NAME)[2])


class _SlotFile:
    """The file of the slots, open; its opener closes it."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.descriptor = descriptor
        self.size = size
        """Bytes, when it was opened: only its writer looks for a name that was not there then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)

    def look(self, name: str) -> tuple[int | None, list[int]]:
        """Return the number of the slot that has the name, or ``None`` and the numbers of those that it may take."""
        start = _start(name)
        free: list[int] = []
        for first in _first_slots(name):
            offset = first * SLOT_SIZE
            if offset >= self.size:  # and free
                free += range(first, first + _PROBES)
                continue
            # Neighbours, read at once.
            data = os.pread(self.descriptor, _PROBED + len(start), offset)
            for probe in range(_PROBES):
                at = probe * SLOT_SIZE
                if data.startswith(start, at):
                    return first + probe, []
                if data[at : at + 1] in _EMPTY:
                    free.append(first + probe)
        return self._by_number(name), free

    def names_with(self, part: str) -> list[str]:
        """Return the names that contain a part, of those that are placed by it."""
        numbers = [first + probe for first in _first_slots(part) for probe in range(_PROBES)]
        places = [number for number in numbers if number * SLOT_SIZE < self.size]
        slots = [_Slot(place, os.pread(self.descriptor, _NAME_LIMIT, place * SLOT_SIZE)) for place in places]
        return [slot.name for slot in slots if slot.data[:1] not in _EMPTY and part in slot.name]

    def read(self, number: int) -> _Slot:
        """Return what stands in a slot."""
        return _Slot(number, os.pread(self.descriptor, SLOT_SIZE, number * SLOT_SIZE))

    def _by_number(self, name: str) -> int | None:
        match = _BY_NUMBER.fullmatch(name)
        if match is None:
            return None
        slot = self.read(int(match[1]))
        return slot.number if slot.data[:1] not in _EMPTY and slot.name == name else None

    def slots(self) -> Iterator[_Slot]:
        """Go through the slots that are not free, and not through the holes between."""
        offset = 0
        while True:
            try:
                offset = os.lseek(self.descriptor, offset, os.SEEK_DATA) // SLOT_SIZE * SLOT_SIZE
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            data = os.pread(self.descriptor, _SCAN_SIZE, offset)
            for at in range(0, len(data), SLOT_SIZE):
                if data[at : at + 1] not in _EMPTY:
                    yield _Slot((offset + at) // SLOT_SIZE, data[at : at + SLOT_SIZE])
            offset += _SCAN_SIZE


class _OpenSlot(OpenFile):
    """A slot that is open."""

    def __init__(self, folder: SlotFolder, name: str, *, place: OpenFolder, descriptor: int, number: int) -> None:
        super().__init__(folder.operations, name, place=place, descriptor=descriptor, durable=folder.durable)
        self._slots = folder
        self._start = number * SLOT_SIZE
        self._content_start = self._start + len(_start(name))

    def read(self) -> bytes:
        """Return its content, as :meth:`OpenFile.read`."""
        size = self._start + SLOT_SIZE - self._content_start
        return _without_free(os.pread(self._descriptor, size, self._content_start))

    def patch(self, data: bytes, offset: int) -> None:
        """Overwrite a few bytes in place, as :meth:`OpenFile.patch`."""
        self._operations.overwrite(self._descriptor, data, self._content_start + offset)

    def syncing(self) -> Steps[None]:
        """Bring its content to the disk, as :meth:`OpenFile.syncing`."""
        yield from self._slots.syncing_slots(self._place, self._descriptor)

    def remove(self) -> None:
        """Remove it, as :meth:`OpenFile.remove`."""
        self._operations.overwrite(self._descriptor, _FREE, self._start)


class SlotFolder(Folder):
    """A folder of small files, each with one writer at a time, who holds a lock for its name.

    Who reads without that lock may see a file change meanwhile, and looks again when what was read makes no sense.
    """

    _synced: OpenFolder | None = None
    """Where the name of the file is known to be on the disk."""

    def creating(self, name: str, data: bytes) -> Steps[None]:
        """Write a whole new file, as :meth:`Folder.creating`: into a slot where one is free, with one sync and not two.

        A power loss meanwhile may leave a part of it, which the content must tell.
        """
        opened = yield from self.creating_opened(name, data)
        if opened is not None:
            try:
                yield from opened.syncing()
            finally:
                opened.close()

    def creating_opened(self, name: str, data: bytes) -> Steps[OpenFile | None]:
        """Write a whole new file, and return it opened, as :meth:`Folder.creating_opened`."""
        block = (_start(name) + data).ljust(SLOT_SIZE, _FREE)
        if len(block) <= SLOT_SIZE:
            slot = yield from self._creating_in_slot(name, block)
            if slot is not None:
                return slot
        yield from super().creating(name, data)
        return super().open_file(name)

    def _creating_in_slot(self, name: str, block: bytes) -> Steps[OpenFile | None]:
        folder = self.open(create=True)
        file = self._open_slots(folder) or self._make_slots(folder)
        opened: OpenFile | None = None
        try:
            if not file.size or self._synced is not folder:
                # The process that made it may be dead before it synced the name: no slot is written before that.
                yield from self.syncing_names(folder)
                self._synced = folder
            found, free = file.look(name)
            if found is not None or _exists(name, folder):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)
            number = next((each for each in free if self._fill_slot(file.descriptor, each * SLOT_SIZE, block)), None)
            if number is not None:
                opened = _OpenSlot(self, name, place=folder, descriptor=file.descriptor, number=number)
        finally:
            if opened is None:
                file.close()
        return opened

    def _fill_slot(self, descriptor: int, offset: int, block: bytes) -> bool:
        """Write a slot, unless another process has just done it, or is about to."""
        if not lock_byte(descriptor, offset):
            return False
        try:
            is_free = os.pread(descriptor, 1, offset) in _EMPTY
            if is_free:
                self._write_slot(descriptor, offset, block)
            return is_free
        finally:
            unlock_bytes(descriptor)

    def _write_slot(self, descriptor: int, offset: int, block: bytes) -> None:
        try:
            self.operations.overwrite(descriptor, block, offset)
        except BaseException:
            with contextlib.suppress(OSError):  # a full disk may have taken a part
                self.operations.overwrite(descriptor, _FREE, offset)
            raise

    def _open_slots(self, folder: OpenFolder) -> _SlotFile | None:
        opened = open_own(_FILE, folder.descriptor)
        return None if opened is None else _SlotFile(*opened)

    def _make_slots(self, folder: OpenFolder) -> _SlotFile:
        try:
            descriptor = self.operations.create(_FILE, folder.descriptor)
        except FileExistsError:
            pass  # another process was quicker
        else:
            try:
                os.fchmod(descriptor, FILE_MODE)  # whatever the umask is
            finally:
                os.close(descriptor)
        file = self._open_slots(folder)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), _FILE)
        return file

    def _find(self, name: str) -> tuple[OpenFolder, _SlotFile, int] | None:
        """Return where a file is, if it is in a slot; the caller closes it."""
        try:
            folder = self.open()
        except FileNotFoundError:
            return None
        file = self._open_slots(folder)
        if file is None:
            return None
        number: int | None = None
        try:
            number = file.look(name)[0]
        finally:
            if number is None:
                file.close()
        return None if number is None else (folder, file, number)

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, or ``None``, as :meth:`Folder.read`."""
        found = self._find(name)
        if found is None:
            return super().read(name)
        _, file, number = found
        with file:
            slot = file.read(number)
        return slot.content if slot.name == name else None  # else it was removed meanwhile

    def open_file(self, name: str) -> OpenFile | None:
        """Open a file to be changed in place, or return ``None``, as :meth:`Folder.open_file`."""
        found = self._find(name)
        if found is None:
            return super().open_file(name)
        folder, file, number = found
        return _OpenSlot(self, name, place=folder, descriptor=file.descriptor, number=number)

    def syncing_slots(self, folder: OpenFolder, descriptor: int) -> Steps[None]:
        """Bring the slots to the disk, when the folder is durable.

        :raises OSError: if that fails.
        """
        if self.durable:
            yield Sync(self.operations.sync, descriptor, folder.content)

    def removing(self, name: str, *, durable: bool = False) -> Steps[bool]:
        """Remove a file and say whether it was there, as :meth:`Folder.removing`."""
        found = self._find(name)
        if found is None:
            return (yield from super().removing(name, durable=durable))
        folder, file, number = found
        with file:
            self.operations.overwrite(file.descriptor, _FREE, number * SLOT_SIZE)
            if durable:
                yield from self.syncing_slots(folder, file.descriptor)
        return True

    def move_to(self, other: Folder, name: str, new_name: str) -> None:
        """Move a file into another folder, as :meth:`Folder.move_to`."""
        found = self._find(name)
        if found is None:
            super().move_to(other, name, new_name)
            return
        _, file, number = found
        with file:
            other.create(new_name, file.read(number).content)
        self.remove(name, durable=True)

    def items(self) -> Iterator[tuple[str, bytes | OSError]]:
        """Go through the files, name and content, as :meth:`Folder.items`."""
        try:
            file = self._open_slots(self.open())
        except FileNotFoundError:
            return
        if file is not None:
            with file:
                for slot in file.slots():
                    yield slot.name, slot.content
        yield from super().items()

    def names_with(self, part: str) -> list[str]:
        """Return the names of the files that contain a part, as :meth:`Folder.names_with`.

        :param part: a container id between separators.
        """
        try:
            file = self._open_slots(self.open())
        except FileNotFoundError:
            return []
        if file is None:
            return super().names_with(part)
        with file:
            return [*file.names_with(part), *super().names_with(part)]

    def names(self) -> list[str]:
        """Return the names of the files of their own, as :meth:`Folder.names`."""
        return [name for name in super().names() if name != _FILE]


def _without_free(data: bytes) -> bytes:
    """Return what stands in front of the rest of a slot, which is free."""
    end = data.find(_FREE)
    if end < 0:
        return data
    # What bytes.rstrip() goes through byte by byte takes as long as two calls of the system.
    return data[:end] if data[end:] == _ALL_FREE[: len(data) - end] else data.rstrip(_FREE)


def _start(name: str) -> bytes:
    """Return how a slot with that name begins."""
    return name.encode() + _END_OF_NAME


def _first_slots(name: str) -> list[int]:
    """Return the first slot for a name in each level."""
    # By the container alone: the names of all its attachments are neighbours.
    parts = name.split(_SEPARATOR, 2)
    key = int.from_bytes((parts[1] if len(parts) > 1 else name).encode(), "big")
    return [start + key % count for start, count in _STARTS_AND_COUNTS]


def _exists(name: str, folder: OpenFolder) -> bool:
    try:
        os.stat(name, dir_fd=folder.descriptor, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
