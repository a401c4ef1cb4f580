"""Network namespaces, links and rules for the tests that need a real kernel, and what the kernel says about them.

All of it happens in a "host" network namespace that belongs to the test process (:func:`enter_own_host`): no rule, link
or sysctl of the machine is touched, and what a failed test leaves behind goes with the process.
"""

from __future__ import annotations

import ctypes
import functools
import json
import os
import secrets
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PLUGIN_DIR = Path("/usr/lib/cni")
REFERENCE_PLUGINS = (
    "bandwidth",
    "bridge",
    "dhcp",
    "firewall",
    "host-device",
    "host-local",
    "ipvlan",
    "loopback",
    "macvlan",
    "portmap",
    "ptp",
    "sbr",
    "static",
    "tuning",
    "vlan",
    "vrf",
)

CLONE_NEWNET = 0x40000000


def missing_requirement() -> str | None:
    """Say what this machine lacks for tests with real plugins, ``None`` if nothing."""
    if os.geteuid() != 0:
        return "real plugins need root"
    missing = [name for name in REFERENCE_PLUGINS if not (PLUGIN_DIR / name).exists()]
    return f"{PLUGIN_DIR} lacks the reference plugins {', '.join(missing)}" if missing else None


@functools.cache
def enter_own_host() -> None:
    """Move the process into a new network namespace, once; its loopback is up.

    Threads that start later and processes come along. Threads that run already do not: call this before any test.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare of the network namespace failed")
    run("ip", "link", "set", "lo", "up")


def run(*command: str) -> str:
    """Run a command and return its output; a failure shows what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}: {done.stderr}"
    return done.stdout


def random_name(prefix: str) -> str:
    """Return a name that nothing else on the machine has, short enough for a link."""
    return prefix + secrets.token_hex(4)


@dataclass(frozen=True)
class Namespace:
    """A network namespace and the kernel's view of what is in it."""

    path: str

    def run(self, *command: str) -> str:
        return run("nsenter", f"--net={self.path}", *command)

    def links(self) -> dict[str, dict[str, Any]]:
        return {link["ifname"]: link for link in json.loads(self.run("ip", "-json", "-details", "link", "show"))}

    def addresses(self, ifname: str) -> set[str]:
        shown = json.loads(self.run("ip", "-json", "address", "show", "dev", ifname))
        return {f"{info['local']}/{info['prefixlen']}" for link in shown for info in link.get("addr_info", [])}

    def routes(self, table: str = "main") -> dict[str, str]:
        """Return the gateway ("" for none) of each destination."""
        shown = json.loads(self.run("ip", "-json", "route", "show", "table", table))
        return {route["dst"]: route.get("gateway", "") for route in shown}

    def rules(self) -> list[dict[str, Any]]:
        rules: list[dict[str, Any]] = json.loads(self.run("ip", "-json", "rule", "show"))
        return rules

    def reaches(self, address: str) -> bool:
        ping = ("nsenter", f"--net={self.path}", "ping", "-c", "1", "-W", "2", address)
        return subprocess.run(ping, capture_output=True, check=False, timeout=30).returncode == 0


HOST = Namespace("/proc/self/ns/net")


_PATIENCE = 25
"""Namespaces that are made in vain until a number is taken for lost."""


@contextmanager
def named_namespace() -> Iterator[Namespace]:
    """Make a namespace as people do by hand, with ``ip netns add``."""
    name = random_name("cni-")
    run("ip", "netns", "add", name)
    try:
        yield Namespace(f"/run/netns/{name}")
    finally:
        run("ip", "netns", "delete", name)


def replace_namespace(path: str) -> bool:
    """Replace the namespace at a path by another one, and return whether that got the number of the first."""
    name, inode = Path(path).name, Path(path).stat().st_ino
    run("ip", "netns", "delete", name)
    lower: list[str] = []
    higher = 0
    try:
        while higher < _PATIENCE:
            run("ip", "netns", "add", name)
            number = Path(path).stat().st_ino
            if number == inode:
                return True
            if number < inode:  # the lowest free number comes first: this one is out of the way now
                lower.append(random_name("other"))
                Path(f"/run/netns/{lower[-1]}").touch()
                run("mount", "--bind", path, f"/run/netns/{lower[-1]}")
            else:
                higher += 1
                time.sleep(0.01)  # a dead namespace gives its number back a little later; or something else has it
            run("ip", "netns", "delete", name)
        run("ip", "netns", "add", name)
        return False
    finally:
        for other in lower:
            run("ip", "netns", "delete", other)


@contextmanager
def process_namespace() -> Iterator[tuple[Namespace, subprocess.Popen[bytes]]]:
    """Start a plain process in a namespace of its own, as a container without a network is."""
    host = Path("/proc/self/ns/net").readlink()
    with subprocess.Popen(["unshare", "--net", "sleep", "300"]) as process:
        try:
            path = Path(f"/proc/{process.pid}/ns/net")
            deadline = time.monotonic() + 10
            while path.readlink() == host:
                assert time.monotonic() < deadline, "unshare did not come up"
                time.sleep(0.01)
            yield Namespace(str(path)), process
        finally:
            process.kill()


@contextmanager
def bridge_name() -> Iterator[str]:
    """Reserve a name for a bridge that a plugin makes, and remove the bridge."""
    name = random_name("br")
    try:
        yield name
    finally:
        delete_link(name)


@contextmanager
def veth_pair() -> Iterator[tuple[str, str]]:
    """Make two connected links in the host."""
    first, second = random_name("va"), random_name("vb")
    run("ip", "link", "add", first, "type", "veth", "peer", "name", second)
    try:
        for name in (first, second):
            run("ip", "link", "set", name, "up")
        yield first, second
    finally:
        delete_link(first)


def delete_link(name: str) -> None:
    """Delete a link of the host if it is there."""
    subprocess.run(["ip", "link", "delete", name], capture_output=True, check=False, timeout=30)


@functools.cache
def has_link_type(kind: str) -> bool:
    """Ask the kernel whether it can make links of that type."""
    details = {"ipvlan": ("mode", "l2"), "vlan": ("id", "7"), "vrf": ("table", "77")}.get(kind, ())
    name = random_name("pr")
    with veth_pair() as (master, _):
        on = ("link", master) if kind in {"ipvlan", "macvlan", "vlan"} else ()
        command = ["ip", "link", "add", *on, "name", name, "type", kind, *details]
        made = subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0
        delete_link(name)
    return made


def reset_firewall() -> None:
    """Remove every rule of the host: plugins leave some behind when an address or a namespace went before them."""
    enter_own_host()
    for table in ("nat", "filter"):
        run("iptables", "--table", table, "--flush")
        run("iptables", "--table", table, "--delete-chain")


def firewall_rules() -> str:
    """Return every IPv4 rule of the host."""
    return run("iptables-save")
