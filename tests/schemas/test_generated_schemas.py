"""The schemas that are made from models: up to date, complete, valid, and explained in words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from libcni import schema
from libcni.errors import InvalidParameterError
from libcni.protocol.capabilities import CAPABILITIES
from libcni.schema.documents import model_of
from tests.schemas.plugin_schemas import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PROTOCOL = {"network", "plugin", "error", "version", "cache", "args-cni"}
RESULTS = {"result-0.2", "result-0.4", "result-1.0", "result-1.1"}
ARGUMENTS = {
    "portMappings",
    "ipRanges",
    "bandwidth",
    "dns",
    "ips",
    "mac",
    "infinibandGUID",
    "deviceID",
    "aliases",
    "cgroupPath",
}

each_schema = pytest.mark.parametrize("name", schema.generated_names())


def test_generated_schemas_are_all_that_are_published() -> None:
    expected = (
        PROTOCOL | RESULTS | {f"ipam-{name}" for name in RESULTS} | {f"capabilities/{name}" for name in ARGUMENTS}
    )
    assert set(schema.generated_names()) == expected
    assert set(CAPABILITIES) == ARGUMENTS
    assert {name for name in schema.names() if not name.startswith(("plugins/", "cnitool/"))} == expected | {"editor"}


@each_schema
def test_schema_file_is_what_the_model_gives(name: str) -> None:
    text = (ROOT / "schemas" / f"{name}.json").read_text()
    assert text == json.dumps(schema.generate(name), indent=2, ensure_ascii=False) + "\n", (
        "run python -m libcni.schema schemas"
    )


@each_schema
def test_schema_head_is_complete(name: str) -> None:
    document = schema.load(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:libcni:schema:{name.replace('/', ':')}"
    assert document["title"].startswith("CNI ")
    assert "(SPEC " in document["description"] or "(CONVENTIONS.md, " in document["description"]


@each_schema
def test_schema_describes_every_property(name: str) -> None:
    for node in _nodes(schema.load(name)):
        for key, member in node.get("properties", {}).items():
            assert member.get("description") or "$ref" in member, key


@each_schema
def test_schema_examples_are_valid_to_schema_and_model(name: str) -> None:
    examples = schema.load(name)["examples"]
    assert examples
    for example in examples:
        assert schema.validate(name, example) == []
        model_of(name).model_validate(example)


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    elif isinstance(node, dict):
        yield node
        for key, item in node.items():
            if key not in {"examples", "if"}:
                yield from _nodes(item)


@pytest.mark.parametrize(
    ("name", "document", "expected"),
    [
        ("error", {"code": 7}, "msg: is required"),
        ("error", {"code": 7.0, "msg": ""}, "code: expected an integer, found a number"),
        ("error", {"code": True, "msg": ""}, "code: expected an integer, found a boolean"),
        ("error", {"code": -1, "msg": ""}, "code: must be at least 0; found -1"),
        ("network", {"name": "a", "plugins": []}, "plugins: must not be empty"),
        ("network", {"name": "a", "plugins": 5}, "plugins: expected an array, found a number"),
        ("ipam-result-1.0", {"ips": [{"address": "10.0.0.1"}]}, "ips[0].address: '10.0.0.1' is not an address with"),
        ("ipam-result-1.0", {"interfaces": [{}]}, "interfaces: must be empty"),
        ("ipam-result-1.0", {"ips": [{"address": "10.0.0.1/8", "interface": 0}]}, "ips[0].interface: expected null"),
        ("capabilities/mac", "0a:58", "'0a:58' is not a hardware address"),
        ("capabilities/ipRanges", [[{"subnet": "10.0.0.1/8"}]], "[0][0].subnet: '10.0.0.1/8' has host bits set"),
        ("plugins/macvlan", {"type": "macvlan", "mode": "x"}, "mode: must be one of 'bridge', "),
        ("plugins/vlan", {"type": "vlan", "vlanId": 1, "master": "a"}, "ipam: is required"),
        ("plugins/host-device", {"type": "host-device"}, "needs one of device, "),
        (
            "plugins/bridge",
            {"type": "bridge", "hairpinMode": True, "promiscMode": True},
            "promiscMode: must be false; found true, because of hairpinMode",
        ),
    ],
)
def test_validate_says_what_is_wrong(name: str, document: Any, expected: str) -> None:
    found = [str(problem) for problem in schema.validate(name, document)]
    assert [text for text in found if text.startswith(expected)], found


def test_load_of_an_unknown_schema_names_those_that_are_there() -> None:
    with pytest.raises(InvalidParameterError, match="plugins/bridge"):
        schema.load("plugins/brigde")
    with pytest.raises(InvalidParameterError, match="generated"):
        schema.generate("plugins/bridge")


def test_load_gives_a_copy_that_may_be_changed() -> None:
    schema.load("error").clear()
    assert schema.load("error")


def test_checker_refuses_a_document_that_is_no_schema() -> None:
    with pytest.raises(InvalidParameterError, match="type"):
        schema.Checker({"type": "text"})


def test_checker_reports_a_reference_that_leads_nowhere() -> None:
    checker = schema.Checker({"$ref": "urn:libcni:schema:nothing"})
    with pytest.raises(InvalidParameterError, match="nothing"):
        checker.problems({})


def test_checker_follows_a_reference_to_a_schema_of_the_library() -> None:
    checker = schema.Checker({"properties": {"result": {"$ref": "urn:libcni:schema:result-1.0"}}})
    assert [problem.field for problem in checker.problems({"result": {"ips": 1}})] == ["result.ips"]
