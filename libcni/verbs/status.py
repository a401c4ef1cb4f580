"""STATUS and VERSION: whether a network is ready, what its plugins support, and whether a list can be used.

Go counterpart: ``GetStatusNetworkList``, ``GetVersionInfo`` and ``ValidateNetworkList``. Source: SPEC 1.1.0, section 3,
"Checking a network for readiness", and section 2, "VERSION".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.errors import CNIError, CNIErrorGroup, IncompatibleVersionError
from libcni.protocol.names import check_network_name
from libcni.protocol.versions import STATUS_SINCE, check_supported, is_at_least
from libcni.verbs.chain import Limits
from libcni.verbs.context import check_network

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libcni.config.model import NetworkConfigList, PluginConfig
    from libcni.protocol.versions import PluginInfo
    from libcni.verbs.context import VerbContext

__all__ = ["status", "validate", "validate_list", "version"]


async def status(context: VerbContext, network: NetworkConfigList, timeout: float | None) -> None:
    """Ask whether a network is ready; below 1.1.0 nothing is asked."""
    check_network_name(network.name)
    check_network(network)
    if is_at_least(network.cni_version, STATUS_SINCE):
        await context.observed(context.caller.status(network, Limits(timeout)), "STATUS", network=network.name)


async def version(context: VerbContext, plugin_type: str, timeout: float | None) -> PluginInfo:
    """Ask a plugin which versions it supports."""
    return await context.observed(context.caller.version(plugin_type, Limits(timeout)), "VERSION")


async def validate_list(context: VerbContext, network: NetworkConfigList, timeout: float | None) -> list[str]:
    """Check a whole list, as :func:`validate`."""
    check_network_name(network.name)
    check_network(network)
    return await validate(context, network.plugins, network.cni_version, timeout=timeout)


async def validate(
    context: VerbContext, plugins: Iterable[PluginConfig], required: str, *, timeout: float | None
) -> list[str]:
    """Check that every plugin is there and supports a version, and return the capabilities in use, sorted."""
    check_supported(required)
    capabilities: set[str] = set()
    errors: list[CNIError] = []
    for plugin in plugins:
        capabilities |= plugin.used_capabilities
        try:
            info = await version(context, plugin.type, timeout)
        except CNIError as error:
            errors.append(error)
            continue
        if required not in info.supported_versions:
            known = ", ".join(info.supported_versions)
            message = f"plugin {plugin.type!r} does not support version {required!r} (it supports {known})"
            errors.append(IncompatibleVersionError(message))
    if errors:
        raise CNIErrorGroup("the configuration cannot be used", errors)
    return sorted(capabilities)
