"""The options of a container: encoded as the conventions say, and checked where they are written."""

from __future__ import annotations

import pickle
from ipaddress import ip_address, ip_interface, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from libcni import InvalidParameterError
from libcni.capabilities import DNS, Bandwidth, ContainerOptions, IPRange, Pod, PortMapping
from libcni.protocol.capabilities import CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable

_Port: Any = PortMapping
_Options: Any = ContainerOptions
"""For callers without types."""

FULL = ContainerOptions(
    port_mappings=[PortMapping(8080, 80), PortMapping(53, 53, "udp", ip_address("10.0.0.1"))],
    bandwidth=Bandwidth(ingress_rate=1_000_000, egress_rate=0),
    ip_ranges=[[IPRange("10.1.0.0/16", "10.1.0.10", ip_address("10.1.0.20"), "10.1.0.1")], [IPRange("fd00::/64")]],
    ips=["10.1.0.5", ip_interface("fd00::5/64")],
    mac="0a:00:00:00:00:01",
    dns=DNS(servers=["10.0.0.1"], searches=["example"], options=["ndots:2"]),
    aliases=["web"],
    cgroup_path="/kubepods/pod7",
    device_id="0000:01:00.0",
    infiniband_guid="c2:11:22:33:44:55:66:77",
    capability_args={"mine": {"of": ["any", "form"]}},
)


def test_every_capability_is_encoded_as_the_conventions_say() -> None:
    assert FULL.capability_arguments() == {
        "portMappings": [
            {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
            {"hostPort": 53, "containerPort": 53, "protocol": "udp", "hostIP": "10.0.0.1"},
        ],
        "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 2**31 - 1, "egressRate": 0},
        "ipRanges": [
            [{"subnet": "10.1.0.0/16", "rangeStart": "10.1.0.10", "rangeEnd": "10.1.0.20", "gateway": "10.1.0.1"}],
            [{"subnet": "fd00::/64"}],
        ],
        "ips": ["10.1.0.5", "fd00::5/64"],
        "mac": "0a:00:00:00:00:01",
        "dns": {"servers": ["10.0.0.1"], "searches": ["example"], "options": ["ndots:2"]},
        "aliases": ["web"],
        "cgroupPath": "/kubepods/pod7",
        "deviceID": "0000:01:00.0",
        "infinibandGUID": "c2:11:22:33:44:55:66:77",
        "mine": {"of": ["any", "form"]},
    }


def test_every_well_known_capability_has_an_option() -> None:
    assert CAPABILITIES.keys() <= FULL.capability_arguments().keys()


def test_options_are_values() -> None:
    assert pickle.loads(pickle.dumps(FULL)) == FULL  # noqa: S301 -- its own
    assert ContainerOptions().capability_arguments() == {}
    assert ContainerOptions(dns=DNS(), bandwidth=Bandwidth()).capability_arguments() == {}
    assert IPRange(ip_network("10.1.0.0/16")) != IPRange("10.2.0.0/16")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: PortMapping(70000, 80), "PortMapping.host_port"),
        (lambda: PortMapping(80, 0), "PortMapping.container_port"),
        (lambda: _Port("80", 80), "PortMapping.host_port"),
        (lambda: PortMapping(80, 80, "icmp"), "PortMapping.protocol"),
        (lambda: PortMapping(80, 80, host_ip="localhost"), "PortMapping.host_ip"),
        (lambda: Bandwidth(ingress_rate=-1), "Bandwidth.ingress_rate"),
        (lambda: Bandwidth(egress_rate=1, egress_burst=2**40), "Bandwidth.egress_burst"),
        (lambda: IPRange("10.1.0.1/16"), "IPRange.subnet"),
        (lambda: IPRange("10.1.0.0/16", range_end="x"), "IPRange.range_end"),
        (lambda: DNS(servers="10.0.0.1"), "DNS.servers"),
        (lambda: DNS(options=[""]), "DNS.options[0]"),
        (lambda: Pod("", "web"), "pod"),
        (lambda: Pod("a;b", "web"), "args"),
        (lambda: _Options(port_mappings=PortMapping(80, 80)), "port_mappings"),
        (lambda: _Options(port_mappings=[(80, 80)]), "port_mappings[0]"),
        (lambda: _Options(ip_ranges=[IPRange("10.1.0.0/16")]), "ip_ranges[0]"),
        (lambda: _Options(ip_ranges=[["10.1.0.0/16"]]), "ip_ranges[0][0]"),
        (lambda: _Options(ips="10.1.0.5"), "ips"),
        (lambda: _Options(ips=["10.1.0.5", "10.1.0.500"]), "ips[1]"),
        (lambda: _Options(mac="0a:00"), "mac"),
        (lambda: _Options(mac=":".join(["0a"] * 19)), "mac"),
        (lambda: _Options(infiniband_guid="1"), "infiniband_guid"),
        (lambda: _Options(bandwidth={"ingressRate": 1}), "bandwidth"),
        (lambda: _Options(dns={"servers": []}), "dns"),
        (lambda: _Options(pod="web"), "pod"),
        (lambda: _Options(labels=["app"]), "labels"),
        (lambda: _Options(cni_args="a"), "cni_args"),
        (lambda: _Options(capability_args=[]), "capability_args"),
        (lambda: _Options(aliases="web"), "aliases"),
        (lambda: _Options(aliases=[7]), "aliases[0]"),
        (lambda: _Options(labels={"a": 1}), "labels"),
        (lambda: _Options(cni_args={7: "a"}), "cni_args"),
        (lambda: _Options(cni_args={"a": {1, 2}}), "cni_args"),
        (lambda: _Options(args={"A": "1;2"}), "args"),
        (lambda: _Options(args=["ab"]), "args"),
        (
            lambda: _Options(capability_args={"portMappings": [{"hostPort": 1}]}),
            "port_mappings[0].container_port",
        ),
        (lambda: _Options(mac="0a:00:00:00:00:01", capability_args={"mac": "x"}), "capability_args"),
    ],
)
def test_mistake_is_an_error_with_its_field(make: Callable[[], Any], field: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        make()
    assert caught.value.name == field


def test_option_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(TypeError, match="port_mapping"):
        _Options(port_mapping=[])


def test_args_of_the_container_count_before_those_of_its_pod() -> None:
    options = ContainerOptions(pod=Pod("ns", "web", uid="7", infra_container_id="pause"), args=[("K8S_POD_UID", "8")])
    assert options.args_for("box") == (
        ("IgnoreUnknown", "1"),
        ("K8S_POD_NAMESPACE", "ns"),
        ("K8S_POD_NAME", "web"),
        ("K8S_POD_INFRA_CONTAINER_ID", "pause"),
        ("K8S_POD_UID", "8"),
    )
