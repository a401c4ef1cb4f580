"""The two classes: what their constructors refuse, and the verbs of a single plugin in both colours."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, CNIErrorGroup, InvalidParameterError, RuntimeConf, conf_from_bytes
from libcni.testing import ScriptedRunner, failure, success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLUGIN = conf_from_bytes('{"cniVersion": "1.0.0", "name": "net", "type": "one", "capabilities": {"mac": true}}')
RT = RuntimeConf("box", "", "eth0", [("A", "1")], {"mac": "m"})
RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}

both = pytest.mark.parametrize("cls", [CNIConfig, AsyncCNIConfig], ids=["sync", "async"])


def call(config: Any, verb: str, *arguments: Any, **options: Any) -> Any:
    work: Callable[[], Any] = functools.partial(getattr(config, verb), *arguments, **options)
    return work() if isinstance(config, CNIConfig) else anyio.run(work)


@both
@pytest.mark.parametrize(
    ("path", "options", "name"),
    [
        ("/opt/cni/bin", {}, "path"),
        (["/opt/cni/bin:/usr/lib/cni"], {}, "path"),
        (["/opt\0"], {}, "path"),
        ([], {"timeout": 0}, "timeout"),
        ([], {"timeout": -1.5}, "timeout"),
        ([], {"timeout": float("nan")}, "timeout"),
        ([], {"lock_timeout": -1}, "lock_timeout"),
        ([], {"cache_dir": "/var\0"}, "cache_dir"),
        ([], {"cache_dir": ""}, "cache_dir"),
        ([], {"owner": 1234}, "owner"),
        ([], {"lock_timeout": float("nan")}, "lock_timeout"),
        ([], {"environ": {"A=B": "1"}}, "environ"),
        ([], {"environ": {"": "1"}}, "environ"),
        ([], {"environ": {"A": "\0"}}, "environ"),
        ([], {"environ": {"A": "\ud800"}}, "environ"),
    ],
    ids=repr,
)
def test_constructor_refuses_what_no_plugin_could_be_run_with(
    cls: Callable[..., object], path: Any, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        cls(path, **options)
    assert caught.value.name == name


@both
def test_constructor_never_shows_the_value_of_a_variable(cls: Callable[..., object]) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        cls([], environ={"TOKEN": "secret\0"})
    assert "secret" not in str(caught.value)


@both
def test_directories_may_be_paths_and_environ_is_copied(cls: Callable[..., Any], tmp_path: Path) -> None:
    runner = ScriptedRunner({("one", "VERSION"): success({"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]})})
    environ = {"A": "1"}
    config = cls([tmp_path, "/second"], cache_dir=tmp_path, runner=runner, environ=environ, durable=False)
    environ["A"] = "2"
    call(config, "get_version_info", "one")
    assert runner.calls[0].environment["CNI_PATH"] == f"{tmp_path}:/second"
    assert runner.calls[0].environment["A"] == "1"


@both
def test_relative_cache_directory_stays_where_it_was(
    cls: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    config = cls(["/opt/cni/bin"], cache_dir="cache", runner=ScriptedRunner(), durable=False)
    call(config, "add_network", PLUGIN, RT)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert [item.container_id for item in call(config, "get_cached_attachments")] == ["box"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


@both
def test_bad_timeout_of_a_verb_is_refused_before_anything_runs(cls: Callable[..., Any], tmp_path: Path) -> None:
    runner = ScriptedRunner()
    config = cls([], cache_dir=tmp_path, runner=runner, durable=False)
    with pytest.raises(InvalidParameterError):
        call(config, "add_network", PLUGIN, RT, timeout=0)
    assert runner.calls == []


@both
def test_single_plugin_has_every_verb(cls: Callable[..., Any], tmp_path: Path) -> None:
    version = success({"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]})
    runner = ScriptedRunner({("one", "ADD"): success(RESULT), ("one", "VERSION"): version})
    config = cls([], cache_dir=tmp_path, runner=runner, durable=False)
    assert call(config, "get_network_cached_result", PLUGIN, RT) is None
    assert call(config, "get_network_cached_config", PLUGIN, RT) is None
    result = call(config, "add_network", PLUGIN, RT, timeout=None)
    assert result.to_dict() == RESULT
    assert call(config, "validate_network", PLUGIN) == ["mac"]
    call(config, "check_network", PLUGIN, RT)
    assert call(config, "get_network_cached_result", PLUGIN, RT) == result
    assert call(config, "get_network_cached_config", PLUGIN, RuntimeConf("box", "/other", "eth0"))[0] == PLUGIN.raw
    stored = call(config, "get_cached_attachments")
    assert [(item.network, item.config, item.cni_args) for item in stored] == [("net", PLUGIN.raw, RT.args)]
    call(config, "del_network", PLUGIN, RT)
    assert call(config, "get_cached_attachments") == []
    assert [verb for verb, _ in runner.history] == ["ADD", "VERSION", "CHECK", "DEL"]


@both
def test_single_plugin_that_cannot_be_used_is_told(cls: Callable[..., Any], tmp_path: Path) -> None:
    runner = ScriptedRunner({("one", "VERSION"): failure(100, "broken")})
    config = cls([], cache_dir=tmp_path, runner=runner, durable=False)
    with pytest.raises(CNIErrorGroup) as caught:
        call(config, "validate_network", PLUGIN)
    assert [getattr(error, "msg", "") for error in caught.value.exceptions] == ["broken"]


@both
def test_single_plugin_without_a_name_is_refused(cls: Callable[..., Any], tmp_path: Path) -> None:
    runner = ScriptedRunner()
    config = cls([], cache_dir=tmp_path, runner=runner, durable=False)
    with pytest.raises(InvalidParameterError, match="network"):
        call(config, "add_network", conf_from_bytes('{"type": "one"}'), RT)
    assert runner.calls == []
