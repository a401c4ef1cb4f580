"""The schemas against the reference plugins: each gets good and bad configurations, and the verdicts are compared.

Where binary and schema differ on purpose, the case says why. The binaries are release 1.1 of the plugins.
"""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from libcni import CNIConfig
from tests.schemas.plugin_schemas import load_schemas, problems
from tests.support import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What a plugin says once the configuration is good and the machine is what stops it: a kernel without that link type.
KERNEL = "operation not supported"
POOL = {"type": "host-local", "subnet": "10.77.1.0/24", "dataDir": "DIR"}
HEAD = {"cniVersion": "1.0.0", "name": "verdict"}


@dataclass(frozen=True)
class Case:
    """One configuration for one binary, and what to expect of it."""

    plugin: str
    config: dict[str, Any]
    refusal: str = ""
    field: str = ""
    beyond: str = ""
    why: str = ""

    def __str__(self) -> str:
        options = {key: value for key, value in self.config.items() if key != "type"}
        return f"{self.plugin}-{json.dumps(options)[:70]}"


def main(plugin: str, refusal: str = "", field: str = "", beyond: str = "", why: str = "", **options: Any) -> Case:
    return Case(plugin, {"type": plugin, **options}, refusal, field, beyond, why)


def ipam(plugin: str, refusal: str = "", field: str = "", beyond: str = "", why: str = "", **options: Any) -> Case:
    stored = {"dataDir": "DIR"} if plugin == "host-local" else {}
    config = {"type": "ptp", "ipam": {"type": plugin, **stored, **options}}
    return Case(plugin, config, refusal, f"ipam.{field}" if field else "", beyond, why)


DECODE = "cannot unmarshal"
STATIC = {"type": "static", "addresses": [{"address": "10.77.2.2/24"}]}
RATES: dict[str, Any] = {"ingressRate": 8000000, "ingressBurst": 800000}

