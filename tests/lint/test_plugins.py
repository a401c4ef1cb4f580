"""Plugins that are installed or not, schemas that a user adds, and plugins that nobody has described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libcni.errors import InvalidParameterError
from libcni.lint import lint_paths
from tests.lint.trees import bridge, network, write_plugins, write_tree

if TYPE_CHECKING:
    from pathlib import Path

ALL = ["0.4.0", "1.0.0", "1.1.0"]


def found(directory: Path, plugins: dict[str, list[str]]) -> list[tuple[str, str]]:
    bin_dir = write_plugins(directory / "bin", plugins)
    return [(item.code, item.field) for item in lint_paths([directory / "net.d"], bin_dirs=[str(bin_dir)], timeout=5)]


def test_plugin_and_ipam_plugin_that_are_missing(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("a", bridge("a0", "10.1.0.0/24"))})
    expected = [("CNI411", "plugins[0].type"), ("CNI411", "plugins[0].ipam.type")]
    assert found(tmp_path, {}) == expected
    assert found(tmp_path, {"bridge": ALL}) == expected[1:]
    assert found(tmp_path, {"bridge": ALL, "host-local": ALL}) == []


MACVLAN: dict[str, Any] = {"type": "macvlan", "master": "eth0"}


@pytest.mark.parametrize(
    ("plugin", "code", "field", "hint"),
    [
        ({"typ": "bridge"}, "CNI302", "plugins[0].type", "'typ' is there: did you mean 'type'?"),
        ({"Type": "tuning"}, "CNI302", "plugins[0].type", "'Type' is there: did you mean 'type'?"),
        ({"mtu": 1500}, "CNI302", "plugins[0].type", ""),
        ({**MACVLAN, "ipam": {"tpye": "dhcp"}}, "CNI201", "plugins[0].ipam.tpye", "did you mean 'type'?"),
        ({**MACVLAN, "ipam": {"Type": "dhcp"}}, "CNI203", "plugins[0].ipam.Type", "did you mean 'type'?"),
    ],
)
def test_key_that_may_be_meant_for_the_type_is_named(
    tmp_path: Path, plugin: dict[str, Any], code: str, field: str, hint: str
) -> None:
    findings = lint_paths([write_tree(tmp_path, {"a.conflist": network("a", plugin)})])

    assert [finding.hint for finding in findings if (finding.code, finding.field) == (code, field)] == [hint]


@pytest.mark.parametrize(("file", "key"), [("a.conflist", "nmae"), ("a.conf", "Name")])
def test_key_that_may_be_meant_for_the_name_is_named(tmp_path: Path, file: str, key: str) -> None:
    plugin = {"type": "loopback"}
    document = {"cniVersion": "0.4.0", key: "a", **(plugin if file == "a.conf" else {"plugins": [plugin]})}

    findings = lint_paths([write_tree(tmp_path, {file: document})])

    assert [finding.hint for finding in findings if finding.field == "name"] == [
        f"{key!r} is there: did you mean 'name'?"
    ]


def test_plugin_and_ipam_plugin_that_do_not_support_the_version(tmp_path: Path) -> None:
    plugins = {"bridge": ["0.4.0"], "host-local": ["1.0.0"]}
    for version, expected in {
        "0.4.0": [("CNI412", "plugins[0].ipam.type")],
        "1.0.0": [("CNI412", "plugins[0].type")],
        "1.1.0": [("CNI412", "plugins[0].type"), ("CNI412", "plugins[0].ipam.type")],
    }.items():
        write_tree(tmp_path / "net.d", {"10.conflist": network("a", bridge("a0", "10.1.0.0/24"), version=version)})
        assert found(tmp_path, plugins) == expected


def test_highest_version_of_several_is_the_one_that_counts(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("a", version="0.4.0", cniVersions=["0.4.0", "1.1.0"])})
    assert found(tmp_path, {"loopback": ["0.4.0"]}) == [("CNI412", "plugins[0].type")]


def test_plugins_of_drop_ins_are_asked_too(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("lab"), "lab/20.conf": {"type": "tuning"}})
    assert found(tmp_path, {"loopback": ALL}) == [("CNI411", "type")]


def test_plugin_that_fails_is_a_warning(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("lab")})
    assert found(tmp_path, {"loopback": []}) == [("CNI413", "plugins[0].type")]


def test_each_plugin_is_asked_once_and_only_its_version(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {f"{number}.conflist": network(f"lab{number}") for number in range(5)})
    assert found(tmp_path, {"loopback": ALL}) == [("CNI509", "")]
    assert (tmp_path / "log").read_text() == "loopback VERSION\n"


def test_type_that_is_a_path_is_never_run(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("a", {"type": "../bin/loopback"})})
    assert found(tmp_path, {"loopback": ALL}) == [("CNI109", "plugins[0].type")]
    assert not (tmp_path / "log").exists()


def test_without_plugin_directories_nothing_is_run(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": network("a", {"type": "nobody-has-this"})})
    assert lint_paths([tmp_path / "net.d"]) == []


SCHEMA: dict[str, Any] = {
    "x-cni-kind": "interface",
    "x-cni-capabilities": ["mac"],
    "required": ["colour"],
    "properties": {"type": {"const": "paint"}, "colour": {"enum": ["red", "blue"]}, "mtu": {"$ref": "#/$defs/mtu"}},
    "$defs": {"mtu": {"type": "integer", "minimum": 68}},
}


def _with_schema(directory: Path, plugin: dict[str, Any], schema: Any) -> list[tuple[str, str]]:
    write_tree(directory, {"net.d/10.conflist": network("a", plugin), "schemas/paint.json": schema})
    findings = lint_paths([directory / "net.d"], schema_dirs=[directory / "schemas"])
    return [(item.code, item.field) for item in findings]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"colour": "red"}, []),
        ({}, [("CNI302", "plugins[0].colour")]),
        ({"colour": "green"}, [("CNI303", "plugins[0].colour")]),
        ({"colour": "red", "mtu": 20}, [("CNI305", "plugins[0].mtu")]),
        ({"colour": "red", "colours": 1}, [("CNI204", "plugins[0].colours")]),
        ({"colour": "red", "capabilities": {"ips": True}}, [("CNI403", "plugins[0].capabilities.ips")]),
    ],
    ids=["good", "missing", "value", "mtu", "key", "capability"],
)
def test_schema_that_a_user_adds_is_applied(
    options: dict[str, Any], expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    options = {"capabilities": {}, **options}
    schema = SCHEMA | {"properties": SCHEMA["properties"] | {"capabilities": {"type": "object"}}}
    assert _with_schema(tmp_path, {"type": "paint", **options}, schema) == expected


def test_schema_that_a_user_adds_replaces_that_of_the_library(tmp_path: Path) -> None:
    write_tree(tmp_path, {"net.d/10.conflist": network("a", {"type": "ptp"}), "schemas/ptp.json": {}})
    assert lint_paths([tmp_path / "net.d"], schema_dirs=[tmp_path / "schemas"]) == []
    assert [item.code for item in lint_paths([tmp_path / "net.d"])] == ["CNI302"]


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "text"}'], ids=["no-json", "no-object", "no-schema"])
def test_schema_directory_with_something_else_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match=r"paint\.json"):
        _with_schema(tmp_path, {"type": "paint"}, text)


def test_schema_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="cannot be read"):
        lint_paths([tmp_path], schema_dirs=[tmp_path / "nothing"])


def test_plugin_that_nobody_described_may_have_any_key_and_capability(tmp_path: Path) -> None:
    plugin = {"type": "paint", "colour": "red", "capabilities": {"colour": True}, "ipam": {"type": "palette", "x": 1}}
    write_tree(tmp_path, {"10.conflist": network("a", plugin)})
    assert lint_paths([tmp_path]) == []


@pytest.mark.parametrize(
    ("ipam", "expected"),
    [
        ({"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.300"}, ["CNI306"]),
        ({"subnet": "usePodCidr"}, []),
        ({"ranges": [[{"subnet": "10.0.0.0/24"}], [{"subnet": "10.0.0.0/25"}]]}, ["CNI325"]),
        ({"ranges": [[{"subnet": "10.0.0.0/24", "rangeEnd": "10.0.0.9"}, {"subnet": "10.0.0.128/25"}]]}, []),
        ({"ranges": [{"subnet": "10.0.0.0/24"}]}, ["CNI301"]),
        ({"ranges": 5}, ["CNI301"]),
    ],
    ids=["bad-address", "pod-range", "overlap-of-sets", "ranges-apart", "no-set", "no-list"],
)
def test_ranges_of_host_local(ipam: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    write_tree(tmp_path, {"10.conflist": network("a", {"type": "ptp", "ipam": {"type": "host-local", **ipam}})})
    assert [item.code for item in lint_paths([tmp_path])] == expected


@pytest.mark.parametrize(
    ("address", "gateway", "expected"),
    [
        ("10.0.0.5/24", "10.0.1.1", ["CNI327"]),
        ("10.0.0.5/32", "10.0.1.1", []),
        ("10.0.0.5/24", "169.254.1.1", []),
        ("fd00::5/128", "fe80::1", []),
        ("fd00::5/64", "10.0.0.1", ["CNI326"]),
    ],
)
def test_gateway_of_a_fixed_address(address: str, gateway: str, expected: list[str], tmp_path: Path) -> None:
    ipam = {"type": "static", "addresses": [{"address": address, "gateway": gateway}]}
    write_tree(tmp_path, {"10.conflist": network("a", {"type": "ptp", "ipam": ipam})})
    assert [item.code for item in lint_paths([tmp_path])] == expected


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ('{"$ref": "urn:nothing"}', "there is no such schema"),
        ('{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}', "without end"),
        ('{"allOf": [{"$ref": "#"}]}', "without end"),
    ],
)
def test_schema_of_the_user_that_cannot_be_applied_is_refused(tmp_path: Path, schema: str, message: str) -> None:
    write_tree(tmp_path / "schemas", {"mine.json": schema})
    write_tree(tmp_path / "net.d", {"10.conflist": network("a", {"type": "mine", "key": 1})})

    with pytest.raises(InvalidParameterError, match=message):
        lint_paths([tmp_path / "net.d"], schema_dirs=[tmp_path / "schemas"])


def test_first_version_of_a_plugin_is_known_where_none_is_asked(tmp_path: Path) -> None:
    chain = network("lab", {"type": "loopback"}, {"type": "firewall"}, version="0.3.1")
    write_tree(tmp_path / "net.d", {"10.conflist": chain, "lab/20.conf": {"type": "firewall"}})
    fields = [(one.code, one.file.name, one.field) for one in lint_paths([tmp_path / "net.d"]) if one.code == "CNI414"]
    assert fields == [("CNI414", "10.conflist", "plugins[1].type"), ("CNI414", "20.conf", "type")]
    assert found(tmp_path, {"loopback": ["0.3.1"], "firewall": ["0.3.1"]}) == []


@pytest.mark.parametrize(
    ("ipam", "fields"),
    [
        (
            {"type": "host-local", "subnet": "10.1.0.0/24", "ranges": [[{"subnet": "10.2.0.0/24"}]]},
            ["ranges[0][0].subnet"],
        ),
        ({"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.2.0.0/24"}]]}, []),
        ({"type": "static", "addresses": [{"address": "10.1.0.2/24"}, {"address": "fd00::2/64"}]}, []),
        (
            {"type": "static", "addresses": [{"address": "10.1.0.2/24"}, {"address": "10.1.0.3/24"}]},
            ["addresses[1].address"],
        ),
    ],
)
def test_one_address_of_a_family_before_0_3_0(ipam: dict[str, Any], fields: list[str], tmp_path: Path) -> None:
    for version, expected in (("0.1.0", fields), ("0.2.0", fields), ("0.3.0", [])):
        write_tree(tmp_path, {"10.conflist": network("lab", {"type": "ptp", "ipam": ipam}, version=version)})
        codes = [one.field for one in lint_paths([tmp_path]) if one.code == "CNI339"]
        assert codes == [f"plugins[0].ipam.{field}" for field in expected]
