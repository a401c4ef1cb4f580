"""The verbs that a person looks for: inspect, explain, trace, attachments --watch, networks create."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from ipaddress import IPv4Network, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from libcni.cli import create
from libcni.cli.create import free_subnet
from libcni.cli.trace_page import page_text
from libcni.cli.traced import StandIns, TracedCall, TracedVerb
from libcni.errors import CNIError, ErrorCode
from libcni.lint import Severity, lint_paths
from libcni.protocol.attachment import RuntimeConf
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"
OWN = f"/proc/{os.getpid()}/ns/net"


INNER = """\
#!/bin/sh
cat >/dev/null
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"msg": "full"}'
exit 3
"""
OUTER = """\
#!/bin/sh
cat > /dev/null
ipam=$(IFS=:; for folder in $CNI_PATH; do ls $folder/ipam 2>/dev/null; done | head -1)
echo "{}" | $ipam >&2
[ "$CNI_COMMAND" = ADD ] && echo '{"cniVersion": "1.1.0"}'
exit 0
"""
"""A plugin that calls another one, which it finds as plugins do, and carries on when that fails."""


# inspect


def test_inspect_shows_everything_but_secrets(place: Place) -> None:
    place.network(
        plugins=[{"type": "fake", "password": "hush", "capabilities": {"a": True}, "list": [{"token": "hush"}]}]
    )
    place.environ |= {"CNI_ARGS": "K8S_POD_NAME=web;apiKey=hush", "CAP_ARGS": '{"a": {"secret": "hush", "b": 1}}'}
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    place.environ.clear()
    (document,) = json.loads(place.run("inspect", "box", "--output", "json").stdout)
    assert (document["network"], document["containerID"], document["ifname"]) == ("dbnet", "box", "eth0")
    assert (document["state"], document["netns"], document["netnsState"]) == ("attached", NETNS, "unknown")
    assert document["args"] == {"K8S_POD_NAME": "web", "apiKey": "(not shown)"}
    assert document["capabilityArgs"] == {"a": {"secret": "(not shown)", "b": 1}}
    assert document["result"]["ips"] == [{"address": "10.0.0.2/24"}]
    assert document["config"]["plugins"][0]["list"] == [{"token": "(not shown)"}]
    text = place.run("inspect", "box").stdout
    for part in ("network        dbnet", "container      box", "arguments      K8S_POD_NAME=web, apiKey=(not shown)"):
        assert part in text
    assert "hush" not in text


def test_inspect_takes_the_namespace_in_place_of_the_container(place: Place) -> None:
    place.run("add", "dbnet", NETNS)
    place.run("add", "dbnet", NETNS, "--ifname", "eth1")
    assert len(json.loads(place.run("inspect", NETNS, "--output=json").stdout)) == 2
    (document,) = json.loads(place.run("inspect", NETNS, "--ifname", "eth1", "--output=json").stdout)
    assert document["ifname"] == "eth1"
    assert place.run("inspect", NETNS).stdout.count("network        dbnet") == 2
    assert "nothing is stored" in place.run("inspect", NETNS, "--network", "other", status=1).stderr


def test_inspect_of_what_is_unfinished_in_a_namespace_that_is_there(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    place.run("add", "dbnet", OWN, "--container-id", "box", "--ifname", "none0", "--no-rollback", status=1)
    (document,) = json.loads(place.run("inspect", "box", "--output=json").stdout)
    assert (document["state"], document["netnsState"], document["result"]) == ("unfinished", "present", None)
    assert "result         none" in place.run("inspect", "box").stdout


def test_inspect_of_a_running_operation_names_its_process(place: Place) -> None:
    mark = place.folder / "mark"
    (place.bin / "fake").write_text(f"#!/bin/sh\ntouch {mark}\nexec sleep 60\n")
    words = [sys.executable, "-m", "libcni", "--conf-dir", str(place.conf), "--bin-dir", str(place.bin)]
    words += ["--cache-dir", str(place.cache), "add", "dbnet", NETNS, "--container-id", "box"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environ, stderr=subprocess.PIPE, text=True) as process:
        while not mark.exists():
            assert process.poll() is None
        assert f"running (process {process.pid})" in place.run("inspect", "box").stdout
        process.send_signal(signal.SIGINT)
        (place.bin / "fake").write_text("#!/bin/sh\ncat >/dev/null\n")
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "cnitool: interrupted by SIGINT\n  nothing stays of dbnet box/eth0\n" in errors


# explain


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("11", ["11: Try again later", "Cause:", "What to do:"]),
        ("150", ["An error of the plugin's own"]),
        ("CNI201", ["A misspelt key", "docs/lint.md"]),
        ("cni201", ["CNI201: A misspelt key"]),
        ("rt-status", ["STATUS goes to every plugin", "--explain rt-status"]),
    ],
)
def test_explain_says_the_cause_and_what_to_do(place: Place, code: str, texts: list[str]) -> None:
    text = place.run_bare("explain", code).stdout
    for part in texts:
        assert part in text


def test_explain_for_programs_and_of_every_code(place: Place) -> None:
    every = json.loads(place.run_bare("explain", "--output", "json").stdout)
    codes = {entry["code"] for entry in every}
    assert {str(int(code)) for code in ErrorCode} <= codes
    assert {"CNI001", "rt-status"} <= codes
    assert place.run_bare("explain").stdout.count("\n") == len(every)
    document = json.loads(place.run_bare("explain", "7", "--output=json").stdout)
    assert document.keys() == {"code", "kind", "title", "cause", "todo"}


@pytest.mark.parametrize(
    ("code", "hint"), [("CNI20l", "did you mean CNI20"), ("12", "see: cnitool explain"), ("", "see")]
)
def test_explain_of_no_code_is_wrong_usage(place: Place, code: str, hint: str) -> None:
    assert hint in place.run_bare("explain", code, status=2).stderr


# attachments --watch


def test_watch_shows_them_again_when_something_changes(place: Place) -> None:
    words = [
        sys.executable,
        "-m",
        "libcni",
        "--cache-dir",
        str(place.cache),
        "attachments",
        "--watch",
        "--interval",
        "0.05",
    ]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "no attachments" in process.stdout.readline()
        place.run("add", "dbnet", NETNS, "--container-id", "box")
        seen = ""
        while "10.0.0.2/24" not in seen:
            seen = process.stdout.readline()
            assert seen
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
    assert process.returncode == 130


def test_watch_is_not_for_programs(place: Place) -> None:
    assert "--watch" in place.run("attachments", "--watch", "--output", "json", status=2).stderr


# networks create


def created(place: Place, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(place.run("networks", "create", *arguments, "--output=json").stdout)
    return document


def test_created_network_is_one_that_lint_finds_nothing_in(place: Place) -> None:
    (place.conf / "10-dbnet.conflist").unlink()
    for name in ("bridge", "ptp", "host-local", "portmap"):
        (place.bin / name).write_text((place.bin / "fake").read_text())
        (place.bin / name).chmod(0o755)
    document = created(place, "web")
    path = place.conf / "10-web.conflist"
    assert document["file"] == str(path)
    assert json.loads(path.read_text()) == document["network"]
    assert document["network"]["cniVersion"] == "1.1.0"
    bridge, portmap = document["network"]["plugins"]
    assert (bridge["type"], bridge["bridge"], bridge["ipMasq"]) == ("bridge", "cni-web", True)
    assert portmap["capabilities"] == {"portMappings": True}
    second = created(place, "lab", "--type", "ptp", "--internal", "--mtu", "1400")
    assert second["file"].endswith("/20-lab.conflist")
    (ptp,) = second["network"]["plugins"]
    assert (ptp["mtu"], "routes" in ptp["ipam"], "ipMasq" in ptp) == (1400, False, False)
    found = lint_paths([place.conf], bin_dirs=[str(place.bin)])
    assert [finding for finding in found if finding.severity is not Severity.NOTE] == []
    assert os.listdir(place.conf) in (["10-web.conflist", "20-lab.conflist"], ["20-lab.conflist", "10-web.conflist"])  # noqa: PTH208


def test_automatic_subnet_is_free_and_a_taken_one_is_refused(place: Place) -> None:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}], "odd"], "subnet": "no subnet"}
    place.network(plugins=[{"type": "fake", "ipam": ipam}])
    document = created(place, "web")["network"]
    assert document["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.88.1.0/24"}]]
    assert document["cniVersion"] == "1.0.0"  # there is no plugin that could be asked
    error = place.run("networks", "create", "lab", "--subnet", "10.88.0.0/16", status=2).stderr
    assert "overlaps 10.88.0.0/24" in error
    assert "has host bits set" in place.run("networks", "create", "lab", "--subnet", "10.1.2.3/8", status=2).stderr
    six = created(place, "six", "--subnet", "fd00:7::/64")["network"]["plugins"][0]["ipam"]
    assert six["routes"] == [{"dst": "::/0"}]
    with pytest.raises(CNIError, match="in use"):
        free_subnet([IPv4Network("10.88.0.0/13")])
    assert free_subnet([IPv4Network("0.0.0.0/0"), ip_network("fd00::/8")]) == IPv4Network("10.88.0.0/24")


def test_routes_of_the_host_are_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text("Iface\tDestination\n" + "eth0 00000000 0 0 0 0 0 00000000\neth0 0000580A 0 0 0 0 0 00FFFFFF\n")
    monkeypatch.setattr(create, "_ROUTES", str(table))
    assert list(create._routed()) == [IPv4Network("10.88.0.0/24")]
    monkeypatch.setattr(create, "_ROUTES", str(tmp_path / "none"))
    assert list(create._routed()) == []


def test_network_on_a_link_needs_the_link(place: Place) -> None:
    (plugin,) = created(place, "wire", "--type", "macvlan", "--master", "eth0")["network"]["plugins"]
    assert (plugin["master"], "ipMasq" in plugin) == ("eth0", False)
    assert "needs --master" in place.run("networks", "create", "x", "--type", "ipvlan", status=2).stderr
    assert "takes no --master" in place.run("networks", "create", "x", "--master", "eth0", status=2).stderr
    place.run("networks", "create", "x", "--type", "ipvlan", "--master", "a/b", status=2)


def test_network_that_is_there_stays(place: Place) -> None:
    assert "there is a network 'dbnet' already" in place.run("networks", "create", "dbnet", status=1).stderr
    (place.conf / "20-web.conflist").write_text("{")  # a file that no network has a name in
    assert "20-web.conflist" in place.run("networks", "create", "web", status=1).stderr
    assert (place.conf / "20-web.conflist").read_text() == "{"
    place.run("networks", "create", "../x", status=2)


def test_dry_run_writes_nothing(place: Place) -> None:
    before = sorted(place.conf.iterdir())
    document = json.loads(place.run("networks", "create", "web", "--dry-run").stdout)
    assert document == created(place, "web", "--dry-run")["network"]
    assert created(place, "web", "--dry-run")["file"] is None
    assert sorted(place.conf.iterdir()) == before
    text = place.run("networks", "create", "web").stdout
    assert f"wrote {place.conf}/20-web.conflist" in text
    assert "cnitool run web" in text


def test_directory_is_made_where_there_is_none(place: Place) -> None:
    place.run("networks", "--conf-dir", str(place.folder / "new"), "create", "web")
    assert (place.folder / "new" / "10-web.conflist").exists()


# trace


class Page(HTMLParser):
    """The links, anchors and texts of a page, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.text = ""
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a":
            self.links.append(given["href"] or "")
        if "id" in given:
            self.anchors.add(given["id"] or "")
        self.fetched += [value or "" for name, value in attrs if name in {"src", "srcset"} or tag in {"link", "script"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_trace_shows_each_call_and_what_went_in_and_out(place: Place) -> None:
    place.network(plugins=[{"type": "fake", "password": "hush"}, {"type": "fake"}])
    text = place.run("trace", "add", "dbnet", NETNS, "--container-id", "box").stdout
    assert text.startswith("ADD dbnet box/eth0: done in 0.")
    assert re.search(r"^├─ fake ADD: exit status 0, 0\.\d+ s, processor 0\.\d+ s", text, re.MULTILINE)
    assert re.search(r"^└─ fake ADD", text, re.MULTILINE)
    assert '"password": "(not shown)"' in text
    assert "hush" not in text
    assert text.count("request: {") == text.count("answer: {") == 2
    brief = place.run("trace", "CHECK", "dbnet", NETNS, "--container-id", "box", "--brief").stdout
    assert len(brief.splitlines()) == 3
    (place.conf / "10-dbnet.conflist").unlink()
    document = json.loads(place.run("trace", "del", "dbnet", NETNS, "--container-id", "box", "--output=json").stdout)
    assert (document["command"], document["error"]) == ("DEL", None)
    first, second = document["calls"]
    assert first["started"] + first["duration"] <= second["started"] + 0.001
    assert first["answer"] is None
    assert first["request"]["prevResult"]["ips"] == [{"address": "10.0.0.2/24"}]


def test_trace_of_what_fails_shows_the_error_and_the_roll_back(place: Place) -> None:
    place.fails("ADD", 11, "busy")
    result = place.run("trace", "add", "dbnet", NETNS, status=1)
    assert "failed in" in result.stdout
    assert "fake ADD: exit status 1" in result.stdout
    assert "error: plugin 'fake'" in result.stdout
    assert "fake DEL: exit status 0" in result.stdout
    assert result.stderr.startswith("cnitool: plugin 'fake'")
    assert result.stderr.endswith("  next: cnitool explain 11\n")
    page = place.folder / "trace.html"
    words = "trace", "add", "dbnet", NETNS, "--html", str(page)
    document = json.loads(place.run(*words, "--output=json", status=1).stdout)
    assert (document["error"]["code"], document["error"]["plugin"]) == (11, "fake")
    assert "Failed: plugin 'fake'" in parsed(page).text
    (place.bin / "fake").write_text("#!/bin/sh\nkill -KILL $$\n")
    assert "fake ADD: signal 9" in place.run(*words, status=1).stdout
    assert "signal 9" in page.read_text()


def test_trace_page_needs_nothing_else(place: Place) -> None:
    path = place.folder / "trace.html"
    place.network(plugins=[{"type": "fake", "note": "<script>alert(1)</script>"}, {"type": "fake"}])
    place.run("trace", "add", "dbnet", NETNS, "--html", str(path))
    page = parsed(path)
    assert page.fetched == []
    assert {link.removeprefix("#") for link in page.links} == page.anchors == {"call-1", "call-2"}
    assert "2 plugin calls in" in page.text
    assert "<script>alert(1)</script>" in page.text


@pytest.mark.parametrize(
    ("started", "duration", "place"),
    [(0.0, 0.2, "left:20.00%"), (0.8, 0.2, "right:20.00%"), (0.05, 0.9, "left:5.00%"), (0.25, 0.75, "left:25.00%")],
    ids=["behind", "before", "inside", "inside-to-the-end"],
)
def test_time_of_a_bar_stays_on_the_page(started: float, duration: float, place: str) -> None:
    call = TracedCall(plugin="p", verb="ADD", path="/p", started=started, duration=duration, exit_status=0)
    traced = TracedVerb("ADD", "net", RuntimeConf("box", "/n", "eth0"), (call,), 1.0, None)
    (style,) = re.findall(r'class="time" style="([^"]+)"', page_text(traced))
    assert style.startswith(place)
    # On a bar the text is white.
    assert ("#fff" in style) is (started + duration > 0.75 and started < 0.5)


def test_trace_page_of_a_verb_that_was_refused_has_the_reason_alone(place: Place) -> None:
    path = place.folder / "trace.html"
    place.run("add", "dbnet", NETNS)
    place.run("trace", "add", "dbnet", NETNS, "--html", str(path), status=1)
    page = parsed(path)
    assert "0 plugin calls in" in page.text
    assert "already added" in page.text
    assert "Timeline" not in page.text


def test_trace_draws_with_plain_signs_where_there_are_no_others(place: Place) -> None:
    words = [sys.executable, "-m", "libcni", "--conf-dir", str(place.conf), "--bin-dir", str(place.bin)]
    words += ["--cache-dir", str(place.cache), "trace", "add", "dbnet", NETNS, "--brief"]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(words, env=environ, capture_output=True, check=True, timeout=60)
    assert done.stdout.decode("ascii").splitlines()[1].startswith("`- fake ADD")


def test_call_inside_a_call_is_seen_through_a_stand_in(place: Place) -> None:
    scripts = {"ipam": INNER, "outer": OUTER}
    for name, script in scripts.items():
        (place.bin / name).write_text(script)
        (place.bin / name).chmod(0o755)
    place.network(plugins=[{"type": "outer", "ipam": {"type": "ipam"}}, {"type": "fake", "ipam": {"type": "missing"}}])
    path = place.folder / "trace.html"
    text = place.run("trace", "add", "dbnet", NETNS, "--brief", "--html", str(path)).stdout
    assert re.search(r"^│  └─ ipam ADD: exit status 3, 0\.\d+ s$", text, re.MULTILINE)
    assert "call-1-1" in path.read_text()
    document = json.loads(place.run("trace", "del", "dbnet", NETNS, "--output=json").stdout)
    (inner,) = document["calls"][1]["calls"]
    assert (inner["plugin"], inner["command"], inner["exitStatus"]) == ("ipam", "DEL", 0)
    assert inner["path"] == str(place.bin / "ipam")
    assert (inner["cpuSeconds"], inner["maxRSS"]) == (None, None)


def test_call_that_was_killed_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    made = StandIns(tmp_path)
    made.add("ipam", "/bin/true")
    (tmp_path / "ipam" / "call.x").mkdir()
    assert list(made.calls()) == []
