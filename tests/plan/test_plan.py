"""Plans: the calls are those that the verb makes, and nothing is run or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from libcni import CNIConfig, RuntimeConf, network_conf_from_bytes
from libcni.cli.root import cnitool
from libcni.errors import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CheckNotSupportedError,
    ConfigError,
    InvalidParameterError,
    PluginError,
    PluginNotFoundError,
)
from libcni.invoke.plugin import PluginOutput
from libcni.plan import Planner
from libcni.testing import ScriptedRunner, failure

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.config import NetworkConfigList
    from libcni.plan import Command

RESULT = PluginOutput(stdout=b'{"cniVersion": "1.1.0", "ips": [{"address": "10.1.0.5/24"}], "extra": 1.50}')
RT = RuntimeConf("blue", "/run/netns/blue", "eth0", [("A", "1")], {"mac": "0a:58:0a:01:00:05", "other": 1})


def network(**options: Any) -> NetworkConfigList:
    head = {"cniVersion": "1.1.0", "name": "lab"} | options.pop("head", {})
    plugins = [
        {"type": "first", "capabilities": {"mac": True}, "rate": 1.5, **options},
        {"type": "second"},
        {"type": "third"},
    ]
    return network_conf_from_bytes(json.dumps(head | {"plugins": plugins}))


@pytest.fixture
def bin_dir(tmp_path: Path) -> str:
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("first", "second", "third"):
        path = directory / name
        path.write_text('#!/bin/sh\ntouch "$0.was-run"\nexit 1\n')
        path.chmod(0o755)
    return str(directory)


@pytest.fixture
def runner() -> ScriptedRunner:
    return ScriptedRunner({(name, "ADD"): RESULT for name in ("first", "second", "third")})


@pytest.fixture
def config(tmp_path: Path, bin_dir: str, runner: ScriptedRunner) -> CNIConfig:
    return CNIConfig([bin_dir], cache_dir=tmp_path / "cache", runner=runner, environ={"HOME": "/root"}, durable=False)


@pytest.fixture
def planner(tmp_path: Path, bin_dir: str) -> Planner:
    return Planner([bin_dir], cache_dir=tmp_path / "cache", environ={"HOME": "/root"})


def _asked(runner: ScriptedRunner, command: str) -> list[tuple[str, bytes, dict[str, str]]]:
    calls = [call for call in runner.calls if call.command == command]
    return [(call.plugin, call.stdin, dict(call.environment)) for call in calls]


def _planned(planner: Planner, command: Command, given: NetworkConfigList) -> list[tuple[str, bytes, dict[str, str]]]:
    return [(call.plugin, call.request, dict(call.environment)) for call in planner.plan(command, given, RT).calls]


def test_plan_of_add_is_what_add_asks_except_for_results(
    config: CNIConfig, planner: Planner, runner: ScriptedRunner
) -> None:
    planned = _planned(planner, "ADD", network())
    config.add_network_list(network(), RT)
    asked = _asked(runner, "ADD")
    assert [call[0] for call in planned] == ["first", "second", "third"]
    assert planned[0] == asked[0]
    for mine, real in zip(planned[1:], asked[1:], strict=True):
        assert json.loads(mine[1]) == json.loads(real[1]) | {"prevResult": json.loads(mine[1])["prevResult"]}
        assert mine[2] == real[2]
    assert [json.loads(call[1]).get("prevResult") for call in planned] == [
        None,
        "<result of first>",
        "<result of second>",
    ]


@pytest.mark.parametrize("command", ["CHECK", "DEL"])
def test_plan_is_what_the_verb_asks(
    command: Command, config: CNIConfig, planner: Planner, runner: ScriptedRunner
) -> None:
    config.add_network_list(network(), RT)
    planned = _planned(planner, command, network())
    verb = {"CHECK": config.check_network_list, "DEL": config.del_network_list}[command]
    verb(network(), RT)
    assert planned == _asked(runner, command)


def test_plan_of_del_takes_configuration_and_arguments_of_the_add(
    config: CNIConfig, planner: Planner, runner: ScriptedRunner
) -> None:
    config.add_network_list(network(), RT)
    now = RuntimeConf("blue", "", "eth0")
    plan = planner.plan("DEL", network(rate=2), now)
    config.del_network_list(network(rate=2), now)
    assert [(call.plugin, call.request, dict(call.environment)) for call in plan.calls] == _asked(runner, "DEL")
    assert any("differs" in note for note in plan.notes)


def test_plan_runs_and_writes_nothing(planner: Planner, tmp_path: Path) -> None:
    for command in ("ADD", "CHECK", "DEL"):
        planner.plan(command, network(), RT)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["bin", "first", "second", "third"]


def test_plan_says_why_a_verb_would_be_refused(config: CNIConfig, planner: Planner) -> None:
    (missing,) = planner.plan("CHECK", network(), RT).problems
    assert isinstance(missing, AttachmentNotFoundError)
    config.add_network_list(network(), RT)
    (exists,) = planner.plan("ADD", network(), RT).problems
    assert isinstance(exists, AttachmentExistsError)
    assert not exists.unfinished
    (old,) = planner.plan("CHECK", network(head={"cniVersion": "0.3.1"}), RT).problems
    assert isinstance(old, CheckNotSupportedError)
    assert planner.plan("CHECK", network(), RT).problems == []


def test_plan_of_an_add_says_when_an_earlier_one_is_unfinished(
    config: CNIConfig, planner: Planner, runner: ScriptedRunner
) -> None:
    runner.answer("second", "ADD", failure(100, "broken"))
    with pytest.raises(PluginError):
        config.add_network_list(network(), RT, rollback=False)
    plan = planner.plan("ADD", network(capabilities={"mac": True, "other": True}), RT)
    assert plan.problems == []
    (note,) = plan.notes
    assert "unfinished: it is deleted first" in note
    calls = len(runner.calls)
    runner.answer("second", "ADD", RESULT)
    config.add_network_list(network(), RT)
    assert [call.command for call in runner.calls[calls:]] == ["DEL"] * 3 + ["ADD"] * 3


def test_plan_of_an_add_whose_result_is_damaged_is_refused_when_it_is_on_record(
    config: CNIConfig, planner: Planner, tmp_path: Path
) -> None:
    config.add_network_list(network(), RT)
    (stored,) = (tmp_path / "cache" / "results").iterdir()
    stored.write_text("{")
    (exists,) = planner.plan("ADD", network(), RT).problems
    assert isinstance(exists, AttachmentExistsError)
    (tmp_path / "cache" / "journal" / "slots").unlink()
    assert planner.plan("ADD", network(), RT).problems == []
    config.add_network_list(network(), RT)


def test_plan_of_an_add_of_what_another_program_has_deleted_is_not_refused(
    config: CNIConfig, planner: Planner, tmp_path: Path
) -> None:
    config.add_network_list(network(), RT)
    (stored,) = (tmp_path / "cache" / "results").iterdir()
    stored.unlink()
    assert planner.plan("ADD", network(), RT).problems == []
    config.add_network_list(network(), RT)


def test_plan_notes_a_capability_argument_that_no_plugin_declares(planner: Planner) -> None:
    (note,) = planner.plan("ADD", network(), RT).notes
    assert "'other'" in note
    assert list(planner.plan("ADD", network(capabilities={"mac": True, "other": True}), RT).notes) == []


def test_plan_names_a_plugin_that_is_missing(tmp_path: Path) -> None:
    plan = Planner([str(tmp_path)]).plan("ADD", network(), RT)
    assert [call.path for call in plan.calls] == ["", "", ""]
    assert {type(problem) for problem in plan.problems} == {PluginNotFoundError}
    assert [problem.plugin for problem in plan.problems if isinstance(problem, PluginNotFoundError)] == [
        "first",
        "second",
        "third",
    ]


def test_plan_of_check_that_is_disabled_has_no_call(planner: Planner) -> None:
    plan = planner.plan("CHECK", network(head={"disableCheck": True}), RT)
    assert (list(plan.calls), list(plan.problems)) == ([], [])
    assert plan.notes


def test_plan_of_del_without_anything_stored_takes_what_is_given(planner: Planner) -> None:
    plan = planner.plan("DEL", network(), RT)
    assert [call.plugin for call in plan.calls] == ["third", "second", "first"]
    assert "nothing is stored" in plan.notes[0]


def test_plan_of_del_with_a_damaged_file_notes_it(config: CNIConfig, planner: Planner, tmp_path: Path) -> None:
    config.add_network_list(network(), RT)
    (tmp_path / "cache" / "results" / "lab-blue-eth0").write_text("{")
    plan = planner.plan("DEL", network(), RT)
    assert len(plan.calls) == 3
    assert list(plan.problems) == []
    assert "damaged" in plan.notes[0]


def test_plan_refuses_what_the_verb_would_refuse_as_wrong(planner: Planner) -> None:
    with pytest.raises(InvalidParameterError):
        planner.plan("ADD", network(), RuntimeConf("../x", "/run/netns/x", "eth0"))
    with pytest.raises(InvalidParameterError):
        planner.plan("GC", network(), RT)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigError):
        planner.plan("ADD", network_conf_from_bytes('{"cniVersion": "1.1.0", "name": "lab"}'), RT)


def test_request_is_written_with_line_breaks_and_exact_numbers(planner: Planner) -> None:
    text = '{"cniVersion": "1.1.0", "name": "lab", "plugins": [{"type": "first", "a": 1.50, "b": [], "c": [{}, 1e3]}]}'
    (call,) = planner.plan("ADD", network_conf_from_bytes(text), RT).calls
    assert json.loads(call.pretty_request()) == json.loads(call.request)
    assert '  "a": 1.50,\n  "b": [],\n  "c": [\n    {},\n    1e3\n  ]\n}' in call.pretty_request()


def test_diff_of_what_was_stored_and_what_is_given(config: CNIConfig, planner: Planner) -> None:
    config.add_network_list(network(), RT)
    assert planner.diff("DEL", network(), RT) == []
    lines = planner.diff("ADD", network(rate=2), RuntimeConf("blue", "/run/netns/green", "eth0", [("A", "1")]))
    changed = [line for line in lines if line[0] in "+-" and line[:3] not in {"+++", "---"}]
    assert '-    "rate": 1.5,' in changed
    assert '+    "rate": 2' in changed
    assert "-  CNI_NETNS=/run/netns/blue" in changed
    assert "+  CNI_NETNS=/run/netns/green" in changed
    assert any("0a:58" in line for line in changed)


def test_diff_without_anything_stored_is_refused(planner: Planner) -> None:
    with pytest.raises(AttachmentNotFoundError):
        planner.diff("ADD", network(), RT)


# The command line


@pytest.fixture
def conf_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "net.d"
    directory.mkdir()
    (directory / "10-lab.conflist").write_bytes(network().raw)
    return directory


def _command(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    places = ["--conf-dir", f"{tmp_path}/net.d", "--bin-dir", f"{tmp_path}/bin", "--cache-dir", f"{tmp_path}/cache"]
    ids = ["--container-id", "blue"]
    result = CliRunner(env={"SECRET": "hidden"}).invoke(cnitool, ["plan", *places, *ids, *arguments])
    return result.exit_code, result.output


@pytest.mark.usefixtures("bin_dir", "conf_dir")
def test_command_shows_each_call(tmp_path: Path) -> None:
    status, text = _command(tmp_path, "lab", "/run/netns/blue")
    assert status == 0
    assert text.startswith("ADD of network lab would make 3 calls; nothing was run.\n")
    assert f"1. {tmp_path}/bin/first\n" in text
    assert "   CNI_COMMAND=ADD\n" in text
    assert "prevResult is known when first has run" in text
    assert '"prevResult": "<result of second>"' in text
    assert "SECRET" not in text
    assert "SECRET=hidden" in _command(tmp_path, "lab", "/run/netns/blue", "--environ")[1]


@pytest.mark.usefixtures("bin_dir", "conf_dir")
def test_command_exits_1_when_the_verb_would_be_refused(tmp_path: Path) -> None:
    status, text = _command(tmp_path, "lab", "/run/netns/blue", "--verb", "check")
    assert status == 1
    assert "Would be refused: " in text
    assert _command(tmp_path, "other", "/run/netns/blue")[0] == 1
    assert _command(tmp_path, "lab")[0] == 2
    assert _command(tmp_path, "lab", "/run/netns/blue", "--verb", "gc")[0] == 2


@pytest.mark.usefixtures("bin_dir", "conf_dir")
def test_command_writes_json(tmp_path: Path) -> None:
    status, text = _command(tmp_path, "lab", "/run/netns/blue", "--verb", "del", "--output", "json")
    document = json.loads(text)
    assert status == 0
    assert [call["plugin"] for call in document["calls"]] == ["third", "second", "first"]
    assert document["calls"][0]["request"]["name"] == "lab"
    assert document["refusedBecause"] == []


@pytest.mark.usefixtures("conf_dir")
def test_command_shows_what_changed_since_the_add(config: CNIConfig, tmp_path: Path) -> None:
    assert _command(tmp_path, "lab", "/run/netns/blue", "--diff")[0] == 1
    config.add_network_list(network(rate=7), RuntimeConf("blue", "/run/netns/blue", "eth0"))
    status, text = _command(tmp_path, "lab", "/run/netns/blue", "--diff")
    assert status == 0
    assert "--- stored at ADD\n+++ now\n" in text
    assert '-    "rate": 7\n' in text
    assert isinstance(json.loads(_command(tmp_path, "lab", "/run/netns/blue", "--diff", "--output", "json")[1]), list)
