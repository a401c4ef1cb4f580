"""Conflicts between the files of one directory: names, subnets and bridges.

Of each file only small facts are kept until all have been read, so that memory does not grow with the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.jsontext.encode import dump
from libcni.lint.findings import Place
from libcni.lint.ranges import blocks_of, first_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from libcni.lint.findings import Findings
    from libcni.lint.placed import PlacedPlugin
    from libcni.lint.ranges import Subnet

__all__ = ["Bridge", "NetworkFacts", "Pool", "check_together", "facts_of"]

_PER_PORT = frozenset(
    {"type", "name", "cniVersion", "bridge", "ipam", "dns", "args", "capabilities", "runtimeConfig"}
) | {
    "prevResult",
    "vlan",
    "vlanTrunk",
    "preserveDefaultVlan",
    "enabledad",
    "disableContainerInterface",
}
"""Members of a bridge configuration that concern the container's port, where networks on one bridge may differ."""

_DEFAULT_BRIDGE = "cni0"
_OFF = (False, 0, "", None)


@dataclass(frozen=True, slots=True)
class Pool:
    """A subnet from which a network gives out addresses."""

    network: str
    subnet: Subnet
    place: Place

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last address of the subnet, as numbers."""
        return int(self.subnet.network_address), int(self.subnet.broadcast_address)


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge that a network uses: its own settings, encoded, and the subnets whose gateway it is."""

    network: str
    name: str
    settings: Mapping[str, str]
    place: Place


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """The facts about a network that are kept until all files have been read."""

    name: str
    place: Place
    is_list: bool
    pools: Sequence[Pool]
    bridges: Sequence[Bridge]


def facts_of(name: str, place: Place, plugins: Iterable[PlacedPlugin], *, is_list: bool) -> NetworkFacts:
    """Return the facts about a network."""
    pools: list[Pool] = []
    bridges: list[Bridge] = []
    for plugin in plugins:
        pools += _pools(name, plugin)
        if plugin.type == "bridge":
            bridges.append(_bridge(name, plugin))
    return NetworkFacts(name, place, is_list, pools, bridges)


def _pools(network: str, plugin: PlacedPlugin) -> list[Pool]:
    return [
        Pool(network, block.subnet, plugin.source.place(block.path_of(block.keys.subnet)))
        for block in blocks_of(plugin.ipam, (*plugin.path, "ipam"))
        if block.keys.is_pool
    ]


def _bridge(network: str, plugin: PlacedPlugin) -> Bridge:
    settings = {key: dump(value) for key, value in plugin.data.items() if key not in _PER_PORT and not _is_off(value)}
    if plugin.data.get("isDefaultGateway") is True:
        settings["isGateway"] = "true"
    if "isGateway" in settings and plugin.data.get("forceAddress") is not True:
        settings |= _gateways(plugin)
    name = plugin.data.get("bridge") or _DEFAULT_BRIDGE
    path = (*plugin.path, "bridge") if "bridge" in plugin.data else (*plugin.path, "type")
    return Bridge(network, str(name), settings, plugin.source.place(path))


def _gateways(plugin: PlacedPlugin) -> dict[str, str]:
    """Return the address that the bridge gets in each family, as a setting: a bridge has one."""
    found: dict[str, str] = {}
    for block in blocks_of(plugin.ipam, ()):
        gateway = block.gateway or block.subnet.network_address + 1
        found.setdefault(f"the IPv{block.subnet.version} address", f"{gateway}/{block.subnet.prefixlen}")
    return found


def _is_off(value: object) -> bool:
    return not isinstance(value, dict | list) and value in _OFF


def check_together(findings: Findings, networks: Sequence[NetworkFacts], directory: Path | None = None) -> None:
    """Check the networks of one directory against each other, in the order in which a runtime reads the files.

    :param directory: the directory, where all of its files were read.
    """
    effective = _check_names(findings, networks)
    if directory is not None:
        _note_default(findings, directory, effective)
    _check_pools(findings, [pool for network in effective for pool in network.pools])
    _check_bridges(findings, [bridge for network in effective for bridge in network.bridges])


def _note_default(findings: Findings, directory: Path, networks: Sequence[NetworkFacts]) -> None:
    if len(networks) > 1:
        first = networks[0]
        message = (
            f"of its {len(networks)} networks a kubelet or CRI runtime takes {first.name!r} "
            f"in {first.place.file.name}, the first file by name; tools that name a network can use the others too"
        )
        findings.add("CNI509", Place(directory), message)


def _check_names(findings: Findings, networks: Sequence[NetworkFacts]) -> list[NetworkFacts]:
    """Report names that are taken, and return the networks that count."""
    first: dict[str, NetworkFacts] = {}
    for network in networks:
        earlier = first.setdefault(network.name, network)
        if earlier is network:
            continue
        if earlier.is_list == network.is_list:
            message = f"network {network.name!r} is already defined in {earlier.place.file.name}, which counts"
            findings.add("CNI501", network.place, message, hint="rename one of them, or remove the file")
        else:
            single = earlier if network.is_list else network
            other = network if network.is_list else earlier
            message = (
                f"network {network.name!r} is also defined in the list {other.place.file.name}, which hides this file"
            )
            hint = "remove the file" if single is network else "remove the file: runtimes differ in which they take"
            findings.add("CNI502", single.place, message, hint=hint)
    return list(first.values())


def _check_pools(findings: Findings, pools: Sequence[Pool]) -> None:
    """Report each pool that overlaps one of an earlier network."""
    for pool, earlier in first_overlaps(pools, lambda one, other: one.network == other.network):
        message = f"{pool.subnet} overlaps {earlier.subnet} of network {earlier.network!r} in {earlier.place.file.name}"
        findings.add("CNI506", pool.place, message, hint="give each network a subnet of its own")


def _check_bridges(findings: Findings, bridges: Sequence[Bridge]) -> None:
    first: dict[str, Bridge] = {}
    for bridge in bridges:
        earlier = first.setdefault(bridge.name, bridge)
        differing = sorted(
            key
            for key in {*bridge.settings, *earlier.settings}
            if bridge.settings.get(key) != earlier.settings.get(key)
        )
        if differing and earlier.network != bridge.network:
            message = (
                f"bridge {bridge.name!r} is also used by network {earlier.network!r} in {earlier.place.file.name}, "
                f"with another setting of {', '.join(differing)}"
            )
            findings.add(
                "CNI507", bridge.place, message, hint="give them the same settings, or the bridge another name"
            )
