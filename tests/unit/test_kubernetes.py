"""The multi-network convention of Kubernetes: annotations, definitions, joins and status, up to a whole round."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from libcni import ConfigError, InvalidParameterError, NetworkNotFoundError, Result, ResultError
from libcni.capabilities import Bandwidth, ContainerOptions, PortMapping
from libcni.jsontext.encode import dump
from libcni.kubernetes import (
    NETWORK_STATUS_ANNOTATION,
    NETWORKS_ANNOTATION,
    RESOURCE_NAME_ANNOTATION,
    NetworkSelection,
    check_assigned,
    joins,
    network_status,
    parse_networks_annotation,
    with_interface_names,
)
from libcni.networks import BlockingNetworks, Join
from libcni.networks.setup import setup_of
from libcni.testing import ScriptedRunner, success
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from libcni.networks import Setup
    from libcni.testing import ScriptedCall

IPOIB = "80:00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12"


def texts(annotation: object, namespace: str = "mine") -> list[str]:
    text = annotation if isinstance(annotation, str) else json.dumps(annotation)
    return [str(each) for each in parse_networks_annotation(text, namespace)]


def parsed(**members: Any) -> NetworkSelection:
    (selection,) = parse_networks_annotation(json.dumps([{"name": "net-a"} | members]), "mine")
    return selection


def definition(name: str, config: object = None, namespace: str = "mine") -> dict[str, Any]:
    text = config if isinstance(config, str) else json.dumps(config)
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {} if config is None else {"config": text},
    }


MACVLAN = {
    "cniVersion": "0.3.0",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.10.0.0/16", "rangeStart": "10.10.1.20"}]]},
}
CHAIN = {
    "cniVersion": "0.3.1",
    "name": "chained",
    "plugins": [{"type": "ptp", "mtu": 512}, {"type": "tuning", "name": "mine", "args": {"cni": {"a": 1, "b": 2}}}],
}


def test_annotations_have_the_names_of_the_convention() -> None:
    assert NETWORKS_ANNOTATION == "k8s.v1.cni.cncf.io/networks"
    assert NETWORK_STATUS_ANNOTATION == "k8s.v1.cni.cncf.io/network-status"
    assert RESOURCE_NAME_ANNOTATION == "k8s.v1.cni.cncf.io/resourceName"


# The first four have the shapes of the convention's own examples, the others those of Multus' guide and examples.
@pytest.mark.parametrize(
    ("annotation", "selected"),
    [
        pytest.param("net-a,net-b,other/net-c", ["mine/net-a", "mine/net-b", "other/net-c"], id="commas"),
        pytest.param("net-a,net-a", ["mine/net-a", "mine/net-a"], id="twice"),
        pytest.param(
            '[\n {"name":"net-a"},\n {"name":"net-b", "ips": ["1.2.3.4"]},\n {"name":"net-c","namespace":"o"}\n]\n',
            ["mine/net-a", "mine/net-b", "o/net-c"],
            id="json",
        ),
        pytest.param([{"name": "net-b", "mac": "02:23:45:67:89:01"}], ["mine/net-b"], id="json-mac"),
        pytest.param("macvlan-1, macvlan-2", ["mine/macvlan-1", "mine/macvlan-2"], id="space"),
        pytest.param("tests1/macvlan-3", ["tests1/macvlan-3"], id="namespace"),
        pytest.param("macvlan-1@north", ["mine/macvlan-1@north"], id="interface"),
        pytest.param(" tests1 / macvlan-1 @ Up.1 ", ["tests1/macvlan-1@Up.1"], id="all-parts"),
        pytest.param(
            [{"name": "macvlan-1", "interface": "macvlan1"}, {"name": "macvlan-2"}],
            ["mine/macvlan-1@macvlan1", "mine/macvlan-2"],
            id="json-interface",
        ),
        pytest.param([{"name": "macvlan-1", "namespace": "tests1"}], ["tests1/macvlan-1"], id="json-namespace"),
        pytest.param([{"name": "macvlan-1", "namespace": "", "interface": None}], ["mine/macvlan-1"], id="absent"),
        pytest.param("lab.macvlan", ["mine/lab.macvlan"], id="subdomain"),
        pytest.param("", [], id="empty"),
        pytest.param(" \n", [], id="blank"),
        pytest.param([], [], id="json-empty"),
    ],
)
def test_annotation_selects_networks_in_order(annotation: object, selected: list[str]) -> None:
    assert texts(annotation) == selected


def test_annotation_carries_every_option() -> None:
    assert parsed(
        **{
            "ips": ["10.2.2.42", "2001:db8::5/64"],
            "mac": "02:23:45:67:89:01",
            "infiniband-guid": "c2:11:22:33:44:55:66:77",
            "portMappings": [
                {"hostPort": 8080, "containerPort": 80, "protocol": "udp", "hostIP": "10.0.0.1"},
                {"hostPort": 8081, "containerPort": 81},
            ],
            "bandwidth": {"ingressRate": 2048, "ingressBurst": 1600, "egressRate": 4096},
            "cni-args": {"masters": ["eth1"], "depth": {"of": 2}},
            "deviceID": "0000:03:02.1",
            "default-route": ["192.168.2.1", "fd00::1"],
            "ipam-claim-reference": "vm1.claim",
            "org.example.note": {"any": ["thing"]},
        }
    ) == NetworkSelection(
        "net-a",
        "mine",
        ips=["10.2.2.42", "2001:db8::5/64"],
        mac="02:23:45:67:89:01",
        infiniband_guid="c2:11:22:33:44:55:66:77",
        port_mappings=[PortMapping(8080, 80, "udp", "10.0.0.1"), PortMapping(8081, 81)],
        bandwidth=Bandwidth(2048, 1600, 4096),
        cni_args={"masters": ["eth1"], "depth": {"of": 2}},
        device_id="0000:03:02.1",
        default_route=["192.168.2.1", "fd00::1"],
        ipam_claim_reference="vm1.claim",
        extra={"org.example.note": {"any": ["thing"]}},
    )


def test_hardware_address_of_infiniband_is_taken() -> None:
    assert parsed(mac=IPOIB).options().capability_arguments() == {"mac": IPOIB}


def test_selection_never_changes() -> None:
    given: dict[str, Any] = {"masters": ["eth1"]}
    selection = NetworkSelection("net-a", "mine", cni_args=given, ips=["10.0.0.1"])
    given["masters"].append("eth2")
    assert selection.cni_args == {"masters": ["eth1"]}
    assert selection == NetworkSelection("net-a", "mine", cni_args={"masters": ["eth1"]}, ips=["10.0.0.1"])
    with pytest.raises(TypeError, match="immutable"):
        selection.cni_args["more"] = 1  # type: ignore[index]  # what is tested
    assert len({selection, selection}) == 1


@pytest.mark.parametrize(
    ("annotation", "field", "reason"),
    [
        ("a,,b", "[1].name", "must not be empty"),
        ("a,", "[1].name", "must not be empty"),
        ("a,B", "[1].name", "'B' must be lower case"),
        ("a,x/y/z", "[1]", "'x/y/z' is not of the form [namespace/]name[@interface]"),
        ("a@b@c", "[0]", "is not of the form"),
        ("/a", "[0].namespace", "must not be empty"),
        ("A/a", "[0].namespace", "'A' must be lower case"),
        ("b.c/a", "[0].namespace", "'b.c' must be lower case"),
        ("a@", "[0].interface", "must not be empty"),
        ("a@interface-name-0", "[0].interface", "'interface-name-0' has 16 bytes"),
        ("a@x,b@x", "[1].interface", "'x' is asked for by [0], too"),
        ("a" * 254, "[0].name", "has 254 characters; at most 253 are allowed"),
        ("a" * 64 + "/a", "[0].namespace", "has 64 characters; at most 63 are allowed"),
        ("a-", "[0].name", "with a letter or digit at both ends"),
        ('[{"name":"a"}', "", "line 1"),
        ('["a",{"name":1}]', "[0]", "expected an object, found a string"),
        ({"name": "a"}, "", "expected an array of objects, found an object"),
        ('"a"', "", "expected an array of objects, found a string"),
        ('[{"name":"a","name":"b"}]', "[0].name", "duplicate"),
        ([{}], "[0].name", "is required"),
        ([{"name": ""}], "[0].name", "is required"),
        ([{"name": "a"}, {"name": 1}], "[1].name", "expected a string, found a number"),
        ([{"name": "A"}], "[0].name", "'A' must be lower case"),
        ([{"name": "a", "namespace": "A"}], "[0].namespace", "'A' must be lower case"),
        ([{"name": "a"}, {"name": "a", "interface": "a/b"}], "[1].interface", "'a/b' must not contain"),
        ([{"name": "a", "interface": "x"}, {"name": "b", "interface": "x"}], "[1].interface", "by [0], too"),
        ([{"name": "a", "ips": []}], "[0].ips", "must not be empty"),
        ([{"name": "a", "ips": ""}], "[0].ips", "expected an array, found a string"),
        ([{"name": "a", "ips": ["10.0.0.1", "10.0.0"]}], "[0].ips[1]", "10.0.0"),
        ([{"name": "a", "mac": "02:23"}], "[0].mac", "is not a hardware address"),
        ([{"name": "a", "mac": IPOIB + ":13"}], "[0].mac", "is not a hardware address"),
        ([{"name": "a", "infiniband-guid": "02:23"}], "[0].infiniband-guid", "does not match"),
        ([{"name": "a", "deviceID": 7}], "[0].deviceID", "expected a string, found a number"),
        ([{"name": "a", "ipam-claim-reference": []}], "[0].ipam-claim-reference", "expected a string, found an array"),
        ([{"name": "a", "portMappings": [{"hostPort": 1}]}], "[0].portMappings[0].containerPort", "is required"),
        (
            [{"name": "a", "portMappings": [{"hostPort": 70000, "containerPort": 1}]}],
            "[0].portMappings[0].hostPort",
            "",
        ),
        (
            [{"name": "a", "portMappings": [{"hostPort": 1, "containerPort": 1, "hostIp": "10.0.0.1"}]}],
            "[0].portMappings[0].hostIp",
            "did you mean 'hostIP'?",
        ),
        ([{"name": "a", "bandwidth": {"ingressRate": "1"}}], "[0].bandwidth.ingressRate", "expected an integer"),
        ([{"name": "a", "bandwidth": {"rate": 1, "zz": 2}}], "[0].bandwidth.rate", "is not a member"),
        ([{"name": "a", "cni-args": ["b"]}], "[0].cni-args", "expected an object, found an array"),
        ([{"name": "a", "default-route": "10.0.0.1"}], "[0].default-route", "expected an array, found a string"),
        ([{"name": "a", "default-route": ["10.0.0.1", 2]}], "[0].default-route[1]", "expected a string"),
        ([{"name": "a", "default-route": ["10.0.0.1/24"]}], "[0].default-route[0]", "10.0.0.1/24"),
        ([{"name": "a", "ip": ["10.0.0.1"]}], "[0].ip", "did you mean 'ips'?"),
        ([{"name": "a", "whatever": 1}], "[0].whatever", "members that others add have a period in their name"),
    ],
)
def test_mistake_in_an_annotation_is_an_error_with_its_place(annotation: object, field: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        texts(annotation)
    assert caught.value.field == field
    assert reason in str(caught.value)


def test_mistake_in_a_json_annotation_has_line_and_column() -> None:
    with pytest.raises(ConfigError) as caught:
        texts('[{"name": "a"},\n {"name": "b", "interface": "a b"}]')
    assert (caught.value.line, caught.value.column) == (2, 29)


@pytest.mark.parametrize("namespace", ["", "Mine", "a/b", None])
def test_namespace_of_the_pod_is_checked(namespace: Any) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        parse_networks_annotation("a", namespace)
    assert (caught.value.name, caught.value.value) == ("namespace", namespace)


def test_annotation_that_is_no_text_is_refused() -> None:
    absent: Any = None
    with pytest.raises(InvalidParameterError, match="text None: is no text"):
        parse_networks_annotation(absent, "mine")


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ({"name": "A"}, "name"),
        ({"namespace": ""}, "namespace"),
        ({"namespace": 1}, "namespace"),
        ({"interface": "a/b"}, "interface"),
        ({"ips": ["10.0.0"]}, "ips[0]"),
        ({"mac": "02"}, "mac"),
        ({"port_mappings": ["8080:80"]}, "port_mappings[0]"),
        ({"cni_args": {"a": object()}}, "cni_args"),
        ({"default_route": ["10.0.0.1", "x"]}, "default_route[1]"),
    ],
)
def test_selection_is_checked_where_it_is_made(members: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        NetworkSelection(**{"name": "a", "namespace": "b"} | members)
    assert caught.value.name == name


@pytest.mark.parametrize(
    ("annotation", "interfaces"),
    [
        ("a,b,c", ["net1", "net2", "net3"]),
        ("a@north,b", ["north", "net2"]),
        ("a@net2,b", ["net2", "net3"]),
        ("a@net2,b,c@net4,d,e", ["net2", "net6", "net4", "net7", "net5"]),
        ("a,b@net1", ["net3", "net1"]),
    ],
)
def test_interface_has_the_number_of_its_place_unless_another_asks_for_it(
    annotation: str, interfaces: list[str]
) -> None:
    named = with_interface_names(parse_networks_annotation(annotation, "mine"))
    assert [each.interface for each in named] == interfaces
    assert with_interface_names(named) == named


def test_interface_of_two_selections_is_refused() -> None:
    selections = [NetworkSelection("a", "mine"), *[NetworkSelection(name, "mine", interface="x") for name in "bc"]]
    with pytest.raises(InvalidParameterError, match=r"selections\[2\].interface 'x': selections\[1\] asks for it, too"):
        joins(selections, [definition("a"), definition("b"), definition("c")])


def test_join_has_the_configuration_of_its_definition() -> None:
    config = '{"cniVersion": "0.3.1", "name": "lab", "type": "vlan", "mtu": 1.50}'
    selections = parse_networks_annotation("other/lan,lan", "mine")
    first, second = joins(
        selections, [definition("lan", CHAIN), definition("lan", config, "other"), {"metadata": {"name": "x"}}]
    )
    assert (first.name, first.ifname) == ("lab", "net1")
    assert b'"mtu": 1.50' in first.network.plugins[0].raw  # type: ignore[union-attr]  # a configuration
    assert (second.name, second.ifname) == ("chained", "net2")
    assert [plugin.type for plugin in second.network.plugins] == ["ptp", "tuning"]  # type: ignore[union-attr]  # as above


@pytest.mark.parametrize(
    "config",
    [
        '{"cniVersion": "0.3.0", "type": "awesome"}',
        '{"cniVersion": "0.3.0", "name": "", "type": "awesome"} \n',
        '{"name": null, "type": "awesome"}',
        '{"cniVersion": "1.0.0", "plugins": [{"type": "awesome"}]}',
        '{"cniVersion": "1.0.0", "name": "", "plugins": [{"type": "awesome"}]}',
    ],
)
def test_configuration_without_a_name_gets_that_of_its_definition(config: str) -> None:
    (join,) = joins([NetworkSelection("thick", "mine")], [definition("thick", config)])
    network = join.network
    assert not isinstance(network, str)
    assert (network.name, [plugin.type for plugin in network.plugins]) == ("thick", ["awesome"])


@pytest.mark.parametrize("spec", [None, {}, {"config": ""}, {"config": None}])
def test_definition_without_a_configuration_is_a_network_of_the_node(spec: object) -> None:
    found = joins([NetworkSelection("lan", "default")], [{"metadata": {"name": "lan"}, "spec": spec}])
    assert found == [Join("lan", ifname="net1", options=ContainerOptions())]


def test_options_of_a_selection_are_those_of_its_network_alone() -> None:
    selections = [
        parsed(ips=["10.0.0.5/24"], mac="02:00:00:00:00:01", deviceID="d", **{"cni-args": {"ips": 1, "x": 2}})
    ]
    (join,) = joins(selections, [definition("net-a")], strict=True)
    assert join.options == ContainerOptions(
        ips=["10.0.0.5/24"],
        mac="02:00:00:00:00:01",
        device_id="d",
        cni_args={"ips": ["10.0.0.5/24"], "mac": "02:00:00:00:00:01", "x": 2},
        strict=True,
    )


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"metadata": None}, "definitions[0].metadata.name", "must not be empty"),
        ({"metadata": {"name": 1}}, "definitions[0].metadata.name", "expected a string, found a number"),
        ({"metadata": {"name": "A"}}, "definitions[0].metadata.name", "lower case"),
        ({"metadata": {"name": "a", "namespace": "A"}}, "definitions[0].metadata.namespace", "lower case"),
        ({"metadata": "a"}, "definitions[0].metadata", "expected an object, found a string"),
        ({"kind": "Pod"}, "definitions[0].kind", "expected 'NetworkAttachmentDefinition', found 'Pod'"),
        ({"spec": "a"}, "definitions[0].spec", "expected an object, found a string"),
        ({"spec": {"config": {"type": "a"}}}, "spec.config", "expected a string that holds JSON, found an object"),
        ({"spec": {"config": "{"}}, "spec.config", "line 1"),
        ({"spec": {"config": "{}"}}, "spec.config.type", "is required"),
        ({"spec": {"config": '{"type": "a", "type": "b"}'}}, "spec.config.type", "duplicate"),
        ({"spec": {"config": '{"name": 7, "type": "a"}'}}, "spec.config.name", "expected a string, found a number"),
        ({"spec": {"config": '{"plugins": [{"type": "a"}, {}]}'}}, "spec.config.plugins[1].type", "is required"),
    ],
)
def test_mistake_in_a_definition_is_an_error_with_its_place(changes: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        joins([NetworkSelection("a", "mine")], [definition("a") | changes])
    assert caught.value.field == field
    assert reason in str(caught.value)
    if field.startswith("spec."):
        assert str(caught.value).startswith("NetworkAttachmentDefinition mine/a: ")


def test_mistake_in_a_configuration_has_the_place_in_the_object() -> None:
    config = '{"cniVersion": "1.0.0", "name": "",\n "plugins": [{"type": ""}]}'
    with pytest.raises(ConfigError) as caught:
        joins([NetworkSelection("a", "mine")], [definition("a", config)])
    assert (caught.value.line, caught.value.column) == (2, 23)


def test_definition_that_is_missing_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"\[1\].name: there is no NetworkAttachmentDefinition 'other/a'"):
        joins(parse_networks_annotation("a,other/a", "mine"), [definition("a")])


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"items": []}, "definitions: expected the objects themselves: those of a list are its 'items'"),
        (
            [definition("a"), definition("a")],
            r"definitions\[1\]: there is another NetworkAttachmentDefinition 'mine/a'",
        ),
        (["a"], r"definitions\[0\]: expected an object, found a string"),
    ],
)
def test_what_is_no_list_of_definitions_is_refused(definitions: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        joins([], definitions)


def test_definition_that_no_selection_names_may_be_bad() -> None:
    assert len(joins([NetworkSelection("a", "mine")], [definition("a"), definition("b", "{")])) == 1


def test_default_route_is_not_moved_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    selections = [parsed(**{"default-route": ["192.168.2.1"]}), NetworkSelection("net-a", "mine")]
    with caplog.at_level(logging.WARNING, "libcni.kubernetes"):
        joins(selections, [definition("net-a")])
    assert [record.getMessage() for record in caplog.records] == [
        "the default route of the pod is not moved to network mine/net-a@net1"
    ]


def result(**members: Any) -> Result:
    return Result.from_dict({"cniVersion": "1.1.0"} | members)


def set_up(*attached: tuple[str, str, Result]) -> Setup:
    return setup_of("pod", "/ns", attached)


def test_status_has_what_the_results_say() -> None:
    found = set_up(
        (
            "cluster",
            "eth0",
            result(
                interfaces=[
                    {"name": "veth1"},
                    {"name": "eth0", "mac": "02:11:22:33:44:54", "mtu": 1450, "sandbox": "/ns"},
                ],
                ips=[
                    {"address": "1.2.3.1/24", "gateway": "1.2.3.254", "interface": 1},
                    {"address": "2001:abba::2230/64", "interface": 1},
                ],
                routes=[
                    {"dst": "0.0.0.0/0"},
                    {"dst": "::/0"},
                    {"dst": "::/0", "gw": "2001:abba::1"},
                    {"dst": "10.0.0.0/8"},
                ],
            ),
        ),
        (
            "some",
            "net1",
            result(
                interfaces=[{"name": "net1", "sandbox": "/ns", "pciID": "0000:03:02.1"}],
                ips=[{"address": "1.2.4.4/24", "gateway": "1.2.4.1", "interface": 0}],
                dns={"nameservers": ["4.2.2.1"], "domain": "d", "search": ["e.example"], "options": ["ndots:5"]},
            ),
        ),
        ("ib", "net2", result(interfaces=[{"name": "net2", "mac": IPOIB, "sandbox": "/ns", "socketPath": "/run/s"}])),
    )
    status = network_status(found, selections=parse_networks_annotation("some-network,other/ib", "mine"))
    assert json.loads(dump(status)) == [
        {
            "name": "cluster",
            "interface": "eth0",
            "ips": ["1.2.3.1", "2001:abba::2230"],
            "mac": "02:11:22:33:44:54",
            "mtu": 1450,
            "default": True,
            "gateway": ["1.2.3.254", "2001:abba::1"],
        },
        {
            "name": "mine/some-network",
            "interface": "net1",
            "ips": ["1.2.4.4"],
            "default": False,
            "dns": {"nameservers": ["4.2.2.1"], "domain": "d", "search": ["e.example"], "options": ["ndots:5"]},
            "device-info": {"type": "pci", "version": "1.1.0", "pci": {"pci-address": "0000:03:02.1"}},
        },
        {
            "name": "other/ib",
            "interface": "net2",
            "mac": IPOIB,
            "default": False,
            "device-info": {"type": "vhost-user", "version": "1.1.0", "vhost-user": {"path": "/run/s"}},
        },
    ]


def test_status_has_each_interface_of_an_attachment_and_one_default() -> None:
    two = result(
        interfaces=[{"name": name, "sandbox": "/ns"} for name in ("eth0", "eth9")],
        ips=[{"address": f"10.0.{index}.2/24", "interface": index} for index in (0, 1)],
        routes=[{"dst": "0.0.0.0/0"}],
    )
    found = set_up(("cluster", "eth0", two), ("cluster", "net1", two))
    status = network_status(found, selections=[NetworkSelection("again", "mine")])
    assert [(each["name"], each["interface"], each["ips"], each["default"]) for each in status] == [
        ("cluster", "eth0", ["10.0.0.2"], True),
        ("cluster", "eth9", ["10.0.1.2"], False),
        ("mine/again", "eth0", ["10.0.0.2"], False),
        ("mine/again", "eth9", ["10.0.1.2"], False),
    ]
    assert not any("gateway" in each for each in status)


def test_gateway_of_another_family_and_device_of_the_host_side_do_not_count() -> None:
    answer = result(
        interfaces=[{"name": "net1", "pciID": "of-the-host"}, {"name": "net1", "sandbox": "/ns"}],
        ips=[{"address": "fd00::5/64", "gateway": "fd00::1", "interface": 1}],
        routes=[{"dst": "0.0.0.0/0"}],
    )
    (entry,) = network_status(set_up(("lan", "net1", answer)))
    assert "gateway" not in entry
    assert "device-info" not in entry


def test_status_of_a_result_without_interfaces_has_the_name_that_was_asked_for() -> None:
    old = Result.from_dict({"cniVersion": "0.2.0", "ip4": {"ip": "10.1.0.2/24"}})
    status = network_status(set_up(("lan", "eth5", old)), default_interface="eth5")
    assert status == [{"name": "lan", "interface": "eth5", "ips": ["10.1.0.2"], "default": True}]


def test_status_has_the_devices_that_the_caller_knows() -> None:
    known = {"type": "memif", "version": "1.1.0", "memif": {"role": "slave"}}
    found = set_up(("lan", "net1", result(interfaces=[{"name": "net1", "sandbox": "/ns", "pciID": "x"}])))
    (entry,) = network_status(found, device_info={"net1": known, "net2": {}})
    assert entry["device-info"] == known
    assert entry["device-info"] is not known


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        ({"ips": ["10.0.0.5"]}, None),
        ({"ips": ["10.0.0.5/24", "FD00:0::5"]}, None),
        ({"mac": "0A-00-00-00-00-01"}, None),
        ({"ips": ["10.0.0.5", "10.0.0.6"]}, ("ips", "10.0.0.6")),
        ({"ips": ["10.0.0.5/16"]}, ("ips", "10.0.0.5/16")),
        ({"mac": "0a:00:00:00:00:02"}, ("mac", "0a:00:00:00:00:02")),
        ({"mac": "0a:00:00:00:00:01", "interface": "net7"}, ("mac", "0a:00:00:00:00:01")),
    ],
)
def test_addresses_that_were_asked_for_must_be_assigned(asked: dict[str, Any], missing: tuple[str, str] | None) -> None:
    answer = result(
        interfaces=[{"name": "net1", "mac": "0a:00:00:00:00:01", "sandbox": "/ns"}],
        ips=[{"address": address, "interface": 0} for address in ("10.0.0.5/24", "fd00::5/64")],
    )
    found = set_up(("lan", "net1", answer))
    selections = [NetworkSelection("a", "mine", **asked)]
    if missing is None:
        check_assigned(found, selections)
        return
    field, value = missing
    with pytest.raises(ResultError, match=rf"network mine/a@net\d has not assigned {re.escape(value)}") as caught:
        check_assigned(found, selections)
    assert caught.value.field == field


def assign(call: ScriptedCall) -> Any:
    """Answer an ADD as a plugin that assigns what it is asked for, by either of the two ways."""
    runtime = call.request.get("runtimeConfig", {})
    args = call.request.get("args", {}).get("cni", {})
    addresses = runtime.get("ips") or args.get("ips") or ["10.9.0.2/24"]
    return success(
        {
            "cniVersion": call.request["cniVersion"],
            "interfaces": [
                {"name": call.ifname, "mac": args.get("mac", "0a:00:00:00:00:01"), "sandbox": call.netns},
            ],
            "ips": [{"version": "4", "address": address, "interface": 0} for address in addresses],
        }
    )


@pytest.fixture
def runner() -> ScriptedRunner:
    answers = {(plugin, "ADD"): assign for plugin in ("bridge", "macvlan", "ptp")}
    return ScriptedRunner({**answers, ("tuning", "ADD"): lambda call: success(call.request["prevResult"])})


@pytest.fixture
def networks(tmp_path: Path, runner: ScriptedRunner) -> Iterator[BlockingNetworks]:
    (tmp_path / "net.d").mkdir()
    for number, name in ((10, "cluster"), (20, "on-node")):
        document = {"cniVersion": "1.0.0", "name": name, "plugins": [{"type": "bridge"}]}
        (tmp_path / "net.d" / f"{number}-{name}.conflist").write_text(json.dumps(document), encoding="utf-8")
    options: dict[str, Any] = {"cache_dir": tmp_path / "cache", "durable": False, "watch": False, "environ": {}}
    with BlockingNetworks(tmp_path / "net.d", [], runner=runner, **options) as opened:
        yield opened


@pytest.fixture
def join_all(networks: BlockingNetworks) -> Callable[[Sequence[Join]], Setup]:
    def join_all(secondary: Sequence[Join]) -> Setup:
        first = Join(networks.snapshot.find_default(), ifname="eth0")
        return networks.setup("pod-1", "/run/netns/of-nobody", networks=[first, *secondary])

    return join_all


def test_whole_round_from_annotation_to_status(
    networks: BlockingNetworks,
    runner: ScriptedRunner,
    join_all: Callable[[Sequence[Join]], Setup],
    caplog: pytest.LogCaptureFixture,
) -> None:
    annotation = [
        {"name": "lan", "ips": ["10.10.1.30/16"], "mac": "02:00:00:00:00:09", "cni-args": {"vlan": 7}},
        {"name": "chained", "namespace": "other", "interface": "north", "cni-args": {"b": [3]}},
        {"name": "on-node"},
        {"name": "lan"},
    ]
    definitions = [
        definition("lan", MACVLAN | {"capabilities": {"ips": True}}),
        definition("chained", CHAIN, "other"),
        definition("on-node"),
    ]
    selections = parse_networks_annotation(json.dumps(annotation), "mine")
    found = join_all(joins(selections, definitions))
    check_assigned(found, selections)
    assert [
        (each["name"], each["interface"], each["ips"], each["default"])
        for each in network_status(found, selections=selections)
    ] == [
        ("cluster", "eth0", ["10.9.0.2"], True),
        ("mine/lan", "net1", ["10.10.1.30"], False),
        ("other/chained", "north", ["10.9.0.2"], False),
        ("mine/on-node", "net3", ["10.9.0.2"], False),
        ("mine/lan", "net4", ["10.9.0.2"], False),
    ]
    calls = [(call.plugin, call.ifname, call.request["name"]) for call in runner.calls]
    assert calls == [
        ("bridge", "eth0", "cluster"),
        ("macvlan", "net1", "lan"),
        ("ptp", "north", "chained"),
        ("tuning", "north", "chained"),
        ("bridge", "net3", "on-node"),
        ("macvlan", "net4", "lan"),
    ]
    requests = [call.request for call in runner.calls]
    assert caplog.records == []  # what is in args.cni reaches the plugins without a capability
    assert requests[1]["runtimeConfig"] == {"ips": ["10.10.1.30/16"]}
    assert [request.get("args") for request in requests] == [
        None,
        {"cni": {"vlan": 7, "ips": ["10.10.1.30/16"], "mac": "02:00:00:00:00:09"}},
        {"cni": {"b": [3]}},
        {"cni": {"a": 1, "b": [3]}},
        None,
        None,
    ]
    networks.remove("pod-1")
    removed = runner.calls[len(calls) :]
    assert [(call.command, call.ifname) for call in removed][:2] == [("DEL", "net4"), ("DEL", "net3")]
    assert next(call for call in removed if call.ifname == "net1").request["args"] == requests[1]["args"]
    assert networks.attachments() == []


def test_network_that_is_not_on_the_node_fails_the_setup_before_anything_runs(
    runner: ScriptedRunner, join_all: Callable[[Sequence[Join]], Setup]
) -> None:
    with pytest.raises(NetworkNotFoundError):
        join_all(joins([NetworkSelection("gone", "mine")], [definition("gone")]))
    assert runner.calls == []


def test_interface_of_the_default_network_cannot_be_asked_for(
    runner: ScriptedRunner, join_all: Callable[[Sequence[Join]], Setup]
) -> None:
    with pytest.raises(InvalidParameterError, match="ifname 'eth0': is asked for by two networks"):
        join_all(joins(parse_networks_annotation("on-node@eth0", "mine"), [definition("on-node")]))
    assert runner.calls == []


def test_strict_joins_refuse_an_option_that_no_plugin_declares(join_all: Callable[[Sequence[Join]], Setup]) -> None:
    selections = [parsed(mac="02:00:00:00:00:09")]
    with pytest.raises(InvalidParameterError, match="no plugin declares the capability 'mac'"):
        join_all(joins(selections, [definition("net-a", MACVLAN)], strict=True))


def test_example_of_the_page_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == shown
