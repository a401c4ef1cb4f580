"""Configurations inside YAML: NetworkAttachmentDefinitions and ConfigMaps, with places in the YAML file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from libcni.config.manifest import networks_in
from libcni.errors import ConfigError
from libcni.lint import lint_paths

if TYPE_CHECKING:
    from pathlib import Path

DEFINITION = """\
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: lab
spec:
  config: {}
"""
LITERAL = """|
    {
      "cniVersion": "0.3.1",
      "type": "macvlan",
      "mode": "shared",
      "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}
    }"""
QUOTED = """'{
      "cniVersion": "0.3.1",
      "type": "macvlan",
      "mode": "shared",
      "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}
    }'"""
FOLDED = LITERAL.replace("|", ">-", 1)
DOUBLE = r'''"{ \"cniVersion\": \"0.3.1\", \"type\": \"macvlan\",
    \"mode\": \"shared\", \"ipam\": { \"type\": \"host-local\", \"subnet\": \"10.1.0.0/24\" } }"'''
CONFIG_MAP = """\
kind: ConfigMap
apiVersion: v1
data:
  10-lab.conflist: |
    {
      "cniVersion": "0.3.1",
      "name": "lab",
      "plugins": [
        {"type": "flannel", "delegate": {"isDefaultGatway": true}}
      ]
    }
  cni-conf.json: |
    {"cniVersion": "0.3.1", "name": "b", "plugins": [{"type": "ptp", "mtu": "1500"}]}
  net-conf.json: |
    {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}
"""


def _found(directory: Path, text: str) -> list[tuple[str, int | None, str]]:
    path = directory / "manifests.yaml"
    path.write_text(text)
    findings = lint_paths([path])
    for finding in findings:
        line = text.split("\n")[(finding.line or 1) - 1]
        assert finding.source_line == line
    return [(finding.code, finding.line, finding.field) for finding in findings]


@pytest.mark.parametrize(
    ("config", "line"),
    [(LITERAL, 10), (QUOTED, 9), (FOLDED, 10), (DOUBLE, 7)],
    ids=["literal", "quoted", "folded", "double"],
)
def test_definition_has_its_finding_in_the_line_of_the_file(config: str, line: int, tmp_path: Path) -> None:
    assert _found(tmp_path, DEFINITION.format(config)) == [("CNI303", line, "mode")]


@pytest.mark.parametrize("config", [LITERAL, QUOTED, FOLDED, DOUBLE], ids=["literal", "quoted", "folded", "double"])
def test_caret_points_at_the_value(config: str, tmp_path: Path) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text(DEFINITION.format(config))
    [finding] = lint_paths([path])
    assert finding.source_line[finding.caret :].lstrip("\\").startswith('"shared')


def test_several_documents_and_lists_in_a_file(tmp_path: Path) -> None:
    good = DEFINITION.format(LITERAL.replace("shared", "bridge"))
    listed = "kind: List\nitems:\n" + "".join(
        ("- " if number == 0 else "  ") + line + "\n"
        for number, line in enumerate(DEFINITION.format(LITERAL).split("\n"))
    )
    text = f"{good}---\nkind: Pod\n---\n{CONFIG_MAP}---\n{listed}"
    assert [code for code, _, _ in _found(tmp_path, text)] == ["CNI201", "CNI302", "CNI301", "CNI303"]


def test_config_map_is_read_by_its_keys(tmp_path: Path) -> None:
    assert _found(tmp_path, CONFIG_MAP) == [
        ("CNI201", 9, "plugins[0].delegate.isDefaultGatway"),
        ("CNI302", 13, "plugins[0].ipam"),
        ("CNI301", 13, "plugins[0].mtu"),
    ]


def test_json_that_is_none_is_found_at_its_line(tmp_path: Path) -> None:
    assert _found(tmp_path, DEFINITION.format(LITERAL.replace('"shared",', '"bridge"'))) == [("CNI002", 10, "")]


def test_template_that_is_not_rendered_says_so(tmp_path: Path) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text("kind: ConfigMap\n{{- if .Values.lab }}\ndata: {}\n")
    [finding] = lint_paths([path])
    assert (finding.code, finding.line) == ("CNI006", 3)
    assert "helm template" in finding.message


