"""The verbs that only look, usage, and the program as such."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import click
import pytest

from libcni import __version__, cli
from libcni.cli import root
from libcni.storage.locks import container_lock
from libcni.storage.store import Store
from tests.contract.modules import ROOT
from tests.support import kernel

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"


def run_program(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "libcni.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
    )


# Networks


def test_networks_show_the_default_one_why_and_the_bad_files(place: Place) -> None:
    place.network("second", file="20.conflist", plugins=[{"type": "fake"}, {"type": "tuning"}])
    (place.conf / "05-bad.conflist").write_text("[]")
    output = place.run("networks").stdout
    lines = output.splitlines()
    assert lines[0].split() == ["NETWORK", "VERSION", "PLUGINS", "FILE"]
    assert lines[1].split() == ["dbnet", "1.1.0", "fake", "10-dbnet.conflist", "default"]
    assert lines[2].split() == ["second", "1.1.0", "fake,tuning", "20.conflist"]
    assert "Default: dbnet, as its file is the first good one" in output
    assert f"Not used: {place.conf}/05-bad.conflist: line 1, column 1: expected a JSON object" in output


def test_names_of_files_command_no_terminal(place: Place) -> None:
    place.network("red", file="20-\x1b[31mred\n.conflist", plugins=[{"type": "fake"}])
    (place.conf / "30-\x1b[32m.conflist").write_text("{")
    output = place.run("networks").stdout
    assert "\x1b" not in output
    assert "20-\ufffd[31mred\ufffd.conflist" in output
    assert "30-\ufffd[32m.conflist" in output


def test_networks_for_programs(place: Place) -> None:
    (place.conf / "05-bad.conflist").write_text('{"name": "x", "plugins": [{}]}')
    assert json.loads(place.run("networks", "--output=json").stdout) == {
        "default": "dbnet",
        "networks": [
            {
                "name": "dbnet",
                "cniVersion": "1.1.0",
                "plugins": ["fake"],
                "file": str(place.conf / "10-dbnet.conflist"),
            }
        ],
        "problems": [
            {
                "file": str(place.conf / "05-bad.conflist"),
                "line": 1,
                "column": 27,
                "field": "plugins[0].type",
                "msg": "is required",
            }
        ],
    }


def test_networks_with_bad_files_only_shows_them(place: Place) -> None:
    (place.conf / "10-dbnet.conflist").write_text("")
    output = place.run("networks", status=1).stdout
    assert "Default" not in output
    assert "Not used: " in output
    assert output.endswith(f"No network in {place.conf} can be used.\n")
    assert json.loads(place.run("networks", "--output=json", status=1).stdout)["default"] is None


def test_networks_of_an_empty_directory_is_an_error(place: Place) -> None:
    (place.conf / "10-dbnet.conflist").unlink()
    assert f"found in {place.conf}" in place.run("networks", status=1).stderr


# Attachments


def test_attachments_show_what_is_stored(place: Place) -> None:
    assert place.run("attachments").stdout == f"no attachments in {place.cache}\n"
    for name in ("one", "two"):
        place.run("add", "dbnet", NETNS, "--container-id", name)
    lines = place.run("attachments").stdout.splitlines()
    assert lines[1].split() == ["dbnet", "one", "eth0", "10.0.0.2/24", NETNS]
    assert len(lines) == 3
    found = json.loads(place.run("attachments", "--container-id", "two", "--output", "json").stdout)
    assert [(item["containerID"], item["network"], item["unfinished"]) for item in found] == [("two", "dbnet", False)]
    assert found[0]["result"]["ips"] == [{"address": "10.0.0.2/24"}]


def test_attachments_show_unfinished_ones_of_the_container(place: Place) -> None:
    place.fails("ADD", 1, "no")
    place.fails("DEL", 1, "no")
    place.run("add", "dbnet", NETNS, "--container-id", "one", status=1)
    assert place.run("attachments").stdout.splitlines()[1].split() == ["dbnet", "one", "eth0", NETNS, "unfinished"]
    assert "no attachments" in place.run("attachments", "--container-id", "two").stdout
    found = json.loads(place.run("attachments", "--output", "json").stdout)
    assert [(item["unfinished"], item["state"], item["pid"], item["result"]) for item in found] == [
        (True, "unfinished", None, None)
    ]


def test_attachments_show_running_operations_and_their_process(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "one")
    held = Store(str(place.cache), durable=False).locks.try_lock(container_lock("one"))
    assert held is not None
    try:
        assert place.run("attachments").stdout.splitlines()[1].endswith(f"running (process {os.getpid()})")
        (found,) = json.loads(place.run("attachments", "--output", "json").stdout)
    finally:
        held.release()
    assert (found["state"], found["pid"], found["unfinished"]) == ("running", os.getpid(), False)


# Plugins


def test_plugins_show_versions_and_what_is_wrong(place: Place) -> None:
    broken = place.bin / "broken"
    broken.write_text("#!/missing/interpreter\n")
    broken.chmod(0o755)
    (place.bin / "notes.txt").write_text("not executable")
    second = place.folder / "second"
    second.mkdir()
    (second / "fake").symlink_to(place.bin / "broken")
    output = place.run("--bin-dir", "/missing", "plugins", "--bin-dir", str(place.bin), "--bin-dir", str(second)).stdout
    rows = [line.split(maxsplit=1) for line in output.splitlines()]
    assert [row[0] for row in rows] == ["PLUGIN", "broken", "fake"]
    assert "interpreter" in rows[1][1]
    assert rows[2][1].split() == ["1.0.0,1.1.0", str(place.bin / "fake")]


def test_plugins_for_programs(place: Place) -> None:
    assert json.loads(place.run("plugins", "--output", "json").stdout) == [
        {"type": "fake", "versions": ["1.0.0", "1.1.0"], "path": str(place.bin / "fake"), "error": ""}
    ]


def test_plugins_of_empty_directories_says_so(place: Place) -> None:
    assert place.run_bare("plugins", "--bin-dir", "/missing").stdout == "no plugins in /missing\n"


# Schemas


def test_schema_without_name_lists_all(place: Place) -> None:
    names = place.run("schema").stdout.split()
    assert {"network", "result-1.1", "plugins/bridge"} <= set(names)
    assert json.loads(place.run("schema", "--output", "json").stdout) == names


def test_schema_prints_one(place: Place) -> None:
    assert json.loads(place.run("schema", "network").stdout)["$id"] == "urn:libcni:schema:network"


def test_schema_of_unknown_name_is_wrong_usage(place: Place) -> None:
    assert "is not a schema; there are" in place.run("schema", "../pyproject", status=2).stderr


# Demo


def test_demo_shows_every_call_and_leaves_nothing(place: Place) -> None:
    output = place.run_bare("demo").stdout
    for text in (
        "demo-range ADD",
        "demo-pass CHECK",
        "demo-range DEL",
        "demo-range GC",
        "10.77.0.2/24",
        "10.77.0.3/24",
    ):
        assert text in output
    assert output.endswith("Attachments left: 0. Unfinished: 0.\n")


def test_demo_with_a_real_bridge_shows_the_kernels_addresses() -> None:
    missing = kernel.missing_requirement()
    if missing:
        pytest.skip(missing)
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-m", "libcni.cli", "demo", "--real", "--bin-dir", str(kernel.PLUGIN_DIR)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "the kernel has: " in done.stdout
    assert "10.88.77.2/24" in done.stdout
    assert done.stdout.endswith("Attachments left: 0. Unfinished: 0.\n")


def test_real_demo_without_root_or_tools_is_a_clear_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert place.run_bare("demo", "--real", status=1).stderr == "cnitool: a real bridge needs root\n"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    place.environ["PATH"] = "/missing"
    assert "iproute2" in place.run_bare("demo", "--real", status=1).stderr


# Usage, and the program as such


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Usage: cnitool"),
        (["nothing"], "there is no verb 'nothing'"),
        (["add"], "Missing argument 'NETWORK'"),
        (["add", "dbnet"], "Missing argument 'NETNS'"),
        (["add", "dbnet", NETNS, "extra"], "unexpected extra argument"),
        (["--nothing"], "No such option"),
        (["add", "--nothing"], "No such option"),
        (["--timeout", "0", "networks"], "must be a positive number"),
        (["--timeout", "nan", "networks"], "must be a positive number"),
        (["--timeout", "soon", "networks"], "is not a valid float"),
        (["--output", "xml", "networks"], "Invalid value for '--output'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_ends_with_2_and_without_traceback(place: Place, arguments: list[str], message: str) -> None:
    assert message in place.run_bare(*arguments, status=2).stderr


def test_help_names_every_verb_and_common_option(place: Place) -> None:
    output = place.run_bare("--help").stdout
    for verb in (
        "add",
        "check",
        "del",
        "gc",
        "status",
        "networks",
        "attachments",
        "plugins",
        "schema",
        "demo",
        "recover",
    ):
        assert f"  {verb} " in output
        assert "Usage: cnitool" in place.run_bare(verb, "-h").stdout
    for option in ("--conf-dir", "--bin-dir", "--cache-dir", "--container-id", "--ifname", "--timeout", "--output"):
        assert option in output


def test_version_is_that_of_the_package(place: Place) -> None:
    assert place.run_bare("--version").stdout == f"cnitool, version {__version__}\n"


def test_program_ends_with_its_status(place: Place) -> None:
    options = ("--conf-dir", str(place.conf), "--bin-dir", str(place.bin), "--cache-dir", str(place.cache))
    done = run_program(*options, "add", "dbnet", NETNS, "--output", "json")
    assert (done.returncode, json.loads(done.stdout)["ips"][0]["address"]) == (0, "10.0.0.2/24")
    done = run_program(*options, "add", "dbnet", NETNS)
    assert (done.returncode, done.stdout) == (1, "")
    done = run_program(*options, "gc", "dbnet")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_help_and_bad_option_load_little(place: Place) -> None:
    program = "import sys; from libcni.cli import main\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=place.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert {"anyio", "jsonschema", "psutil", "rich"}.isdisjoint(done.stderr.split())


def test_garbage_is_collected_again_when_the_verb_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, bool]] = []

    def load(name: str) -> SimpleNamespace:
        seen.append(("load", gc.isenabled()))
        command = click.Command("schema", callback=lambda: seen.append(("run", gc.isenabled())))
        return SimpleNamespace(name=name, schema_command=command)

    monkeypatch.setattr(root, "import_module", load)
    monkeypatch.setattr(sys, "argv", ["cnitool", "schema"])
    with pytest.raises(SystemExit):
        cli.main()
    assert seen == [("load", False), ("run", True)]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("missing", "arguments"), [("click", []), ("click", ["networks"]), ("rich", ["conformance", "--help"])]
)
def test_missing_extra_is_one_clear_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str, arguments: list[str]
) -> None:
    for name in list(sys.modules):
        if name.startswith(("libcni.cli.", "libcni.conformance.reports.terminal", f"{missing}.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(sys, "argv", ["cnitool", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == (
        "cnitool: the command line needs optional packages: install them with pip install 'libcni[cli]'\n"
    )
