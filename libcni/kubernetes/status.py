"""The status that a pod reports of its networks, and whether it got what it asked for.

Go counterpart: ``CreateNetworkStatuses``. Source: the multi-network convention, section 5; for devices, the Device
Information Specification 1.1.0 of the same group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.errors import ResultError
from libcni.jsontext.frozen import FrozenDict, thaw
from libcni.kubernetes.selection import with_interface_names
from libcni.protocol.addresses import parse_address_or_cidr

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.kubernetes.selection import NetworkSelection
    from libcni.networks import AttachedInterface, Setup
    from libcni.protocol.addresses import Address
    from libcni.results.result import DNS, Interface, Result

__all__ = ["check_assigned", "network_status"]

DEVICE_INFO_VERSION = "1.1.0"
_NO_DEVICES: Mapping[str, Any] = FrozenDict()


def network_status(
    setup: Setup,
    *,
    selections: Sequence[NetworkSelection] = (),
    default_interface: str = "eth0",
    device_info: Mapping[str, Any] = _NO_DEVICES,
) -> list[dict[str, Any]]:
    """Return the list for the annotation ``k8s.v1.cni.cncf.io/network-status``, to be encoded as JSON.

    It has an entry for each interface in the pod, with ``name``, ``interface`` and ``default``, and with ``ips``,
    ``mac``, ``mtu``, ``dns``, ``gateway`` and ``device-info`` where they are known. ``ips`` have no prefix length, as
    Multus writes them. ``gateway`` has the gateways of default routes.

    :param selections: the networks that the pod selects; an entry then has the name of the definition, with its
        namespace. Other entries have the name of the network.
    :param default_interface: name of the interface of the cluster-wide default network; the first entry of that
        attachment is the default one.
    :param device_info: what is known of the devices, by interface name; left out, what the results say.
    :raises InvalidParameterError: if two selections ask for one interface name.
    """
    names = {selection.interface: selection.reference for selection in with_interface_names(selections)}
    seen: set[str] = set()
    entries: list[dict[str, Any]] = []
    for item in setup.interfaces:
        entry = _entry(item, setup.results[item.attachment])
        entry["name"] = names.get(item.attachment, item.network)
        entry["default"] = item.attachment == default_interface and item.attachment not in seen
        if item.ifname in device_info:
            entry["device-info"] = thaw(device_info[item.ifname])
        seen.add(item.attachment)
        entries.append(entry)
    return entries


def _entry(item: AttachedInterface, result: Result) -> dict[str, Any]:
    members = {
        "name": item.network,
        "interface": item.ifname,
        "ips": [str(address.ip) for address in item.addresses],
        "mac": item.mac,
        "mtu": item.mtu,
        "default": False,
        "dns": _dns(result.dns),
        "gateway": list(dict.fromkeys(_default_gateways(item))),
        "device-info": _device_info(item, result),
    }
    return {name: value for name, value in members.items() if value or name == "default"}


def _dns(dns: DNS) -> dict[str, Any]:
    members = {
        "nameservers": list(dns.nameservers),
        "domain": dns.domain,
        "search": list(dns.search),
        "options": list(dns.options),
    }
    return {name: value for name, value in members.items() if value}


def _default_gateways(item: AttachedInterface) -> Iterator[str]:
    """Go through the gateways of default routes; a route without one leads to that of the addresses."""
    for route in item.routes:
        if route.dst.network.prefixlen == 0:
            gateway = route.gw or _gateway(item, route.dst.version)
            if gateway is not None:
                yield str(gateway)


def _gateway(item: AttachedInterface, version: int) -> Address | None:
    return next((gateway for gateway in item.gateways if gateway.version == version), None)


def _device_info(item: AttachedInterface, result: Result) -> dict[str, Any]:
    """Return the device of an interface, as far as the result says (SPEC 1.1.0, ``pciID`` and ``socketPath``)."""
    found = next((each for each in result.interfaces if each.sandbox and each.name == item.ifname), None)
    device = {} if found is None else _device(found)
    return {**device, "version": DEVICE_INFO_VERSION} if device else {}


def _device(interface: Interface) -> dict[str, Any]:
    if interface.pci_id:
        return {"type": "pci", "pci": {"pci-address": interface.pci_id}}
    if interface.socket_path:
        return {"type": "vhost-user", "vhost-user": {"path": interface.socket_path}}
    return {}


def check_assigned(setup: Setup, selections: Sequence[NetworkSelection]) -> None:
    """Check that each network has assigned the addresses that the pod asked it for, as the convention requires.

    Plugins may ignore what they are asked for. After an error the pod is to be removed.

    :raises ResultError: if one has not; ``field`` is ``ips`` or ``mac``.
    :raises InvalidParameterError: if two selections ask for one interface name.
    """
    for selection in with_interface_names(selections):
        interfaces = [item for item in setup.interfaces if item.attachment == selection.interface]
        assigned = {str(address.ip) for item in interfaces for address in item.addresses}
        assigned |= {str(address) for item in interfaces for address in item.addresses}
        for address in selection.ips:
            if str(parse_address_or_cidr(str(address))) not in assigned:
                raise ResultError(f"network {selection} has not assigned {address}", field="ips")
        if selection.mac and _canonical(selection.mac) not in [_canonical(item.mac) for item in interfaces]:
            raise ResultError(f"network {selection} has not assigned {selection.mac}", field="mac")


def _canonical(mac: str) -> str:
    return mac.lower().replace("-", ":")
