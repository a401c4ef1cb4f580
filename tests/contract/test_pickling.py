"""Everything that is handed out travels between processes and comes back equal."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni import (
    ConfDir,
    ConfigError,
    GCAttachment,
    NetworkAttachment,
    PluginError,
    PluginInfo,
    Recovery,
    Result,
    RuntimeConf,
    conf_from_bytes,
    conf_list_from_conf,
    network_conf_from_bytes,
)
from libcni.invoke import PluginCall, PluginOutput
from libcni.schema import validate
from libcni.testing import ScriptedCall

if TYPE_CHECKING:
    from collections.abc import Callable

PLUGIN = conf_from_bytes('{"name": "net", "type": "bridge", "capabilities": {"mac": true}, "own": [1.0, {"a": null}]}')
NETWORK = network_conf_from_bytes('{"cniVersion": "1.1.0", "name": "net", "plugins": [{"type": "bridge"}]}')
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1")], {"portMappings": [{"hostPort": 80}]})
RESULT = Result.from_bytes(
    '{"cniVersion": "1.1.0", "interfaces": [{"name": "e"}], "ips": [{"address": "10.0.0.2/24", "own": {"a": [1]}}],'
    ' "routes": [{"dst": "::/0"}], "dns": {"search": ["a"]}}'
)

VALUES = {
    "network": NETWORK,
    "upconverted": conf_list_from_conf(PLUGIN, Path("/etc/cni/net.d/a.conf")),
    "plugin": PLUGIN,
    "runtime-conf": RT,
    "result": RESULT,
    "gc-attachment": GCAttachment("box", "eth0"),
    "attachment": NetworkAttachment("box", "net", "eth0", b"{}", "", RT.args, RT.capability_args, RESULT),
    "info": PluginInfo("1.1.0", ("1.0.0", "1.1.0")),
    "call": PluginCall("/bin/true", b"{}", {"A": "1"}, 2.5),
    "output": PluginOutput(b"{}", b"", 0, duration=0.5),
    "scripted-call": ScriptedCall("bridge", "ADD", b"{}", {"CNI_COMMAND": "ADD"}),
    "schema-problem": validate("network", {})[0],
}

each_value = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


@each_value
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_value_comes_back_equal(value: object, protocol: int) -> None:
    restored = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 -- our own
    assert type(restored) is type(value)
    assert restored == value
    assert repr(restored) == repr(value)


@each_value
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy], ids=["shallow", "deep"])
def test_value_can_be_copied(value: object, duplicate: Callable[[object], object]) -> None:
    assert duplicate(value) == value


def test_directory_with_problems_comes_back() -> None:
    directory = ConfDir((NETWORK,), (ConfigError("is empty", source=Path("/n/a.conf"), line=1, column=1),))
    restored = pickle.loads(pickle.dumps(directory))  # noqa: S301 -- our own
    assert restored.networks == directory.networks
    assert str(restored.problems[0]) == "/n/a.conf: line 1, column 1: is empty"


def test_recovery_with_an_error_comes_back() -> None:
    recovery = Recovery("net", "box", "eth0", done=False, error=PluginError("busy", plugin="bridge", code=11))
    restored = pickle.loads(pickle.dumps(recovery))  # noqa: S301 -- our own
    assert restored[:4] == recovery[:4]
    assert (restored.error.plugin, restored.error.code) == ("bridge", 11)
