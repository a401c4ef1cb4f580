"""The documents for programs: each verb prints one for each call, as its published schema says."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from libcni import schema
from libcni.cli.root import _VERBS
from libcni.conformance.outcome import Outcome, Report, Status
from tests.cli.test_manners import words

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
NAMES = sorted(name for name in schema.names() if name.startswith("cnitool/"))

OF_VERB = {
    "check": "call",
    "del": "call",
    "status": "call",
}
"""Verbs whose schema has another name."""

TEXTS = {each.name: "text" for each in fields(Outcome) if each.type == "str"}
OUTCOME = Outcome(**TEXTS, status=Status.FAILED, seconds=0.5, call={"a": 1}, steps=({"b": 2},))


def checked(name: str, text: str) -> Any:
    document = json.loads(text)
    assert schema.validate(f"cnitool/{name}", document) == []
    return document


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_one_and_describes_every_member(name: str) -> None:
    document = schema.load(name)
    Draft202012Validator.check_schema(document)
    assert document["$id"] == f"urn:libcni:schema:{name.replace('/', ':')}"
    assert document["description"]


def test_every_verb_has_its_schema() -> None:
    assert {f"cnitool/{OF_VERB.get(verb, verb)}" for verb in _VERBS} <= set(NAMES)


def test_verbs_of_an_attachment_print_their_documents(place: Place) -> None:
    as_json = "--output", "json"
    place.network(plugins=[{"type": "fake", "capabilities": {"mac": True}}])
    planned = checked("plan", place.run("plan", "dbnet", NETNS, *as_json).stdout)
    assert planned["calls"][0]["plugin"] == "fake"
    checked("add", place.run("add", "dbnet", NETNS, "--mac", "02:00:00:00:00:01", *as_json).stdout)
    checked("plan-diff", place.run("plan", "dbnet", NETNS, "--verb", "check", "--diff", *as_json).stdout)
    for verb in ("check", "status"):
        checked("call", place.run(verb, "dbnet", NETNS, *as_json).stdout)
    (listed,) = checked("attachments", place.run("attachments", *as_json).stdout)
    (shown,) = checked("inspect", place.run("inspect", NETNS, *as_json).stdout)
    assert listed["result"] == shown["result"]
    traced = checked("trace", place.run("trace", "check", "dbnet", NETNS, *as_json).stdout)
    assert traced["calls"][0]["command"] == "CHECK"
    checked("call", place.run("del", "dbnet", NETNS, *as_json).stdout)
    place.fails("ADD", 11, "busy")
    failed = checked("trace", place.run("trace", "add", "dbnet", NETNS, *as_json, status=1).stdout)
    assert failed["error"]["code"] == 11
    assert failed["calls"][0]["error"]


def test_verbs_that_clean_up_print_their_documents(place: Place) -> None:
    as_json = "--output", "json"
    for container in ("a", "b"):
        place.run("add", "dbnet", NETNS, "--container-id", container)
    assert len(checked("gc", place.run("gc", "dbnet", "--keep", "b/eth0", *as_json).stdout)) == 1
    (forgotten,) = checked("forget", place.run("forget", "b", *as_json).stdout)
    assert forgotten["mayBeLeft"]
    place.network(disableGC=True)
    for which in (("dbnet",), ("--all-networks",)):
        assert checked("gc", place.run("gc", *which, "--all", *as_json).stdout)["disableGC"] == ["dbnet"]
    place.fails("ADD", 11, "busy")
    place.run("add", "dbnet", NETNS, "--no-rollback", status=1)
    place.fails("DEL", 12, "stuck")
    assert checked("error", place.run("recover", *as_json, status=1).stdout)["reports"]
    place.succeeds("DEL")
    assert checked("recover", place.run("recover", *as_json).stdout)[0]["done"]


def test_verbs_that_look_print_their_documents(place: Place) -> None:
    as_json = "--output", "json"
    (place.conf / "05-bad.conflist").write_text('{"name": "x", "plugins": [{}]}')
    assert checked("networks", place.run("networks", *as_json).stdout)["problems"]
    assert checked("networks-create", place.run("networks", "create", "web", *as_json).stdout)["file"]
    assert (
        checked("networks-create", place.run("networks", "create", "lab", "--dry-run", *as_json).stdout)["file"] is None
    )
    assert checked("plugins", place.run("plugins", *as_json).stdout)
    assert checked("lint", place.run("lint", *as_json, status=1).stdout)
    assert "cnitool/add" in checked("schema", place.run("schema", *as_json).stdout)
    checked("explain", place.run("explain", "CNI201", *as_json).stdout)
    assert checked("explain-list", place.run("explain", *as_json).stdout)


def test_conformance_prints_its_documents(place: Place, tmp_path: Path) -> None:
    assert checked("conformance-list", place.run("conformance", "--list", "--output", "json").stdout)
    reports: list[str] = []
    for name, status in (("old", Status.PASSED), ("new", Status.FAILED)):
        report = Report((replace(OUTCOME, status=status),), {"bridge": {"path": "/x"}})
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(report.document()))
        checked("conformance", path.read_text())
        reports.append(str(path))
    (change,) = checked(
        "conformance-diff", place.run("conformance", "diff", *reports, "--output=json", status=1).stdout
    )
    assert change["worse"]


def test_run_prints_its_document_when_the_command_has_ended(place: Place) -> None:
    own = "--pid", str(os.getpid()), "--container-id", "box", "--output", "json"
    command = "sh", "-c", "echo for people; exit 7"
    done = subprocess.run(
        [*words(place), "run", "dbnet", *own, "--", *command], capture_output=True, text=True, check=False, timeout=60
    )
    document = checked("run", done.stdout)
    assert (done.returncode, document["exitStatus"], done.stderr) == (7, 7, "for people\n")
    assert document["results"][0]["result"]["ips"]
    assert place.calls[-1].startswith("DEL box ")
    missing = checked("run", place.run("run", "dbnet", *own, "--", "no-such-command", status=127).stdout)
    assert missing["exitStatus"] == 127
    kept = checked("run", place.run("run", "dbnet", *own, "--keep").stdout)
    assert "exitStatus" not in kept


def test_document_of_a_run_does_not_follow_a_failed_deletion(place: Place) -> None:
    place.fails("DEL", 12, "stuck")
    own = "--pid", str(os.getpid()), "--output", "json"
    (error,) = checked("error", place.run("run", "dbnet", *own, "--", "true", status=1).stdout)["errors"]
    assert error["code"] == 12


def test_demo_and_completion_print_their_documents(place: Place) -> None:
    demo = checked("demo", place.run_bare("demo", "--output", "json").stdout)
    assert [call["command"] for call in demo["calls"]].count("ADD") == 4
    assert demo["calls"][0]["answer"]["ips"]
    assert (demo["attachmentsLeft"], demo["unfinished"]) == (0, 0)
    for shell in ("bash", "zsh", "fish"):
        script = checked("completion", place.run_bare("completion", shell, "--output", "json").stdout)["script"]
        assert f"{script}\n" == place.run_bare("completion", shell).stdout


def test_lint_prints_what_it_would_mend(place: Place) -> None:
    (place.conf / "20-bad.conflist").write_text(
        '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "bridge",}]}'
    )
    (mended,) = checked("lint-diff", place.run("lint", "--diff", "--output", "json", status=1).stdout)
    assert mended["file"] == mended["newFile"] == str(place.conf / "20-bad.conflist")
    assert '+{"cniVersion"' in mended["diff"]
    checked("lint", place.run("lint", "--fix", "--no-plugins", "--format", "json").stdout)
    assert checked("lint-diff", place.run("lint", "--diff", "--format", "json").stdout) == []


def test_conformance_explains_in_documents(place: Place, tmp_path: Path) -> None:
    as_json = "--output", "json"
    explained = checked("conformance-explain", place.run("conformance", "--explain", "del-twice", *as_json).stdout)
    assert (explained["check"]["id"], explained["plugin"], explained["calls"]) == ("del-twice", None, [])
    explained = checked("conformance-explain", place.run("conformance", "--explain", "bridge", *as_json).stdout)
    assert (explained["check"], explained["plugin"]) == (None, "bridge")
    assert explained["knownFaults"]
    call = "conformance", str(place.bin / "fake"), "--profile", "interface", "--explain", "del-twice"
    (traced,) = checked("conformance-explain", place.run(*call, *as_json).stdout)["calls"]
    assert traced["plugin"] == "fake"
    assert "CNI_COMMAND=DEL" in traced["shell"]
    source = tmp_path / "report.json"
    source.write_text(json.dumps(Report((replace(OUTCOME, check="del-twice"),), {"text": {}}).document()))
    (row,) = checked("conformance-matrix", place.run("conformance", "matrix", str(source), *as_json).stdout)
    assert row["groups"] == {"delete": {"failed": 1}}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("add", "nonet", NETNS), 1),
        (("add", "dbnet"), 2),
        (("nonsense",), 2),
        (("add", "dbnet", NETNS, "--publish", "1:2"), 2),
        (("inspect", "nobody"), 1),
        (("explain", "nonsense"), 2),
        (("run", "nonet", "--", "true"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_failure_prints_the_error_document(place: Place, arguments: tuple[str, ...], status: int) -> None:
    assert checked("error", place.run("--output", "json", *arguments, status=status).stdout)["msg"]


def test_group_of_failures_is_an_error_document_too(place: Place) -> None:
    for container in ("a", "b"):
        place.run("add", "dbnet", NETNS, "--container-id", container)
    place.fails("DEL", 12, "stuck")
    document = checked("error", place.run("gc", "dbnet", "--all", "--output", "json", status=1).stdout)
    assert len(document["errors"]) == 2
