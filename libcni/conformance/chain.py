"""The state before a chained plugin: an interface with an address and a route, and the result that describes it.

The checks make it themselves, so that a chained plugin is tested without the faults of another plugin. Source: SPEC
1.1.0, section 3 ("prevResult") and section 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.results.result import Result

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from libcni.jsontext.scan import JSONObject

__all__ = ["address_result", "interface_result", "prepare_interface"]

_CANONICAL = "1.1.0"


def prepare_interface(
    number: int, netns: Path, ifname: str, *, families: Sequence[str] = ("ipv4",)
) -> tuple[str, str, JSONObject]:
    """Return the ``ip`` lines for the host, those for the container, and the result in the newest version."""
    host, host_mac, mac = f"cnfhost{number}", f"02:cf:00:00:01:{number:02x}", f"02:cf:00:00:02:{number:02x}"
    given = [_given(family, number) for family in families]
    on_host = f"link add {host} address {host_mac} type veth peer name {ifname} address {mac} netns {netns}\n"
    on_host += "".join(
        f"address add {gateway}/{length} dev {host}{_no_wait(gateway)}\n" for _, gateway, length, _ in given
    )
    on_host += f"link set {host} up\n"
    inside = f"link set lo up\nlink set {ifname} up\n"
    for address, gateway, _, everywhere in given:
        inside += f"address add {address} dev {ifname}{_no_wait(address)}\n"
        inside += f"route add {everywhere} via {gateway} dev {ifname}\n"
    result = {
        "cniVersion": _CANONICAL,
        "interfaces": [{"name": host, "mac": host_mac}, {"name": ifname, "mac": mac, "sandbox": str(netns)}],
        "ips": [{"address": address, "gateway": gateway, "interface": 1} for address, gateway, _, _ in given],
        "routes": [{"dst": everywhere, "gw": gateway} for _, gateway, _, everywhere in given],
        "dns": {"nameservers": ["192.0.2.53"], "search": ["conformance.example"]},
    }
    return on_host, inside, result


def _no_wait(address: str) -> str:
    """Return the word that makes an address of IPv6 usable at once, without asking whether others have it."""
    return " nodad" if ":" in address else ""


def _given(family: str, number: int) -> tuple[str, str, int, str]:
    """Return an address, its gateway, the length of the prefix, and the network that is everywhere."""
    if family == "ipv6":
        return f"fd99:{number:x}::2/64", f"fd99:{number:x}::1", 64, "::/0"
    return f"10.99.{number}.2/24", f"10.99.{number}.1", 24, "0.0.0.0/0"


def address_result(version: str, families: Sequence[str] = ("ipv4",)) -> JSONObject:
    """Return the result of an IPAM plugin, in a version.

    >>> address_result("1.0.0")["ips"]
    [{'address': '10.98.0.5/24', 'gateway': '10.98.0.1'}]
    """
    entries = {
        "ipv4": ({"address": "10.98.0.5/24", "gateway": "10.98.0.1"}, {"dst": "0.0.0.0/0"}),
        "ipv6": ({"address": "fd98::5/64", "gateway": "fd98::1"}, {"dst": "::/0"}),
    }
    ips: list[dict[str, Any]] = [entries[family][0] for family in families]
    routes = [entries[family][1] for family in families]
    return interface_result({"cniVersion": _CANONICAL, "ips": ips, "routes": routes, "dns": {}}, version)


def interface_result(result: JSONObject, version: str) -> JSONObject:
    """Return a result in another version."""
    return dict(Result.from_dict(result).as_version(version).to_dict())
