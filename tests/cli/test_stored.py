"""What works from what is stored: verbs of a network whose file is gone or bad, and giving attachments up."""

from __future__ import annotations

import json
import logging
import os
import shlex
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"


def _gone(place: Place) -> None:
    (place.conf / "10-dbnet.conflist").unlink()


def _bad(place: Place) -> None:
    (place.conf / "10-dbnet.conflist").write_text('{"name": "dbnet", ')


def _other(place: Place) -> None:
    _gone(place)
    place.network("other", file="20-other.conflist")


def _no_directory(place: Place) -> None:
    _gone(place)
    place.conf.rmdir()
    place.conf.touch()


each_loss = pytest.mark.parametrize(
    ("lose", "reason"),
    [
        (_gone, "no network configuration (.conf, .conflist, .json) found"),
        (_bad, "10-dbnet.conflist: line 1"),
        (_other, "no network configuration with name 'dbnet'"),
        (_no_directory, "Not a directory"),
    ],
    ids=["gone", "bad", "other", "no-directory"],
)


def _verbs(place: Place) -> list[str]:
    return [call.split()[0] for call in place.calls]


@each_loss
def test_delete_of_a_network_without_a_usable_file_runs_what_is_stored(
    place: Place, lose: Callable[[Place], None], reason: str
) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    lose(place)
    result = place.run("del", "dbnet", NETNS, "--container-id", "box")
    assert "network 'dbnet' is used as it was stored at ADD" in result.stderr
    assert reason in result.stderr
    assert _verbs(place) == ["ADD", "DEL"]
    assert "no attachments" in place.run("attachments").stdout


@each_loss
def test_check_of_a_network_without_a_usable_file_runs_what_is_stored(
    place: Place, lose: Callable[[Place], None], reason: str
) -> None:
    place.run("add", "dbnet", NETNS)
    lose(place)
    assert reason in place.run("check", "dbnet", NETNS).stderr
    assert _verbs(place) == ["ADD", "CHECK"]


@each_loss
def test_gc_of_a_network_without_a_usable_file_collects_what_is_stored(
    place: Place, lose: Callable[[Place], None], reason: str
) -> None:
    for container in ("box", "kept"):
        place.run("add", "dbnet", NETNS, "--container-id", container)
    lose(place)
    result = place.run("gc", "dbnet", "--keep", "kept/eth0")
    assert result.stdout == "deleted box/eth0\n"
    assert reason in result.stderr
    assert _verbs(place) == ["ADD", "ADD", "DEL", "GC"]


@each_loss
@pytest.mark.parametrize("verb", ["check", "del", "gc"])
def test_verb_on_what_is_stored_nowhere_is_the_error_of_the_file(
    place: Place, verb: str, lose: Callable[[Place], None], reason: str
) -> None:
    place.network("second", file="20-second.conflist")
    place.run("add", "second", NETNS, "--container-id", "other")
    (place.conf / "20-second.conflist").unlink()
    assert place.calls
    lose(place)
    result = place.run(verb, "dbnet", *(["--all"] if verb == "gc" else [NETNS]), status=1)
    assert "as it was stored" not in result.stderr
    assert reason in result.stderr
    assert place.calls == []


