"""One attachment that was begun, as data and as the text that is kept of it.

State and running plugin stand in fields of fixed width at the start of the text and are overwritten in place, inside
one disk sector, so that a record is always whole; a check sum tells whether the rest is. Go libcni keeps nothing of the
kind. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import base64
import functools
import os
import time
from binascii import crc32
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.attachment import AttachmentKey, NetworkAttachment, RuntimeConf
from libcni.document import dump, encode_base64, kind_of, parse_object
from libcni.frozen import FrozenDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "PLUGIN_OFFSET",
    "STATE_OFFSET",
    "NetnsIdentity",
    "Record",
    "RunningPlugin",
    "State",
    "current_boot_id",
    "decode_record",
    "encode_record",
    "netns_identity",
    "plugin_field",
    "record_in_state_of",
    "record_name",
    "record_of",
    "settled_part",
    "state_field",
]

_KIND = "libcniRecordV1"
_STATE_WIDTH = 12
_PLUGIN_WIDTH = 32

STATE_OFFSET = len('{"state":"')
"""Bytes from the start of the text to the state."""

PLUGIN_OFFSET = STATE_OFFSET + _STATE_WIDTH + len('","plugin":"')
"""Bytes from the start of the text to the plugin."""

_STATE_END = STATE_OFFSET + _STATE_WIDTH
_PLUGIN_END = PLUGIN_OFFSET + _PLUGIN_WIDTH
_BODY_OFFSET = _PLUGIN_END + len('","check":"01234567",')


class State(StrEnum):
    """Where an attachment is.

    ``ADDING`` means added as soon as its result is stored as well. ``ADDED`` without a result: another program that
    shares the cache directory has deleted it. ``RESULT_LOST``: it is added, and its result was damaged.
    """

    ADDING = "adding"
    ADDED = "added"
    RESULT_LOST = "result-lost"
    DELETING = "deleting"
    NEEDS_DELETE = "needs-delete"


_STATES = {f"{state:{_STATE_WIDTH}}".encode(): state for state in State}
_FIELDS = {state: field for field, state in _STATES.items()}
_NO_PLUGIN = b" " * _PLUGIN_WIDTH


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
    is_single: bool = False
    """Whether ``config`` is that of a single plugin; it cannot always be told from that of a list."""
    netns: str = ""
    identity: NetnsIdentity | None = None
    args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    owner: str | None = None
    state: State = State.ADDING
    plugin: RunningPlugin | None = None
    boot_id: str = ""
    time: float = 0.0

    def runtime_conf(self, netns: str = "") -> RuntimeConf:
        """Return what the plugins are called with to finish it.

        :param netns: the namespace, when it is another one than was stored. That is used while it is the same: another
            container may have its path by now.
        """
        if netns in {"", self.netns}:
            netns = self.netns if self.netns and netns_identity(self.netns) == self.identity else ""
        return RuntimeConf(self.key.container_id, netns, self.key.ifname, self.args, self.capability_args)

    def is_unfinished(self, *, has_result: bool) -> bool:
        """Say whether an ADD or DEL was begun and not finished.

        :param has_result: there is a file for the result, be it damaged: an ADD ends with its result on the disk.
        """
        return not has_result if self.state is State.ADDING else self.state in {State.DELETING, State.NEEDS_DELETE}

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


def record_of(
    key: AttachmentKey, rt: RuntimeConf, *, config: bytes, owner: str | None, state: State, is_single: bool = False
) -> Record:
    """Return the record of an operation that is about to begin."""
    return Record(
        key=key,
        config=config,
        is_single=is_single,
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
        # It is ASCII; the codec of that name would have to be loaded first.
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def record_name(key: AttachmentKey) -> str:
    """Return the name under which a record is kept."""
    # '@' is not allowed in the first two parts, so this name is unambiguous.
    return "@".join(key)


def state_field(state: State) -> bytes:
    """Return what stands at :data:`STATE_OFFSET`."""
    return _FIELDS[state]


def plugin_field(pid: int, started: float) -> bytes:
    """Return what stands at :data:`PLUGIN_OFFSET`.

    :param started: seconds since boot.
    """
    return f"{pid} {started:.2f}".ljust(_PLUGIN_WIDTH).encode()


def encode_record(record: Record) -> bytes:
    """Return the text of a record whose plugins have not run yet."""
    document: dict[str, Any] = {
        "kind": _KIND,
        "networkName": record.key.network,
        "containerId": record.key.container_id,
        "ifName": record.key.ifname,
        "config": encode_base64(record.config),
        "isSingle": record.is_single,
        "netns": record.netns,
        "netnsIdentity": record.identity and record.identity[:2],
        "cniArgs": record.args,
        "capabilityArgs": record.capability_args,
        "owner": record.owner,
        "bootId": record.boot_id,
        "time": record.time,
    }
    body = dump(document)[1:].encode()
    # In front of it what changes, and a check sum of what does not: a power loss may tear a record.
    return b'{"state":"%b","plugin":"%b","check":"%08x",%b' % (state_field(record.state), _NO_PLUGIN, crc32(body), body)


def settled_part(data: bytes) -> bytes:
    """Return the text of a record without what is overwritten in place."""
    return data[:STATE_OFFSET] + data[_STATE_END:PLUGIN_OFFSET] + data[_PLUGIN_END:]


def record_in_state_of(data: bytes, record: Record) -> Record:
    """Read the text of a record that is known but for its state and its plugin.

    :raises ValueError: if one of these is damaged.
    """
    text = data[STATE_OFFSET:_STATE_END]
    state = _STATES.get(text) or State(text.decode().strip())
    text = data[PLUGIN_OFFSET:_PLUGIN_END]
    plugin = None if text == _NO_PLUGIN else _decode_plugin(text.decode())
    return record if (state, plugin) == (record.state, record.plugin) else replace(record, state=state, plugin=plugin)


def decode_record(data: bytes, name: str) -> Record:
    """Read the text of a record.

    :param name: under which it is kept.
    :raises ValueError: if it is damaged, or another name's; or a :class:`KeyError`, :class:`TypeError` or
        :class:`OverflowError`.
    """
    document = parse_object(data)
    if document["kind"] != _KIND:
        raise ValueError(f"kind {document['kind']!r} is unknown")
    for member, kinds in _MEMBERS.items():
        if not isinstance(document[member], kinds):
            raise TypeError(f"{member} is {kind_of(document[member])}")
    if document["check"] != f"{crc32(data[_BODY_OFFSET:]):08x}":
        raise ValueError("it is not whole: the check sum is another one")
    args = _decode_args(document["cniArgs"])
    rt = RuntimeConf(document["containerId"], document["netns"], document["ifName"], args)
    key = rt.check(document["networkName"])
    if record_name(key) != name:
        raise ValueError("it is of another attachment than its name says")
    return Record(
        key=key,
        config=base64.b64decode(document["config"], validate=True),
        is_single=document["isSingle"],
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
    **dict.fromkeys(
        ("state", "plugin", "check", "networkName", "containerId", "ifName", "config", "netns", "bootId"), (str,)
    ),
    "isSingle": (bool,),
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
