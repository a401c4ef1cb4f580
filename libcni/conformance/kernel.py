"""The state of a network namespace: links, addresses, routes, rules, queueing disciplines, firewall and sysctls.

Owns :class:`Snapshot` and the reading. The program ``ip`` (package iproute2) is on every machine that runs CNI plugins,
and costs 2 ms for each family; firewall rules come from ``nft`` and ``iptables-save`` where they are installed.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "Link",
    "Route",
    "Snapshot",
    "canonical",
    "check_tools",
    "firewall",
    "has_link_kind",
    "look",
    "look_closely",
    "run_ip",
    "sysctls",
]

_TIMEOUT = 20
_COUNTERS = re.compile(r"\[\d+:\d+\]|packets \d+ bytes \d+")
_FRAME = re.compile(r"[#*}]|COMMIT|table |type |:?(chain )?(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ")
_READING = """\
printf 'link show\\naddress show\\nroute show table all\\nrule show\\n' | ip -details -json -batch - &&
ip -6 -json rule show
"""
"""The commands that read a namespace: five arrays. Routes of both families come together, rules do not."""

_SYSCTLS = Path("/proc/sys/net")
_VOLATILE = ("nf_conntrack_", "stable_secret", "flush", "tcp_fastopen_key", "_hash_entries")
"""Parts of the names of sysctls that change by themselves, cannot be read, or belong to the whole machine."""

_OWN_ROUTES = frozenset({"local", "broadcast", "multicast", "anycast", "unreachable"})
_EVERYWHERE = {"inet": "0.0.0.0/0", "inet6": "::/0"}


@dataclass(frozen=True, slots=True)
class Link:
    """One interface; ``addresses`` are in CIDR form, without those that the kernel makes by itself (link-local).

    :param modes: of ``PROMISC`` and ``ALLMULTI`` those that are set.
    """

    name: str
    kind: str
    mac: str
    mtu: int
    is_up: bool
    master: str = ""
    addresses: frozenset[str] = frozenset()
    modes: frozenset[str] = frozenset()

    def __str__(self) -> str:
        state = "up" if self.is_up else "down"
        parts = [self.name, self.mac, f"mtu {self.mtu}", state, f"master {self.master}" if self.master else ""]
        return " ".join(filter(None, [*parts, *sorted(self.modes), *sorted(self.addresses)]))


@dataclass(frozen=True, slots=True, order=True)
class Route:
    """One route; ``dst`` is a network in CIDR form, ``gateway`` is empty for a direct one."""

    dst: str
    gateway: str
    device: str
    table: str
    by_kernel: bool = False

    def __str__(self) -> str:
        over = f" via {self.gateway}" if self.gateway else ""
        table = "" if self.table == "main" else f" table {self.table}"
        return f"{self.dst}{over} dev {self.device}{table}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a namespace at one time; two compare equal when nothing changed.

    :param neighbours: those that are permanent; empty unless they were asked for, as the following.
    :param firewall: rules and chains.
    :param sysctls: value by path below ``/proc/sys/net``.
    """

    links: Mapping[str, Link] = field(default_factory=dict[str, Link])
    routes: frozenset[Route] = frozenset()
    rules: tuple[str, ...] = ()
    qdiscs: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    firewall: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict[str, str])

    def differences(self, later: Snapshot) -> list[str]:
        """Return the changes up to ``later``, in words; none when the two are equal."""
        said = [f"link {name} is gone" for name in self.links if name not in later.links]
        said += [f"route {route} is gone" for route in sorted(self.routes - later.routes)]
        said += [f"rule {rule} is gone" for rule in self.rules if rule not in later.rules]
        said += [f"firewall rule {rule} is gone" for rule in _without(self.firewall, later.firewall)]
        said += [f"qdisc {qdisc} is gone" for qdisc in _without(self.qdiscs, later.qdiscs)]
        said += [f"neighbour {entry} is gone" for entry in _without(self.neighbours, later.neighbours)]
        said += [
            f"link {self.links[name]} became {link}"
            for name, link in later.links.items()
            if name in self.links and self.links[name] != link
        ]
        return said + self._news(later)

    def additions(self, later: Snapshot) -> list[str]:
        """Return what ``later`` has more, in words, and sysctls of another value.

        What is missing is none, nor is a property of a link that both have: others may have changed it, or taken
        something of theirs away.
        """
        more = [
            f"{item} of link {name} is new"
            for name, link in later.links.items()
            if name in self.links
            for item in sorted((link.addresses - self.links[name].addresses) | (link.modes - self.links[name].modes))
        ]
        return more + self._news(later)

    def _news(self, later: Snapshot) -> list[str]:
        said = [f"link {name} is new" for name in later.links if name not in self.links]
        said += [f"route {route} is new" for route in sorted(later.routes - self.routes)]
        said += [f"rule {rule} is new" for rule in later.rules if rule not in self.rules]
        said += [f"firewall rule {rule} is new" for rule in _without(later.firewall, self.firewall)]
        said += [f"qdisc {qdisc} is new" for qdisc in _without(later.qdiscs, self.qdiscs)]
        said += [f"neighbour {entry} is new" for entry in _without(later.neighbours, self.neighbours)]
        return said + [
            f"sysctl {name} became {later.sysctls[name]}, from {value}"
            for name, value in self.sysctls.items()
            if later.sysctls.get(name, value) != value
        ]


def _without(first: Sequence[str], second: Sequence[str]) -> list[str]:
    return [item for item in dict.fromkeys(first) if item not in second]


