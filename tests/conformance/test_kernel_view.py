"""The view of the kernel: both families, what a namespace holds beside links, and undoing a change."""

from __future__ import annotations

import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation
from libcni.conformance.kernel import Link, Route, Snapshot, look, look_closely, sysctls
from libcni.conformance.undo import undoing

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = Snapshot()
SCRIPT = """
ip link set lo up
ip link add name aa type veth peer name bb
ip link set aa up promisc on mtu 1400
ip link set bb up
ip address add 10.1.0.2/24 dev aa
ip address add fd00::2/64 dev aa nodad
ip route add default via 10.1.0.1
ip -6 route add fd00:7::/64 nexthop via fd00::3 nexthop via fd00::4
ip route add 10.9.0.0/16 via inet6 fd00::5 dev aa
ip rule add from 10.1.0.2 table 77
ip -6 rule add from fd00::2 table 78
ip neighbour add 10.1.0.9 lladdr 02:00:00:00:00:09 dev aa
tc qdisc add dev bb root pfifo
nft add table ip test
nft add chain ip test c
sysctl -q -w net.core.somaxconn=501
"""


def in_a_namespace(function: Callable[[], None]) -> None:
    """Run a function in a thread that has a network namespace of its own."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with isolation.open_machine(isolation.ROOT, isolation.PRIVATE_FOLDERS):
                function()
        except BaseException as error:  # noqa: BLE001 -- it is raised again where the test waits
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def shell(script: str) -> None:
    subprocess.run(["sh", "-ec", script], check=True, capture_output=True, timeout=30)


def test_view_has_both_families_and_everything_that_stays(namespaces: None) -> None:
    del namespaces

    def check() -> None:
        before = look_closely(None, sysctls())
        shell(SCRIPT)
        after = look_closely(None, sysctls())

        routes = {(route.dst, route.gateway) for route in after.routes if not route.by_kernel}
        assert routes == {
            ("0.0.0.0/0", "10.1.0.1"),
            ("fd00:7::/64", "fd00::3"),
            ("fd00:7::/64", "fd00::4"),
            ("10.9.0.0/16", "fd00::5"),
        }
        shell("ip -6 route add default dev bb; ip route delete default")
        assert {route.dst for route in look().routes} & {"0.0.0.0/0", "::/0"} == {"::/0"}
        said = "\n".join(before.differences(after))
        for part in (
            "link aa is new",
            "route fd00:7::/64 via fd00::3 dev aa is new",
            "src 10.1.0.2 table 77 is new",
            "rule -6 32765: src fd00::2 table 78 is new",
            "qdisc pfifo dev bb root is new",
            "neighbour 10.1.0.9 02:00:00:00:00:09 dev aa is new",
            "firewall rule chain c { is new",
            "sysctl core/somaxconn became 501",
        ):
            assert part in said
        assert after.differences(after) == []
        assert after.additions(before) == [
            "sysctl core/somaxconn became " + before.sysctls["core/somaxconn"] + ", from 501"
        ]
        assert "neighbour 10.1.0.9 02:00:00:00:00:09 dev aa is gone" in after.differences(before)

    in_a_namespace(check)


def test_undoing_brings_a_namespace_back(namespaces: None) -> None:
    del namespaces

    def check() -> None:
        shell("ip link add name aa type veth peer name bb; ip link set bb up; ip link set lo up; ip link set aa up")
        before = look_closely(None, sysctls())
        shell(
            "ip link set aa mtu 1400 promisc on allmulticast on address 02:00:00:00:00:07;"
            "ip rule add from 10.1.0.2 table 77; ip -6 rule add from fd00::2 table 78;"
            "ip address add 10.1.0.2/24 dev aa; ip route add 10.3.0.0/16 dev bb;"
            "tc qdisc add dev aa root pfifo; tc qdisc add dev bb ingress;"
            "nft add table ip test; nft add chain ip test c; sysctl -q -w net.core.somaxconn=501;"
            "ip link add name cc type veth peer name dd"
        )
        lines = undoing(before, look_closely(None, sysctls()))
        shell("; ".join(f"{line} || :" for line in lines))

        assert before.differences(look_closely(None, sysctls())) == []
        assert len(lines) >= 12

    in_a_namespace(check)


def test_additions_are_what_is_more_and_not_what_another_took_away() -> None:
    old = Link("br0", "bridge", "02::1", 1500, is_up=True, addresses=frozenset({"10.0.0.1/32"}))
    new = Link("br0", "bridge", "02::2", 1400, is_up=True, addresses=frozenset({"10.0.0.2/32"}))
    before, after = Snapshot(links={"br0": old}), Snapshot(links={"br0": new})

    assert before.additions(after) == ["10.0.0.2/32 of link br0 is new"]
    assert before.differences(after) == [f"link {old} became {new}"]


def test_undoing_sets_a_link_down_and_enters_a_namespace() -> None:
    up, down = (Link("aa", "veth", "02:00:00:00:00:01", 1500, is_up) for is_up in (True, False))

    lines = undoing(Snapshot(links={"aa": down}), Snapshot(links={"aa": up}), "/run/netns/x")

    assert lines == ["nsenter --net=/run/netns/x ip link set aa down"]


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (Link("aa", "veth", "02::", 1500, is_up=True, master="br0"), "aa 02:: mtu 1500 up master br0"),
        (Route("::/0", "fd00::1", "aa", "77"), "::/0 via fd00::1 dev aa table 77"),
        (Route("10.0.0.0/8", "", "aa", "main"), "10.0.0.0/8 dev aa"),
    ],
)
def test_links_and_routes_read_as_text(thing: object, text: str) -> None:
    assert str(thing) == text
    assert EMPTY.differences(EMPTY) == []
