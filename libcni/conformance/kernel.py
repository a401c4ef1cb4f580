"""The state of a network namespace: links, addresses, routes and rules, read with ``ip -json``.

Owns :class:`Snapshot` and the reading. The program ``ip`` (package iproute2) is on every machine that runs CNI plugins,
and costs 2 ms; firewall rules come from ``nft`` and ``iptables-save`` where they are installed.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Link", "Route", "Snapshot", "check_tools", "firewall", "has_link_kind", "look", "run_ip"]

_TIMEOUT = 20
_COUNTERS = re.compile(r"\[\d+:\d+\]|packets \d+ bytes \d+")
_FRAME = re.compile(r"[#*}]|COMMIT|table |type |:?(chain )?(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ")
_QUERIES = "link show\naddress show\nroute show table all\nrule show\n"
_IPV6_QUERIES = "route show table all\nrule show\n"
_OWN_ROUTES = frozenset({"local", "broadcast", "multicast", "anycast", "unreachable"})
_EVERYWHERE = {"inet": "0.0.0.0/0", "inet6": "::/0"}


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; ``addresses`` are in CIDR form, without those that the kernel makes by itself (link-local)."""

    name: str
    kind: str
    mac: str
    mtu: int
    is_up: bool
    master: str = ""
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One route; ``dst`` is a network in CIDR form, ``gateway`` is empty for a direct one."""

    dst: str
    gateway: str
    device: str
    table: str
    by_kernel: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything in a namespace at one time; two compare equal when nothing changed."""

    links: Mapping[str, Link] = field(default_factory=dict[str, Link])
    routes: frozenset[Route] = frozenset()
    rules: tuple[str, ...] = ()

    def differences(self, later: Snapshot) -> list[str]:
        """Return the changes up to ``later``, in words; none when the two are equal."""
        said = [f"link {name} is gone" for name in self.links if name not in later.links]
        said += [f"link {name} is new" for name in later.links if name not in self.links]
        said += [
            f"link {name} changed from {self.links[name]} to {link}"
            for name, link in later.links.items()
            if name in self.links and self.links[name] != link
        ]
        said += [f"route {route} is gone" for route in sorted(self.routes - later.routes)]
        said += [f"route {route} is new" for route in sorted(later.routes - self.routes)]
        said += [f"rule {rule} is gone" for rule in self.rules if rule not in later.rules]
        said += [f"rule {rule} is new" for rule in later.rules if rule not in self.rules]
        return said


def check_tools() -> None:
    """Check that the kernel can be read.

    :raises CNIError: if ``ip`` or ``nsenter`` is missing.
    """
    missing = [name for name in ("ip", "nsenter") if shutil.which(name) is None]
    if missing:
        raise CNIError(
            f"the conformance checks read the kernel with {' and '.join(missing)}, "
            "not found on PATH: install iproute2 and util-linux"
        )


def run_ip(batch: str, netns: Path | None = None, options: Sequence[str] = ()) -> str:
    """Run lines of ``ip`` commands in a namespace and return what they print.

    :raises CNIError: if one fails.
    """
    inside = ["nsenter", f"--net={netns}"] if netns is not None else []
    command = [*inside, "ip", *options, "-batch", "-"]
    done = subprocess.run(command, input=batch, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise CNIError(f"'{' '.join(command)}' with {batch!r}: {done.stderr.strip()}")
    return done.stdout


def look(netns: Path | None = None) -> Snapshot:
    """Read a namespace; without a path that of the calling thread."""
    links, addresses, routes, rules = _documents(run_ip(_QUERIES, netns, ["-details", "-json"]))
    families = [("inet", routes, rules)]
    if any(info["family"] == "inet6" and info["scope"] == "global" for link in addresses for info in link["addr_info"]):
        more = _documents(run_ip(_IPV6_QUERIES, netns, ["-6", "-json"]))
        families.append(("inet6", *more))
    given = {entry["ifname"]: _given(entry) for entry in addresses}
    return Snapshot(
        {entry["ifname"]: _link(entry, given) for entry in links},
        frozenset(route for family, found, _ in families for entry in found for route in _routes(family, entry)),
        tuple(sorted(json.dumps(rule, sort_keys=True) for _, _, found in families for rule in found)),
    )


def _documents(text: str) -> list[Any]:
    """Decode the arrays that stand one after the other."""
    decoder = json.JSONDecoder()
    found: list[Any] = []
    position = 0
    while position < len(text):
        document, position = decoder.raw_decode(text, position)
        found.append([entry for entry in document if entry])
        while position < len(text) and text[position].isspace():
            position += 1
    return found


def _given(entry: dict[str, Any]) -> frozenset[str]:
    scopes = {"global", "host", "site"}
    return frozenset(f"{info['local']}/{info['prefixlen']}" for info in entry["addr_info"] if info["scope"] in scopes)


def _link(entry: dict[str, Any], given: Mapping[str, frozenset[str]]) -> Link:
    name = entry["ifname"]
    kind = entry.get("linkinfo", {}).get("info_kind", "")
    flags = entry.get("flags", [])
    mac = entry.get("address", "")
    return Link(name, kind, mac, entry["mtu"], "UP" in flags, entry.get("master", ""), given.get(name, frozenset()))


def _routes(family: str, entry: dict[str, Any]) -> list[Route]:
    if entry.get("table") == "local" or entry.get("type", "unicast") in _OWN_ROUTES:
        return []
    if entry["dst"].startswith(("fe80:", "ff00:")):
        return []
    dst = _EVERYWHERE[family] if entry["dst"] == "default" else str(ipaddress.ip_network(entry["dst"], strict=False))
    hops = entry.get("nexthops") or [entry]
    table = str(entry.get("table", "main"))
    by_kernel = entry.get("protocol") == "kernel"
    return [Route(dst, hop.get("gateway", ""), hop.get("dev", ""), table, by_kernel) for hop in hops]


def firewall() -> tuple[str, ...]:
    """Return every firewall rule and chain of the calling thread's namespace.

    Tables and the chains that hook into the kernel are left out: they are made on first use, and hold nothing.
    """
    lines: list[str] = []
    for command in (["nft", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"]):
        if shutil.which(command[0]) is None:
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
        kept = (_COUNTERS.sub("", line).strip() for line in done.stdout.splitlines())
        lines += [line for line in kept if line and not _FRAME.match(line)]
    return tuple(lines)


_DETAILS: Mapping[str, str] = {"ipvlan": "mode l2", "vlan": "id 7", "vrf": "table 77"}
_ON_A_LINK = frozenset({"ipvlan", "macvlan", "vlan"})


def has_link_kind(kind: str, run: Callable[[str], str] = run_ip) -> bool:
    """Return whether the kernel can make links of a kind; the calling thread has a namespace to try it in."""
    try:
        run("link add name cnfmaster type veth peer name cnfpeer\n")
        on = "link cnfmaster " if kind in _ON_A_LINK else ""
        run(f"link add {on}name cnftry type {kind} {_DETAILS.get(kind, '')}\n")
    except CNIError:
        return False
    return True
