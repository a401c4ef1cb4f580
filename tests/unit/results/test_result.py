"""Results: every version in and out, the conversions between them, and what is refused with its place."""

from __future__ import annotations

import copy
import ipaddress
import pickle
from typing import Any

import pytest

from libcni import (
    DNS,
    SUPPORTED_VERSIONS,
    IncompatibleVersionError,
    Interface,
    IPConfig,
    Result,
    ResultError,
    Route,
    VersionError,
)
from libcni.jsontext.encode import dump

DNS_DOCUMENT = {"nameservers": ["10.1.0.1"], "domain": "a.example", "search": ["b.example"], "options": ["ndots:2"]}

ONE_FAMILY = {
    "ip4": {
        "ip": "10.1.0.5/16",
        "gateway": "10.1.0.1",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "10.9.0.7/24", "gw": "10.1.0.2"}],
    },
    "ip6": {"ip": "fd00::5/64", "gateway": "fd00::1", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
    "dns": DNS_DOCUMENT,
}
ROUTES = [
    {"dst": "0.0.0.0/0"},
    {"dst": "10.9.0.7/24", "gw": "10.1.0.2"},
    {"dst": "::/0", "gw": "fd00::1"},
]
INTERFACES = [{"name": "br0", "mac": "00:11:22:33:44:55"}, {"name": "eth0", "sandbox": "/var/run/netns/blue"}]
IPS = [
    {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 0},
    {"address": "10.1.0.6/16", "interface": 1},
    {"address": "fd00::5/64", "gateway": "fd00::1", "interface": 1},
]
IPS_WITH_FAMILY = [{"version": "4" if "." in str(item["address"]) else "6"} | item for item in IPS]
LISTS = {"interfaces": INTERFACES, "ips": IPS, "routes": ROUTES, "dns": DNS_DOCUMENT}
LISTS_11 = LISTS | {
    "interfaces": [
        INTERFACES[0] | {"mtu": 0},
        INTERFACES[1] | {"mtu": 1500, "socketPath": "/run/s", "pciID": "0000:00:1f.6"},
    ],
    "routes": [
        ROUTES[0] | {"mtu": 1400, "advmss": 1360, "priority": 0, "table": 0, "scope": 0},
        *ROUTES[1:],
    ],
}

DOCUMENTS: dict[str, dict[str, Any]] = {
    "0.1.0": ONE_FAMILY,
    "0.2.0": ONE_FAMILY,
    "0.3.0": LISTS | {"ips": IPS_WITH_FAMILY},
    "0.3.1": LISTS | {"ips": IPS_WITH_FAMILY},
    "0.4.0": LISTS | {"ips": IPS_WITH_FAMILY},
    "1.0.0": LISTS,
    "1.1.0": LISTS_11,
}

# What is left of the fullest document of a version, and back in lists: one address of each family, no interfaces.
FROM_ONE_FAMILY: dict[str, Any] = {
    "ips": [
        {"address": "10.1.0.5/16", "gateway": "10.1.0.1"},
        {"address": "fd00::5/64", "gateway": "fd00::1"},
    ],
    "routes": ROUTES,
    "dns": DNS_DOCUMENT,
}

OLD = ("0.1.0", "0.2.0")
MIDDLE = ("0.3.0", "0.3.1", "0.4.0")


def expected(source: str, target: str) -> dict[str, Any]:
    """Return what a document of one version is in another."""
    if target in OLD:
        return ONE_FAMILY
    if source in OLD:
        ips = FROM_ONE_FAMILY["ips"]
        ips = [{"version": "46"[index]} | ip for index, ip in enumerate(ips)] if target in MIDDLE else ips
        return FROM_ONE_FAMILY | {"ips": ips}
    return DOCUMENTS[target] if target != "1.1.0" or source == "1.1.0" else LISTS


def document(version: str) -> dict[str, Any]:
    return copy.deepcopy({"cniVersion": version} | DOCUMENTS[version])


@pytest.mark.parametrize("target", SUPPORTED_VERSIONS)
@pytest.mark.parametrize("source", SUPPORTED_VERSIONS)
def test_result_of_each_version_converts_to_each_other(source: str, target: str) -> None:
    result = Result.from_dict(document(source))
    assert result.as_version(target).to_dict() == {"cniVersion": target} | expected(source, target)
    assert result == Result.from_dict(document(source)), "the original is untouched"


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_result_round_trips_in_its_version(version: str) -> None:
    result = Result.from_bytes(dump(document(version)))
    assert result.cni_version == version
    assert result.to_dict() == document(version)
    assert Result.from_bytes(result.to_json()) == result
    assert Result.from_bytes(result.to_json().encode()) == result