AGREED = [
    # Go reads null and an empty text as absent.
    main("bridge", bridge="BRIDGE", mtu=None, isGateway=None, ipam=None, dns=None),
    main("bridge", bridge="BRIDGE", ipam={"type": ""}),
    main("macvlan", master="MASTER", mode=""),
    ipam("host-local", subnet="10.77.0.0/24", gateway="", rangeEnd=None, routes=None),
    ipam("host-local", "invalid CIDR", "subnet", subnet=""),
    # Without addresses the switch has no effect, of which lint warns.
    main("bridge", bridge="BRIDGE", isGateway=True),
    main("bridge", bridge="BRIDGE", isGateway=True, mtu=1400, vlan=0, ipam=POOL),
    main("bridge", bridge="BRIDGE", isDefaultGateway=True, hairpinMode=True, enabledad=True, ipam=POOL),
    main("bridge", bridge="BRIDGE", promiscMode=True, forceAddress=True, macspoofchk=False, ipam={}),
    main("bridge", DECODE, "mtu", bridge="BRIDGE", mtu="1400"),
    main("bridge", DECODE, "isGateway", bridge="BRIDGE", isGateway="yes", ipam=POOL),
    main("bridge", DECODE, "bridge", bridge=7),
    main("bridge", "invalid VLAN ID", "vlan", bridge="BRIDGE", vlan=4095),
    main("bridge", "invalid VLAN ID", "vlan", bridge="BRIDGE", vlan=-1),
    main(
        "bridge",
        "hairpin mode and promiscuous mode",
        "promiscMode",
        bridge="BRIDGE",
        hairpinMode=True,
        promiscMode=True,
    ),
    main("bridge", DECODE, "capabilities.mac", bridge="BRIDGE", capabilities={"mac": "true"}),
    main("bridge", DECODE, "args.cni.mac", bridge="BRIDGE", args={"cni": {"mac": 5}}),
    main("bridge", "invalid|address", "args.cni.mac", bridge="BRIDGE", args={"cni": {"mac": "0a:58"}}, ipam={}),
    main("ptp", ipMasq=False, mtu=1400, ipam=POOL, dns={"nameservers": ["10.77.1.53"]}),
    main("ptp", DECODE, "ipMasq", ipMasq=1, ipam=POOL),
    main("ptp", DECODE, "mtu", mtu=14.5, ipam=POOL),
    main("ptp", DECODE, "dns.search", ipam=POOL, dns={"search": "example"}),
    main("ptp", "no paths? provided|plugin name|missing|failed to find", "ipam"),
    main("loopback"),
    main("loopback", DECODE, "capabilities.mac", capabilities={"mac": "yes"}),
    main("loopback", DECODE, "capabilities", capabilities=["mac"]),
    main("macvlan", master="MASTER", mode="private", mtu=1400, ipam=STATIC),
    main("macvlan", "unknown macvlan mode", "mode", master="MASTER", mode="shared"),
    main("macvlan", "invalid MTU", "mtu", master="MASTER", mtu=-1),
    main("macvlan", "invalid MTU", "mtu", master="MASTER", mtu=70000),
    main("macvlan", DECODE, "master", master=["eth0"]),
    main("ipvlan", beyond=KERNEL, master="MASTER", mode="l3", ipam=STATIC),
    main("ipvlan", "unknown ipvlan mode", "mode", master="MASTER", mode="l4", ipam=STATIC),
    main("ipvlan", DECODE, "mtu", master="MASTER", mtu="1400", ipam=STATIC),
    main("vlan", beyond=KERNEL, master="MASTER", vlanId=5, mtu=1400, ipam=STATIC),
    main("vlan", "invalid VLAN ID", "vlanId", master="MASTER", vlanId=4095, ipam=STATIC),
    main("vlan", "invalid VLAN ID", "vlanId", master="MASTER", vlanId=-5, ipam=STATIC),
    main("vlan", "master", "master", vlanId=5, ipam=STATIC),
    main("vlan", DECODE, "vlanId", master="MASTER", vlanId="5", ipam=STATIC),
    main("host-device", device="MASTER"),
    main("host-device", "specify either", ""),
    main("host-device", "parse MAC", "hwaddr", hwaddr="3c:fd:fe"),
    main("host-device", "sys/devices", "kernelpath", kernelpath="/dev/net"),
    main("host-device", DECODE, "device", device=3),
    ipam(
        "host-local",
        ranges=[
            [{"subnet": "10.77.0.0/16", "rangeStart": "10.77.1.20", "rangeEnd": "10.77.3.50", "gateway": "10.77.0.254"}]
        ],
    ),
    ipam("host-local", subnet="fd77::/64", rangeStart="fd77::10", routes=[{"dst": "::/0", "gw": "fd77::1"}]),
    ipam("host-local", "invalid CIDR", "ranges[0][0].subnet", ranges=[[{"subnet": "10.77.0.0"}]]),
    ipam("host-local", "invalid CIDR", "subnet", subnet="10.77.0.0/33"),
    ipam("host-local", "host bits", "subnet", subnet="10.77.0.1/24"),
    ipam("host-local", "invalid IP", "rangeStart", subnet="10.77.0.0/24", rangeStart="10.77.0.300"),
    ipam("host-local", "invalid IP", "gateway", subnet="10.77.0.0/24", gateway="10.77.0.1/24"),
    ipam("host-local", "empty range set", "ranges[0]", ranges=[[]]),
    ipam("host-local", DECODE, "ranges[0]", ranges=[{"subnet": "10.77.0.0/24"}]),
    ipam("host-local", "invalid CIDR", "routes[0].dst", subnet="10.77.0.0/24", routes=[{"dst": "default"}]),
    ipam("host-local", DECODE, "resolvConf", subnet="10.77.0.0/24", resolvConf=True),
    ipam(
        "static",
        addresses=[{"address": "10.77.3.2/24", "gateway": "10.77.3.1"}],
        routes=[{"dst": "0.0.0.0/0"}],
        dns={"domain": "lab"},
    ),
    ipam("static", "CIDR notation", "addresses[0].address", addresses=[{"address": "10.77.3.2"}]),
    ipam("static", "CIDR notation", "addresses[0].address", addresses=[{"gateway": "10.77.3.1"}]),
    ipam("static", "invalid IP", "addresses[0].gateway", addresses=[{"address": "10.77.3.2/24", "gateway": "gw"}]),
    ipam("static", DECODE, "dns.nameservers", addresses=[], dns={"nameservers": "10.77.3.1"}),
    ipam(
        "dhcp",
        beyond="dialing DHCP daemon",
        daemonSocketPath="/none/dhcp.sock",
        provide=[{"option": "12", "value": "a"}],
    ),
    ipam("dhcp", DECODE, "provide[0].option", provide=[{"option": 12}]),
    ipam("dhcp", DECODE, "request", request={"option": "routers"}),
    ipam("dhcp", DECODE, "daemonSocketPath", daemonSocketPath=5),
    main("tuning", sysctl={"net.core.somaxconn": "512"}, mtu=1300, promisc=True, allmulti=True, dataDir="DIR"),
    main("tuning", DECODE, "sysctl.net.core.somaxconn", sysctl={"net.core.somaxconn": 512}, dataDir="DIR"),
    main("tuning", "net sysctl", "sysctl.kernel.hostname", sysctl={"kernel.hostname": "x"}, dataDir="DIR"),
    main("tuning", "MAC|mac", "mac", mac="c2:b0", dataDir="DIR"),
    main("tuning", DECODE, "promisc", promisc="on", dataDir="DIR"),
    main("portmap", snat=True, markMasqBit=31, conditionsV4=["!", "-d", "192.0.2.0/24"]),
    main("portmap", "MasqMarkBit", "markMasqBit", markMasqBit=32),
    main("portmap", "MasqMarkBit", "markMasqBit", markMasqBit=-1),
    main("portmap", "externalSetMarkChain and markMasqBit", "markMasqBit", markMasqBit=3, externalSetMarkChain="X"),
    main("portmap", DECODE, "conditionsV4", conditionsV4="! -d 192.0.2.0/24"),
    main("bandwidth", **RATES),
    main("bandwidth", "burst must also be set", "ingressBurst", ingressRate=8000000),
    main("bandwidth", "rate must also be set", "egressRate", egressBurst=8000000),
    main("bandwidth", "4GB", "ingressBurst", ingressRate=1, ingressBurst=34359738360),
    main("bandwidth", DECODE, "ingressRate", ingressRate=-1, ingressBurst=800000),
    main("bandwidth", DECODE, "ingressRate", ingressRate="8M", ingressBurst=800000),
    main("firewall", backend="iptables", iptablesAdminChainName="LAB-ADMIN", ingressPolicy="open"),
    main("firewall", backend="", ingressPolicy="same-bridge"),
    main("firewall", "unknown ingress policy", "ingressPolicy", backend="iptables", ingressPolicy="closed"),
    main("firewall", DECODE, "backend", backend=True),
    main("firewall", DECODE, "firewalldZone", firewalldZone=["lab"]),
    main("sbr"),
    main("sbr", DECODE, "name", name=5),
    main("vrf", beyond=KERNEL, vrfname="blue", table=1001),
    main("vrf", "valid vrf name", "vrfname"),
    main("vrf", DECODE, "vrfname", vrfname=5),
    main("vrf", DECODE, "table", vrfname="blue", table=-1),
]

