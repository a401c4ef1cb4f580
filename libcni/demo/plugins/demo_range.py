"""The plugin ``demo-range``: gives each container an address of a range and keeps the leases in a JSON file.

It makes no interface, so it needs no root. Configuration keys: ``subnet`` and ``dataDir`` are required; ``rangeStart``
and ``rangeEnd`` narrow the range (default: all host addresses); ``gateway`` (default: the first address of the subnet)
is never given away; ``routes`` are handed on. The leases of a network stand in ``<dataDir>/<network>.json``.

Source: SPEC 1.1.0, section 2 (verbs) and section 4, "GC"; errors from 100 on are the plugin's own.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .protocol import INVALID_CONFIG, IO_FAILURE, NOT_AVAILABLE, ProtocolError, Request, run_plugin

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from .protocol import Handler

__all__ = ["HANDLERS", "Lease", "Range", "add", "check", "collect_garbage", "delete", "status"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

ALREADY_LEASED = 100
RANGE_EXHAUSTED = 101
LEASE_DIFFERS = 102

SMALLEST_SUBNET = 4


@dataclass(frozen=True, slots=True)
class Lease:
    """One address, and the interface that has it."""

    address: str
    container_id: str
    ifname: str

    def belongs_to(self, request: Request) -> bool:
        """Return whether the lease was given to the container and interface of the request."""
        return (self.container_id, self.ifname) == (request.container_id, request.ifname)


@dataclass(frozen=True, slots=True)
class Range:
    """The addresses that may be given away, and the file that knows which are."""

    subnet: Subnet
    first: Address
    last: Address
    gateway: Address
    data_dir: Path
    network: str

    @classmethod
    def from_request(cls, request: Request) -> Range:
        """Read the plugin's own keys.

        :raises ProtocolError: if one is missing or cannot be used.
        """
        subnet = _read_subnet(request.config)
        first = _read_address(request.config, "rangeStart", subnet) or subnet[1]
        last = _read_address(request.config, "rangeEnd", subnet) or subnet[-2]  # the last one of IPv4 is for broadcasts
        gateway = _read_address(request.config, "gateway", subnet) or subnet[1]
        data_dir = request.config.get("dataDir")
        if not isinstance(data_dir, str) or not data_dir:
            raise ProtocolError(INVALID_CONFIG, "dataDir is missing: a folder for the leases")
        return cls(subnet, first, last, gateway, Path(data_dir), request.network)

    def free_address(self, taken: set[str]) -> str | None:
        """Return the lowest free address, ``None`` if there is none."""
        for offset in range(int(self.last) - int(self.first) + 1):
            address = self.first + offset
            if address != self.gateway and str(address) not in taken:
                return str(address)
        return None

    @contextmanager
    def leases(self) -> Generator[list[Lease]]:
        """Hand out the leases as a list to change, and write the list back, all under the lock of the file.

        :raises ProtocolError: if the folder or the file cannot be used.
        """
        path = self.data_dir / f"{self.network}.json"
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            with (self.data_dir / f"{self.network}.lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                before = _read_leases(path)
                leases = list(before)
                yield leases
                if leases != before:
                    _write_leases(path, leases)
        except OSError as error:
            raise ProtocolError(IO_FAILURE, f"the leases in {path} cannot be used", str(error)) from error


def add(request: Request) -> dict[str, Any]:
    """Lease the lowest free address."""
    pool = Range.from_request(request)
    with pool.leases() as leases:
        for lease in leases:
            if lease.belongs_to(request):
                raise ProtocolError(ALREADY_LEASED, f"{request.container_id} already has {lease.address}")
        address = pool.free_address({lease.address for lease in leases})
        if address is None:
            raise ProtocolError(RANGE_EXHAUSTED, f"no address is left in {pool.first} to {pool.last}")
        leases.append(Lease(address, request.container_id, request.ifname))
    return _result(request, pool, address)


def check(request: Request) -> None:
    """Compare the lease with the result of the ADD."""
    pool = Range.from_request(request)
    addresses = request.previous_addresses
    with pool.leases() as leases:
        held = [lease.address for lease in leases if lease.belongs_to(request)]
    if not held:
        raise ProtocolError(LEASE_DIFFERS, f"{request.container_id} has no lease", f"the ADD gave {sorted(addresses)}")
    if held[0] not in addresses:
        raise ProtocolError(LEASE_DIFFERS, f"{request.container_id} has {held[0]}", f"the ADD gave {sorted(addresses)}")


def delete(request: Request) -> None:
    """Give the address back; what is not there is no error (SPEC 2, "DEL")."""
    with Range.from_request(request).leases() as leases:
        leases[:] = [lease for lease in leases if not lease.belongs_to(request)]


def collect_garbage(request: Request) -> None:
    """Drop every lease whose attachment the runtime does not name."""
    keep = request.valid_attachments
    with Range.from_request(request).leases() as leases:
        leases[:] = [lease for lease in leases if (lease.container_id, lease.ifname) in keep]


def status(request: Request) -> None:
    """Return whether an ADD could succeed now."""
    pool = Range.from_request(request)
    try:
        with pool.leases() as leases:
            address = pool.free_address({lease.address for lease in leases})
    except ProtocolError as error:
        raise ProtocolError(NOT_AVAILABLE, error.msg, error.details) from error
    if address is None:
        raise ProtocolError(NOT_AVAILABLE, f"no address is left in {pool.first} to {pool.last}")


def _result(request: Request, pool: Range, address: str) -> dict[str, Any]:
    ip: dict[str, Any] = {"address": f"{address}/{pool.subnet.prefixlen}", "gateway": str(pool.gateway)}
    if request.version < "1.0.0":  # the versions that this plugin supports are in the order of their text
        ip["version"] = str(pool.subnet.version)
    return {"cniVersion": request.version, "ips": [ip], "routes": request.config.get("routes", []), "dns": {}}


def _read_subnet(config: Mapping[str, Any]) -> Subnet:
    try:
        subnet = ipaddress.ip_network(config["subnet"])
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(INVALID_CONFIG, "subnet is missing or no network, like 10.1.2.0/24", str(error)) from error
    if subnet.num_addresses < SMALLEST_SUBNET:
        raise ProtocolError(INVALID_CONFIG, f"subnet {subnet} is too small: a gateway and a container need a /30")
    return subnet


def _read_address(config: Mapping[str, Any], key: str, subnet: Subnet) -> Address | None:
    if key not in config:
        return None
    try:
        address = ipaddress.ip_address(config[key])
    except ValueError as error:
        raise ProtocolError(INVALID_CONFIG, f"{key} is no address", str(error)) from error
    if address not in subnet:
        raise ProtocolError(INVALID_CONFIG, f"{key} {address} is not in {subnet}")
    return address


def _read_leases(path: Path) -> list[Lease]:
    try:
        document = json.loads(path.read_text())
        return [Lease(entry["address"], entry["containerID"], entry["ifname"]) for entry in document["leases"]]
    except FileNotFoundError:
        return []
    except (KeyError, TypeError, ValueError) as error:
        raise ProtocolError(IO_FAILURE, f"{path} is damaged", repr(error)) from error


def _write_leases(path: Path, leases: list[Lease]) -> None:
    entries = [{"address": a.address, "containerID": a.container_id, "ifname": a.ifname} for a in leases]
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"leases": entries}, indent=2))
    beside.replace(path)


HANDLERS: Mapping[str, Handler] = {
    "ADD": add,
    "CHECK": check,
    "DEL": delete,
    "GC": collect_garbage,
    "STATUS": status,
}

if __name__ == "__main__":
    raise SystemExit(run_plugin(HANDLERS))
