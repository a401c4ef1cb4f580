"""The schema files themselves: complete, consistent with each other, and usable by other tools."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libcni.protocol.addresses import CIDR, DEVICE_MAC, IP, IP_OR_CIDR
from libcni.protocol.names import INTERFACE_NAME, NETWORK_NAME
from libcni.protocol.versions import VERSION
from tests.schemas.plugin_schemas import FORMATS, load_schemas, property_paths, resolve, validator

PLUGINS = {
    "antrea",
    "antrea-ipam",
    "aws-cni",
    "azure-vnet",
    "azure-vnet-ipam",
    "bandwidth",
    "bond",
    "bridge",
    "calico",
    "calico-ipam",
    "cilium-cni",
    "coordinator",
    "dhcp",
    "dummy",
    "firewall",
    "flannel",
    "gke",
    "host-device",
    "host-local",
    "infoblox",
    "ipvlan",
    "istio-cni",
    "kube-ovn",
    "kube-ovn-ipam",
    "linkerd-cni",
    "loopback",
    "macvlan",
    "multus",
    "nsx",
    "ovn-k8s-cni-overlay",
    "ovs",
    "portmap",
    "ptp",
    "route-override",
    "sbr",
    "sdnbridge",
    "spiderpool",
    "sriov",
    "static",
    "tap",
    "tc-redirect-tap",
    "tuning",
    "vlan",
    "vrf",
    "weave-ipam",
    "weave-net",
    "whereabouts",
    "win-bridge",
    "win-overlay",
}
IPAM = {"dhcp", "host-local", "static", "whereabouts", "calico-ipam", "weave-ipam", "azure-vnet-ipam"}
IPAM |= {"antrea-ipam", "infoblox", "kube-ovn-ipam", "spiderpool"}
CHAINED_ONLY = {"tuning", "portmap", "bandwidth", "firewall", "sbr", "vrf", "route-override", "tc-redirect-tap"}
COMMON = {"cniVersion", "name", "type", "args", "capabilities", "runtimeConfig", "prevResult"}

each_schema = pytest.mark.parametrize("plugin_type", sorted(PLUGINS))


def _nodes(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in _nodes(item)]
    if not isinstance(node, dict):
        return []
    return [node, *(found for key, value in node.items() if key != "examples" for found in _nodes(value))]


def test_schemas_are_the_documented_plugins() -> None:
    assert set(load_schemas()) == PLUGINS


@each_schema
def test_schema_head_names_plugin_kind_and_documentation(plugin_type: str) -> None:
    schema = load_schemas()[plugin_type]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:libcni:schema:plugins:{plugin_type}"
    assert schema["title"]
    assert schema["x-cni-documentation"]
    assert schema["x-cni-kind"] in {"ipam", "interface", "chained", "meta"}
    assert (schema["x-cni-kind"] == "ipam") == (plugin_type in IPAM)
    assert schema.get("x-cni-chained-only", False) == (plugin_type in CHAINED_ONLY)
    assert schema["x-cni-compared-with"], "say which version of the plugin it follows"
    assert schema["properties"]["type"]["const"] == schema.get("x-cni-type", plugin_type)
    assert "additionalProperties" not in schema, "plugins ignore keys that they do not know"


@each_schema
def test_schema_lists_the_common_properties(plugin_type: str) -> None:
    schema = load_schemas()[plugin_type]
    known = set(schema["properties"])
    assert known >= ({"type"} if plugin_type in IPAM else COMMON)
    capabilities = schema["properties"].get("capabilities", {}).get("properties", {})
    assert set(schema["x-cni-capabilities"]) <= set(capabilities) or plugin_type in IPAM


@each_schema
def test_schema_describes_every_property(plugin_type: str) -> None:
    for path, member in property_paths(load_schemas()[plugin_type]).items():
        assert member.get("description"), path
        assert {"type", "const", "enum", "anyOf"} & set(member), f"{path} allows everything"


@each_schema
def test_schema_examples_and_defaults_are_valid(plugin_type: str) -> None:
    schema = load_schemas()[plugin_type]
    assert schema["examples"]
    for example in schema["examples"]:
        assert not list(validator(plugin_type).iter_errors(example))
    for path, member in property_paths(schema).items():
        if "default" in member:
            Draft202012Validator({**member, "$defs": schema.get("$defs", {})}, format_checker=FORMATS).validate(
                member["default"]
            )
        assert member.get("default", True) is not None, path


@each_schema
def test_schema_stands_alone_and_knows_its_formats(plugin_type: str) -> None:
    # One file must do for an editor or another validator: no reference leads out of it.
    schema = load_schemas()[plugin_type]
    used = set()
    for node in _nodes(schema):
        if isinstance(node.get("$ref"), str):
            resolve(schema, node)
            used.add(node["$ref"].removeprefix("#/$defs/"))
        if isinstance(node.get("format"), str):
            assert node["format"] in {*FORMATS.checkers, "uri"}
            assert "pattern" in node, "tools without our formats need a pattern"
    assert used == set(schema.get("$defs", {})), "a definition that nothing uses, or the other way round"


def test_shared_definitions_are_the_same_in_every_schema() -> None:
    # Each file carries its own copy, so that it stands alone; this keeps the copies from drifting apart.
    first: dict[str, tuple[str, Any]] = {}
    for plugin_type, schema in load_schemas().items():
        for name, definition in schema.get("$defs", {}).items():
            origin, expected = first.setdefault(name, (plugin_type, definition))
            assert definition == expected, f"{name} of {plugin_type} differs from that of {origin}"


@each_schema
def test_shared_grammars_are_those_of_the_protocol(plugin_type: str) -> None:
    grammars = {
        "version": VERSION,
        "networkName": NETWORK_NAME,
        # An empty text is absent to a Go program.
        "interfaceName": f"(|{INTERFACE_NAME})",
        "mac": f"(|{DEVICE_MAC})",
        "ip": f"(|{IP})",
        "cidr": CIDR,
        "address": IP_OR_CIDR,
    }
    definitions = load_schemas()[plugin_type].get("$defs", {})
    patterns = {name: definitions[name]["pattern"] for name in grammars if name in definitions}
    assert patterns == {name: f"^{grammars[name]}$" for name in patterns}