def test_result_fields_have_their_types() -> None:
    result = Result.from_dict(document("1.1.0"))
    assert result.interfaces[1] == Interface(
        name="eth0", mtu=1500, sandbox="/var/run/netns/blue", socket_path="/run/s", pci_id="0000:00:1f.6"
    )
    assert result.ips[0] == IPConfig(
        address=ipaddress.ip_interface("10.1.0.5/16"), gateway=ipaddress.ip_address("10.1.0.1"), interface=0
    )
    assert result.routes[0] == Route(
        dst=ipaddress.ip_interface("0.0.0.0/0"), mtu=1400, advmss=1360, priority=0, table=0, scope=0
    )
    assert str(result.routes[1].dst) == "10.9.0.7/24", "host bits are kept"
    assert result.dns == DNS(nameservers=("10.1.0.1",), domain="a.example", search=("b.example",), options=("ndots:2",))
    assert Result().dns == DNS()


def test_result_is_immutable_hashes_and_pickles() -> None:
    result = Result.from_dict(document("1.1.0") | {"own": {"a": [1]}})
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 -- our own
    assert len({result, Result.from_dict(document("1.1.0") | {"own": {"a": [1]}})}) == 1
    with pytest.raises(AttributeError):
        result.cni_version = "1.0.0"  # type: ignore[misc]  # that it fails is the point
    with pytest.raises(TypeError):
        result.extra["own"]["a"].append(2)


def test_result_does_not_change_or_share_what_it_is_given() -> None:
    given = document("1.1.0") | {"own": {"a": [1]}}
    before = copy.deepcopy(given)
    written = Result.from_dict(given).to_dict()
    written["own"]["a"].append(2)
    written["ips"][0]["address"] = "changed"
    assert given == before


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_result_keeps_the_plugins_own_members(version: str) -> None:
    given = document(version) | {"own": [1.0, {"x": None}]}
    given["dns"] = given["dns"] | {"ownDns": 1}
    place = given["ip4"] if version in OLD else given["ips"][0]
    place["ownIP"] = "x"
    route = given["ip4"]["routes"][0] if version in OLD else given["routes"][0]
    route["ownRoute"] = {"deep": [True]}
    assert Result.from_dict(given).to_dict() == given


def test_own_member_never_takes_the_place_of_a_known_one() -> None:
    # "mtu" means nothing in 1.0.0, where it is the plugin's own; "ip4" nothing from 0.3.0 on.
    result = Result.from_dict({"cniVersion": "1.0.0", "ip4": "own", "interfaces": [{"name": "e", "mtu": "own"}]})
    assert result.to_dict()["ip4"] == "own"
    assert "ip4" not in result.as_version("0.2.0").to_dict()
    assert result.as_version("1.1.0").to_dict()["interfaces"] == [{"name": "e"}]
    assert result.as_version("0.4.0").to_dict()["interfaces"] == [{"name": "e", "mtu": "own"}]


def test_result_without_addresses_is_empty_in_the_old_versions() -> None:
    result = Result.from_dict({"cniVersion": "1.0.0", "interfaces": INTERFACES, "routes": ROUTES})
    assert result.as_version("0.2.0").to_dict() == {"cniVersion": "0.2.0"}


def test_routes_of_a_family_without_address_are_dropped_in_the_old_versions() -> None:
    result = Result.from_dict({"cniVersion": "1.0.0", "ips": [{"address": "fd00::5/64"}], "routes": ROUTES})
    assert result.as_version("0.1.0").to_dict() == {
        "cniVersion": "0.1.0",
        "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
    }


@pytest.mark.parametrize("version", OLD)
def test_routes_of_mixed_families_are_in_the_order_that_the_old_versions_are_read_in(version: str) -> None:
    routes = [{"dst": text} for text in ("fd00:1::/64", "10.1.0.0/16", "::/0", "0.0.0.0/0")]
    ips = [{"address": "10.0.0.2/24"}, {"address": "fd00::5/64"}]
    result = Result.from_dict({"cniVersion": "1.0.0", "ips": ips, "routes": routes}).as_version(version)
    assert [str(route.dst) for route in result.routes] == ["10.1.0.0/16", "0.0.0.0/0", "fd00:1::/64", "::/0"]
    assert Result.from_dict(result.to_dict()) == result