def test_delete_of_an_unfinished_add_without_a_file_runs_what_is_stored(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.run("add", "dbnet", NETNS, "--no-rollback", status=1)
    _gone(place)
    place.run("del", "dbnet", NETNS)
    assert _verbs(place) == ["ADD", "DEL"]


def test_gc_without_a_file_collects_what_is_unfinished(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.run("add", "dbnet", NETNS, "--container-id", "box", "--no-rollback", status=1)
    _gone(place)
    assert place.run("gc", "dbnet", "--all").stdout == "deleted box/eth0\n"


def test_verbs_use_no_stored_network_that_is_damaged(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    (place.cache / "journal" / "slots").unlink()
    (file,) = (place.cache / "results").iterdir()
    document = json.loads(file.read_text())
    _gone(place)
    for config, said in (("e30=", True), ("eyJuYW1lIjogIm90aGVyIiwgInR5cGUiOiAiZmFrZSJ9", False)):
        file.write_text(json.dumps(document | {"config": config}))
        result = place.run("del", "dbnet", NETNS, "--container-id", "box", status=1)
        assert ("what is stored cannot be used" in result.stderr) == said
        assert place.run("gc", "dbnet", "--all", status=1).stdout == ""
    file.write_text("{")
    place.conf.rmdir()
    place.conf.touch()
    result = place.run("del", "dbnet", NETNS, "--container-id", "box", "--output=json", status=1)
    assert "what is stored cannot be used" in result.stderr
    assert len(json.loads(result.stdout)["notes"]) == 1
    assert _verbs(place) == ["ADD"]


@pytest.mark.parametrize("verb", ["check", "del", "gc"])
def test_name_that_nothing_can_have_is_looked_for_in_no_file(place: Place, verb: str) -> None:
    arguments = ["--all"] if verb == "gc" else [NETNS]
    assert "'../dbnet'" in place.run(verb, "../dbnet", *arguments, status=1).stderr
    assert place.calls == []


@pytest.mark.parametrize("with_file", [True, False], ids=["file", "no-file"])
def test_delete_of_a_container_needs_no_namespace(place: Place, with_file: bool) -> None:
    names = ("--container-id", "box", "--ifname", "cni-none0")
    netns = f"/proc/{os.getpid()}/ns/net"
    place.run("add", "dbnet", netns, *names)
    if not with_file:
        _gone(place)
    place.run("del", "dbnet", *names)
    assert place.calls == [f"ADD box {netns} cni-none0", f"DEL box {netns} cni-none0"]


def test_delete_with_a_namespace_that_is_gone_works(place: Place) -> None:
    netns = place.folder / "ns"
    netns.touch()
    place.run("add", "dbnet", str(netns))
    netns.unlink()
    place.run("del", "dbnet", str(netns))
    assert _verbs(place) == ["ADD", "DEL"]
    assert "no attachments" in place.run("attachments").stdout


def test_delete_without_namespace_and_container_is_wrong_usage(place: Place) -> None:
    assert "--container-id" in place.run("del", "dbnet", status=2).stderr
    assert place.calls == []


def _stuck(place: Place) -> None:
    place.fails("ADD", 7, "cannot use this")
    place.fails("DEL", 7, "cannot use this")
    place.run("add", "dbnet", NETNS, "--container-id", "box", status=1)
    assert place.calls


def test_forget_gives_up_what_no_delete_can_delete(place: Place) -> None:
    _stuck(place)
    logging.getLogger("libcni").handlers.clear()  # that of the call before
    result = place.run("forget", "box")
    assert result.stdout.startswith("forgot dbnet box/eth0; no plugin was run.")
    assert "ip netns exec blue ip addr" in result.stdout
    assert "iptables -t nat -S | grep box" in result.stdout
    assert "forgot dbnet/box/eth0" in result.stderr
    assert place.calls == []
    place.succeeds("ADD")
    place.run("add", "dbnet", NETNS, "--container-id", "box")


def test_forget_shows_where_to_look_for_addresses_and_interfaces(place: Place) -> None:
    ipam = {"type": "host-local", "subnet": "10.0.0.0/24"}
    place.network(
        plugins=[{"type": "fake", "ipam": ipam | {"dataDir": "/run/the leases"}}, {"type": "fake", "ipam": {}}]
    )
    place.network("second", file="20-second.conflist", plugins=[{"type": "fake", "ipam": ipam}])
    place.run("add", "dbnet", "/proc/1/my ns", "--container-id", "box")
    place.run("add", "second", NETNS, "--container-id", "box", "--ifname", "eth1")
    text = place.run("forget", "box", "--network", "dbnet", "--output", "json").stdout
    (document,) = json.loads(text)
    assert document["addresses"] == ["10.0.0.2/24"]
    assert [document[name] for name in ("network", "containerID", "ifname", "netns")] == [
        *("dbnet", "box", "eth0", "/proc/1/my ns"),
    ]
    commands = [shlex.split(item["command"]) for item in document["mayBeLeft"]]
    assert ["nsenter", "--net=/proc/1/my ns", "ip", "addr"] in commands
    assert ["ls", "/run/the leases/dbnet"] in commands
    assert any("10.0.0.2/24" in item["what"] for item in document["mayBeLeft"])
    assert "ls /var/lib/cni/networks/second" in place.run("forget", "box", "--ifname", "eth1").stdout


def test_forget_of_a_damaged_attachment_shows_what_it_can(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    (place.cache / "journal" / "slots").unlink()
    (place.cache / "results" / "dbnet-box-eth0").write_text("{")
    lines = place.run("forget", "box").stdout.splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["rules"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("other",), "container 'other' in"),
        (("box", "--network", "other"), "container 'box' of network 'other' in"),
        (("box", "--ifname", "eth7"), "container 'box' with interface 'eth7' in"),
    ],
    ids=["container", "network", "interface"],
)
def test_forget_of_what_is_not_stored_is_a_clear_error(place: Place, arguments: tuple[str, ...], text: str) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    result = place.run("forget", *arguments, "--output", "json", status=1)
    assert f"nothing is stored about {text} {place.cache}" in result.stderr
    document = json.loads(result.stdout)
    assert (document["code"], document["containerID"]) == (3, arguments[0])


def test_forget_of_one_container_named_as_two_is_wrong_usage(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    place.run("forget", "box", "--container-id", "other", status=2)
    place.run("forget", "box", "--container-id", "box")