def canonical(text: object) -> str:
    """Return an address or a network as the kernel view spells it; anything else as it is.

    >>> canonical("2001:DB8:0::1/64"), canonical("none")
    ('2001:db8::1/64', 'none')
    """
    try:
        return str(ipaddress.ip_interface(str(text))) if "/" in str(text) else str(ipaddress.ip_address(str(text)))
    except ValueError:
        return str(text)


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
    command = [*_inside(netns), "ip", *options, "-batch", "-"]
    done = subprocess.run(command, input=batch, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise CNIError(f"'{' '.join(command)}' with {batch.strip()}: {done.stderr.strip()}")
    return done.stdout


def look(netns: Path | None = None) -> Snapshot:
    """Read links, addresses, routes and rules; without a path those of the calling thread."""
    command = [*_inside(netns), "sh", "-c", _READING]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    if done.returncode != 0:
        raise CNIError(f"the kernel cannot be read: {done.stderr.strip()}")
    links, addresses, routes, *rules = _documents(done.stdout)
    given = {entry["ifname"]: _given(entry) for entry in addresses}
    return Snapshot(
        {entry["ifname"]: _link(entry, given) for entry in links},
        frozenset(route for entry in routes for route in _routes(entry)),
        tuple(
            sorted(_rule(sign, rule) for sign, found in zip(("", "-6 "), rules, strict=False) for rule in found),
        ),
    )


def _inside(netns: Path | None) -> list[str]:
    return ["nsenter", f"--net={netns}"] if netns is not None else []


def look_closely(netns: Path | None = None, values: Mapping[str, str] | None = None) -> Snapshot:
    """Read firewall rules, queueing disciplines and permanent neighbours as well.

    :param values: the sysctls, which can only be read from within.
    """
    return replace(
        look(netns),
        qdiscs=_qdiscs(netns),
        neighbours=_neighbours(netns),
        firewall=firewall(netns),
        sysctls=dict(values or {}),
    )


def _neighbours(netns: Path | None) -> tuple[str, ...]:
    """Return the neighbours that somebody set, which the kernel does not learn and forget by itself."""
    documents = _documents(run_ip("neighbour show nud permanent\n", netns, ["-json"]))
    found: list[dict[str, Any]] = [entry for document in documents for entry in document]
    return tuple(sorted(f"{entry['dst']} {entry.get('lladdr', '')} dev {entry['dev']}" for entry in found))


def _qdiscs(netns: Path | None) -> tuple[str, ...]:
    if shutil.which("tc") is None:
        return ()
    command = [*_inside(netns), "tc", "-json", "qdisc", "show"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
    found: list[dict[str, Any]] = json.loads(done.stdout or "[]")
    return tuple(sorted(map(_qdisc, found)))


def sysctls() -> dict[str, str]:
    """Return the sysctls of the namespace of the calling thread, by path below ``/proc/sys/net``."""
    return dict(_values(_SYSCTLS))


def _values(folder: Path) -> Iterator[tuple[str, str]]:
    for place, _, names in os.walk(folder):
        for name in names:
            if not any(part in name for part in _VOLATILE):
                path = f"{place}/{name}"
                try:
                    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 -- six hundred of them
                        yield path.removeprefix(f"{folder}/"), " ".join(file.read().split())
                except OSError:  # it can be written only, or went with its link
                    continue


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
    flags = frozenset(entry.get("flags", []))
    return Link(
        name,
        kind,
        entry.get("address", ""),
        entry["mtu"],
        "UP" in flags,
        entry.get("master", ""),
        given.get(name, frozenset()),
        flags & {"PROMISC", "ALLMULTI"},
    )


def _family(entry: dict[str, Any]) -> str:
    """Return the family of a route: those of IPv6 have a preference, and "default" stands for both."""
    is_new = "pref" in entry or ":" in entry["dst"] or ":" in entry.get("gateway", "")
    return "inet6" if is_new else "inet"


def _routes(entry: dict[str, Any]) -> list[Route]:
    if entry.get("table") == "local" or entry.get("type", "unicast") in _OWN_ROUTES:
        return []
    if entry["dst"].startswith(("fe80:", "ff00:")):
        return []
    dst = (
        _EVERYWHERE[_family(entry)]
        if entry["dst"] == "default"
        else str(ipaddress.ip_network(entry["dst"], strict=False))
    )
    hops = entry.get("nexthops") or [entry]
    table = str(entry.get("table", "main"))
    by_kernel = entry.get("protocol") == "kernel"
    return [Route(dst, _gateway(hop), hop.get("dev", entry.get("dev", "")), table, by_kernel) for hop in hops]


def _gateway(hop: dict[str, Any]) -> str:
    """Return the next hop, which for a route of IPv4 may be an address of IPv6."""
    return str(hop.get("gateway") or hop.get("via", {}).get("host", ""))


def _rule(sign: str, entry: dict[str, Any]) -> str:
    said = {key: value for key, value in entry.items() if key not in {"priority", "srclen", "dstlen", "protocol"}}
    for side, length in (("src", "srclen"), ("dst", "dstlen")):
        if length in entry:
            said[side] = f"{entry[side]}/{entry[length]}"
    words = " ".join(f"{key} {value}" for key, value in sorted(said.items()))
    return f"{sign}{entry['priority']}: {words}"


def _qdisc(entry: dict[str, Any]) -> str:
    place = "root" if entry.get("root") else f"parent {entry['parent']}" if "parent" in entry else ""
    return f"{entry['kind']} dev {entry.get('dev', '')} {place}".strip()


def firewall(netns: Path | None = None) -> tuple[str, ...]:
    """Return every firewall rule and chain of a namespace; without a path of that of the calling thread.

    Tables and the chains that hook into the kernel are left out: they are made on first use, and hold nothing.
    """
    lines: list[str] = []
    for command in (["nft", "list", "ruleset"], ["iptables-save"], ["ip6tables-save"]):
        if shutil.which(command[0]) is None:
            continue
        inside = [*_inside(netns), *command]
        done = subprocess.run(inside, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
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
