"""Records of what was begun: the attachments that a crash, a kill or a power loss would otherwise leak.

Before the first plugin of an ADD runs, a record is on the disk with all that a DEL needs. States: ``adding`` (added,
once the result is stored too), ``deleting``, ``needs-delete``; a record goes when every plugin has succeeded in
deleting. State and running plugin stand in fields of fixed width at the start of the file and are overwritten in place,
inside one disk sector, so that a record is always whole. Go libcni keeps nothing of the kind. Source: SPEC 1.1.0,
section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import base64
import functools
import logging
import os
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
from libcni.document import DocumentError, dump, kind_of, parse_object
from libcni.errors import CacheError, DamagedFileError
from libcni.frozen import FrozenDict
from libcni.storage import is_temporary, write_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.storage import Folder

__all__ = [
    "Journal",
    "NetnsIdentity",
    "Record",
    "RunningPlugin",
    "State",
    "current_boot_id",
    "netns_identity",
    "record_of",
]

_log = logging.getLogger("libcni.cache")

_KIND = "libcniRecordV1"
_STATE_WIDTH = 12
_PLUGIN_WIDTH = 32
_STATE_OFFSET = len('{"state":"')
_PLUGIN_OFFSET = _STATE_OFFSET + _STATE_WIDTH + len('","plugin":"')


class State(StrEnum):
    """Where an attachment is; ``ADDING`` means added as soon as its result is stored as well."""

    ADDING = "adding"
    ADDED = "added"
    DELETING = "deleting"
    NEEDS_DELETE = "needs-delete"


class RunningPlugin(NamedTuple):
    """The last plugin that was started: its process id, and seconds since boot when it was started."""

    pid: int
    started: float


class NetnsIdentity(NamedTuple):
    """What tells one namespace from another that has its path later."""

    device: int
    inode: int
    boot_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """One attachment as it was begun."""

    key: AttachmentKey
    config: bytes
    netns: str = ""
    identity: NetnsIdentity | None = None
    args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    owner: str | None = None
    state: State = State.ADDING
    plugin: RunningPlugin | None = None
    boot_id: str = ""
    time: float = 0.0

    @property
    def runtime_conf(self) -> RuntimeConf:
        """What the plugins are called with to finish it: with the namespace only while that is still the same one."""
        netns = self.netns if netns_identity(self.netns) == self.identity else ""
        return RuntimeConf(self.key.container_id, netns, self.key.ifname, self.args, self.capability_args)

    def is_unfinished(self, *, has_result: bool) -> bool:
        """Say whether an ADD or DEL was begun and not finished.

        :param has_result: there is a file for the result, be it damaged: an ADD ends with its result on the disk.
        """
        return not has_result if self.state is State.ADDING else self.state is not State.ADDED

    def attachment(self) -> NetworkAttachment:
        """Return it in its public form."""
        return NetworkAttachment(
            container_id=self.key.container_id,
            network=self.key.network,
            ifname=self.key.ifname,
            config=self.config,
            netns=self.netns,
            cni_args=self.args,
            capability_args=self.capability_args,
        )


def record_of(key: AttachmentKey, rt: RuntimeConf, *, config: bytes, owner: str | None, state: State) -> Record:
    """Return the record of an operation that is about to begin."""
    return Record(
        key=key,
        config=config,
        netns=rt.netns,
        identity=netns_identity(rt.netns),
        args=rt.args,
        capability_args=rt.capability_args,
        owner=owner,
        state=state,
        boot_id=current_boot_id(),
        time=time.time(),
    )


def netns_identity(netns: str) -> NetnsIdentity | None:
    """Return what identifies the namespace at a path, or ``None`` when there is none."""
    try:
        status = os.stat(netns)  # noqa: PTH116 -- on the way of every ADD
    except (OSError, ValueError):
        return None
    return NetnsIdentity(status.st_dev, status.st_ino, current_boot_id())


@functools.cache
def current_boot_id() -> str:
    """Return what tells this boot of the machine from every other one; empty where that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


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
            self.folder.replace(_name(record.key), _encode(record).encode(), exclusive=True)
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
        try:
            return self.folder.patch(_name(key), state.ljust(_STATE_WIDTH).encode(), _STATE_OFFSET, durable=True)
        except OSError as error:
            raise write_error(error, self._path(key), "changed") from error

    def note_plugin(self, key: AttachmentKey, pid: int) -> None:
        """Note the process that was just started. It need not survive a power loss, which no process does.

        Recovery finds the process without the note too, so that a disk that fails stops no plugin, least of all a DEL.
        """
        started = time.clock_gettime(time.CLOCK_BOOTTIME)
        text = f"{pid} {started:.2f}".ljust(_PLUGIN_WIDTH)
        try:
            self.folder.patch(_name(key), text.encode(), _PLUGIN_OFFSET, durable=False)
        except (OSError, CacheError) as error:
            _log.warning("process %d is not noted in %s: %s", pid, self._path(key), error)

    def find(self, key: AttachmentKey) -> Record | None:
        """Return the record of an attachment, or ``None``.

        :raises CacheError: if it cannot be read or is damaged.
        """
        return self._load(_name(key))

    def _load(self, name: str) -> Record | None:
        path = self.folder.path(name)
        try:
            data = self.folder.read(name)
        except OSError as error:
            raise CacheError(path, f"cannot be read: {error.strerror or error}") from error
        if data is None:
            return None
        try:
            record = _decode(data)
        except (DocumentError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise DamagedFileError(path, f"damaged record: {error}") from None
        if _name(record.key) != name:
            raise DamagedFileError(path, "damaged record: it is of another attachment than its name says")
        return record

    def remove(self, key: AttachmentKey) -> None:
        """Remove a record. It need not be synced: one that comes back after a power loss is finished again.

        :raises CacheError: if it cannot be removed.
        """
        try:
            self.folder.remove(_name(key))
        except OSError as error:
            raise write_error(error, self._path(key), "removed") from error

    def scan(self) -> Iterator[tuple[str, Record | CacheError]]:
        """Go through the records, with an error in place of each that is damaged.

        :raises CacheError: if the folder cannot be read.
        """
        try:
            names = self.folder.names()
        except OSError as error:
            raise CacheError(self.folder.path(""), f"cannot be read: {error.strerror or error}") from error
        for name in names:
            if is_temporary(name):
                continue
            try:
                found: Record | CacheError | None = self._load(name)
            except CacheError as error:
                found = error
            if found is not None:
                yield name, found

    def set_aside(self, name: str) -> None:
        """Move a damaged record to ``<cache_dir>/damaged``, where it blocks nothing.

        It is read once more: a record that was just being changed in place is no damaged one.

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
        return self.folder.path(_name(key))


def _name(key: AttachmentKey) -> str:
    # '@' is not allowed in the first two parts, so this name is unambiguous.
    return "@".join(key)


def _encode(record: Record) -> str:
    document: dict[str, Any] = {
        "state": record.state.ljust(_STATE_WIDTH),
        "plugin": " " * _PLUGIN_WIDTH,
        "kind": _KIND,
        "networkName": record.key.network,
        "containerId": record.key.container_id,
        "ifName": record.key.ifname,
        "config": base64.b64encode(record.config).decode(),
        "netns": record.netns,
        "netnsIdentity": record.identity and record.identity[:2],
        "cniArgs": record.args,
        "capabilityArgs": record.capability_args,
        "owner": record.owner,
        "bootId": record.boot_id,
        "time": record.time,
    }
    return dump(document)


def _decode(data: bytes) -> Record:
    document = parse_object(data)
    if document["kind"] != _KIND:
        raise ValueError(f"kind {document['kind']!r} is unknown")
    for name, kinds in _MEMBERS.items():
        if not isinstance(document[name], kinds):
            raise TypeError(f"{name} is {kind_of(document[name])}")
    args = _decode_args(document["cniArgs"])
    rt = RuntimeConf(document["containerId"], document["netns"], document["ifName"], args)
    key = rt.check(document["networkName"])
    return Record(
        key=key,
        config=base64.b64decode(document["config"], validate=True),
        netns=document["netns"],
        identity=_decode_identity(document["netnsIdentity"], document["bootId"]),
        args=args,
        capability_args=document["capabilityArgs"],
        owner=document["owner"],
        state=State(document["state"].strip()),
        plugin=_decode_plugin(document["plugin"]),
        boot_id=document["bootId"],
        time=document["time"],
    )


_MEMBERS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "plugin", "networkName", "containerId", "ifName", "config", "netns", "bootId"), (str,)),
    "netnsIdentity": (list, NoneType),
    "cniArgs": (list,),
    "capabilityArgs": (dict,),
    "owner": (str, NoneType),
    "time": (float, int),
}


def _decode_identity(values: Sequence[int] | None, boot_id: str) -> NetnsIdentity | None:
    if not values:
        return None
    device, inode = values
    return NetnsIdentity(int(device), int(inode), boot_id)


def _decode_args(pairs: Sequence[Sequence[object]]) -> tuple[tuple[str, str], ...]:
    args = tuple([(str(name), str(value)) for name, value in pairs])
    if list(map(list, args)) != pairs:
        raise ValueError("cniArgs are not pairs of texts")
    return args


def _decode_plugin(text: str) -> RunningPlugin | None:
    pid, _, started = text.strip().partition(" ")
    return RunningPlugin(int(pid), float(started)) if pid else None
