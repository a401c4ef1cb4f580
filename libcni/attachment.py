"""What one attachment of a container to a network is called with, and what is known about it.

Go counterpart: ``libcni.RuntimeConf``, ``types.GCAttachment`` and ``libcni.NetworkAttachment``. Source: SPEC 1.1.0,
section 2, "Parameters", and section 3.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from libcni.document import dump, parse_object
from libcni.errors import InvalidParameterError
from libcni.frozen import FrozenDict, freeze
from libcni.identifiers import (
    check_container_id,
    check_interface_name,
    check_network_name,
    check_pairs,
    format_args,
    is_encodable,
    is_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.errors import CNIError
    from libcni.results import Result

__all__ = ["AttachmentKey", "AttachmentState", "GCAttachment", "NetworkAttachment", "Recovery", "RuntimeConf"]


AttachmentState: TypeAlias = Literal["attached", "running", "unfinished"]

ARGS_LIMIT = 128 * 1024 - len("CNI_ARGS=") - 1
"""Bytes: Linux starts no program with a variable of 128 KiB (``execve(2)``, "Limits on size of arguments")."""

_PATH_LIMIT = 4096
"""Bytes, with the end of the text."""

_NO_ARGS: FrozenDict = FrozenDict()


class AttachmentKey(NamedTuple):
    """What identifies an attachment (SPEC 1.1.0, section 2): plugins keep their state under these three."""

    network: str
    container_id: str
    ifname: str

    def check(self) -> None:
        """Check all three before they are used in a file name or an environment.

        :raises InvalidParameterError: if one of them is not allowed.
        """
        check_network_name(self.network)
        check_container_id(self.container_id)
        check_interface_name(self.ifname)


class GCAttachment(NamedTuple):
    """An attachment that garbage collection must keep."""

    container_id: str
    ifname: str


@dataclass(frozen=True, slots=True)
class RuntimeConf:
    """What the runtime passes to the plugins of one attachment.

    ``netns`` is the path of the network namespace. ``args`` are the pairs of ``CNI_ARGS``, in order.
    ``capability_args`` maps a capability to its JSON value; a plugin gets those it declares. Arguments may be secret
    and stay out of ``repr()``.

    :raises InvalidParameterError: if ``args`` are not pairs of texts.
    """

    container_id: str
    netns: str
    ifname: str
    args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)

    def __post_init__(self) -> None:
        if self.args != ():
            object.__setattr__(self, "args", check_pairs("args", self.args))
        if not isinstance(self.capability_args, FrozenDict):  # which is what was frozen before
            object.__setattr__(self, "capability_args", freeze(dict(self.capability_args)))

    def check(self, network: str) -> AttachmentKey:
        """Check everything that is to be passed on, and return the key of the attachment on ``network``.

        :raises InvalidParameterError: if a name, a path, an argument or a capability argument is not allowed.
        """
        for name in ("container_id", "netns", "ifname"):
            if not is_text(getattr(self, name)):
                raise InvalidParameterError(name, getattr(self, name), "must be text")
        key = AttachmentKey(network, self.container_id, self.ifname)
        key.check()
        if not is_encodable(self.netns):
            reason = "must not contain a NUL character or half of a surrogate pair"
            raise InvalidParameterError("netns", self.netns, reason)
        if len(os.fsencode(self.netns)) >= _PATH_LIMIT:
            raise InvalidParameterError("netns", f"{self.netns[:40]}…", f"a path has less than {_PATH_LIMIT} bytes")
        if len(os.fsencode(format_args(self.args))) >= ARGS_LIMIT:
            # They may be secret: the message says how many there are.
            raise InvalidParameterError(
                "args", f"({len(self.args)} pairs)", f"CNI_ARGS has less than {ARGS_LIMIT} bytes"
            )
        if self.capability_args:
            self._check_capability_args()
        return key

    def _check_capability_args(self) -> None:
        try:
            dump(self.capability_args)
        except ValueError as error:
            # The value may be a secret: the message names the kind of mistake only.
            raise InvalidParameterError("capability_args", sorted(map(str, self.capability_args)), str(error)) from None


_ATTACHED: tuple[AttachmentState, None] = "attached", None


class _Stored:
    """The part of a stored attachment that is no part of its value: its state, and the text of its result.

    Most results are never asked for: they are decoded when they are.
    """

    __slots__ = ("_state", "_text")

    _state: tuple[AttachmentState, int | None]

    @property
    def state(self) -> AttachmentState:
        """``"attached"``, ``"running"`` or ``"unfinished"``."""
        return self._condition()[0]

    @property
    def pid(self) -> int | None:
        """The process of a running operation, where it is known."""
        return self._condition()[1]

    def _condition(self) -> tuple[AttachmentState, int | None]:
        try:
            return self._state
        except AttributeError:
            return _ATTACHED

    if not TYPE_CHECKING:  # which would allow every name

        def __getattr__(self, name: str) -> Result | None:
            if name != "result":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
            from libcni.results import Result  # noqa: PLC0415 -- 4 ms that a RuntimeConf does not need

            decoded = parse_object(self._text).get("result")
            result = None if decoded is None else Result.from_dict(decoded)
            object.__setattr__(self, "result", result)
            return result


@dataclass(frozen=True, slots=True)
class NetworkAttachment(_Stored):
    """One stored attachment, immutable: ``network`` is the name, ``config`` the stored configuration document.

    ``state`` is ``"attached"``; ``"running"`` while an operation works on its container, whose process is ``pid`` where
    that is known; or ``"unfinished"``: a process that is gone has begun an ADD or DEL. It is no part of the value.
    """

    container_id: str
    network: str
    ifname: str
    config: bytes
    netns: str = ""
    cni_args: Sequence[tuple[str, str]] = field(default=(), repr=False)
    capability_args: Mapping[str, Any] = field(default_factory=FrozenDict, repr=False)
    result: Result | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "cni_args", tuple(self.cni_args))
        object.__setattr__(self, "capability_args", freeze(dict(self.capability_args)))

    @property
    def key(self) -> AttachmentKey:
        """The three names that identify it."""
        return AttachmentKey(self.network, self.container_id, self.ifname)

    def runtime_conf(self) -> RuntimeConf:
        """Return the arguments of its ADD."""
        return RuntimeConf(self.container_id, self.netns, self.ifname, self.cni_args, self.capability_args)

    def in_state(self, state: AttachmentState, pid: int | None = None) -> NetworkAttachment:
        """Return the same attachment in a state; its result is decoded no earlier for that."""
        attachment = NetworkAttachment.__new__(NetworkAttachment)
        for name in (*NetworkAttachment.__slots__, "_text"):
            try:
                value = object.__getattribute__(self, name)
            except AttributeError:  # the result, or the text to decode it from
                continue
            object.__setattr__(attachment, name, value)
        object.__setattr__(attachment, "_state", (state, pid))
        return attachment

    def __reduce__(self) -> tuple[Any, ...]:
        values = tuple(getattr(self, name) for name in NetworkAttachment.__slots__)
        return _rebuild, (values, self.state, self.pid)

    @classmethod
    def listed(
        cls,
        key: AttachmentKey,
        config: bytes,
        text: str,
        *,
        netns: str,
        args: Sequence[tuple[str, str]],
        caps: Mapping[str, Any],
    ) -> NetworkAttachment:
        """Return one whose result is decoded when it is first asked for.

        :param text: of its file, which was checked.
        """
        attachment = cls(key.container_id, key.network, key.ifname, config, netns, args, caps)
        object.__delattr__(attachment, "result")
        object.__setattr__(attachment, "_text", text)
        return attachment


def _rebuild(values: tuple[Any, ...], state: AttachmentState, pid: int | None) -> NetworkAttachment:
    return NetworkAttachment(*values).in_state(state, pid)


class Recovery(NamedTuple):
    """What recovery did about one unfinished attachment; ``error`` says why when it is not ``done``."""

    network: str
    container_id: str
    ifname: str
    done: bool
    error: CNIError | None = None
