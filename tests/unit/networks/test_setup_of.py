"""Interfaces, addresses, gateways, routes and name resolution from results of every shape."""

from __future__ import annotations

from typing import Any

import pytest

from libcni import Result, ResultError
from libcni.networks import MergedDNS
from libcni.networks.setup import setup_of


def result(**members: Any) -> Result:
    return Result.from_dict({"cniVersion": "1.0.0"} | members)


def attached(found: Any) -> list[tuple[str, list[str], list[str], list[str]]]:
    return [
        (
            each.ifname,
            list(map(str, each.addresses)),
            list(map(str, each.gateways)),
            [str(route.dst) for route in each.routes],
        )
        for each in found.interfaces
    ]


def test_host_side_is_no_interface_of_the_container() -> None:
    found = setup_of(
        "box",
        "/ns",
        [
            (
                "net",
                "eth0",
                result(
                    interfaces=[{"name": "veth7"}, {"name": "eth0", "mac": "0a:00:00:00:00:01", "sandbox": "/ns"}],
                    ips=[{"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1}],
                    routes=[{"dst": "0.0.0.0/0"}],
                ),
            )
        ],
    )
    assert attached(found) == [("eth0", ["10.1.0.2/24"], ["10.1.0.1"], ["0.0.0.0/0"])]
    assert found.interfaces[0].mac == "0a:00:00:00:00:01"
    assert found.interfaces[0].sandbox == "/ns"
    assert [item.name for item in found.results["eth0"].interfaces] == ["veth7", "eth0"]


def test_result_of_an_old_version_is_the_interface_that_was_asked_for() -> None:
    old = Result.from_dict(
        {
            "cniVersion": "0.2.0",
            "ip4": {"ip": "10.1.0.2/24", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
            "ip6": {"ip": "fd00::2/64", "gateway": "fd00::1"},
        }
    )
    found = setup_of("box", "/ns", [("net", "eth0", old)])
    assert attached(found) == [("eth0", ["10.1.0.2/24", "fd00::2/64"], ["10.1.0.1", "fd00::1"], ["0.0.0.0/0"])]
    assert found.interfaces[0].sandbox == "/ns"
    assert [str(address) for address in found.addresses] == ["10.1.0.2/24", "fd00::2/64"]


def test_gateway_is_found_in_the_default_route_where_the_address_has_none() -> None:
    found = setup_of(
        "box",
        "/ns",
        [
            (
                "net",
                "eth0",
                result(
                    ips=[{"address": "10.1.0.2/24"}, {"address": "fd00::2/64", "gateway": "fd00::1"}],
                    routes=[
                        {"dst": "10.9.0.0/16", "gw": "10.1.0.7"},
                        {"dst": "0.0.0.0/0", "gw": "10.1.0.1"},
                        {"dst": "::/0", "gw": "fd00::9"},
                    ],
                ),
            )
        ],
    )
    assert [str(gateway) for gateway in found.interfaces[0].gateways] == ["fd00::1", "10.1.0.1"]


def test_plugin_with_several_interfaces_keeps_each_with_its_addresses_and_routes() -> None:
    found = setup_of(
        "box",
        "/ns",
        [
            (
                "net",
                "eth0",
                result(
                    interfaces=[{"name": "data0", "sandbox": "/ns"}, {"name": "eth0", "sandbox": "/ns"}],
                    ips=[
                        {"address": "10.2.0.2/24", "interface": 0},
                        {"address": "10.1.0.2/24", "gateway": "10.1.0.1", "interface": 1},
                        {"address": "10.3.0.2/24"},
                        {"address": "10.4.0.2/24", "interface": 9},
                    ],
                    routes=[
                        {"dst": "10.9.0.0/16", "gw": "10.2.0.1"},
                        {"dst": "0.0.0.0/0", "gw": "10.1.0.1"},
                        {"dst": "10.8.0.0/16", "gw": "192.0.2.1"},
                    ],
                ),
            )
        ],
    )
    assert attached(found) == [
        ("eth0", ["10.1.0.2/24", "10.3.0.2/24", "10.4.0.2/24"], ["10.1.0.1"], ["0.0.0.0/0", "10.8.0.0/16"]),
        ("data0", ["10.2.0.2/24"], [], ["10.9.0.0/16"]),
    ]


def test_container_without_addresses_has_no_primary_one() -> None:
    found = setup_of("box", "/ns", [("net", "eth0", result())])
    assert found.primary_address is None
    assert found.dns.resolv_conf() == ""


def test_name_resolution_is_merged_in_the_order_of_the_networks() -> None:
    one = result(dns={"nameservers": ["10.0.0.1", "10.0.0.2"], "domain": "one.example", "search": ["a.example"]})
    two = result(
        dns={"nameservers": ["10.0.0.2", "10.0.0.3"], "domain": "two.example", "search": ["a.example", "one.example"]}
        | {"options": ["ndots:2"]}
    )
    found = setup_of("box", "/ns", [("one", "eth0", one), ("two", "eth1", two)])
    assert found.dns == MergedDNS(
        nameservers=("10.0.0.1", "10.0.0.2", "10.0.0.3"),
        domain="one.example",
        search=("a.example", "one.example"),
        options=("ndots:2",),
    )
    assert found.dns.resolv_conf() == (
        "search one.example a.example\nnameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\noptions ndots:2\n"
    )


@pytest.mark.parametrize("value", ["", "10.0.0.1\nnameserver 192.0.2.1", "a b", "#", ";x"])
@pytest.mark.parametrize("member", ["nameservers", "search", "options"])
def test_value_that_would_be_read_otherwise_is_refused(member: str, value: str) -> None:
    changed: dict[str, Any] = {member: [value]}
    with pytest.raises(ResultError, match=r"resolv\.conf"):
        MergedDNS(**changed).resolv_conf()


def test_interfaces_say_which_result_they_are_of() -> None:
    two = result(interfaces=[{"name": "host"}, *[{"name": name, "sandbox": "/ns"} for name in ("a", "b")]])
    found = setup_of("box", "/ns", [("net", "eth0", two), ("net", "eth1", result())])
    assert [(each.ifname, each.attachment) for each in found.interfaces] == [
        ("a", "eth0"),
        ("b", "eth0"),
        ("eth1", "eth1"),
    ]
