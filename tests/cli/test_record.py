"""What ran once is replayed without plugins: --record and --replay."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"


def test_recorded_calls_are_replayed_without_a_plugin(place: Place) -> None:
    file = str(place.folder / "calls.jsonl")
    added = place.run("--record", file, "add", "dbnet", NETNS).stdout
    place.run("check", "dbnet", NETNS, "--record", file)
    place.fails("DEL", 12, "stuck")
    place.run("--record", file, "del", "dbnet", NETNS, status=1)
    place.succeeds("DEL")
    place.run("del", "dbnet", NETNS)
    assert place.calls
    (place.bin / "fake").unlink()
    assert place.run("--replay", file, "add", "dbnet", NETNS).stdout == added
    traced = json.loads(place.run("trace", "check", "dbnet", NETNS, "--replay", file, "--output=json").stdout)
    assert traced["calls"][0]["path"] == "/replayed/fake"
    assert "stuck" in place.run("--replay", file, "del", "dbnet", NETNS, status=1).stderr
    assert "no recorded execution is left" in place.run("--replay", file, "status", "dbnet", status=1).stderr
    assert place.calls == []


def test_recording_holds_no_secret_and_belongs_to_its_owner(place: Place) -> None:
    file = place.folder / "calls.jsonl"
    place.network(plugins=[{"type": "fake", "password": "hush", "mtu": 1500, "capabilities": {"x": True}}])
    place.environ |= {"CNI_ARGS": "NAME=web;TOKEN=hush", "CAP_ARGS": '{"x": {"secret": "hush", "y": 1}}'}
    place.run("add", "dbnet", NETNS, "--record", str(file))
    text = file.read_text()
    assert "hush" not in text
    assert file.stat().st_mode & 0o777 == 0o600
    (call,) = map(json.loads, text.splitlines())
    assert call["environment"]["CNI_ARGS"] == "NAME=web;TOKEN=(not shown)"
    request = json.loads(call["stdin"]["text"])
    assert (request["mtu"], request["password"]) == (1500, "(not shown)")
    assert request["runtimeConfig"] == {"x": {"secret": "(not shown)", "y": 1}}
    assert place.request["password"] == "hush"  # noqa: S105 -- what the plugin got


def test_both_at_once_are_wrong_usage(place: Place) -> None:
    assert "exclude each other" in place.run("add", "dbnet", NETNS, "--record", "a", "--replay", "b", status=2).stderr
    assert "must not be empty" in place.run("add", "dbnet", NETNS, "--record", "", status=2).stderr


def test_file_that_is_no_recording_is_an_error(place: Place) -> None:
    (place.folder / "x").write_text("{}")
    assert (
        "is not a recorded execution"
        in place.run("status", "dbnet", "--replay", str(place.folder / "x"), status=1).stderr
    )
    assert "No such file" in place.run("status", "dbnet", "--replay", str(place.folder / "y"), status=1).stderr
