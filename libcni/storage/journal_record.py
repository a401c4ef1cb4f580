"""One attachment that was begun, as data and as the text that is kept of it.

State, end of the ADD and running plugin stand in fields of fixed width at the start of the text and are overwritten in
place, inside one disk sector, so that a record is always whole; a check sum tells whether the rest is. Go libcni keeps
nothing of the kind. Source: SPEC 1.1.0, section 3, "Lifecycle & Ordering".
"""

from __future__ import annotations

import base64
import time
from binascii import crc32
from dataclasses import dataclass, field
from enum import StrEnum
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.jsontext.decode import parse_object
from libcni.jsontext.encode import dump, encode_base64
from libcni.jsontext.frozen import FrozenDict
from libcni.jsontext.scan import kind_of
from libcni.protocol.attachment import AttachmentKey, RuntimeConf
from libcni.storage.attachment import NetworkAttachment
from libcni.storage.namespace import NamespaceView, NetnsIdentity, current_boot_id, namespace_to_delete_in

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "PLUGIN_OFFSET",
    "STATE_OFFSET",
    "Added",
    "Record",
    "RunningPlugin",
    "State",
    "added_field",
    "decode_record",
    "encode_record",
    "is_to_be_deleted",
    "plugin_field",
    "record_name",
    "record_of",
    "state_field",
]

_KIND = "libcniRecordV2"
_STATE_WIDTH = 12
_ADDED_WIDTH = 32
_PLUGIN_WIDTH = 32

STATE_OFFSET = len('{"state":"')
"""Bytes from the start of the text to the state."""

_AFTER_STATE = b'","added":"'
_STATE_END = STATE_OFFSET + _STATE_WIDTH
_ADDED_OFFSET = _STATE_END + len(_AFTER_STATE)
_ADDED_END = _ADDED_OFFSET + _ADDED_WIDTH

PLUGIN_OFFSET = _ADDED_END + len('","plugin":"')
"""Bytes from the start of the text to the plugin."""

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
_TO_BE_DELETED = frozenset({_FIELDS[State.DELETING], _FIELDS[State.NEEDS_DELETE]})
_NO_PLUGIN = b" " * _PLUGIN_WIDTH


class Added(NamedTuple):
    """The end of an ADD: seconds since boot, and the number of its interface in the namespace.

    ``ifindex`` is 0 when there was no interface of that name, ``None`` where that could not be found out.
    """

    at: float
    ifindex: int | None


