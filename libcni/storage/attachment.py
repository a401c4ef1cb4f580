"""One stored attachment in its public form.

Go counterpart: ``libcni.NetworkAttachment``. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from libcni.jsontext.decode import parse_object
from libcni.jsontext.frozen import FrozenDict, freeze
from libcni.protocol import cache_keys
from libcni.protocol.attachment import AttachmentKey, RuntimeConf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.results.result import Result

__all__ = ["AttachmentState", "NetworkAttachment"]

AttachmentState: TypeAlias = Literal["attached", "running", "unfinished"]


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
            from libcni.results.result import Result  # noqa: PLC0415 -- 4 ms that a RuntimeConf does not need

            decoded = parse_object(self._text).get(cache_keys.RESULT)
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