def test_yaml_without_a_configuration_has_no_finding(tmp_path: Path) -> None:
    assert _found(tmp_path, "kind: Pod\n---\n- 1\n---\n# nothing\n") == []


def test_text_from_stdin_is_yaml_or_a_configuration() -> None:
    single = b'{"cniVersion": "0.4.0", "name": "lab",\n "type": "loopback", "mtu": "x", "ipam": {}}'
    yaml = DEFINITION.format(LITERAL).encode()
    for data, codes in ((yaml, ["CNI303"]), (single, ["CNI204", "CNI204"]), (b"\xff", ["CNI005"])):
        findings = lint_paths([], texts={"<stdin>": data})
        assert [finding.code for finding in findings][: len(codes)] == codes


def test_directory_of_manifests_is_read(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(DEFINITION.format(LITERAL))
    assert [finding.code for finding in lint_paths([tmp_path])] == ["CNI303"]


def test_device_that_multus_puts_in_is_not_missed(tmp_path: Path) -> None:
    config = """'{"cniVersion": "0.3.1", "type": "host-device"}'"""
    assert [code for code, _, _ in _found(tmp_path, DEFINITION.format(config))] == ["CNI302"]
    annotated = "  name: lab\n  annotations: {k8s.v1.cni.cncf.io/resourceName: example.com/vf}\n"
    assert _found(tmp_path, DEFINITION.format(config).replace("  name: lab\n", annotated)) == []


def test_definition_in_json_is_read_as_one(tmp_path: Path) -> None:
    config = '{"cniVersion": "0.3.1", "type": "ptp", "mtu": "1500", "ipam": {"type": "dhcp"}}'
    definition = {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": {"name": "lab"},
    }
    listed = {"apiVersion": "v1", "kind": "List", "items": [definition | {"spec": {"config": config}}]}
    path = tmp_path / "definition.json"
    path.write_text(json.dumps(listed))
    for findings in (lint_paths([path]), lint_paths([], texts={"-": path.read_bytes()})):
        assert [(found.code, found.field) for found in findings] == [("CNI301", "mtu")]


def test_config_map_keys_for_cni_are_read_and_templates_of_an_installer_are_not(tmp_path: Path) -> None:
    network = '{"cniVersion": "0.3.1", "name": "a", "plugins": [{"type": "ptp", "mtu": MTU, "ipam": {"type": "dhcp"}}]}'
    maps = f"kind: ConfigMap\ndata:\n  cni-config: '{network}'\n  other: '{network}'\n"
    assert [code for code, _, _ in _found(tmp_path, maps.replace("MTU", '"1500"'))] == ["CNI301"]
    assert _found(tmp_path, maps.replace("MTU", "__MTU__")) == []


def test_place_in_broken_yaml_counts_the_lines_of_an_editor(tmp_path: Path) -> None:
    text = 'kind: ConfigMap\nnote: "\u2028\u2028"\nmetadata:\n  - a: [\n'
    path = tmp_path / "manifests.yaml"
    path.write_text(text)
    assert [(found.code, found.line) for found in lint_paths([path])] == [("CNI006", 5)]


def test_character_that_yaml_forbids_is_named_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "manifests.yaml"
    path.write_text("kind: ConfigMap\nnote: a\0b\n")
    assert [(one.code, one.line, one.column, one.message) for one in lint_paths([path])] == [
        ("CNI006", 2, 8, "is no YAML: special characters are not allowed")
    ]


@pytest.mark.parametrize(
    "config",
    ['config: {"cniVersion": "1.0.0", "type": "ptp"}', "config:\n    cniVersion: 1.0.0\n    type: ptp", "config: [1]"],
)
def test_configuration_that_is_yaml_and_no_text_is_an_error(config: str, tmp_path: Path) -> None:
    text = f"kind: NetworkAttachmentDefinition\nmetadata:\n  name: lab\nspec:\n  {config}\n"
    path = tmp_path / "manifests.yaml"
    path.write_text(text)
    line = 6 if "\n" in config else 5
    message = "spec.config must be a text of JSON; it is YAML"
    assert [(one.code, one.line, one.message) for one in lint_paths([path])] == [("CNI301", line, message)]
    with pytest.raises(ConfigError, match="must be a text of JSON"):
        networks_in(text)
