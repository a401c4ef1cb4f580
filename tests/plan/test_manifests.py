"""Networks in YAML, as ``cnitool plan --file`` takes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from libcni.cli.root import cnitool
from libcni.config.manifest import networks_in
from libcni.errors import ConfigError

YAML = """\
kind: NetworkAttachmentDefinition
metadata:
  name: lab
spec:
  config: '{
    "cniVersion": "0.3.1",
    "type": "macvlan",
    "ipam": {"type": "dhcp"}
  }'
---
kind: ConfigMap
data:
  cni.conflist: |
    {"cniVersion": "1.0.0", "name": "office", "plugins": [{"type": "ptp"}, {"type": "portmap"}]}
"""


def test_networks_of_a_yaml_text_have_the_names_that_multus_gives_them() -> None:
    lab, office = networks_in(YAML)
    assert (lab.name, lab.cni_version, [plugin.type for plugin in lab.plugins]) == ("lab", "0.3.1", ["macvlan"])
    assert (office.name, [plugin.type for plugin in office.plugins]) == ("office", ["ptp", "portmap"])


def test_network_of_a_text_that_is_a_configuration() -> None:
    [network] = networks_in('{"cniVersion": "0.4.0", "name": "a", "type": "loopback"}')
    assert network.name == "a"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        (YAML.replace('"0.3.1",', '"0.3.1"'), "a comma is missing"),
        (YAML.replace('"macvlan"', '"/bin/x"'), "must be a plain file name"),
    ],
)
def test_text_that_cannot_be_used_is_an_error_with_its_file(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        networks_in(text, Path("lab.yaml"))
    assert caught.value.source == Path("lab.yaml")


def test_plan_of_a_network_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "lab.yaml"
    path.write_text(YAML)
    for arguments, text in ((["--file", str(path)], None), (["--file", "-"], YAML)):
        done = CliRunner().invoke(cnitool, ["plan", *arguments, "office", "/run/netns/blue"], input=text)
        assert "ADD of network office would make 2 calls" in done.output
    done = CliRunner().invoke(cnitool, ["plan", "--file", str(path), "nobody", "/run/netns/blue"])
    assert (done.exit_code, "there is lab, office" in done.output) == (1, True)


def test_lint_of_stdin() -> None:
    done = CliRunner().invoke(cnitool, ["lint", "--no-plugins", "-"], input=YAML)
    assert (done.exit_code, "<stdin>:14:" in done.output, "CNI302" in done.output) == (1, True, True)