class RunningPlugin(NamedTuple):
    """The last plugin that was started: its process id, and seconds since boot when it was started."""

    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class Record:
    """One attachment as it was begun."""

    key: AttachmentKey
    config: bytes
    is_single: bool = False
    """Whether ``config`` is that of a single plugin; it cannot always be told from that of a list."""
    netns: str = ""
    identity: NetnsIdentity | None = None
    found_interface: bool = False
    """Whether the namespace had the interface before the ADD: then it is not the ADD's to delete."""
    args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    owner: str | None = None
    state: State = State.ADDING
    added: Added | None = None
    """The end of the ADD, if that is known."""
    plugin: RunningPlugin | None = None
    boot_id: str = ""
    time: float = 0.0
    """Seconds since the epoch when the ADD began; 0 when there was none before the DEL."""

    def runtime_conf(self, netns: str = "") -> RuntimeConf:
        """Return the arguments for the plugins that finish it.

        :param netns: the namespace path of the caller, empty for none; see
            :func:`libcni.storage.namespace.namespace_to_delete_in`.
        """
        netns = namespace_to_delete_in(netns, self.netns, self.identity)
        return RuntimeConf(self.key.container_id, netns, self.key.ifname, self.args, self.capability_args)

    def is_unfinished(self, *, has_result: bool) -> bool:
        """Return whether an ADD or DEL was begun and not finished.

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


def record_of(  # noqa: PLR0913 -- the parts of a record
    key: AttachmentKey,
    rt: RuntimeConf,
    *,
    config: bytes,
    owner: str | None,
    state: State = State.ADDING,
    is_single: bool = False,
    view: NamespaceView | None = None,
) -> Record:
    """Return the record of an operation that is about to begin.

    :param view: of the namespace, before the operation.
    """
    view = view or NamespaceView()
    return Record(
        key=key,
        config=config,
        is_single=is_single,
        netns=rt.netns,
        identity=view.identity,
        found_interface=view.has_interface is True,
        args=rt.args,
        capability_args=rt.capability_args,
        owner=owner,
        state=state,
        boot_id=current_boot_id(),
        time=time.time() if state is State.ADDING else 0.0,
    )


def record_name(key: AttachmentKey) -> str:
    """Return the name under which a record is kept."""
    # '@' is not allowed in the first two parts, so this name is unambiguous.
    return "@".join(key)


def state_field(state: State) -> bytes:
    """Return what stands at :data:`STATE_OFFSET`."""
    return _FIELDS[state]


def added_field(added: Added) -> bytes:
    """Return the text at :data:`STATE_OFFSET` of a record whose ADD has ended."""
    text = f"{added.at:.6f}" if added.ifindex is None else f"{added.at:.6f} {added.ifindex}"
    return state_field(State.ADDED) + _AFTER_STATE + text.ljust(_ADDED_WIDTH).encode()


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
        "netnsIdentity": record.identity and record.identity[:5],
        "foundInterface": record.found_interface,
        "cniArgs": record.args,
        "capabilityArgs": record.capability_args,
        "owner": record.owner,
        "bootId": record.boot_id,
        "time": record.time,
    }
    body = dump(document)[1:].encode()
    # In front of it what changes, and a check sum of what does not: a power loss may tear a record.
    changing = state_field(record.state), _AFTER_STATE, b" " * _ADDED_WIDTH, _NO_PLUGIN
    return b'{"state":"%b%b%b","plugin":"%b","check":"%08x",%b' % (*changing, crc32(body), body)


def is_to_be_deleted(data: bytes) -> bool:
    """Return whether the text of a record says that a DEL was begun, or is needed."""
    return data[STATE_OFFSET:_STATE_END] in _TO_BE_DELETED


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
        found_interface=document["foundInterface"],
        args=args,
        capability_args=document["capabilityArgs"],
        owner=document["owner"],
        state=State(document["state"].strip()),
        added=_decode_added(document["added"]),
        plugin=_decode_plugin(document["plugin"]),
        boot_id=document["bootId"],
        time=document["time"],
    )


_MEMBERS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(
        ("state", "added", "plugin", "check", "networkName", "containerId", "ifName", "config", "netns", "bootId"),
        (str,),
    ),
    **dict.fromkeys(("isSingle", "foundInterface"), (bool,)),
    "netnsIdentity": (list, NoneType),
    "cniArgs": (list,),
    "capabilityArgs": (dict,),
    "owner": (str, NoneType),
    "time": (float, int),
}


def _decode_identity(values: Sequence[int] | None, boot_id: str) -> NetnsIdentity | None:
    if not values:
        return None
    device, inode, created, cookie, process = map(int, values)
    return NetnsIdentity(device, inode, created, cookie, process, boot_id)


def _decode_args(pairs: Sequence[Sequence[object]]) -> tuple[tuple[str, str], ...]:
    args = tuple([(str(name), str(value)) for name, value in pairs])
    if list(map(list, args)) != pairs:
        raise ValueError("cniArgs are not pairs of texts")
    return args


def _decode_added(text: str) -> Added | None:
    seconds, _, ifindex = text.strip().partition(" ")
    return Added(float(seconds), int(ifindex) if ifindex else None) if seconds else None


def _decode_plugin(text: str) -> RunningPlugin | None:
    pid, _, started = text.strip().partition(" ")
    return RunningPlugin(int(pid), float(started)) if pid else None
