"""Whether networks are ready, in the words of the Container Runtime Interface.

From 1.1.0 on the plugins are asked (STATUS); below, a network is ready when its plugins are installed and support its
version. A plugin that does not answer in time makes its network ``unknown``, and holds up nothing else. Go counterpart:
``Status`` of ``ocicni`` and ``go-cni``. Source: SPEC 1.1.0, section 2, "STATUS", and section 5, codes 50 and 51.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from libcni.errors import CNIError, CNIErrorGroup, ErrorCode, PluginError
from libcni.protocol.versions import STATUS_SINCE, is_at_least
from libcni.verbs.status import status, version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.networks.snapshot import Snapshot
    from libcni.verbs.context import VerbContext

__all__ = ["NetworkStatus", "ReadinessProbe", "ReadyState", "Status"]

ReadyState: TypeAlias = Literal["ready", "not ready", "limited", "unknown"]

NOT_READY = "NetworkPluginNotReady"
"""The reason that a CRI runtime gives for its condition ``NetworkReady``."""

PARALLEL_PROBES = 8
"""Networks that are asked at once."""

PROBE_SECONDS = 10.0
"""The longest that one plugin is waited for: whoever asks for the status wants an answer."""

_KNOWN_VERSIONS = 256
"""Plugin binaries whose versions are remembered."""

_STATES: dict[int, ReadyState] = {
    ErrorCode.PLUGIN_NOT_AVAILABLE: "not ready",
    ErrorCode.PLUGIN_NOT_AVAILABLE_LIMITED_CONNECTIVITY: "limited",
}


@dataclass(frozen=True, kw_only=True)
class NetworkStatus:
    """The readiness of one network.

    ``state`` is ``"ready"``; ``"not ready"`` (no container can be added: code 50, a plugin that is not installed or
    does not support the version); ``"limited"`` (code 51: containers that are attached may have limited connectivity,
    too); or ``"unknown"``. ``reasons`` say why, one sentence each.
    """

    network: str
    state: ReadyState
    reasons: Sequence[str] = ()
    is_default: bool = False

    @property
    def ready(self) -> bool:
        """Whether containers can be added."""
        return self.state == "ready"


@dataclass(frozen=True, kw_only=True)
class Status:
    """The readiness of all networks; ``ready`` is that of the default network.

    ``reason`` and ``message`` are those of the CRI's condition ``NetworkReady``, empty when it is ready.
    """

    ready: bool
    reason: str = ""
    message: str = ""
    networks: Sequence[NetworkStatus] = ()


class ReadinessProbe:
    """Asks the plugins of networks whether they are ready.

    :param timeout: seconds for each plugin, never more than :data:`PROBE_SECONDS`.
    """

    def __init__(self, context: VerbContext, timeout: float | None) -> None:
        self._context = context
        self._timeout = PROBE_SECONDS if timeout is None else min(timeout, PROBE_SECONDS)
        self._versions: dict[tuple[str, int, int, int], Sequence[str]] = {}

    async def probe(self, snapshot: Snapshot) -> Status:
        """Return the readiness of every network of a snapshot."""
        jobs = [functools.partial(self._network, network, snapshot) for network in snapshot.networks]
        found = await self._context.runner.gather(jobs, limit=PARALLEL_PROBES)
        return _combined(found, snapshot)

    async def _network(self, network: NetworkConfigList, snapshot: Snapshot) -> NetworkStatus:
        missing = snapshot.missing_plugins.get(network.name, ())
        state: ReadyState
        if missing:
            state, reasons = "not ready", [f"plugin {name!r} is not installed" for name in missing]
        else:
            state, reasons = await self._ask(network)
        is_default = snapshot.default is not None and network.name == snapshot.default.name
        return NetworkStatus(network=network.name, state=state, reasons=tuple(reasons), is_default=is_default)

    async def _ask(self, network: NetworkConfigList) -> tuple[ReadyState, list[str]]:
        try:
            if is_at_least(network.cni_version, STATUS_SINCE):
                await status(self._context, network, self._timeout)
            else:
                return await self._derive(network)
        except CNIErrorGroup as error:
            return "unknown", [str(each) for each in error.exceptions]
        except CNIError as error:
            code = error.code if isinstance(error, PluginError) else 0
            return _STATES.get(code, "unknown"), [str(error)]
        return "ready", []

    async def _derive(self, network: NetworkConfigList) -> tuple[ReadyState, list[str]]:
        """Return the readiness of a network whose version has no STATUS: each plugin supports the version."""
        reasons: list[str] = []
        for plugin in network.plugins:
            supported = await self._supported_versions(plugin.type)
            if network.cni_version not in supported:
                known = ", ".join(supported)
                reasons.append(f"plugin {plugin.type!r} does not support version {network.cni_version} ({known})")
        return ("not ready" if reasons else "ready"), reasons

    async def _supported_versions(self, plugin: str) -> Sequence[str]:
        """Return the versions of a plugin; it is asked once for as long as its binary is the same."""
        path = self._context.runner.find(plugin, self._context.caller.paths)
        key = _binary_key(path)
        if key is None or key not in self._versions:
            info = await version(self._context, plugin, self._timeout)
            if key is None:
                return info.supported_versions
            if len(self._versions) >= _KNOWN_VERSIONS:
                self._versions.clear()
            self._versions[key] = info.supported_versions
        return self._versions[key]


def _binary_key(path: str) -> tuple[str, int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 -- text in
    except OSError:
        return None
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def _combined(networks: Sequence[NetworkStatus], snapshot: Snapshot) -> Status:
    default = next((each for each in networks if each.is_default), None)
    if default is not None and default.ready:
        return Status(ready=True, networks=tuple(networks))
    if default is None:
        message = snapshot.why_no_default()
    else:
        message = f"network {default.network!r} is {default.state}: {'; '.join(default.reasons)}"
    return Status(ready=False, reason=NOT_READY, message=message, networks=tuple(networks))
