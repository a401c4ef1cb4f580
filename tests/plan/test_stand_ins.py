"""Chains of Infoblox and NSX with stand-ins for their plugins: what each reads of a configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libcni import CNIConfig, RuntimeConf, network_conf_from_file

CONFIGURATIONS = Path(__file__).resolve().parents[2] / "testdata" / "configurations"
RESULT = '{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.1.0.5/24"}]}'


@pytest.mark.parametrize(
    ("name", "plugin", "member"),
    [("infoblox-container", "bridge", ("ipam", "network-view", "lab-view")), ("nsx-ports", "nsx", ("mtu", 1450))],
)
def test_stand_in_reads_the_configuration(name: str, plugin: str, member: tuple[Any, ...], tmp_path: Path) -> None:
    path = tmp_path / plugin
    path.write_text(f"#!/bin/sh\ncat > '{tmp_path}/request'\necho '{RESULT}'\n")
    path.chmod(0o755)
    network = network_conf_from_file(CONFIGURATIONS / f"{name}.conflist")
    cni = CNIConfig([str(tmp_path)], cache_dir=str(tmp_path / "cache"))
    result = cni.add_network_list(network, RuntimeConf("box", "/run/netns/none-of-this-name", "eth0"))
    assert [str(ip.address) for ip in result.ips] == ["10.1.0.5/24"]
    found: Any = json.loads((tmp_path / "request").read_text())
    for step in member[:-1]:
        found = found[step]
    assert found == member[-1]
