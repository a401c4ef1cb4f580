"""One attachment of a container to a network: its key, and the parameters of its plugin calls.

Go counterpart: ``libcni.RuntimeConf``, ``types.GCAttachment`` and ``libcni.NetworkAttachment``. Source: SPEC 1.1.0,
section 2, "Parameters", and section 3.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.errors import InvalidParameterError
from libcni.jsontext.encode import dump
from libcni.jsontext.frozen import FrozenDict, freeze
from libcni.protocol.cni_args import check_pairs, format_args
from libcni.protocol.names import (
    check_container_id,
    check_interface_name,
    check_network_name,
    is_encodable,
    is_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.errors import CNIError

__all__ = ["AttachmentKey", "GCAttachment", "Recovery", "RuntimeConf"]


ARGS_LIMIT = 128 * 1024 - len("CNI_ARGS=") - 1
"""Bytes: Linux starts no program with a variable of 128 KiB (``execve(2)``, "Limits on size of arguments")."""

_PATH_LIMIT = 4096
"""Bytes, with the end of the text."""


class AttachmentKey(NamedTuple):
    """The key of an attachment (SPEC 1.1.0, section 2): plugins keep their state under these three names."""

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
    """The parameters that the runtime passes to the plugins of one attachment.

    ``netns`` is the path of the network namespace. ``args`` are the pairs of ``CNI_ARGS``, in order.
    ``capability_args`` maps a capability to its JSON value; a plugin gets those it declares. Arguments may be secret
    and stay out of ``repr()``.

    :raises InvalidParameterError: if ``args`` are not pairs of texts, or ``capability_args`` are in themselves.
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
            object.__setattr__(self, "capability_args", self._frozen_capability_args())

    def _frozen_capability_args(self) -> Mapping[str, Any]:
        try:
            frozen: Mapping[str, Any] = freeze(dict(self.capability_args))
        except RecursionError:
            given = sorted(map(str, self.capability_args))
            raise InvalidParameterError("capability_args", given, "nested too deeply, or in itself") from None
        return frozen

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


class Recovery(NamedTuple):
    """The outcome of recovery for one unfinished attachment; ``error`` says why when it is not ``done``."""

    network: str
    container_id: str
    ifname: str
    done: bool
    error: CNIError | None = None
