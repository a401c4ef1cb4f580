"""The schema for editors in VS Code's JSON language service: hover, completion and errors in a plugin of a list."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from libcni.schema.editor import editor_schema

HERE = Path(__file__).resolve().parent
MODULES = Path(os.environ.get("LIBCNI_EDITOR_MODULES", str(HERE / "node_modules")))
TEXT = """{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "lab0",
      "vlanTrunk": [{"minID": 100, "maxID": 200}],
      "mtu": 1500,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.9"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      },
      "dns": {"nameservers": ["10.1.0.1"]},
      "capabilities": {"mac": true}
    }
  ]
}
"""
HOVERS = {
    "cniVersion": "Version of the specification",
    "plugins": "Plugins in the order of ADD",
    "vlanTrunk": "VLANs that pass the port tagged",
    "minID": "First VLAN id of a range",
    "mtu": "Maximum transmission unit",
    "ranges": "Range sets",
    "rangeStart": "First address to give out",
    "routes": "Routes of the container",
    "dst": "Destination with prefix length",
    "dns": "Name resolution",
    "nameservers": "name servers",
    "capabilities": "Capabilities of the plugin",
}


def ask(text: str, *, hover: list[int] | None = None, complete: list[int] | None = None) -> dict[str, Any]:
    """Ask the language service; offsets are those of the text."""
    node = shutil.which("node")
    if node is None or not (MODULES / "vscode-json-languageservice").is_dir():
        pytest.skip("needs node and the module vscode-json-languageservice: tox -e editor")
    request = {"schema": editor_schema(), "text": text, "hover": hover or [], "complete": complete or []}
    done = subprocess.run(
        [node, str(HERE / "ask.js")],
        input=json.dumps(request),
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_hover_describes_every_key() -> None:
    offsets = [TEXT.index(f'"{key}"') + 2 for key in HOVERS]
    answer = ask(TEXT, hover=offsets)
    for (key, description), shown in zip(HOVERS.items(), answer["hovers"], strict=True):
        assert description in shown, key
    assert answer["errors"] == []


def test_completion_knows_versions_plugins_and_their_keys() -> None:
    text = TEXT.replace('"1.0.0"', '""', 1).replace('"mtu": 1500,', '"mtu": 1500,\n      "",')
    places = [
        text.index('"cniVersion": "') + len('"cniVersion": "'),
        text.index('"type": "bridge"') + len('"type": "'),
        text.index('      "",') + len('      "'),
        text.index('"type": "host-local"') + len('"type": "'),
    ]
    versions, plugins, keys, ipam = ask(text, complete=places)["completions"]
    assert {'"0.4.0"', '"1.1.0"'} <= set(versions)
    assert {'"bridge"', '"sriov"', '"tc-redirect-tap"'} <= set(plugins)
    assert {"isGateway", "hairpinMode", "promiscMode"} <= set(keys)
    assert "mode" not in keys, "it is macvlan's"
    assert {'"host-local"', '"infoblox"'} <= set(ipam)


@pytest.mark.parametrize(
    ("find", "put", "line"),
    [
        ('"mtu": 1500', '"mtu": "1500"', 9),
        ('"minID": 100', '"minID": 5000', 8),
        ('"10.1.0.9"', '"ten"', 12),
        ('"1.0.0"', '"1.5.0"', 2),
        ('"dst"', '"dts"', 13),
    ],
)
def test_error_in_a_plugin_of_a_list_is_underlined(find: str, put: str, line: int) -> None:
    errors = ask(TEXT.replace(find, put, 1))["errors"]
    assert [error["line"] for error in errors] == [line], errors


CALLING = """{
  "cniVersion": "1.0.0",
  "name": "lab",
  "plugins": [
    {
      "type": "flannel",
      "delegate": {
        "hairpinMode": true,
        "mtu": 1400
      }
    },
    {
      "type": "multus",
      "delegates": [
        {
          "type": "macvlan",
          "mode": "private"
        }
      ]
    }
  ]
}
"""


def test_plugins_that_a_plugin_calls_are_described_completed_and_checked() -> None:
    text = CALLING.replace('"mtu": 1400', '"mtu": 1400,\n        ""').replace('"private"', '"private",\n          ""')
    empty = [text.index('        ""') + 8, text.rindex('          ""') + 10]
    answer = ask(text, hover=[text.index('"hairpinMode"') + 2, text.index('"mode"') + 2], complete=empty)
    bridge, macvlan = answer["completions"]
    assert {"isDefaultGateway", "bridge"} <= set(bridge)
    assert {"master", "linkInContainer"} <= set(macvlan)
    assert all(answer["hovers"])
    assert ask(CALLING)["errors"] == []


@pytest.mark.parametrize(
    ("find", "put", "line"),
    [
        ('"hairpinMode": true', '"hairpinMode": "true"', 8),
        ('"mtu": 1400', '"ipam": {}', 9),
        ('"private"', '"l2"', 17),
        ('"type": "macvlan",', "", 15),
    ],
)
def test_error_in_a_plugin_that_a_plugin_calls_is_underlined(find: str, put: str, line: int) -> None:
    errors = ask(CALLING.replace(find, put, 1))["errors"]
    assert {error["line"] for error in errors} == {line}, errors


def test_list_without_plugins_is_an_error() -> None:
    assert any("plugins" in error["message"] for error in ask('{"cniVersion": "1.0.0", "name": "lab"}')["errors"])
