"""The environment of a plugin: a base, and the six variables of the protocol.

Go counterpart: ``invoke.Args``. Source: SPEC 1.1.0, section 2, "Parameters".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from libcni.jsontext.frozen import FrozenDict
from libcni.protocol.cni_args import format_args

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libcni.protocol.attachment import RuntimeConf

__all__ = [
    "CNI_ARGS",
    "CNI_COMMAND",
    "CNI_CONTAINERID",
    "CNI_IFNAME",
    "CNI_NETNS",
    "CNI_PATH",
    "CurrentEnvironment",
    "PluginEnvironment",
    "attachment_environment",
    "join_path",
    "network_environment",
    "probe_environment",
    "split_path",
]

CNI_COMMAND = "CNI_COMMAND"
CNI_CONTAINERID = "CNI_CONTAINERID"
CNI_NETNS = "CNI_NETNS"
CNI_IFNAME = "CNI_IFNAME"
CNI_ARGS = "CNI_ARGS"
CNI_PATH = "CNI_PATH"

_VARIABLES = frozenset({CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME, CNI_ARGS, CNI_PATH})

# Plugins built on old versions of Go's skeleton want these set for VERSION too.
_HARMLESS = "dummy"


class PluginEnvironment(FrozenDict):
    """The environment of a plugin: the other variables of this process, then those of the protocol.

    Both are at hand, too: what is passed on is the same for all plugins, and is encoded once.
    """

    __slots__ = ("own", "passed_on")

    def __init__(self, passed_on: Mapping[str, str], own: Mapping[str, str]) -> None:
        super().__init__(passed_on, **own)
        self.passed_on = passed_on
        """Without any of the protocol."""
        self.own = own

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self.passed_on), self.own)


def attachment_environment(
    base: Mapping[str, str],
    command: str,
    *,
    paths: Sequence[str],
    rt: RuntimeConf,
) -> PluginEnvironment:
    """Return the environment for ADD, DEL and CHECK: the base, then the six variables in the specification's order.

    :raises InvalidParameterError: if an argument cannot be expressed in ``CNI_ARGS``.
    """
    own = {
        CNI_COMMAND: command,
        CNI_CONTAINERID: rt.container_id,
        CNI_NETNS: rt.netns,
        CNI_IFNAME: rt.ifname,
        CNI_ARGS: format_args(rt.args),
        CNI_PATH: join_path(paths),
    }
    return PluginEnvironment(_without_protocol(base), own)


def network_environment(base: Mapping[str, str], command: str, paths: Sequence[str]) -> PluginEnvironment:
    """Return the environment for GC and STATUS, which concern no container."""
    return PluginEnvironment(_without_protocol(base), {CNI_COMMAND: command, CNI_PATH: join_path(paths)})


def probe_environment(base: Mapping[str, str], paths: Sequence[str]) -> PluginEnvironment:
    """Return the environment for VERSION, with values that satisfy old plugins."""
    own = {
        CNI_COMMAND: "VERSION",
        CNI_CONTAINERID: _HARMLESS,
        CNI_NETNS: _HARMLESS,
        CNI_IFNAME: _HARMLESS,
        CNI_ARGS: "",
        CNI_PATH: join_path(paths),
    }
    return PluginEnvironment(_without_protocol(base), own)


class CurrentEnvironment:
    """The environment of this process, decoded anew only when it has changed.

    Decoding forty variables costs as much as everything else that a verb does before its first plugin. The raw table of
    ``os.environ`` compares in a microsecond; where it is not to be had, the variables are decoded each time.
    """

    def __init__(self) -> None:
        # One attribute: threads see both or neither.
        self._seen: tuple[dict[bytes, bytes] | None, dict[str, str]] = None, {}

    def __call__(self) -> Mapping[str, str]:
        """Return the variables of now; the caller does not change them."""
        raw: dict[bytes, bytes] | None = getattr(os.environ, "_data", None)
        seen = self._seen
        if raw is None or raw != seen[0]:
            seen = self._seen = None if raw is None else raw.copy(), dict(os.environ)
        return seen[1]


def _without_protocol(base: Mapping[str, str]) -> dict[str, str]:
    if _VARIABLES.isdisjoint(base):
        return dict(base)
    return {key: value for key, value in base.items() if key not in _VARIABLES}


def join_path(paths: Sequence[str]) -> str:
    """Return the value of ``CNI_PATH`` for the plugin directories."""
    return os.pathsep.join(paths)


def split_path(text: str) -> tuple[str, ...]:
    """Return the plugin directories in a ``CNI_PATH`` value; empty parts, which would mean here, are left out.

    >>> split_path("/opt/cni/bin::/usr/lib/cni")
    ('/opt/cni/bin', '/usr/lib/cni')
    """
    return tuple(part for part in text.split(os.pathsep) if part)
