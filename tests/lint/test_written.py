"""Configurations as people and programs write them: what works has no finding, and what does not has the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libcni.lint import Severity, lint_paths
from tests.lint.trees import network, write_plugins, write_tree

if TYPE_CHECKING:
    from pathlib import Path

HOST_LOCAL = {"type": "host-local", "subnet": "10.1.0.0/24"}
PTP = {"type": "ptp", "ipam": HOST_LOCAL}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def _found(directory: Path, *plugins: dict[str, Any], **head: Any) -> list[tuple[str, str]]:
    write_tree(directory, {"10.conflist": network("lab", *plugins, **head)})
    return [(item.code, item.field) for item in lint_paths([directory])]


@pytest.mark.parametrize(
    "plugin",
    [
        {"type": "bridge", "vlan": 100, "vlanTrunk": [{"id": 101}, {"minID": 200, "maxID": 300}], "ipam": {}},
        {"type": "bridge", "ipam": {"type": ""}},
        {"type": "bridge", "ipam": None, "mtu": None, "vlanTrunk": None},
        {"type": "macvlan", "mode": "", "master": "", "ipam": HOST_LOCAL | {"gateway": "", "routes": None}},
        {"type": "azure-vnet", "infraVnetAddressSpace": "", "ipam": {"type": "azure-vnet-ipam"}},
        {"type": "calico", "log_file_path": "c:\\k\\calico.log", "ipam": {"type": "calico-ipam"}},
        {
            "type": "ptp",
            "ipam": HOST_LOCAL | {"gateway": "10.2.0.1", "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}]},
        },
        {"type": "weave-net", "ipam": {"subnet": "10.1.0.0/24"}},
        {"type": "flannel", "delegate": {"isGateway": True}, "ipam": {"routes": [{"dst": "10.0.0.0/8"}]}},
        {"type": "antrea", "ipam": {"type": "host-local"}},
        {"type": "macvlan", "ipam": {"type": "host-local"}, "capabilities": {"ipRanges": True}},
        {"type": "nsx", "an-option-of-nsx": 5},
        {"type": "macvlan", "ipam": HOST_LOCAL | {"rangeStart": "10.1.0.1", "rangeEnd": "10.1.0.254"}},
        {"type": "macvlan", "ipam": {"type": "host-local", "subnet": "fd00::/64", "rangeStart": "fd00::"}},
        {"type": "istio-cni", "exclude_namespaces": [""]},
        {"type": "azure-vnet", "mode": "transparent-tunnel", "windowsSettings": {"disableLoopbackDSR": True}},
        {"type": "azure-vnet", "AdditionalArgs": [{"Name": "EndpointPolicy", "Value": {"Type": "ROUTE"}}]},
        {"type": "multus", "clusterNetwork": "lab", "delegates": [], "logFile": "multus.log"},
        {"type": "multus", "clusterNetwork": "lab", "globalNamespaces": "default, kube-system"},
        {
            "type": "sdnbridge",
            "optionalFlags": {"localRoutedPortMapping": True},
            "ipam": {"routes": [{"GW": "10.1.0.2"}]},
        },
        {"type": "macvlan", "ipam": HOST_LOCAL | {"ranges": []}},
        {"type": "ptp", "ipam": HOST_LOCAL | {"routes": [{"dst": "fd00::1/64", "gw": "fd00::2"}]}},
        {"type": "host-device", "device": "eth1", "ipam": {"type": "static"}},
    ],
    ids=str,
)
def test_what_plugins_take_is_no_error(plugin: dict[str, Any], tmp_path: Path) -> None:
    found = _found(tmp_path, plugin)
    assert [code for code, _ in found if code != "CNI327"] == []


@pytest.mark.parametrize(
    ("plugin", "key", "right"),
    [
        ({"type": "vlan", "master": "eth0", "vlanid": 5, "ipam": HOST_LOCAL}, "vlanid", "vlanId"),
        ({"type": "macvlan", "ipam": HOST_LOCAL | {"routes": [{"Dst": "0.0.0.0/0"}]}}, "ipam.routes[0].Dst", "dst"),
    ],
)
def test_required_key_in_another_case_has_one_warning(
    plugin: dict[str, Any], key: str, right: str, tmp_path: Path
) -> None:
    write_tree(tmp_path, {"10.conflist": network("lab", plugin)})
    [finding] = lint_paths([tmp_path])
    assert (finding.code, finding.severity, finding.field) == ("CNI203", Severity.WARNING, f"plugins[0].{key}")
    assert right in finding.hint


def test_wrong_value_of_a_key_in_another_case_is_found_at_that_key(tmp_path: Path) -> None:
    found = _found(tmp_path, {"type": "vlan", "master": "eth0", "VlanID": 5000, "ipam": HOST_LOCAL})
    assert found == [("CNI203", "plugins[0].VlanID"), ("CNI304", "plugins[0].VlanID")]


@pytest.mark.parametrize(
    ("plugin", "code", "field"),
    [
        ({"type": "bridge", "vlan": 5, "vlanTrunk": [{"minID": 9, "maxID": 7}]}, "CNI328", "vlanTrunk[0].minID"),
        ({"type": "bridge", "vlanTrunk": [{"minID": 5, "maxID": 7, "id": 6}]}, "CNI333", "vlanTrunk[0].id"),
        ({"type": "ovs", "bridge": "b", "trunk": [{"id": 6}, {"minID": 5, "maxID": 7}]}, "CNI333", "trunk[1]"),
        ({"type": "macvlan", "ipam": {"subnet": "10.1.0.0/24"}}, "CNI332", "ipam"),
        ({"type": "macvlan", "ipam": {"type": "", "subnet": "10.1.0.0/24"}}, "CNI332", "ipam"),
        ({"type": "macvlan", "routes": [], "ipam": HOST_LOCAL}, "CNI208", "routes"),
        ({"type": "macvlan", "ipam": {"type": "host-local"}}, "CNI331", "ipam"),
        ({"type": "ptp", "mtu": 20, "ipam": HOST_LOCAL}, "CNI305", "mtu"),
        ({"type": "macvlan", "mac": "01:00:5e:00:00:01", "ipam": HOST_LOCAL}, "CNI309", "mac"),
        ({"type": "macvlan", "vlan": 5, "ipam": HOST_LOCAL}, "CNI204", "vlan"),
        ({"type": "ptp", "ipam": HOST_LOCAL | {"rangeEnd": "10.1.0.255"}}, "CNI329", "ipam.rangeEnd"),
        (
            {"type": "ptp", "ipam": HOST_LOCAL, "mtu": 1000} | {"ipam": {"type": "host-local", "subnet": "fd00::/64"}},
            "CNI330",
            "mtu",
        ),
        (
            {"type": "macvlan", "ipam": HOST_LOCAL | {"gateway": "10.2.0.1", "routes": [{"dst": "0.0.0.0/0"}]}},
            "CNI321",
            "ipam.gateway",
        ),
        ({"type": "bridge", "bridge": "__BRIDGE__", "ipam": HOST_LOCAL}, "CNI315", "bridge"),
        (
            {"type": "calico", "log_file_path": "/var/log/<node name>.log", "ipam": {"type": "calico-ipam"}},
            "CNI315",
            "log_file_path",
        ),
        ({"type": "bridge", "{{ key }}": True, "ipam": HOST_LOCAL}, "CNI315", "['{{ key }}']"),
        ({"type": "flannel", "delegate": {"ipam": {}}}, "CNI312", "delegate.ipam"),
        ({"type": "flannel", "delegate": {"name": "x"}}, "CNI312", "delegate.name"),
        ({"type": "flannel", "delegate": {"type": 5}}, "CNI301", "delegate.type"),
        ({"type": "flannel", "delegate": {"isGatway": True}}, "CNI201", "delegate.isGatway"),
        ({"type": "flannel", "delegate": {"type": "macvlan", "mode": "shared"}}, "CNI303", "delegate.mode"),
        ({"type": "flannel", "delegate": {"type": "host-local"}}, "CNI405", "delegate.type"),
        ({"type": "multus", "delegates": [PTP | {"mtu": "x"}]}, "CNI301", "delegates[0].mtu"),
        ({"type": "multus", "delegates": [{"plugins": [PORTMAP]}]}, "CNI401", "delegates[0].plugins[0].type"),
        (
            {"type": "multus", "delegates": [{"plugins": [PTP, {"type": "vrf"}]}]},
            "CNI302",
            "delegates[0].plugins[1].vrfname",
        ),
    ],
    ids=str,
)
def test_mistake_is_found_once(plugin: dict[str, Any], code: str, field: str, tmp_path: Path) -> None:
    separator = "" if field.startswith("[") else "."
    assert _found(tmp_path, plugin) == [(code, f"plugins[0]{separator}{field}")]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"backend": "iptables", "conditionsV4": ["ip", "daddr", "192.0.2.1"]}, "conditionsV4"),
        ({"backend": "nftables", "conditionsV6": ["-d", "fd00::1"]}, "conditionsV6"),
        ({"backend": "nftables", "externalSetMarkChain": "KUBE-MARK-MASQ"}, "externalSetMarkChain"),
        ({"conditionsV4": ["!", "-d", "192.0.2.1"], "conditionsV6": ["ip6", "daddr", "fd00::1"]}, "conditionsV6"),
    ],
    ids=str,
)
def test_conditions_for_another_firewall(options: dict[str, Any], found: str, tmp_path: Path) -> None:
    assert _found(tmp_path, PTP, PORTMAP | options) == [("CNI334", f"plugins[1].{found}")]


@pytest.mark.parametrize(
    ("plugin", "codes"),
    [
        ({"type": "bandwidth"}, ["CNI404"]),
        ({"type": "bandwidth", "ingressRate": 0, "ingressBurst": 0}, ["CNI404"]),
        ({"type": "bandwidth", "capabilities": {"bandwidth": True}}, []),
        (PORTMAP | {"capabilities": {}, "runtimeConfig": {"portMappings": []}}, ["CNI207", "CNI209"]),
        (PORTMAP | {"bandwidth": {}}, ["CNI209"]),
    ],
    ids=str,
)
def test_capability_and_its_argument(plugin: dict[str, Any], codes: list[str], tmp_path: Path) -> None:
    assert [code for code, _ in _found(tmp_path, PTP, plugin)] == codes


def test_keys_beside_plugins(tmp_path: Path) -> None:
    found = _found(tmp_path, PTP, nerdctlID="1", nerdctlLabels={}, args={"podman_labels": {}}, ipam=HOST_LOCAL)
    assert found == [("CNI204", "ipam")]


@pytest.mark.parametrize("key", ["cniVersion", "cniVersions"])
def test_version_that_is_null_is_an_error(key: str, tmp_path: Path) -> None:
    document = {"name": "lab", "plugins": [PTP], key: None}
    write_tree(tmp_path, {"10.conflist": document})
    assert ("CNI301", key) in [(item.code, item.field) for item in lint_paths([tmp_path])]


def test_note_says_which_network_a_kubelet_takes(tmp_path: Path) -> None:
    write_tree(
        tmp_path, {"20.conflist": network("b", {"type": "loopback"}), "10.conf": {**network("x"), "plugins": []}}
    )
    write_tree(tmp_path, {"10.conf": {"cniVersion": "0.4.0", "name": "a", "type": "loopback"}})
    [note] = lint_paths([tmp_path])
    assert (note.code, note.severity) == ("CNI509", Severity.NOTE)
    assert "'a' in 10.conf" in note.message


@pytest.mark.parametrize(
    ("name", "document", "code", "hint"),
    [
        ("10.conflist", {"name": "a", "plugins": [PTP]}, "CNI112", 'add "cniVersion": "1.0.0"'),
        ("10.conf", {"name": "a", **PTP}, "CNI112", 'add "cniVersion": "0.4.0"'),
        ("10.conflist", network("a", {"type": "ptp", "ipam": {"type": "host-local", "ranges": [{}]}}), "CNI301", "[[{"),
        ("10.conflist", network("a", {"type": "macvlan", "vlan": 5, "ipam": HOST_LOCAL}), "CNI204", "eth0.100"),
        ("10.conf", network("a", PTP), "CNI111", "rename it to .conflist"),
        ("10.conflist.bak", "", "CNI503", "switched off"),
        ("10.conlist", "", "CNI503", "did you mean '.conflist'?"),
        ("10.conflist", '{"name": "a",\n  "plugins": [],\n}', "CNI002", "remove the comma"),
    ],
    ids=str,
)
def test_hint_says_what_to_do(name: str, document: Any, code: str, hint: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {name: document or "{}"})
    [finding] = [item for item in lint_paths([tmp_path]) if item.code == code]
    assert hint in finding.hint
    assert "rename" not in finding.hint or not name.endswith(".bak")


def test_hint_at_a_version_is_one_that_the_plugins_support(tmp_path: Path) -> None:
    write_tree(tmp_path / "net.d", {"10.conflist": {"name": "a", "plugins": [{"type": "x"}, {"type": "y"}]}})
    write_plugins(tmp_path / "bin", {"x": ["0.3.1", "0.4.0", "1.0.0"], "y": ["0.3.1", "0.4.0"]})
    findings = lint_paths([tmp_path / "net.d"], bin_dirs=[str(tmp_path / "bin")])
    assert [item.hint for item in findings if item.code == "CNI112"] == [
        'add "cniVersion": "0.4.0", which the plugins support'
    ]


def test_texts_of_mistakes_hold_no_regular_expression(tmp_path: Path) -> None:
    plugins: list[dict[str, Any]] = [
        {"type": "calico", "log_file_path": "log", "etcd_endpoints": "x", "ipam": {"type": "calico-ipam"}},
        {"type": "host-device", "pciBusID": "x"},
        {"type": "tuning", "sysctl": {"kernel.x": "1"}},
        {"type": "bridge", "bridge": "a/b"},
        {"type": "portmap", "capabilities": {"portMappings": True}, "conditionsV4": [""]},
        {"type": "multus", "delegates": []},
    ]
    write_tree(tmp_path, {"10.conflist": network("lab", *plugins)})
    texts = [item.message for item in lint_paths([tmp_path])]
    assert len(texts) >= 4
    assert not [text for text in texts if "^" in text or "(?" in text or "number of" in text or "non-empty" in text]


@pytest.mark.parametrize(
    ("plugin", "code", "field"),
    [
        ({"type": "calico", "log_level": "verbose"}, "CNI335", "log_level"),
        ({"type": "firewall", "backend": "nft"}, "CNI335", "backend"),
        (
            {"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.1.0.0/24", "log_level": "info"}},
            "CNI335",
            "ipam.log_level",
        ),
        ({"type": "bridge", "isDefaultGateway": True}, "CNI336", "isDefaultGateway"),
        ({"type": "ptp", "ipam": HOST_LOCAL | {"routes": [{"dst": "10.2.0.5/16"}]}}, "CNI337", "ipam.routes[0].dst"),
        ({"type": "route-override", "addroutes": [{"dst": "10.2.0.5/16"}]}, "CNI337", "addroutes[0].dst"),
        ({"type": "sriov", "min_rx_rate": 5}, "CNI204", "min_rx_rate"),
        ({"type": "azure-vnet", "disableSnatOnHost": True}, "CNI204", "disableSnatOnHost"),
        ({"type": "calico", "ipam": {"type": "calico-ipam", "assign_ipv5": "true"}}, "CNI201", "ipam.assign_ipv5"),
        ({"type": "calico", "nodename": "%NODE_NAME%"}, "CNI315", "nodename"),
        ({"type": "calico", "nodename": "$node"}, "CNI315", "nodename"),
        ({"type": "macvlan", "ipam": {"type": "host-local", "ranges": []}}, "CNI331", "ipam"),
        ({"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.1.0.9-10.1.0.5/24"}}, "CNI322", "ipam.range"),
        ({"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.1.0.9-10.2.0.5/24"}}, "CNI323", "ipam.range"),
        ({"type": "macvlan", "ipam": {"type": "whereabouts", "range": "10.1.0.0-10.1.0.5/24"}}, "CNI329", "ipam.range"),
        ({"type": "bandwidth", "ingressBurst": 1000}, "CNI302", "ingressRate"),
        ({"type": "multus", "delegates": [{"name": "a"}]}, "CNI302", "delegates[0].type"),
        ({"type": "flannel", "delegate": {"ipam": None}}, "CNI312", "delegate.ipam"),
    ],
    ids=str,
)
def test_value_or_key_has_the_finding(plugin: dict[str, Any], code: str, field: str, tmp_path: Path) -> None:
    assert _found(tmp_path, PTP, plugin) == [(code, f"plugins[1].{field}")]


@pytest.mark.parametrize("text", ["$schema", "cost: 5$", "50%", "a%20b", "user@example.com", "<", "todo list", "_x_"])
def test_text_that_is_no_placeholder_has_no_finding(text: str, tmp_path: Path) -> None:
    assert _found(tmp_path, PTP | {"x-note": text, "$schema": text}) == []
    assert _found(tmp_path, {"type": "of-somebody", "note": text.removeprefix("$")}) == []


def test_list_key_of_an_ipam_plugin_belongs_into_ipam(tmp_path: Path) -> None:
    assert _found(tmp_path, PTP, subnet="10.1.0.0/24") == [("CNI208", "subnet")]


@pytest.mark.parametrize(
    ("version", "code", "hint"),
    [
        ("v1.0.0", "CNI104", 'did you mean "1.0.0"?'),
        ("0.3", "CNI104", 'did you mean "0.3.0"?'),
        ("one", "CNI104", ""),
        (1.0, "CNI301", 'did you mean "1.0.0"?'),
        (None, "CNI301", ""),
        ("1.5.1", "CNI105", ""),
    ],
)
def test_version_of_another_form_has_one_finding(version: object, code: str, hint: str, tmp_path: Path) -> None:
    write_tree(tmp_path, {"10.conflist": network("lab", PTP, cniVersion=version)})
    assert [(found.code, found.hint) for found in lint_paths([tmp_path])] == [(code, hint)]


def test_versions_that_are_no_texts_are_shown_as_they_are_written(tmp_path: Path) -> None:
    write_tree(tmp_path, {"10.conflist": network("lab", PTP, cniVersions=[None])})
    assert "(null)" in next(found.message for found in lint_paths([tmp_path]) if found.code == "CNI108")


def test_log_level_is_known_in_any_case(tmp_path: Path) -> None:
    assert _found(tmp_path, {"type": "sriov", "logLevel": "Debug"}) == []


@pytest.mark.parametrize(
    ("plugin", "key", "meant"),
    [
        ({"type": "host-device"}, "interface", "device"),
        ({"type": "macvlan"}, "device", "master"),
        ({"type": "ipvlan"}, "uplink", "master"),
        ({"type": "ptp", "ipam": {"type": "whereabouts"}}, "subnet", "range"),
        ({"type": "ptp", "ipam": {"type": "host-local"}}, "cidr", "subnet"),
    ],
)
def test_word_of_another_plugin_has_a_hint_at_the_own_one(
    plugin: dict[str, Any], key: str, meant: str, tmp_path: Path
) -> None:
    plugin.get("ipam", plugin)[key] = "10.1.0.0/24" if "ipam" in plugin else "eth1"
    write_tree(tmp_path, {"10.conflist": network("lab", plugin)})
    assert f"did you mean {meant!r}?" in {found.hint for found in lint_paths([tmp_path]) if found.code == "CNI204"}


POLICIES = [{"Name": "EndpointPolicy", "Value": {"Type": "OutBoundNAT"}}]


@pytest.mark.parametrize(
    "plugin",
    [
        {"type": "flannel", "delegate": {"type": "win-overlay", "policies": POLICIES}},
        {"type": "flannel", "delegate": {"type": "win-bridge", "Policies": POLICIES}},
        {"type": "calico", "DNS": {"Nameservers": ["10.1.0.10"], "Search": ["a"]}, "policies": POLICIES},
        {"type": "cilium-cni", "data-path": "datapathv2"},
    ],
)
def test_spelling_of_files_for_windows_and_of_terway_has_no_finding(plugin: dict[str, Any], tmp_path: Path) -> None:
    write_tree(tmp_path, {"10.conflist": network("lab", plugin, version="0.3.1")})
    assert list(map(str, lint_paths([tmp_path]))) == []


def test_policy_without_its_value_is_an_error_in_both_spellings(tmp_path: Path) -> None:
    policies: list[dict[str, Any]] = [{"Name": "EndpointPolicy"}, {"name": "EndpointPolicy"}]
    write_tree(tmp_path, {"10.conflist": network("lab", {"type": "win-bridge", "policies": policies}, version="0.3.1")})
    assert [(found.code, found.field) for found in lint_paths([tmp_path]) if "policies" in found.field] == [
        ("CNI302", "plugins[0].policies[0].Value"),
        ("CNI302", "plugins[0].policies[1].value"),
    ]
