"""The state before a chained plugin: an interface with an address and a route, and the result that describes it.

The checks make it themselves, so that a chained plugin is tested without the faults of another plugin. Source: SPEC
1.1.0, section 3 ("prevResult") and section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.results.result import Result

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.jsontext.scan import JSONObject

__all__ = ["address_result", "interface_result", "prepare_interface"]

_CANONICAL = "1.1.0"


def prepare_interface(number: int, netns: Path, ifname: str) -> tuple[str, str, JSONObject]:
    """Return the ``ip`` lines for the host, those for the container, and the result in the newest version."""
    host, host_mac, mac = f"cnfhost{number}", f"02:cf:00:00:01:{number:02x}", f"02:cf:00:00:02:{number:02x}"
    address, gateway = f"10.99.{number}.2/24", f"10.99.{number}.1"
    on_host = (
        f"link add {host} address {host_mac} type veth peer name {ifname} address {mac} netns {netns}\n"
        f"address add {gateway}/24 dev {host}\n"
        f"link set {host} up\n"
    )
    inside = (
        f"link set lo up\nlink set {ifname} up\n"
        f"address add {address} dev {ifname}\nroute add default via {gateway} dev {ifname}\n"
    )
    result = {
        "cniVersion": _CANONICAL,
        "interfaces": [{"name": host, "mac": host_mac}, {"name": ifname, "mac": mac, "sandbox": str(netns)}],
        "ips": [{"address": address, "gateway": gateway, "interface": 1}],
        "routes": [{"dst": "0.0.0.0/0", "gw": gateway}],
        "dns": {"nameservers": ["192.0.2.53"], "search": ["conformance.example"]},
    }
    return on_host, inside, result


def address_result(version: str) -> JSONObject:
    """Return the result of an IPAM plugin, in a version.

    >>> address_result("1.0.0")["ips"]
    [{'address': '10.98.0.5/24', 'gateway': '10.98.0.1'}]
    """
    ips: list[dict[str, Any]] = [{"address": "10.98.0.5/24", "gateway": "10.98.0.1"}]
    routes = [{"dst": "0.0.0.0/0"}]
    return interface_result({"cniVersion": _CANONICAL, "ips": ips, "routes": routes, "dns": {}}, version)


def interface_result(result: JSONObject, version: str) -> JSONObject:
    """Return a result in another version."""
    return dict(Result.from_dict(result).as_version(version).to_dict())
