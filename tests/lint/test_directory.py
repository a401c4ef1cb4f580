"""What files of one directory say against each other, and what stands beside them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from libcni.config.load import conf_files
from libcni.errors import InvalidParameterError
from libcni.lint import Severity, lint_paths
from tests.lint.trees import bridge, network, write_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAB = network("lab")
TUNING: dict[str, Any] = {"type": "tuning", "mtu": 1400}


def found(path: Path) -> list[tuple[str, str, str]]:
    """Return code, file (from the directory on) and field of each finding that is no note."""
    findings = [item for item in lint_paths([path]) if item.severity is not Severity.NOTE]
    return [(item.code, str(item.file.relative_to(path)), item.field) for item in findings]


def messages(path: Path) -> list[str]:
    return [item.message for item in lint_paths([path]) if item.severity is not Severity.NOTE]


def test_second_file_with_a_name_is_reported_at_its_name(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-a.conflist": LAB, "20-b.conflist": LAB, "30-c.conflist": LAB})
    assert found(tmp_path) == [("CNI501", "20-b.conflist", "name"), ("CNI501", "30-c.conflist", "name")]
    assert "10-a.conflist" in lint_paths([tmp_path])[0].message


@pytest.mark.parametrize("single", ["05-a.conf", "20-b.json"])
def test_single_plugin_file_behind_a_list_is_shadowed(single: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-a.conflist": LAB, single: {"cniVersion": "0.4.0", "name": "lab", "type": "loopback"}})
    assert found(tmp_path) == [("CNI502", single, "name")]


def test_subnets_of_two_networks_that_overlap_are_reported_in_the_later_file(tmp_path: Path) -> None:
    files = {
        "10-a.conflist": network("a", bridge("a0", "10.1.0.0/16")),
        "20-b.conflist": network("b", bridge("b0", "10.1.7.0/24")),
        "30-c.conflist": network("c", bridge("c0", "10.2.0.0/16")),
        "40-d.conflist": network("d", bridge("d0", "10.0.0.0/8")),
        "50-e.conflist": network("e", bridge("e0", "fd00::/64")),
    }
    write_tree(tmp_path, files)
    field = "plugins[0].ipam.subnet"
    assert found(tmp_path) == [("CNI506", "20-b.conflist", field), ("CNI506", "40-d.conflist", field)]


def test_subnets_of_different_ipam_plugins_are_compared(tmp_path: Path) -> None:
    whereabouts = {"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.1.0.0/24"}}
    write_tree(
        tmp_path,
        {"10-a.conflist": network("a", bridge("a0", "10.1.0.0/16")), "20-b.conflist": network("b", whereabouts)},
    )
    assert found(tmp_path) == [("CNI506", "20-b.conflist", "plugins[0].ipam.range")]


def test_subnet_that_one_network_uses_twice_is_no_overlap_of_networks(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-a.conflist": network("a", bridge("a0", "10.1.0.0/16"), bridge("a1", "10.1.0.0/16"))})
    assert "CNI506" not in {code for code, _, _ in found(tmp_path)}


@pytest.mark.parametrize(
    ("options", "named"),
    [({"mtu": 1400}, "mtu"), ({"promiscMode": True}, "promiscMode"), ({"ipMasq": True}, "ipMasq")],
    ids=["mtu", "promiscMode", "ipMasq"],
)
def test_bridges_of_one_name_with_different_settings(options: dict[str, Any], named: str, tmp_path: Path) -> None:
    first = network("a", bridge("br0", "10.1.0.0/24"))
    write_tree(
        tmp_path, {"10-a.conflist": first, "20-b.conflist": network("b", bridge("br0", "10.2.0.0/24", **options))}
    )
    assert found(tmp_path) == [("CNI507", "20-b.conflist", "plugins[0].bridge")]
    assert messages(tmp_path)[0].endswith(f"another setting of {named}")


def test_bridge_with_two_gateway_addresses(tmp_path: Path) -> None:
    files = {
        "10-a.conflist": network("a", bridge("br0", "10.1.0.0/24", isGateway=True)),
        "20-b.conflist": network("b", bridge("br0", "10.2.0.0/24", isGateway=True)),
    }
    write_tree(tmp_path, files)
    assert "the IPv4 address" in messages(tmp_path)[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [({"vlan": 5}, {"vlan": 6}), ({"isGateway": False}, {}), ({"isDefaultGateway": True}, {"isDefaultGateway": True})],
    ids=["vlan-is-of-the-port", "default-is-no-difference", "same"],
)
def test_bridges_of_one_name_that_agree(one: dict[str, Any], other: dict[str, Any], tmp_path: Path) -> None:
    ipam = {"ipam": {"type": "dhcp"}}
    files = {
        "10-a.conflist": network("a", {"type": "bridge", "bridge": "br0", **one, **ipam}),
        "20-b.conflist": network("b", {"type": "bridge", "bridge": "br0", **other, **ipam}),
    }
    assert found(write_tree(tmp_path, files)) == []


def test_drop_ins_are_looked_at_as_part_of_their_network(tmp_path: Path) -> None:
    files: dict[str, Any] = {
        "10-lab.conflist": {"cniVersion": "1.0.0", "name": "lab"},
        "lab/10-tuning.conf": TUNING | {"mtu": "1400"},
    }
    write_tree(tmp_path, files)
    assert found(tmp_path) == [("CNI401", "lab/10-tuning.conf", "type"), ("CNI301", "lab/10-tuning.conf", "mtu")]


def test_list_without_plugins_is_fine_when_some_are_dropped_in(tmp_path: Path) -> None:
    head = {"cniVersion": "1.0.0", "name": "lab"}
    assert found(write_tree(tmp_path, {"10-lab.conflist": head})) == [("CNI106", "10-lab.conflist", "plugins")]
    write_tree(tmp_path, {"lab/10-bridge.conf": {"type": "loopback"}})
    assert found(tmp_path) == []


@pytest.mark.parametrize("name", [[], {}, 5, None])
def test_list_without_plugins_and_without_a_name_has_none(name: object, tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": {"cniVersion": "1.0.0", "name": name}})
    [finding] = [each for each in lint_paths([tmp_path]) if each.code == "CNI106"]
    assert finding.message == "no plugins: none in the list"


def test_folder_without_a_network_is_reported(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": LAB, "office/10-tuning.conf": TUNING, "notes/readme.md": "text"})
    assert found(tmp_path) == [("CNI504", "office", "")]


def test_folder_is_not_reported_while_a_file_cannot_be_read(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": "{", "office/10-tuning.conf": TUNING})
    assert found(tmp_path) == [("CNI002", "10-lab.conflist", "")]


def test_folder_of_a_network_with_inlined_plugins_only(tmp_path: Path) -> None:
    lab = network("lab", loadOnlyInlinedPlugins="True")
    assert found(write_tree(tmp_path, {"10-lab.conflist": lab, "lab/10-tuning.conf": "{"})) == [("CNI505", "lab", "")]


@pytest.mark.parametrize("name", ["20-b.yaml", "20-b.conflist.bak", "20-b.conflist~", "lab/20-b.json"])
def test_file_that_nobody_reads(name: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": LAB, name: "{"})
    assert found(tmp_path) == [("CNI503", name, "")]


@pytest.mark.parametrize("name", [".gitkeep", ".10-lab.conflist.swp", "README", "node.kubeconfig", "cni.lock"])
def test_file_that_belongs_to_others_is_left_alone(name: str, tmp_path: Path) -> None:
    assert found(write_tree(tmp_path, {"10-lab.conflist": LAB, name: "text"})) == []


def test_link_to_nothing_and_directory_with_an_extension_are_left_alone(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": LAB, "folder.conflist/text": "text"})
    (tmp_path / "20-gone.conflist").symlink_to("nothing")
    assert found(tmp_path) == []


def test_files_given_one_by_one_are_compared_within_their_directory(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a/10.conflist": LAB, "a/20.conflist": LAB, "b/10.conflist": LAB})
    paths = [tmp_path / "b" / "10.conflist", tmp_path / "a" / "20.conflist", tmp_path / "a" / "10.conflist"]
    findings = lint_paths([*paths, paths[0]])
    assert [(item.code, item.file) for item in findings] == [("CNI501", tmp_path / "a" / "20.conflist")]


def test_drop_in_given_as_a_file_is_known_as_one(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": LAB, "lab/10-tuning.conf": TUNING})
    assert lint_paths([tmp_path / "lab" / "10-tuning.conf"]) == []


def test_file_given_with_another_extension_is_checked_all_the_same(tmp_path: Path) -> None:
    path = write_tree(tmp_path, {"lab.txt": network("lab", {"type": "ptp"})}) / "lab.txt"
    assert [item.code for item in lint_paths([path])] == ["CNI503", "CNI302"]


def test_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameterError, match="does not exist"):
        lint_paths([tmp_path / "nothing"])


def test_file_without_permission_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("libcni.lint.run.read_conf", refuse)
    write_tree(tmp_path, {"10-lab.conflist": LAB})
    assert found(tmp_path) == [("CNI001", "10-lab.conflist", "")]
    assert lint_paths([tmp_path])[0].message == "cannot be read: Permission denied"


def test_folder_that_cannot_be_read_is_a_finding_where_a_network_needs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path, extensions: Sequence[str]) -> list[Path]:
        if directory.parent == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied", str(directory))
        return conf_files(directory, extensions)

    write_tree(tmp_path, {"10-lab.conflist": LAB, "lab/10-tuning.conf": "{", "other/10-tuning.conf": "{"})
    monkeypatch.setattr("libcni.lint.run.conf_files", refuse)
    assert [(item.code, item.field, item.message) for item in lint_paths([tmp_path])] == [
        ("CNI001", "name", "the folder with more plugins cannot be read: Permission denied")
    ]


def test_file_in_a_folder_beside_one_that_cannot_be_read_is_linted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path, _extensions: Sequence[str]) -> list[Path]:
        raise PermissionError(errno.EACCES, "Permission denied", str(directory))

    write_tree(tmp_path, {"lab/10-tuning.conf": '{"cniVersion": "1.0.0", "name": "lab", "type": "tuning"}'})
    monkeypatch.setattr("libcni.lint.run.conf_files", refuse)
    assert [item.code for item in lint_paths([tmp_path / "lab" / "10-tuning.conf"])] == ["CNI110", "CNI401"]


def test_name_too_long_for_a_folder_is_a_finding(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10-lab.conflist": network("x" * 300)})
    assert "CNI001" in {item.code for item in lint_paths([tmp_path])}
