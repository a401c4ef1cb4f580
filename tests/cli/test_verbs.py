"""The verbs that run plugins: what goes in, what comes out, and how they end."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
DEFAULT_ID = "cnitool-" + hashlib.sha512(NETNS.encode()).digest()[:10].hex()
RESULT = {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0"}], "ips": [{"address": "10.0.0.2/24"}]}


def test_add_prints_the_result_and_nothing_else(place: Place) -> None:
    result = place.run("add", "dbnet", NETNS)
    assert json.loads(result.stdout) == RESULT
    assert result.stderr == ""
    assert place.calls == [f"ADD {DEFAULT_ID} {NETNS} eth0"]


def test_add_check_delete_of_one_namespace(place: Place) -> None:
    place.run("add", "dbnet", NETNS)
    assert place.run("check", "dbnet", NETNS).stdout == ""
    assert place.request["prevResult"] == RESULT
    for _ in range(2):
        assert place.run("del", "dbnet", NETNS).stdout == ""
    assert [call.split()[0] for call in place.calls] == ["ADD", "CHECK", "DEL", "DEL"]


def test_options_stand_before_or_after_the_verb_and_the_later_one_wins(place: Place) -> None:
    place.run("--container-id", "first", "-i", "net1", "add", "dbnet", NETNS)
    place.run("add", "--container-id", "second", "dbnet", NETNS, "--ifname=net2")
    place.run("--container-id", "first", "--ifname", "net1", "add", "dbnet", NETNS, "--container-id", "third")
    assert place.calls == [f"ADD first {NETNS} net1", f"ADD second {NETNS} net2", f"ADD third {NETNS} net1"]


def test_environment_variables_are_those_of_the_go_tool(place: Place) -> None:
    place.network(plugins=[{"type": "fake", "capabilities": {"mac": True}}])
    place.environ |= {
        "CNI_PATH": f"/missing:{place.bin}",
        "NETCONFPATH": str(place.conf),
        "CNI_ARGS": "IgnoreUnknown=1;A=b=c",
        "CAP_ARGS": '{"mac": "00:11:22:33:44:55", "ips": []}',
        "CNI_IFNAME": "net1",
    }
    place.run_bare("add", "dbnet", NETNS, "--cache-dir", str(place.cache))
    assert place.calls == [f"ADD {DEFAULT_ID} {NETNS} net1 IgnoreUnknown=1;A=b=c"]
    assert place.request["runtimeConfig"] == {"mac": "00:11:22:33:44:55"}


def test_options_win_over_environment_variables(place: Place) -> None:
    place.environ |= {"CNI_PATH": "/missing", "NETCONFPATH": "/missing", "CNI_IFNAME": "net1"}
    place.run("add", "dbnet", NETNS, "--ifname", "net2")
    assert place.calls == [f"ADD {DEFAULT_ID} {NETNS} net2"]


def test_default_container_id_is_of_the_absolute_path_and_keeps_links(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place.folder / "real").touch()
    (place.folder / "link").symlink_to("real")
    monkeypatch.chdir(place.folder)
    place.run("add", "dbnet", "link")
    path = str(place.folder / "link")
    digest = hashlib.sha512(path.encode()).digest()[:10].hex()
    assert place.calls == [f"ADD cnitool-{digest} {path} eth0"]


@pytest.mark.parametrize("path", ["//var/run/netns/blue", "/var//run/./netns/red/../blue/", "///var/run/netns/blue"])
def test_default_container_id_is_of_the_shortest_form_of_a_path(place: Place, path: str) -> None:
    place.run("add", "dbnet", path)
    assert place.calls == [f"ADD {DEFAULT_ID} {NETNS} eth0"]


def test_bin_dir_may_be_repeated(place: Place) -> None:
    place.run_bare(
        *("--conf-dir", str(place.conf), "--cache-dir", str(place.cache)),
        *("--bin-dir", "/missing", "--bin-dir", str(place.bin), "add", "dbnet", NETNS),
    )
    assert len(place.calls) == 1


def test_failure_is_told_on_stderr_with_everything_that_is_known(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    result = place.run("add", "dbnet", NETNS, status=1)
    assert result.stdout == ""
    for text in ("cnitool: plugin 'fake'", "failed ADD", "'dbnet'", DEFAULT_ID, "'eth0'", "busy", "(code 11)"):
        assert text in result.stderr
    assert [call.split()[0] for call in place.calls] == ["ADD", "DEL"]


@pytest.mark.parametrize("before", [True, False], ids=["before-the-verb", "after-the-verb"])
def test_failure_for_programs_is_the_error_document(place: Place, before: bool) -> None:
    place.fails("ADD", 11, "busy")
    option, verb = ["--output", "json"], ["add", "dbnet", NETNS]
    result = place.run(*(option + verb if before else verb + option), status=1)
    where = {"plugin": "fake", "command": "ADD", "network": "dbnet", "containerID": DEFAULT_ID, "ifname": "eth0"}
    assert json.loads(result.stdout) == {"cniVersion": "1.1.0", "code": 11, "msg": "busy"} | where
    assert "busy" in result.stderr


def test_failed_clean_up_is_told_too(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.fails("DEL", 12, "stuck")
    result = place.run("add", "dbnet", NETNS, status=1)
    assert "busy" in result.stderr
    assert "\n  clean-up after the failed ADD: " in result.stderr
    assert "stuck" in result.stderr
    assert "unfinished" in place.run("attachments").stdout
    recovered = place.run("recover", status=1)
    assert "not done" in recovered.stdout
    assert "cnitool forget CONTAINER_ID" in recovered.stderr
    place.succeeds("DEL")
    assert f"dbnet {DEFAULT_ID}/eth0: done" in place.run("recover").stdout
    assert place.run("--output=json", "recover").stdout == "[]\n"


def test_recover_for_programs_names_what_was_done(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.fails("DEL", 12, "stuck")
    place.run("add", "dbnet", NETNS, status=1)
    result = place.run("recover", "--output", "json", status=1)
    document = json.loads(result.stdout)
    assert "stuck" in document["msg"]
    (report,) = document["reports"]
    assert "stuck" in report.pop("error")
    assert report == {"network": "dbnet", "containerID": DEFAULT_ID, "ifname": "eth0", "done": False}
    (error,) = document["errors"]
    assert (error["code"], error["plugin"], error["command"], error["containerID"]) == (12, "fake", "DEL", DEFAULT_ID)
    place.succeeds("DEL")
    (done,) = json.loads(place.run("--output=json", "recover").stdout)
    assert done == report | {"done": True, "error": None}


def test_what_a_plugin_logs_is_passed_on(place: Place) -> None:
    (place.bin / "fake").write_text("#!/bin/sh\ncat > /dev/null\necho 'in the works' >&2\necho '{}'\n")
    result = place.run("add", "dbnet", NETNS)
    assert "in the works" in result.stderr
    assert json.loads(result.stdout) == {"cniVersion": "1.1.0"}


def test_second_add_fails_without_a_plugin_run(place: Place) -> None:
    place.run("add", "dbnet", NETNS)
    assert place.calls
    error = place.run("add", "dbnet", NETNS, status=1).stderr
    assert "already added" in error
    assert "delete it with: cnitool" in error
    assert "recover" not in error
    assert place.calls == []


def test_unfinished_add_is_not_called_added_and_the_way_out_is_named(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.fails("DEL", 12, "stuck")
    place.run("add", "dbnet", NETNS, status=1)
    error = place.run("add", "dbnet", NETNS, status=1).stderr
    assert "already added" not in error
    assert "unfinished" in error
    delete = f"cnitool --cache-dir {place.cache} del dbnet {NETNS} --container-id {DEFAULT_ID} --ifname eth0"
    assert delete in error
    assert f"cnitool --cache-dir {place.cache} recover" in error
    assert "recover()" not in error
    place.succeeds("DEL")
    place.run(*delete.split()[1:])
    assert "no attachments" in place.run("attachments").stdout


def test_add_without_rollback_runs_no_delete_and_says_how(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    result = place.run("add", "dbnet", NETNS, "--no-rollback", "--output", "json", status=1)
    assert [call.split()[0] for call in place.calls] == ["ADD"]
    (note,) = json.loads(result.stdout)["notes"]
    delete = note.removeprefix("delete it with: cnitool ").partition(";")[0]
    assert note in result.stderr
    place.run(*delete.split())
    assert [call.split()[0] for call in place.calls] == ["DEL"]
    assert "no attachments" in place.run("attachments").stdout


def test_failed_add_that_was_rolled_back_has_no_advice(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    assert "delete it with" not in place.run("add", "dbnet", NETNS, status=1).stderr


def test_failed_add_whose_journal_cannot_be_read_tells_its_own_error(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    script = (place.bin / "fake").read_text()
    (place.bin / "fake").write_text(script.replace("#!/bin/sh\n", f"#!/bin/sh\nchmod 777 {place.cache}\n"))
    assert "busy" in place.run("add", "dbnet", NETNS, status=1).stderr


def test_check_of_what_was_not_added_fails(place: Place) -> None:
    assert "not added" in place.run("check", "dbnet", NETNS, status=1).stderr
    assert place.calls == []


@pytest.mark.parametrize("verb", ["check", "del", "status"])
def test_verb_without_a_result_prints_one_document_for_programs(place: Place, verb: str) -> None:
    place.run("add", "dbnet", NETNS)
    document = json.loads(place.run(verb, "dbnet", NETNS, "--output", "json").stdout)
    where = {} if verb == "status" else {"containerID": DEFAULT_ID, "ifname": "eth0"}
    assert document == {"command": verb.upper(), "network": "dbnet"} | where


def test_failure_before_a_plugin_runs_names_the_call_for_programs(place: Place) -> None:
    document = json.loads(place.run("check", "dbnet", NETNS, "--output", "json", status=1).stdout)
    where = {"command": "CHECK", "network": "dbnet", "containerID": DEFAULT_ID, "ifname": "eth0"}
    assert document | where == document
    (place.conf / "10-dbnet.conflist").unlink()
    document = json.loads(place.run("--output=json", "status", "dbnet", status=1).stdout)
    assert (document["command"], document["network"]) == ("STATUS", "dbnet")


def test_failed_status_names_the_plugin_for_programs(place: Place) -> None:
    place.fails("STATUS", 50, "not ready")
    document = json.loads(place.run("--output", "json", "status", "dbnet", status=1).stdout)
    assert (document["code"], document["plugin"], document["command"]) == (50, "fake", "STATUS")


def test_notes_of_a_failure_are_there_for_programs(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.fails("DEL", 12, "stuck")
    document = json.loads(place.run("--output", "json", "add", "dbnet", NETNS, status=1).stdout)
    assert any("stuck" in note for note in document["notes"])


def test_what_a_plugin_printed_in_place_of_a_result_is_shown(place: Place) -> None:
    (place.bin / "fake").write_text('#!/bin/sh\ncat > /dev/null\nprintf \'{"ips":[{"addr\'\n')
    result = place.run("add", "dbnet", NETNS, "--output", "json", status=1)
    assert 'stdout: {"ips":[{"addr' in result.stderr
    assert json.loads(result.stdout)["details"] == 'stdout: {"ips":[{"addr'


def test_capability_argument_that_no_plugin_declares_is_told(place: Place) -> None:
    place.environ["CAP_ARGS"] = '{"mac": "secret"}'
    result = place.run("add", "dbnet", NETNS)
    assert "network dbnet: no plugin declares the capability 'mac'" in result.stderr
    assert "secret" not in result.stderr
    assert "no plugin declares the capability 'mac'" in place.run("plan", "dbnet", NETNS, status=1).stdout


def test_status_is_the_plugins(place: Place) -> None:
    place.run("status", "dbnet")
    place.run("status", "dbnet", NETNS)
    place.fails("STATUS", 50, "not ready")
    assert "not ready" in place.run("status", "dbnet", status=1).stderr
    assert [call.split()[0] for call in place.calls] == ["STATUS"] * 3


def test_timeout_ends_a_plugin(place: Place) -> None:
    (place.bin / "fake").write_text("#!/bin/sh\nexec sleep 60\n")
    assert "did not finish within 0.1 s" in place.run("--timeout", "0.1", "status", "dbnet", status=1).stderr


def _added(place: Place, *names: str) -> None:
    for name in names:
        place.run("add", "dbnet", NETNS, "--container-id", name)
    assert len(place.calls) == len(names)


def test_gc_with_neither_keep_nor_all_is_refused(place: Place) -> None:
    _added(place, "one")
    result = place.run("gc", "dbnet", status=2)
    assert "--keep" in result.stderr
    assert "--all" in result.stderr
    assert place.calls == []
    place.run("gc", "dbnet", "--all", "--keep", "one/eth0", status=2)
    assert place.calls == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--output", "json", "gc", "dbnet"),
        ("gc", "dbnet", "--output", "json"),
        ("--output", "json", "gc", "dbnet", "--keep", "one"),
        ("--output", "json", "add", "dbnet"),
        ("add", "dbnet", "--output", "json"),
        ("--output", "json", "add", "dbnet", NETNS, "--unknown"),
        ("--output", "json", "unknown"),
    ],
    ids=" ".join,
)
def test_wrong_usage_for_programs_is_an_error_document_too(place: Place, arguments: tuple[str, ...]) -> None:
    result = place.run(*arguments, status=2)
    document = json.loads(result.stdout)
    assert document["code"] == 4
    assert document["msg"] in result.stderr
    assert place.calls == []


def test_gc_deletes_what_is_not_kept(place: Place) -> None:
    _added(place, "one", "two", "three")
    result = place.run("gc", "dbnet", "--keep", "one/eth0", "--keep", "three/eth0")
    assert result.stdout == "deleted two/eth0\n"
    assert [call.split()[:2] for call in place.calls] == [["DEL", "two"], ["GC"]]
    assert [item["containerID"] for item in place.request["cni.dev/valid-attachments"]] == ["one", "three"]


def test_gc_of_all_for_programs_lists_them(place: Place) -> None:
    _added(place, "one", "two")
    result = place.run("gc", "dbnet", NETNS, "--all", "--output", "json")
    assert json.loads(result.stdout) == [
        {"containerID": "one", "ifname": "eth0", "network": "dbnet"},
        {"containerID": "two", "ifname": "eth0", "network": "dbnet"},
    ]


def test_gc_dry_run_changes_nothing(place: Place) -> None:
    _added(place, "one")
    assert place.run("gc", "dbnet", "--all", "--dry-run").stdout == "would delete one/eth0\n"
    assert place.calls == []


@pytest.mark.parametrize("value", ["one", "one/", "/eth0", ""])
def test_gc_keep_without_container_and_interface_is_wrong_usage(place: Place, value: str) -> None:
    assert "CONTAINER_ID/IFNAME" in place.run("gc", "dbnet", "--keep", value, status=2).stderr


def test_gc_failures_are_told_all_together(place: Place) -> None:
    _added(place, "one")
    place.fails("DEL", 100, "stuck")
    place.fails("GC", 101, "cannot collect")
    error = place.run("gc", "dbnet", "--all", status=1).stderr
    assert "stuck" in error
    assert "cannot collect" in error


def test_gc_failure_for_programs_is_one_document_with_what_was_deleted(place: Place) -> None:
    _added(place, "one", "two")
    place.fails("GC", 101, "cannot collect")
    result = place.run("gc", "dbnet", "--keep", "two/eth0", "--output", "json", status=1)
    document = json.loads(result.stdout)
    assert document["deleted"] == [{"containerID": "one", "ifname": "eth0", "network": "dbnet"}]
    assert (document["command"], document["network"]) == ("GC", "dbnet")
    (error,) = document["errors"]
    assert (error["code"], error["msg"], error["plugin"], error["network"]) == (101, "cannot collect", "fake", "dbnet")


def test_gc_failure_tells_what_was_deleted(place: Place) -> None:
    _added(place, "one")
    place.fails("GC", 101, "cannot collect")
    assert place.run("gc", "dbnet", "--all", status=1).stdout == "deleted one/eth0\n"


def test_gc_that_is_disabled_says_that_it_does_nothing(place: Place) -> None:
    _added(place, "one")
    place.network(disableGC=True)
    result = place.run("gc", "dbnet", "--all")
    assert result.stdout == ""
    assert "nothing is done in network 'dbnet': its configuration sets disableGC" in result.stderr
    document = json.loads(place.run("gc", "dbnet", "--all", "--output", "json").stdout)
    assert (document["disableGC"], document["deleted"]) == (["dbnet"], [])
    assert place.calls == []


def test_gc_of_all_networks_collects_those_without_a_file_too(place: Place) -> None:
    place.network("second", file="20-second.conflist")
    place.network("bare", file="30-bare.conflist", disableGC=True)
    for name in ("dbnet", "second", "bare"):
        place.run("add", name, NETNS, "--container-id", f"of-{name}")
    (place.conf / "10-dbnet.conflist").unlink()
    (place.conf / "40-bad.conflist").write_text("{")
    assert place.calls
    tried = place.run("gc", "--all-networks", "--keep", "of-second/eth0", "--dry-run")
    assert tried.stdout == "would delete dbnet of-dbnet/eth0\n"
    assert "40-bad.conflist" in tried.stderr
    assert "nothing is done in network 'bare'" in tried.stderr
    assert place.calls == []
    result = place.run("gc", "--all-networks", "--all", "--output", "json")
    assert json.loads(result.stdout) == {
        "command": "GC",
        "disableGC": ["bare"],
        "deleted": [
            {"containerID": "of-second", "ifname": "eth0", "network": "second"},
            {"containerID": "of-dbnet", "ifname": "eth0", "network": "dbnet"},
        ],
    }
    assert [item["network"] for item in json.loads(place.run("--output=json", "attachments").stdout)] == ["bare"]


@pytest.mark.parametrize("arguments", [("dbnet", "--all-networks"), ()], ids=["both", "neither"])
def test_gc_needs_one_network_or_all(place: Place, arguments: tuple[str, ...]) -> None:
    assert "NETWORK, or --all-networks" in place.run("gc", *arguments, "--all", status=2).stderr


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "array": ("[]", "expected a JSON object, found an array"),
    "truncated": ('{"name": "dbnet",\n "plugins": [{"type": "fake"}', "line 2"),
    "duplicate-key": ('{"name": "dbnet", "name": "dbnet"}', "duplicate key 'name'"),
    "nan": ('{"name": "dbnet", "plugins": [{"type": "fake", "mtu": NaN}]}', "plugins[0].mtu"),
    "name-with-path": ('{"name": "../dbnet", "plugins": [{"type": "fake"}]}', "must start with a letter or digit"),
    "type-with-slash": ('{"name": "dbnet", "plugins": [{"type": "bin/fake"}]}', "plugins[0].type"),
    "type-missing": ('{"name": "dbnet", "plugins": [{}]}', "plugins[0].type: is required"),
    "plugins-object": ('{"name": "dbnet", "plugins": {}}', "plugins: expected an array, found an object"),
    "plugins-empty": ('{"name": "dbnet", "plugins": []}', "plugins"),
    "unknown-version": ('{"cniVersion": "9.0.0", "name": "dbnet", "plugins": [{"type": "fake"}]}', "9.0.0"),
    "malformed-version": ('{"cniVersion": "1", "name": "dbnet", "plugins": [{"type": "fake"}]}', "major.minor.patch"),
    "utf-8": (b'{"name": "dbnet\xff"}', "invalid UTF-8"),
}


@pytest.mark.parametrize("verb", ["add", "check", "del", "status"])
@pytest.mark.parametrize(("data", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file_is_a_clear_error_and_no_plugin_runs(place: Place, verb: str, data: str | bytes, message: str) -> None:
    path = place.conf / "10-dbnet.conflist"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    error = place.run(verb, "dbnet", *([NETNS] if verb != "status" else []), status=1).stderr
    assert message in error
    assert str(path) in error
    assert place.calls == []


def test_missing_and_unreadable_directories_are_clear_errors(place: Place) -> None:
    error = place.run_bare("--conf-dir", "/missing/net.d", "add", "dbnet", NETNS, status=1).stderr
    assert error.startswith("cnitool: no network configuration (.conf, .conflist, .json) found in /missing/net.d\n")
    file = place.folder / "file"
    file.touch()
    error = place.run_bare("--conf-dir", str(file), "add", "dbnet", NETNS, status=1).stderr
    assert "Not a directory" in error
    (place.conf / "10-dbnet.conflist").unlink()
    (place.conf / "10-dbnet.conflist").symlink_to("10-dbnet.conflist")
    assert "cannot be read" in place.run("add", "dbnet", NETNS, status=1).stderr
    assert place.calls == []


def test_unknown_network_is_a_clear_error(place: Place) -> None:
    for name in ("other", "../dbnet", os.fsdecode(b"\xff")):
        assert f"no network configuration with name {name!r}" in place.run("add", name, NETNS, status=1).stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--ifname", "interface-name-0"], {}, "has 16 bytes; at most 15 are allowed"),
        ([], {"CNI_IFNAME": "a/b"}, "invalid CNI_IFNAME 'a/b': must not contain"),
        (["--container-id", "../x"], {}, "must start with a letter or digit"),
        ([], {"CAP_ARGS": "{mac}"}, "CAP_ARGS"),
        ([], {"CAP_ARGS": "[]"}, "is not a JSON object"),
        ([], {"CAP_ARGS": '{"a": NaN}'}, "CAP_ARGS"),
        ([], {"CNI_ARGS": "A"}, "invalid CNI_ARGS 'part 1': is not KEY=VALUE"),
        ([], {"CNI_ARGS": "=1"}, "invalid CNI_ARGS 'part 1': is not KEY=VALUE"),
    ],
    ids=str,
)
def test_bad_parameter_is_wrong_usage_and_no_plugin_runs(
    place: Place, arguments: list[str], environ: dict[str, str], message: str
) -> None:
    place.environ |= environ
    result = place.run("add", "dbnet", NETNS, *arguments, "--output", "json", status=2)
    assert message in result.stderr
    assert json.loads(result.stdout)["code"] == 4
    assert place.calls == []


@pytest.mark.parametrize("text", ['{"mac": "secret"', '["secret"]', '{"mac": "secret", "mac": 1}'])
def test_bad_capability_arguments_are_not_shown(place: Place, text: str) -> None:
    place.environ["CAP_ARGS"] = text
    result = place.run("add", "dbnet", NETNS, "--output", "json", status=2)
    assert "secret" not in result.output


@pytest.mark.parametrize("verb", ["add", "check", "del"])
def test_empty_namespace_path_is_refused_and_never_the_current_directory(place: Place, verb: str) -> None:
    assert "invalid netns ''" in place.run(verb, "dbnet", "", status=2).stderr
    assert place.calls == []


@pytest.mark.parametrize(("option", "name"), [("--container-id", "container_id"), ("--ifname", "ifname")])
def test_empty_name_is_refused_and_never_replaced_by_the_default(place: Place, option: str, name: str) -> None:
    for arguments in (["add", "dbnet", NETNS, option, ""], [option, "", "add", "dbnet", NETNS]):
        assert f"invalid {name} ''" in place.run(*arguments, status=2).stderr
    assert place.calls == []


@pytest.mark.parametrize("option", ["--conf-dir", "--bin-dir", "--cache-dir"])
def test_empty_directory_is_refused_and_never_replaced_by_the_default(place: Place, option: str) -> None:
    for arguments in (["gc", "dbnet", "--all", option, ""], [option, "", "gc", "dbnet", "--all"]):
        assert option in place.run_bare(*arguments, status=2).stderr


def test_namespace_path_that_is_no_utf_8_is_passed_on(place: Place) -> None:
    path = os.fsdecode(b"/run/netns/\xff")
    place.run("add", "dbnet", path)
    digest = hashlib.sha512(b"/run/netns/\xff").digest()[:10].hex()
    log = (place.folder / "log").read_bytes()
    assert log == b"ADD cnitool-%s /run/netns/\xff eth0 \n" % digest.encode()


def test_missing_plugin_is_a_clear_error(place: Place) -> None:
    place.network(plugins=[{"type": "fake"}, {"type": "absent"}])
    error = place.run("add", "dbnet", NETNS, status=1).stderr
    assert "plugin 'absent' failed ADD of network 'dbnet'" in error
    assert str(place.bin) in error
    assert place.calls == []


def test_cache_directory_that_others_can_write_to_is_refused(place: Place) -> None:
    place.cache.mkdir()
    place.cache.chmod(0o777)
    assert "others can write to it" in place.run("add", "dbnet", NETNS, status=1).stderr
    assert place.calls == []


def test_single_plugin_file_is_used_like_a_list(place: Place, tmp_path: Path) -> None:
    (place.conf / "20-old.conf").write_text('{"cniVersion": "1.0.0", "name": "old", "type": "fake"}')
    result = place.run("add", "old", NETNS)
    assert json.loads(result.stdout)["cniVersion"] == "1.0.0"
    assert (tmp_path / "cache" / "results" / f"old-{DEFAULT_ID}-eth0").exists()
