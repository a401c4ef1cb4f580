"""Delegation; delegates are real shell scripts."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from libcni import (
    ConfigError,
    InvalidParameterError,
    PluginError,
    PluginNotFoundError,
    PluginTimeoutError,
    conf_from_bytes,
)
from libcni.invoke import delegate_add, delegate_check, delegate_del, delegate_gc, delegate_status
from libcni.testing import ScriptedRunner, success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


DELEGATE = """\
#!/bin/sh
cat > {here}/stdin
env | grep ^CNI_ | sort > {here}/env
case $CNI_COMMAND in
ADD) echo '{{"cniVersion": "0.4.0", "ips": [{{"version": "4", "address": "10.0.0.2/24"}}]}}' ;;
STATUS) echo '{{"cniVersion": "1.1.0", "code": 50, "msg": "not ready"}}'; exit 1 ;;
esac
"""
CONFIG = b'{"cniVersion": "1.0.0", "name": "net", "type": "meta", "mtu": 1.50}'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    executable(tmp_path / "bin" / "delegate", DELEGATE.format(here=tmp_path))
    return {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "box",
        "CNI_NETNS": "/run/netns/blue",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1",
        "CNI_PATH": f"/missing:{tmp_path}/bin",
    }


def test_delegate_add_returns_the_result_in_the_version_of_the_configuration(
    environ: dict[str, str], tmp_path: Path
) -> None:
    result = delegate_add("delegate", CONFIG, environ=environ)
    assert (result.cni_version, str(result.ips[0].address)) == ("1.0.0", "10.0.0.2/24")
    assert (tmp_path / "stdin").read_bytes() == CONFIG
    called_with = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert called_with == {name: value for name, value in environ.items() if name.startswith("CNI_")}
    assert delegate_add("delegate", conf_from_bytes(CONFIG), environ=environ) == result
    assert delegate_add("delegate", CONFIG.decode(), environ=environ) == result


def test_delegate_add_keeps_the_address_of_an_old_result_without_a_version(
    environ: dict[str, str], tmp_path: Path
) -> None:
    executable(tmp_path / "bin" / "old", """#!/bin/sh\necho '{"ip4": {"ip": "192.0.2.7/24"}}'\n""")
    result = delegate_add("old", CONFIG, environ=environ)
    assert (result.cni_version, [str(ip.address) for ip in result.ips]) == ("1.0.0", ["192.0.2.7/24"])


@pytest.mark.parametrize(
    ("delegate", "command"),
    [(delegate_check, "CHECK"), (delegate_del, "DEL"), (delegate_gc, "GC")],
    ids=["check", "del", "gc"],
)
def test_delegate_runs_its_own_verb_with_the_callers_variables(
    environ: dict[str, str], tmp_path: Path, delegate: Callable[..., None], command: str
) -> None:
    delegate("delegate", CONFIG, environ=environ)
    lines = (tmp_path / "env").read_text().splitlines()
    assert f"CNI_COMMAND={command}" in lines
    assert "CNI_CONTAINERID=box" in lines
    assert environ["CNI_COMMAND"] == "ADD"


def test_delegate_without_environ_takes_that_of_the_process(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    delegate_del("delegate", CONFIG)
    assert "CNI_COMMAND=DEL" in (tmp_path / "env").read_text()


def test_delegate_status_raises_the_delegates_error(environ: dict[str, str]) -> None:
    with pytest.raises(PluginError) as caught:
        delegate_status("delegate", CONFIG, environ=environ)
    error = caught.value
    assert (error.code, error.msg, error.plugin, error.network, error.container_id) == (
        50,
        "not ready",
        "delegate",
        "net",
        "box",
    )


def test_delegate_that_is_missing_is_an_error_with_its_place(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(PluginNotFoundError) as caught:
        delegate_add("other", CONFIG, environ=environ)
    assert caught.value.paths == ("/missing", f"{tmp_path}/bin")
    assert (caught.value.command, caught.value.container_id) == ("ADD", "box")
    with pytest.raises(InvalidParameterError):
        delegate_add("a/b", CONFIG, environ=environ)


def test_delegate_that_cannot_start_is_a_plugin_error(environ: dict[str, str], tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "broken", "#!/missing/interpreter\n")
    with pytest.raises(PluginError, match="interpreter"):
        delegate_del("broken", CONFIG, environ=environ)


def test_delegate_that_hangs_is_ended_at_the_deadline(environ: dict[str, str], tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "slow", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(PluginTimeoutError):
        delegate_del("slow", CONFIG, environ=environ, timeout=0.1)


@pytest.mark.parametrize("config", [b"", b"nope", b"[]", b"\xff", '{"name": 1, "name": 2}'], ids=repr)
def test_delegate_with_a_bad_configuration_is_a_config_error(environ: dict[str, str], config: bytes | str) -> None:
    for delegate in (delegate_add, delegate_del):
        with pytest.raises(ConfigError) as caught:
            delegate("delegate", config, environ=environ)
        assert caught.value.line == 1


def test_delegate_takes_another_runner(environ: dict[str, str]) -> None:
    runner = ScriptedRunner({("delegate", "ADD"): success({"cniVersion": "1.0.0"})})
    delegate_add("delegate", CONFIG, environ=environ, runner=runner)
    assert runner.calls[0].stdin == CONFIG
    assert json.loads(runner.calls[0].stdin)["type"] == "meta"
