"""A disk that remembers what was synced: the changes of a runtime are recorded, and replayed up to a power loss."""

from __future__ import annotations

import copy
import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from libcni.storage.operations import FileOperations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

T = TypeVar("T")

Fate = Literal["dropped", "kept", "mixed"]
"""What becomes of changes that were not synced: none of them reached the disk, all did, or any of them."""


SECTOR = 512
"""Bytes that a disk writes as a whole or not at all."""


@dataclass
class File:
    """The content on the disk, and what was written since the last sync: where, and what."""

    synced: bytes = b""
    since: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, data: bytes, offset: int) -> None:
        self.since.append((offset, data))

    def sync(self) -> None:
        self.synced, self.since = self.after("kept"), []

    def after(self, fate: Fate) -> bytes:
        content = bytearray(self.synced)
        for offset, data in self.since if fate != "dropped" else ():
            content += b"\0" * (offset + len(data) - len(content))
            for start, part in _sectors(offset, data):
                if fate == "kept" or random.random() < 0.5:
                    content[start : start + len(part)] = part
        # A file that grows can lose its end.
        if fate == "mixed" and len(content) > len(self.synced):
            del content[random.choice([len(content), len(content) // 2, len(self.synced)]) :]
        return bytes(content)


def _sectors(offset: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut what is written into the parts that a power loss may keep or drop."""
    start = offset
    while start < offset + len(data):
        end = min((start // SECTOR + 1) * SECTOR, offset + len(data))
        yield start, data[start - offset : end - offset]
        start = end


@dataclass
class Directory:
    """The names on the disk, and the changes since the last sync: a name, and what has it then."""

    synced: dict[str, Node] = field(default_factory=dict)
    since: list[tuple[str, Node | None]] = field(default_factory=list)

    def change(self, name: str, node: Node | None) -> None:
        self.since.append((name, node))

    def sync(self) -> None:
        self.synced, self.since = self._with(self.since), []

    def after(self, fate: Fate) -> dict[str, Node]:
        if fate == "mixed":
            return self._with([change for change in self.since if random.random() < 0.5])
        return self.synced if fate == "dropped" else self._with(self.since)

    def now(self) -> dict[str, Node]:
        return self._with(self.since)

    def _with(self, changes: list[tuple[str, Node | None]]) -> dict[str, Node]:
        names: dict[str, Node | None] = {**self.synced}
        names.update(changes)
        return {name: node for name, node in names.items() if node is not None}


Node = File | Directory


class Disk(FileOperations, Generic[T]):
    """Does every change for real, and keeps a copy of itself after each.

    :param top: the folder above the cache directory, which exists already.
    :param moment: says what else is to be remembered at each of these moments.
    """

    def __init__(self, top: Path, moment: Callable[[], T]) -> None:
        self.root = Directory()
        self._top = top
        self._moment = moment
        self._nodes: dict[tuple[int, int], Node] = {_identity(top.stat()): self.root}
        self.moments: list[tuple[str, Directory, T]] = []

    def remember(self, what: str) -> None:
        """Keep how the disk is now: the power may fail at this moment."""
        self.moments.append((what, copy.deepcopy(self.root), self._moment()))

    def _file(self, descriptor: int) -> File:
        node = self._nodes[_identity(os.fstat(descriptor))]
        assert isinstance(node, File)
        return node

    def _directory(self, descriptor: int) -> Directory:
        node = self._nodes[_identity(os.fstat(descriptor))]
        assert isinstance(node, Directory)
        return node

    def create(self, name: str, folder: int) -> int:
        descriptor = super().create(name, folder)
        node = self._nodes[_identity(os.fstat(descriptor))] = File()
        self._directory(folder).change(name, node)
        self.remember(f"create {name}")
        return descriptor

    def create_unnamed(self, folder: int) -> int:
        descriptor = super().create_unnamed(folder)
        self._nodes[_identity(os.fstat(descriptor))] = File()
        self.remember("create without a name")
        return descriptor

    def link_unnamed(self, descriptor: int, new_name: str, folder: int) -> None:
        super().link_unnamed(descriptor, new_name, folder)
        self._directory(folder).change(new_name, self._file(descriptor))
        self.remember(f"link {new_name}")

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data)
        self._file(descriptor).write(data, 0)
        self.remember("write")

    def overwrite(self, descriptor: int, data: bytes, offset: int) -> None:
        super().overwrite(descriptor, data, offset)
        self._file(descriptor).write(data, offset)
        self.remember("overwrite")

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self._file(descriptor).sync()
        self.remember("sync")

    def rename(self, name: str, new_name: str, *, folder: int, new_folder: int) -> None:
        super().rename(name, new_name, folder=folder, new_folder=new_folder)
        node = self._directory(folder).now()[name]
        self._directory(new_folder).change(new_name, node)
        self._directory(folder).change(name, None)
        self.remember(f"rename {name}")

    def link(self, name: str, new_name: str, folder: int) -> None:
        super().link(name, new_name, folder)
        self._directory(folder).change(new_name, self._directory(folder).now()[name])
        self.remember(f"link {new_name}")

    def unlink(self, name: str, folder: int) -> None:
        super().unlink(name, folder)
        self._directory(folder).change(name, None)
        self.remember(f"unlink {name}")

    def sync_folder(self, folder: int) -> None:
        super().sync_folder(folder)
        self._directory(folder).sync()
        self.remember("sync of a folder")

    def make_folder(self, name: str, parent: int, mode: int) -> None:
        super().make_folder(name, parent, mode)
        status = os.stat(name, dir_fd=parent)
        node = self._nodes[_identity(status)] = Directory()
        self._directory(parent).change(name, node)
        self.remember(f"make {name}")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def restore(root: Directory, top: Path, fate: Fate) -> None:
    """Write what is on the disk after a power loss."""
    for name, node in root.after(fate).items():
        path = top / name
        if isinstance(node, Directory):
            path.mkdir(0o700)
            restore(node, path, fate)
        else:
            path.write_bytes(node.after(fate))
            path.chmod(0o600)
