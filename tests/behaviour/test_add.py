"""ADD: order, requests, results, what is refused, and what is deleted again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from libcni import (
    AttachmentExistsError,
    ConfigError,
    InvalidParameterError,
    NetworkConfigList,
    PluginError,
    PluginNotFoundError,
    PluginOutputError,
    ResultError,
    VersionError,
    inject_conf,
    network_plugin_conf_from_bytes,
)
from libcni.invoke import PluginOutput
from libcni.testing import ScriptedRunner, failure, success

from .conftest import attachment, network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Runtime

RESULT = {"cniVersion": "1.1.0", "ips": [{"address": "10.0.0.2/24"}]}


def test_add_of_chain_passes_each_result_to_the_next(make: Callable[..., Runtime]) -> None:
    second = RESULT | {"vendor": {"kept": 1}}
    runner = ScriptedRunner(
        {("one", "ADD"): success(RESULT), ("two", "ADD"): success(second), ("three", "ADD"): success(second)}
    )
    result = make(runner).add_network_list(network("one", "two", "three"), attachment())
    assert runner.history == [("ADD", "one"), ("ADD", "two"), ("ADD", "three")]
    assert [call.request.get("prevResult") for call in runner.calls] == [None, RESULT, second]
    assert [(call.request["name"], call.request["cniVersion"]) for call in runner.calls] == [("net", "1.1.0")] * 3
    assert result.to_dict() == second


def test_add_sets_environment_in_stable_order(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner()
    rt = attachment("box", "eth7", netns="/run/netns/a", args=[("IgnoreUnknown", "1"), ("K", "x=y")])
    make(runner, environ={"PATH": "/bin", "CNI_NETNS": "outer"}).add_network_list(network("one"), rt)
    assert list(runner.calls[0].environment.items()) == [
        ("PATH", "/bin"),
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "box"),
        ("CNI_NETNS", "/run/netns/a"),
        ("CNI_IFNAME", "eth7"),
        ("CNI_ARGS", "IgnoreUnknown=1;K=x=y"),
        ("CNI_PATH", "/opt/cni/bin"),
    ]


def test_add_without_environ_takes_the_current_one(
    make: Callable[..., Runtime],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SEEN_BY_PLUGINS", "yes")
    runner = ScriptedRunner()
    make(runner, environ=None).add_network_list(network("one"), attachment())
    assert runner.calls[0].environment["SEEN_BY_PLUGINS"] == "yes"


def test_request_keeps_numbers_and_unknown_members_as_written(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner()
    from libcni import network_conf_from_bytes  # noqa: PLC0415 -- the text matters here, not its meaning

    text = (
        '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"t","big":18446744073709551615,'
        '"f":1.0,"e":1.10e+2,"u":{"x":[1.50]}}]}'
    )
    make(runner).add_network_list(network_conf_from_bytes(text), attachment())
    assert runner.calls[0].stdin == (
        b'{"cniVersion":"1.0.0","name":"n","type":"t","big":18446744073709551615,"f":1.0,"e":1.10e+2,"u":{"x":[1.50]}}'
    )


def test_request_leaves_out_what_the_runtime_owns(make: Callable[..., Runtime]) -> None:
    plugin = {
        "type": "one",
        "name": "other",
        "cniVersion": "0.1.0",
        "capabilities": {"mac": True},
        "prevResult": {"static": 1},
        "cni.dev/anything": 1,
        "runtimeConfig": {"test": 1},
    }
    runner = ScriptedRunner()
    make(runner).add_network_list(network(plugin), attachment())
    assert runner.calls[0].request == {
        "cniVersion": "1.1.0",
        "name": "net",
        "type": "one",
        "runtimeConfig": {"test": 1},
    }


def test_capability_arguments_go_to_the_plugins_that_declare_them(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner()
    plugins = [
        {"type": "one", "capabilities": {"portMappings": True, "mac": False}},
        {"type": "two", "capabilities": {"mac": True}},
        {"type": "three"},
    ]
    rt = attachment(capability_args={"portMappings": [{"hostPort": 80}], "mac": "00:00:00:00:00:01", "other": 1})
    make(runner).add_network_list(network(*plugins), rt)
    sent = [call.request.get("runtimeConfig") for call in runner.calls]
    assert sent == [{"portMappings": [{"hostPort": 80}]}, {"mac": "00:00:00:00:00:01"}, None]


def test_result_in_another_version_is_converted_for_the_next_plugin(make: Callable[..., Runtime]) -> None:
    old = {"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24", "routes": [{"dst": "0.0.0.0/0"}]}, "vendor": 7}
    runner = ScriptedRunner({("one", "ADD"): success(old)})
    make(runner).add_network_list(network("one", "two"), attachment())
    assert runner.calls[1].request["prevResult"] == {
        "cniVersion": "1.1.0",
        "ips": [{"address": "10.0.0.2/24"}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "vendor": 7,
    }


def test_result_without_version_has_that_of_the_list(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("one", "ADD"): success({"ips": [{"address": "10.0.0.2/24"}]})})
    make(runner).add_network_list(network("one", "two", version="1.0.0"), attachment())
    assert runner.calls[1].request["prevResult"] == {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.2/24"}]}


def test_add_of_single_plugin_uses_its_own_name_and_version(make: Callable[..., Runtime]) -> None:
    plugin = network_plugin_conf_from_bytes('{"cniVersion":"0.4.0","name":"solo","type":"one"}')
    runner = ScriptedRunner()
    runtime = make(runner)
    runtime.add_network(plugin, attachment())
    runtime.check_network(plugin, attachment())
    runtime.del_network(plugin, attachment())
    assert runner.history == [("ADD", "one"), ("CHECK", "one"), ("DEL", "one")]
    assert runner.calls[0].request == {"cniVersion": "0.4.0", "name": "solo", "type": "one"}


def test_failed_add_is_deleted_in_reverse_and_raises_the_plugins_error(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("two", "ADD"): failure(111, "no address", details="pool is empty")})
    runtime = make(runner)
    with pytest.raises(PluginError) as caught:
        runtime.add_network_list(network("one", "two", "three"), attachment())
    assert runner.history == [("ADD", "one"), ("ADD", "two"), ("DEL", "three"), ("DEL", "two"), ("DEL", "one")]
    error = caught.value
    assert (error.code, error.msg, error.details) == (111, "no address", "pool is empty")
    assert (error.plugin, error.command, error.network) == ("two", "ADD", "net")
    assert (error.container_id, error.ifname, error.exit_status) == ("box", "eth0", 1)
    assert runtime.pending() == []
    assert runtime.get_cached_attachments() == []


def test_failed_add_can_be_tried_again(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("one", "ADD"): [failure(11, "later"), success(RESULT)]})
    runtime = make(runner)
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one"), attachment())
    assert runtime.add_network_list(network("one"), attachment()).to_dict() == RESULT


def test_failed_rollback_is_noted_and_stays_pending(make: Callable[..., Runtime]) -> None:
    answers = {("two", "ADD"): failure(100, "broken"), ("two", "DEL"): failure(101, "stuck")}
    runner = ScriptedRunner(answers)
    runtime = make(runner)
    with pytest.raises(PluginError, match="broken") as caught:
        runtime.add_network_list(network("one", "two"), attachment())
    assert runner.history[-1] == ("DEL", "one")
    assert any("stuck" in note for note in caught.value.__notes__)
    assert [item.container_id for item in runtime.pending()] == ["box"]
    assert [type(error) for error in caught.value.clean_up_errors] == [PluginError]
    with pytest.raises(AttachmentExistsError) as refused:
        runtime.add_network_list(network("one", "two"), attachment())
    assert refused.value.unfinished
    runner.answer("two", "DEL", success())
    assert [(report.container_id, report.done) for report in runtime.recover()] == [("box", True)]
    assert runtime.pending() == []


def test_add_without_rollback_leaves_it_to_recovery(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("one", "ADD"): failure(100, "broken")})
    runtime = make(runner)
    with pytest.raises(PluginError):
        runtime.add_network_list(network("one"), attachment(), rollback=False)
    assert runner.history == [("ADD", "one")]
    assert [item.network for item in runtime.pending()] == ["net"]
    runtime.recover()
    assert runner.history == [("ADD", "one"), ("DEL", "one")]


def test_long_failed_rollback_is_noted_in_short_and_kept_whole(make: Callable[..., Runtime]) -> None:
    names = [f"p{number}" for number in range(40)]
    answers = {(name, "DEL"): failure(101, "stuck " * 200) for name in names} | {("p39", "ADD"): failure(100, "broken")}
    with pytest.raises(PluginError, match="broken") as caught:
        make(ScriptedRunner(answers)).add_network_list(network(*names), attachment())
    assert len("".join(caught.value.__notes__)) < 6000
    assert caught.value.__notes__[3].startswith("clean-up after the failed ADD: and 37 more: 1 × plugin 'p36' DEL")
    assert len(caught.value.clean_up_errors) == 40


def test_answer_in_the_old_shape_without_a_version_is_handed_on_with_its_address(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("one", "ADD"): success({"ip4": {"ip": "192.0.2.7/24"}})})
    runtime = make(runner)
    result = runtime.add_network_list(network("one", "two", version="0.4.0"), attachment())
    assert runner.calls[1].request["prevResult"]["ips"] == [{"version": "4", "address": "192.0.2.7/24"}]
    assert result.cni_version == "0.4.0"


def test_capability_argument_that_no_plugin_declares_is_a_warning(
    make: Callable[..., Runtime], caplog: pytest.LogCaptureFixture
) -> None:
    runtime = make(ScriptedRunner())
    given = network({"type": "one", "capabilities": {"mac": True, "ips": False}}, "two")
    rt = attachment(capability_args={"mac": "m", "ips": ["secret"], "portMappings": "secret"})
    for verb in ("add_network_list", "check_network_list"):
        caplog.clear()
        getattr(runtime, verb)(given, rt)
        lines = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
        assert [(name, level) for name, level, _ in lines] == [("libcni", "WARNING")] * 2
        assert ["'ips'" in text for *_, text in lines] == [True, False]
        assert ["'portMappings'" in text for *_, text in lines] == [False, True]
        assert all("network net" in text and "secret" not in text for *_, text in lines)
    caplog.clear()
    runtime.add_network_list(given, attachment(ifname="eth1", capability_args={"mac": "m"}))
    assert caplog.records == []


def test_second_add_is_refused_before_anything_runs(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner()
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    with pytest.raises(AttachmentExistsError) as caught:
        runtime.add_network_list(network("one"), attachment())
    assert (caught.value.network, caught.value.container_id, caught.value.ifname) == ("net", "box", "eth0")
    assert not caught.value.unfinished
    assert runner.history == [("ADD", "one")]
    runtime.add_network_list(network("one"), attachment(ifname="eth1"))
    runtime.del_network_list(network("one"), attachment())
    runtime.add_network_list(network("one"), attachment())
    assert len(runner.calls) == 4


def test_add_looks_up_all_plugins_before_the_first_runs(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner(missing=["two"])
    with pytest.raises(PluginNotFoundError) as caught:
        make(runner).add_network_list(network("one", "two"), attachment())
    assert runner.calls == []
    error = caught.value
    assert (error.plugin, error.command, error.network, error.container_id) == ("two", "ADD", "net", "box")
    assert error.paths == ("/opt/cni/bin",)


@pytest.mark.parametrize(
    ("name", "rt"),
    [
        pytest.param("container_id", attachment(""), id="empty-container-id"),
        pytest.param("container_id", attachment("../box"), id="container-id-leads-out"),
        pytest.param("container_id", attachment("box\n"), id="container-id-with-line-break"),
        pytest.param("ifname", attachment(ifname="interface-name-0"), id="sixteen-bytes"),
        pytest.param("ifname", attachment(ifname="ééééééé" + "é"), id="sixteen-bytes-of-eight-letters"),
        pytest.param("ifname", attachment(ifname="a b"), id="white-space"),
        pytest.param("ifname", attachment(ifname=".."), id="dots"),
        pytest.param("args", attachment(args=[("A", "1;B=2")]), id="injected-pair"),
        pytest.param("args", attachment(args=[("A=B", "1")]), id="equals-sign-in-key"),
        pytest.param("args", attachment(args=[("", "1")]), id="empty-key"),
        pytest.param("netns", attachment(netns="/run/\0"), id="nul-in-netns"),
        pytest.param("capability_args", attachment(capability_args={"mac": {1, 2}}), id="not-json"),
        pytest.param("container_id", attachment("c" * 250), id="too-long-for-a-file-name"),
    ],
)
@pytest.mark.parametrize("verb", ["add_network_list", "check_network_list", "del_network_list"])
def test_bad_parameter_is_refused_by_every_verb(
    make: Callable[..., Runtime],
    verb: str,
    name: str,
    rt: Any,
) -> None:
    runner = ScriptedRunner()
    if rt.container_id == "c" * 250 and verb != "add_network_list":
        return
    with pytest.raises(InvalidParameterError) as caught:
        getattr(make(runner), verb)(network("one"), rt)
    assert caught.value.name == name
    assert runner.calls == []


@pytest.mark.parametrize("version", ["1.0", "x", "", "01.0.0", "1.0.0\n", "9.9.9"])
@pytest.mark.parametrize(
    "verb", ["add_network_list", "check_network_list", "del_network_list", "get_status_network_list"]
)
def test_malformed_or_unknown_version_is_an_error_in_every_verb(
    make: Callable[..., Runtime],
    verb: str,
    version: str,
) -> None:
    plugin = network_plugin_conf_from_bytes('{"type":"one"}')
    built = NetworkConfigList(name="net", cni_version=version, plugins=(plugin,), raw=b"{}")
    runner = ScriptedRunner()
    arguments = () if verb == "get_status_network_list" else (attachment(),)
    with pytest.raises(VersionError):
        getattr(make(runner), verb)(built, *arguments)
    assert runner.calls == []


def test_network_without_plugins_is_refused(make: Callable[..., Runtime]) -> None:
    empty = NetworkConfigList(name="net", cni_version="1.0.0", plugins=(), raw=b"{}")
    with pytest.raises(ConfigError, match="no plugins"):
        make(ScriptedRunner()).add_network_list(empty, attachment())


@pytest.mark.parametrize(
    ("output", "kind", "text"),
    [
        pytest.param(PluginOutput(), PluginOutputError, "printed no result", id="nothing"),
        pytest.param(PluginOutput(stdout=b"null"), PluginOutputError, "printed no result", id="null"),
        pytest.param(PluginOutput(stdout=b"[]"), PluginOutputError, "an array", id="array"),
        pytest.param(PluginOutput(stdout=b"\xff\xfe"), PluginOutputError, "UTF-8", id="binary"),
        pytest.param(PluginOutput(stdout=b'{"a":NaN}'), PluginOutputError, "a: .*NaN", id="nan"),
        pytest.param(PluginOutput(stdout=b'{"a":1,"a":2}'), PluginOutputError, "duplicate key", id="duplicate-key"),
        pytest.param(PluginOutput(stdout=b"[" * 100_000), PluginOutputError, "nested", id="nested"),
        pytest.param(
            PluginOutput(stdout=b'{"a":' + b"9" * 10_000_000 + b"}"), PluginOutputError, "too large", id="huge"
        ),
        pytest.param(
            success({"code": 7, "msg": "oops"}), PluginOutputError, "printed an error: oops", id="error-and-0"
        ),
        pytest.param(success({"ips": [None]}), ResultError, r"ips\[0\]", id="null-entry"),
        pytest.param(success({"ips": [{"address": "10.0.0.2"}]}), ResultError, r"ips\[0\].address", id="no-prefix"),
        pytest.param(
            success({"ips": [{"address": "10.0.0.2/24", "interface": 10**40}]}), ResultError, "interface", id="big"
        ),
        pytest.param(success({"cniVersion": "9.0.0"}), ResultError, "cniVersion", id="unknown-version"),
        pytest.param(PluginOutput(exit_status=None, signal=9), PluginError, "SIGKILL", id="killed"),
        pytest.param(PluginOutput(exit_status=3, stderr=b"boom\n"), PluginError, "status 3.*stderr: boom", id="status"),
        pytest.param(PluginOutput(exit_status=3, stdout=b'{"ips":[]}'), PluginError, "status 3", id="result-and-1"),
        pytest.param(PluginOutput(timed_out=True), PluginError, "did not finish", id="timed-out"),
        pytest.param(PluginOutput(overflow=True), PluginOutputError, "more on stdout", id="overflow"),
    ],
)
def test_bad_answer_is_a_clear_error_and_is_rolled_back(
    make: Callable[..., Runtime],
    output: PluginOutput,
    kind: type[PluginError],
    text: str,
) -> None:
    runner = ScriptedRunner({("one", "ADD"): output})
    runtime = make(runner)
    with pytest.raises(kind, match=text) as caught:
        runtime.add_network_list(network("one"), attachment())
    assert isinstance(caught.value, PluginError)
    assert (caught.value.plugin, caught.value.command, caught.value.container_id) == ("one", "ADD", "box")
    assert "'one'" in str(caught.value)
    assert "'box'" in str(caught.value)
    assert runner.history[-1] == ("DEL", "one")


def test_plugin_that_cannot_start_is_a_plugin_error(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("one", "ADD"): OSError(8, "Exec format error")})
    with pytest.raises(PluginError, match="without a '#!' line"):
        make(runner).add_network_list(network("one"), attachment())


def test_interrupt_just_before_the_shield_does_not_keep_a_failed_add_from_being_rolled_back(
    make: Callable[..., Runtime],
) -> None:
    class Late(ScriptedRunner):
        interrupted = 0

        async def shielded(self, job: Callable[[], Any]) -> Any:
            self.interrupted += 1
            if self.interrupted == 1:
                raise KeyboardInterrupt
            return await super().shielded(job)

    runner = Late({("one", "ADD"): failure(11, "no")})
    runtime = make(runner)
    with pytest.raises(KeyboardInterrupt):
        runtime.add_network_list(network("one"), attachment())
    assert runner.history == [("ADD", "one"), ("DEL", "one")]
    assert runtime.pending() == []


def test_interrupted_add_is_rolled_back(make: Callable[..., Runtime]) -> None:
    runner = ScriptedRunner({("two", "ADD"): KeyboardInterrupt()})
    runtime = make(runner)
    with pytest.raises((KeyboardInterrupt, BaseExceptionGroup)):
        runtime.add_network_list(network("one", "two"), attachment())
    assert runner.history[2:] == [("DEL", "two"), ("DEL", "one")]
    assert runtime.pending() == []


def test_stored_file_is_what_go_libcni_writes(make: Callable[..., Runtime], tmp_path: Path) -> None:
    runner = ScriptedRunner({("one", "ADD"): success(RESULT)})
    rt = attachment(netns="/run/netns/a", args=[("K", "V")], capability_args={"mac": "x"})
    loaded = network("one")
    make(runner).add_network_list(loaded, rt)
    path = tmp_path / "cache" / "results" / "net-box-eth0"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    import base64  # noqa: PLC0415 -- needed here only

    assert json.loads(path.read_text()) == {
        "kind": "cniCacheV1",
        "containerId": "box",
        "config": base64.b64encode(loaded.raw).decode(),
        "ifName": "eth0",
        "networkName": "net",
        "netns": "/run/netns/a",
        "cniArgs": [["K", "V"]],
        "capabilityArgs": {"mac": "x"},
        "result": RESULT,
    }


def test_injected_member_reaches_the_plugin(make: Callable[..., Runtime]) -> None:
    plugin = inject_conf(
        network_plugin_conf_from_bytes('{"name":"n","type":"t"}'), {"mtu": 1400, "cniVersion": "1.0.0"}
    )
    runner = ScriptedRunner()
    make(runner).add_network(plugin, attachment())
    assert runner.calls[0].request == {"cniVersion": "1.0.0", "name": "n", "type": "t", "mtu": 1400}


def test_damaged_file_without_a_record_does_not_stop_an_add(make: Callable[..., Runtime], tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "results"
    folder.mkdir(parents=True)
    (folder / "net-box-eth0").write_text("")
    runner = ScriptedRunner({("one", "ADD"): success(RESULT)})
    assert make(runner).add_network_list(network("one"), attachment()).to_dict() == RESULT
    assert len(list((tmp_path / "cache" / "damaged").iterdir())) == 1


def test_damaged_file_of_an_attachment_that_is_on_record_refuses_an_add(
    make: Callable[..., Runtime],
    tmp_path: Path,
) -> None:
    runner = ScriptedRunner()
    runtime = make(runner)
    runtime.add_network_list(network("one"), attachment())
    (tmp_path / "cache" / "results" / "net-box-eth0").write_text("")
    with pytest.raises(AttachmentExistsError) as caught:
        runtime.add_network_list(network("one"), attachment())
    assert not caught.value.unfinished
    assert runner.history == [("ADD", "one")]
    assert runtime.pending() == []