def test_attributes_of_1_1_0_are_gone_after_a_way_through_1_0_0() -> None:
    result = Result.from_dict(document("1.1.0")).as_version("1.0.0").as_version("1.1.0")
    assert result.to_dict() == {"cniVersion": "1.1.0"} | LISTS


@pytest.mark.parametrize("version", SUPPORTED_VERSIONS)
def test_null_members_count_as_absent(version: str) -> None:
    if version in OLD:
        given: dict[str, Any] = {"ip4": {"ip": "10.0.0.1/8", "gateway": None, "routes": None}, "ip6": None, "dns": None}
    else:
        given = {
            "interfaces": [{"name": "e", "mac": None, "sandbox": None}],
            "ips": [{"address": "10.0.0.1/8", "gateway": "", "interface": None}],
            "routes": None,
            "dns": {"nameservers": None, "domain": None},
        }
    result = Result.from_dict({"cniVersion": version} | given)
    assert str(result.ips[0].address) == "10.0.0.1/8"
    assert (result.ips[0].gateway, result.routes, result.dns) == (None, (), DNS())


FAMILIES = {"ip4": {"ip": "192.0.2.7/24"}, "ip6": {"ip": "fd00::7/64"}}


@pytest.mark.parametrize("default", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_old_shape_without_a_version_is_read_as_0_2_0(default: str, family: str) -> None:
    nothing: list[dict[str, Any]] = [{}, {"cniVersion": ""}, {"ips": [], "interfaces": None, "routes": []}]
    for empty in nothing:
        given = {family: FAMILIES[family]} | empty
        result = Result.from_dict(given, default_version=default)
        assert result.cni_version == "0.2.0"
        assert [str(ip.address) for ip in result.as_version(default).ips] == [FAMILIES[family]["ip"]]


@pytest.mark.parametrize("default", ["0.1.0", "0.2.0"])
def test_old_shape_in_an_old_list_has_the_version_of_the_list(default: str) -> None:
    assert Result.from_dict(FAMILIES, default_version=default).cni_version == default


@pytest.mark.parametrize(
    "given",
    [FAMILIES | {"cniVersion": "1.0.0"}, FAMILIES | {"ips": [{"address": "192.0.2.8/24"}]}, {"ip4": "own"}],
    ids=["version-named", "ips", "no-object"],
)
def test_old_members_of_a_result_that_is_a_later_one_are_the_plugins_own(given: dict[str, Any]) -> None:
    result = Result.from_dict(given, default_version="1.0.0")
    assert result.cni_version == "1.0.0"
    assert "ip4" in result.extra
    assert [str(ip.address) for ip in result.ips] == [ip["address"] for ip in given.get("ips", [])]


@pytest.mark.parametrize("newer", [{"interfaces": INTERFACES}, {"routes": ROUTES}], ids=lambda value: next(iter(value)))
def test_result_of_both_shapes_without_a_version_is_refused(newer: dict[str, Any]) -> None:
    with pytest.raises(ResultError, match=r"'ip4' is of 0\.1\.0 and 0\.2\.0") as caught:
        Result.from_dict(FAMILIES | newer, default_version="1.0.0")
    assert caught.value.field == "cniVersion"


def test_empty_lists_are_left_out() -> None:
    given = {"cniVersion": "1.1.0", "interfaces": [], "ips": [], "routes": [], "dns": {"search": []}}
    assert Result.from_dict(given).to_dict() == {"cniVersion": "1.1.0"}


def test_empty_interface_name_is_kept() -> None:
    given = {"cniVersion": "1.1.0", "interfaces": [{"name": "", "mac": "m"}]}
    assert Result.from_dict(given).to_dict() == given


@pytest.mark.parametrize(
    ("given", "default", "version"),
    [
        ({}, "", "0.1.0"),
        ({"ip4": {"ip": "10.0.0.1/8"}}, "", "0.1.0"),
        ({"cniVersion": ""}, "", "0.1.0"),
        ({"cniVersion": None}, "", "0.1.0"),
        ({"ips": [{"address": "10.0.0.1/8"}]}, "1.0.0", "1.0.0"),
        ({"cniVersion": "", "ips": []}, "0.4.0", "0.4.0"),
        ({"cniVersion": "0.3.0"}, "1.1.0", "0.3.0"),
    ],
    ids=str,
)
def test_missing_version_is_the_default_or_the_first(given: dict[str, Any], default: str, version: str) -> None:
    assert Result.from_dict(given, default_version=default).cni_version == version


NUMBER = 10**20

REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "ips-null-entry": ({"ips": [None]}, "ips[0]", "expected an object, found null"),
    "interfaces-null-entry": ({"interfaces": [{"name": "e"}, None]}, "interfaces[1]", "found null"),
    "routes-null-entry": ({"routes": [None]}, "routes[0]", "found null"),
    "nameserver-null-entry": ({"dns": {"nameservers": [None]}}, "dns.nameservers[0]", "expected a string, found null"),
    "ips-object": ({"ips": {}}, "ips", "expected an array, found an object"),
    "interfaces-string": ({"interfaces": "eth0"}, "interfaces", "expected an array, found a string"),
    "ip-without-address": ({"ips": [{"gateway": "10.0.0.1"}]}, "ips[0].address", "is required"),
    "address-null": ({"ips": [{"address": None}]}, "ips[0].address", "expected a string, found null"),
    "address-number": ({"ips": [{"address": 7}]}, "ips[0].address", "expected a string, found a number"),
    "address-without-prefix": ({"ips": [{"address": "10.0.0.1"}]}, "ips[0].address", "prefix length"),
    "address-dotted-mask": ({"ips": [{"address": "10.0.0.1/255.0.0.0"}]}, "ips[0].address", "prefix length"),
    "address-zone": ({"ips": [{"address": "fe80::1%e/64"}]}, "ips[0].address", "prefix length"),
    "gateway-zone": ({"ips": [{"address": "10.0.0.1/8", "gateway": "fe80::1%e"}]}, "ips[0].gateway", "zone"),
    "gateway-cidr": ({"ips": [{"address": "10.0.0.1/8", "gateway": "10.0.0.1/8"}]}, "ips[0].gateway", "10.0.0.1/8"),
    "interface-negative": ({"ips": [{"address": "10.0.0.1/8", "interface": -1}]}, "ips[0].interface", "must be"),
    "interface-huge": ({"ips": [{"address": "10.0.0.1/8", "interface": NUMBER}]}, "ips[0].interface", "must be"),
    "interface-boolean": ({"ips": [{"address": "10.0.0.1/8", "interface": True}]}, "ips[0].interface", "a boolean"),
    "interface-float": ({"ips": [{"address": "10.0.0.1/8", "interface": 1.0}]}, "ips[0].interface", "an integer"),
    "interface-text": ({"ips": [{"address": "10.0.0.1/8", "interface": "0"}]}, "ips[0].interface", "found a string"),
    "mtu-huge": ({"interfaces": [{"name": "e", "mtu": NUMBER}]}, "interfaces[0].mtu", "must be"),
    "mtu-negative": ({"routes": [{"dst": "::/0", "mtu": -1}]}, "routes[0].mtu", "must be"),
    "table-text": ({"routes": [{"dst": "::/0", "table": "main"}]}, "routes[0].table", "expected an integer"),
    "interface-without-name": ({"interfaces": [{}]}, "interfaces[0].name", "is required"),
    "name-number": ({"interfaces": [{"name": 1}]}, "interfaces[0].name", "expected a string, found a number"),
    "route-without-dst": ({"routes": [{"gw": "10.0.0.1"}]}, "routes[0].dst", "is required"),
    "dns-array": ({"dns": []}, "dns", "expected an object, found an array"),
    "domain-number": ({"dns": {"domain": 1}}, "dns.domain", "expected a string, found a number"),
}