BINARY_IS_LAXER = [
    main(
        "vlan",
        field="vlanId",
        beyond=KERNEL,
        master="MASTER",
        ipam=STATIC,
        why="a missing id is 0; the page requires it",
    ),
    ipam(
        "host-local",
        field="routes[0].dst",
        subnet="10.77.0.0/24",
        routes=[{"gw": "10.77.0.1"}],
        why="a route to nowhere is passed on",
    ),
]

SCHEMA_IS_LAXER = [
    main("bridge", "mtu", bridge="BRIDGE", mtu=1500.0, why="JSON Schema counts 1500.0 as an integer, Go does not"),
    main(
        "firewall",
        "unknown ingress policy",
        backend="iptables",
        ingressPolicy="isolated",
        why="a word of later releases",
    ),
    ipam("host-local", "no IP ranges", why="the ranges may come from the runtime"),
    ipam(
        "host-local",
        "not in network",
        subnet="10.77.0.0/24",
        rangeStart="10.78.0.5",
        why="one value against another is the linter's part",
    ),
    ipam("host-local", "too small", subnet="10.77.0.0/31", why="the size of a subnet is the linter's part"),
]

CHAINED = {"tuning", "portmap", "bandwidth", "firewall", "sbr", "vrf"}


def _fill(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


class Machine:
    """A container namespace, and the names that stand for the placeholders in the cases."""

    def __init__(self, namespace: kernel.Namespace, names: dict[str, str]) -> None:
        self.namespace = namespace
        self.names = names

    def call(self, command: str, plugin: str, config: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": "verdict",
            "CNI_NETNS": self.namespace.path,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": str(kernel.PLUGIN_DIR),
        }
        done = subprocess.run(
            [kernel.PLUGIN_DIR / plugin],
            input=json.dumps(config).encode(),
            env=environment,
            capture_output=True,
            check=False,
            timeout=30,
        )
        return done.returncode, json.loads(done.stdout or b"{}")

    def verdict(self, case: Case, config: dict[str, Any]) -> str:
        """Return why the binary refuses a configuration, empty when it does not."""
        document = {**HEAD, **config}
        if case.plugin in CHAINED:
            document["prevResult"] = self._base_interface()
        status, answer = self.call("ADD", case.plugin, document)
        if status != 0:
            message: str = answer["msg"]
            return "" if case.beyond and re.search(case.beyond, message) else message
        self.call("DEL", case.plugin, document)
        return ""

    def _base_interface(self) -> dict[str, Any]:
        status, result = self.call("ADD", "ptp", {**HEAD, "type": "ptp", "ipam": _fill(POOL, self.names)})
        assert status == 0, result
        return result


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    with kernel.named_namespace() as namespace, kernel.bridge_name() as bridge, kernel.veth_pair() as (master, _):
        yield Machine(namespace, {"BRIDGE": bridge, "MASTER": master, "DIR": str(tmp_path / "addresses")})


def _schema_fields(config: dict[str, Any]) -> set[str]:
    return set(problems(json.dumps({**HEAD, **config})))


@pytest.mark.parametrize("case", AGREED, ids=str)
def test_schema_and_binary_agree(case: Case, machine: Machine) -> None:
    config = _fill(case.config, machine.names)
    message, fields = machine.verdict(case, config), _schema_fields(config)
    assert bool(message) == bool(fields) == bool(case.refusal), (message, fields)
    assert re.search(case.refusal, message)
    assert case.field in fields or not case.refusal, (case.field, fields)


@pytest.mark.parametrize("case", BINARY_IS_LAXER, ids=str)
def test_binary_takes_what_the_documentation_does_not(case: Case, machine: Machine) -> None:
    config = _fill(case.config, machine.names)
    assert machine.verdict(case, config) == "", case.why
    assert case.field in _schema_fields(config), case.why


@pytest.mark.parametrize("case", SCHEMA_IS_LAXER, ids=str)
def test_binary_refuses_what_a_schema_cannot_say(case: Case, machine: Machine) -> None:
    config = _fill(case.config, machine.names)
    assert re.search(case.refusal, machine.verdict(case, config)), case.why
    assert _schema_fields(config) == set(), case.why


def test_every_reference_plugin_has_both_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    for plugin in kernel.REFERENCE_PLUGINS:
        verdicts = {bool(case.refusal) for case in AGREED if case.plugin == plugin}
        assert verdicts == {True, False}, plugin
    differences = len(BINARY_IS_LAXER) + len(SCHEMA_IS_LAXER)
    with capsys.disabled():
        print(f"\n{len(AGREED)} configurations compared with binaries, {differences} differences on purpose")  # noqa: T201 -- the numbers are what this test shows


@pytest.mark.parametrize("plugin", kernel.REFERENCE_PLUGINS)
def test_schema_says_the_first_version_that_a_binary_supports(plugin: str) -> None:
    if not (kernel.PLUGIN_DIR / plugin).exists():
        pytest.skip(f"{plugin} is not installed")
    supported = CNIConfig([str(kernel.PLUGIN_DIR)]).get_version_info(plugin).supported_versions
    assert supported[0] == load_schemas()[plugin].get("x-cni-since", "0.1.0")
