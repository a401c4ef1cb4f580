"""Configurations for the reference plugins, and the comparison of a result with what the kernel has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.kernel import Namespace

GATEWAY = "10.231.7.1"
FIRST_ADDRESS = "10.231.7.2"
MAC = "02:10:23:17:00:02"
PORT_MAPPINGS = {"portMappings": [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]}


def network(name: str, *plugins: Mapping[str, Any], version: str = "1.0.0") -> dict[str, Any]:
    """Return the configuration of a network."""
    return {"cniVersion": version, "name": name, "plugins": list(plugins)}


def host_local(tmp_path: Path) -> dict[str, Any]:
    """Return an allocator with a default route that keeps its leases below ``tmp_path``."""
    return {
        "type": "host-local",
        "ranges": [[{"subnet": "10.231.7.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(tmp_path / "leases"),
    }


def leases(tmp_path: Path) -> set[str]:
    """Return the addresses that :func:`host_local` has given away."""
    return {path.name for path in (tmp_path / "leases").glob("*/10.*")}


def bridged(bridge: str, ipam: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bridge that is the gateway and masquerades what leaves the subnet."""
    return {"type": "bridge", "bridge": bridge, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}


TUNING = {"type": "tuning", "mac": MAC, "mtu": 1400, "sysctl": {"net.core.somaxconn": "500"}}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
FIREWALL = {"type": "firewall", "backend": "iptables"}
BANDWIDTH = {
    "type": "bandwidth",
    "ingressRate": 8_000_000,
    "ingressBurst": 8_000_000,
    "egressRate": 8_000_000,
    "egressBurst": 8_000_000,
}


def assert_kernel_has(result: Mapping[str, Any], namespace: Namespace) -> None:
    """Compare each interface, address and route of the result with the kernel."""
    links = namespace.links()
    inside = [interface for interface in result["interfaces"] if interface.get("sandbox") == namespace.path]
    assert inside
    for interface in inside:
        assert links[interface["name"]]["address"] == interface["mac"]
        assert "UP" in links[interface["name"]]["flags"]
    for ip in result.get("ips", []):
        assert ip["address"] in namespace.addresses(result["interfaces"][ip["interface"]]["name"])
    routes = namespace.routes()
    for route in result.get("routes", []):
        gateway = route.get("gw") or result["ips"][0]["gateway"]
        assert routes["default" if route["dst"] == "0.0.0.0/0" else route["dst"]] == gateway