@pytest.mark.parametrize(("given", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_bad_member_is_refused_with_its_path(given: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_dict({"cniVersion": "1.1.0"} | given)
    assert caught.value.field == field
    assert message in caught.value.msg


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"ip4": []}, "ip4"),
        ({"ip4": {}}, "ip4.ip"),
        ({"ip6": {"ip": "fd00::1"}}, "ip6.ip"),
        ({"ip4": {"ip": "10.0.0.1/8", "routes": [None]}}, "ip4.routes[0]"),
        ({"ip4": {"ip": "10.0.0.1/8", "routes": [{"dst": "x"}]}}, "ip4.routes[0].dst"),
        ({"dns": {"search": ["a", 1]}}, "dns.search[1]"),
    ],
    ids=str,
)
def test_bad_member_of_the_old_versions_is_refused_with_its_path(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_dict({"cniVersion": "0.2.0"} | given)
    assert caught.value.field == field


@pytest.mark.parametrize("family", ["5", 4, "ipv4"])
def test_unknown_family_is_refused(family: object) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_dict({"cniVersion": "0.4.0", "ips": [{"version": family, "address": "10.0.0.1/8"}]})
    assert caught.value.field == "ips[0].version"


@pytest.mark.parametrize("version", [7, "1.1", "v1.0.0", ["1.0.0"], True, "1.0.0\n"], ids=repr)
def test_malformed_version_is_refused(version: object) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_dict({"cniVersion": version})
    assert caught.value.field == "cniVersion"


@pytest.mark.parametrize("version", [0, False, [], {}], ids=repr)
def test_version_of_another_type_is_refused_although_it_is_empty(version: object) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_dict({"cniVersion": version})
    assert caught.value.field == "cniVersion"


def test_unknown_version_is_a_result_error_and_an_incompatible_version() -> None:
    for expected_class in (ResultError, IncompatibleVersionError):
        with pytest.raises(expected_class, match=r"version '1\.2\.0' is not supported"):
            Result.from_dict({"cniVersion": "1.2.0"})


@pytest.mark.parametrize("member", ["ips", "interfaces"])
def test_newer_result_without_version_is_not_taken_for_an_old_one(member: str) -> None:
    with pytest.raises(ResultError, match=f"a result with '{member}' is newer than 0.2.0"):
        Result.from_dict({member: []})


@pytest.mark.parametrize(
    ("data", "field", "message"),
    [
        ("", "", "line 1, column 1: is empty"),
        ("null", "", "expected a JSON object, found null"),
        ("[]", "", "expected a JSON object, found an array"),
        ('{"ips": [{"a": NaN}]}', "ips[0].a", "line 1, column 16"),
        ('{"ips": [], "ips": []}', "ips", "duplicate key 'ips'"),
        (b"\xff", "", "invalid UTF-8"),
        ('{"own": 1e999}', "own", "number too large"),
    ],
    ids=["empty", "null", "array", "nan", "duplicate", "utf-8", "huge"],
)
def test_from_bytes_of_bad_json_is_a_result_error(data: bytes | str, field: str, message: str) -> None:
    with pytest.raises(ResultError) as caught:
        Result.from_bytes(data)
    assert caught.value.field == field
    assert message in str(caught.value)


@pytest.mark.parametrize("given", [[], None, "x", 7], ids=repr)
def test_from_dict_of_something_else_is_a_result_error(given: Any) -> None:
    with pytest.raises(ResultError, match="expected a JSON object"):
        Result.from_dict(given)


def test_as_version_of_bad_version_is_a_version_error() -> None:
    with pytest.raises(VersionError, match="malformed"):
        Result().as_version("1")
    with pytest.raises(IncompatibleVersionError):
        Result().as_version("9.0.0")
    with pytest.raises(IncompatibleVersionError):
        Result(cni_version="9.0.0").to_json()


def test_result_made_by_hand_is_written_in_its_version() -> None:
    result = Result(
        cni_version="0.2.0",
        interfaces=[Interface(name="e")],
        ips=[IPConfig(address=ipaddress.ip_interface("10.0.0.1/8"), interface=0)],
        routes=[Route(dst=ipaddress.ip_interface("0.0.0.0/0"), mtu=1400)],
    )
    assert result.to_dict() == {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8", "routes": [{"dst": "0.0.0.0/0"}]}}


def test_members_that_a_plugin_put_into_an_older_result_are_kept_in_every_version() -> None:
    interface = {"name": "eth0", "mtu": 1400, "pciID": "0000:05:00.1", "socketPath": "/run/lab.sock", "own": [1]}
    route = {"dst": "0.0.0.0/0", "table": 0, "priority": 5}
    given = {"cniVersion": "0.4.0", "interfaces": [interface], "routes": [route], "ips": []}
    for version in ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"):
        document = Result.from_dict(given).as_version(version).to_dict()
        assert (document["interfaces"], document["routes"]) == ([interface], [route]), version
    newest = Result.from_dict(given).as_version("1.1.0")
    assert (newest.interfaces[0].mtu, newest.interfaces[0].pci_id, newest.routes[0].table) == (1400, "0000:05:00.1", 0)
    assert list(newest.interfaces[0].extra) == ["own"]


@pytest.mark.parametrize("mtu", [True, -1, 2**32, "1400", 1.5])
def test_member_that_does_not_fit_the_newer_version_is_left_out(mtu: object) -> None:
    given = {"cniVersion": "1.0.0", "interfaces": [{"name": "eth0", "mtu": mtu}]}
    assert Result.from_dict(given).as_version("1.1.0").to_dict()["interfaces"] == [{"name": "eth0"}]
