"""How the tool behaves among people, shells and other programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libcni.cli import completion
from libcni.cli.advice import next_steps
from libcni.errors import (
    CacheError,
    CNIErrorGroup,
    ConfigError,
    LockTimeoutError,
    PluginError,
    PluginNotFoundError,
    PluginStartError,
    PluginTimeoutError,
)
from tests.cli.terminal import terminal
from tests.contract.modules import ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Place

NETNS = "/var/run/netns/blue"


def words(place: Place, *arguments: str) -> list[str]:
    directories = ["--conf-dir", str(place.conf), "--bin-dir", str(place.bin), "--cache-dir", str(place.cache)]
    return [sys.executable, "-m", "libcni", *directories, *arguments]


# As most terminals have it: what is written waits in a buffer.
ENVIRON = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}


# Words that were meant


@pytest.mark.parametrize("verb", ["ADD", "Add", "add"])
def test_verb_is_found_in_any_case(place: Place, verb: str) -> None:
    place.run(verb, "dbnet", NETNS)
    assert place.calls[0].startswith("ADD ")


@pytest.mark.parametrize(
    ("verb", "hint"),
    [("ad", "did you mean 'add'?"), ("atachments", "did you mean 'attachments'?"), ("x", "cnitool --help")],
)
def test_wrong_verb_is_answered_with_the_one_that_was_meant(place: Place, verb: str, hint: str) -> None:
    assert hint in place.run(verb, "dbnet", NETNS, status=2).stderr


def test_wrong_network_and_plugin_are_answered_with_those_that_were_meant(place: Place) -> None:
    error = place.run("add", "dbent", NETNS, status=1).stderr
    assert error.splitlines()[1:] == ["  did you mean 'dbnet'?", f"  next: cnitool networks --conf-dir {place.conf}"]
    assert "did you mean" not in place.run("add", "quite-another", NETNS, status=1).stderr
    place.network(plugins=[{"type": "fakke"}])
    error = place.run("add", "dbnet", NETNS, status=1).stderr
    assert error.splitlines()[1:] == ["  did you mean 'fake'?", f"  next: cnitool plugins --bin-dir {place.bin}"]


def test_wrong_container_is_answered_with_the_one_that_was_meant(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "webserver")
    assert "did you mean 'webserver'?" in place.run("inspect", "webservre", status=1).stderr
    assert "did you mean" not in place.run("inspect", "webserver", "--network", "other", status=1).stderr


# What next


@pytest.mark.parametrize(
    ("error", "steps"),
    [
        (PluginError("busy", code=11, plugin="p"), ["next: cnitool explain 11"]),
        (PluginError("odd", code=150), []),
        (PluginError("gone", code=7, command="CHECK", container_id="box"), ["next: cnitool inspect box"]),
        (ConfigError("bad", source="/etc/cni/net.d/1.conf"), ["next: cnitool lint /etc/cni/net.d/1.conf"]),
        (ConfigError("bad"), []),
        (PluginStartError("no program", path="/opt/cni/bin/x"), ["next: ls -l /opt/cni/bin/x; file /opt/cni/bin/x"]),
        (PluginNotFoundError("not found", paths=["/none"], plugin="x"), ["next: cnitool plugins --bin-dir /none"]),
        (LockTimeoutError("box", 7, 1.0), ["next: ps -fp 7"]),
        (LockTimeoutError("box", None, 1.0), ["next: cnitool attachments"]),
        (CNIErrorGroup("all", [PluginError("a", code=7), PluginError("b", code=7)]), ["next: cnitool explain 7"]),
        (CacheError("/no/such/place", "is odd"), []),
        (ValueError("another"), []),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_has_its_next_step(error: BaseException, steps: list[str]) -> None:
    assert next_steps(error) == steps


def test_timeout_names_its_option() -> None:
    (step,) = next_steps(PluginTimeoutError("too slow", timeout=0.5))
    assert "more than 0.5 s with --timeout" in step


def test_missing_directory_advises_to_create_a_network(place: Place) -> None:
    error = place.run("networks", "--conf-dir", "/no/such", status=1).stderr
    assert "next: cnitool networks --conf-dir /no/such create NAME" in error


def test_cache_directory_that_others_may_write_to_says_how_to_stop_them(place: Place) -> None:
    place.cache.mkdir()
    place.cache.chmod(0o1777)
    assert f"next: chmod go-w {place.cache}" in place.run("attachments", status=1).stderr


def test_nobody_is_told_to_be_root(place: Place) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become nobody")
    for path in (place.folder, *place.folder.parents):
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o755)
    (place.folder / "cache").mkdir(mode=0o700)
    # It may read what it runs, wherever that is, and not write; nor can it write how it is covered.
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", *may_read, *words(place, "add", "dbnet", NETNS)],
        env={name: value for name, value in ENVIRON.items() if not name.startswith("COVERAGE_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "  next: run as root\n" in done.stderr
    assert "Traceback" not in done.stderr


# Where the output goes


def test_result_that_cannot_be_written_leaves_the_attachment_and_says_so(place: Place) -> None:
    for verb in (("add",), ("trace", "add")):
        with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
            done = subprocess.run(
                words(place, *verb, "dbnet", NETNS, "--ifname", verb[0]),
                env=ENVIRON,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
        assert done.returncode == 1
        first, second = done.stderr.splitlines()
        assert first == "cnitool: the result cannot be written: No space left on device; the attachment stays"
        assert second.startswith("  delete it with: cnitool --cache-dir")
        place.run(*second.split("cnitool ", 1)[1].split())
    assert "no attachments" in place.run("attachments").stdout


@pytest.mark.parametrize(
    ("arguments", "status"), [(("add", "dbnet", NETNS), 0), (("explain",), -13), (("attachments",), -13)]
)
def test_closed_pipe_ends_it_silently_and_an_add_has_succeeded(
    place: Place, arguments: tuple[str, ...], status: int
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        words(place, *arguments), env=ENVIRON, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (status, b"")


def test_signs_that_a_locale_lacks_are_written_as_numbers(place: Place) -> None:
    place.network(plugins=[{"type": "fake", "note": "λ"}])
    done = subprocess.run(
        words(place, "plan", "dbnet", NETNS),
        env={**ENVIRON, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"\\u03bb" in done.stdout


@pytest.mark.parametrize("columns", [60, 200])
def test_table_keeps_the_width_of_the_terminal(place: Place, columns: int) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "a-container-with-a-name-of-some-length")
    with terminal(words(place, "attachments"), columns=columns, environ={"PYTHONPATH": str(ROOT)}) as screen:
        screen.expect("NETWORK")
        assert screen.end() == 0
        assert max(map(len, re.sub(r"\033\[\d+m", "", screen.seen).splitlines())) <= columns
        assert "\033[1m" in screen.seen
        assert ("a-container-with-a-name-of-some-length" in screen.seen) is (columns == 200)


def test_no_color_is_none(place: Place) -> None:
    place.run("add", "dbnet", NETNS)
    environ = {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    with terminal(words(place, "attachments"), environ=environ) as screen:
        assert screen.end() == 0
        assert "\033[" not in screen.seen


def test_creation_of_a_network_asks_on_a_terminal(place: Place) -> None:
    with terminal(words(place, "networks", "create", "web"), environ={"PYTHONPATH": str(ROOT)}) as screen:
        screen.expect("How are containers connected?")
        screen.type("ptp\n")
        screen.expect("Which subnet?")
        screen.type("10.99.0.0/24\n")
        assert screen.end() == 0
    text = (place.conf / "20-web.conflist").read_text()
    assert '"ptp"' in text
    assert '"10.99.0.0/24"' in text


def test_control_c_on_a_terminal_ends_an_add_and_says_what_was_cleaned_up(place: Place) -> None:
    mark = place.folder / "mark"
    script = f'#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] || exit 0\ntouch {mark}\nexec sleep 60\n'
    (place.bin / "fake").write_text(script)
    command = words(place, "add", "dbnet", NETNS, "--container-id", "box")
    with terminal(command, environ={"PYTHONPATH": str(ROOT)}) as screen:
        while not mark.exists():
            screen._read()
        screen.type("\x03")
        assert screen.end() == 130
        assert "cnitool: interrupted by SIGINT\n  nothing stays of dbnet box/eth0\n" in screen.seen
    assert "no attachments" in place.run("attachments").stdout


# Completion


def completed(place: Place, *typed: str) -> list[str]:
    """Return what a shell would offer for the last word."""
    line = ["cnitool", "--conf-dir", str(place.conf), "--cache-dir", str(place.cache), *typed]
    done = subprocess.run(
        [sys.executable, "-m", "libcni"],
        env={
            **ENVIRON,
            "_CNITOOL_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(line),
            "COMP_CWORD": str(len(line) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return [item.partition(",")[2] for item in done.stdout.splitlines()]


def test_names_are_completed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.network("second", file="20.conflist")
    place.run("add", "dbnet", NETNS, "--container-id", "box-1")
    assert completed(place, "att") == ["attachments"]
    assert completed(place, "add", "d") == ["dbnet"]
    assert completed(place, "run", "dbnet", "--network", "s") == ["second"]
    assert completed(place, "forget", "b") == ["box-1"]
    assert completed(place, "explain", "CNI201") == ["CNI201"]
    assert completed(place, "check", "dbnet", NETNS, "--container-id", "b") == ["box-1"]
    assert completed(place, "schema", "plugins/brid") == ["plugins/bridge"]
    assert completed(place, "add", "--publ") == ["--publish"]
    assert completed(place, "add", "dbnet", "/etc/ho") == ["/etc/ho"]
    (place.conf / "10-dbnet.conflist").unlink()
    place.conf.chmod(0)
    monkeypatch.setattr(completion, "_NETNS_DIRECTORY", str(place.folder / "none"))
    assert [item.type for item in completion.complete_netns(None, None, "")] == ["file"]  # type: ignore[arg-type]  # it needs neither


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_script_for_a_shell_is_printed_and_its_place_is_named(place: Place, shell: str) -> None:
    script = place.run_bare("completion", shell).stdout
    assert "_CNITOOL_COMPLETE" in script
    assert f"cnitool completion {shell} > " in place.run_bare("completion", "--help").stdout
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=60)


# Signals


def test_signal_counts_although_the_shell_ignores_interrupts(place: Place) -> None:
    mark = place.folder / "mark"
    script = f'#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] || exit 0\ntouch {mark}\nexec sleep 60\n'
    (place.bin / "fake").write_text(script)
    added = words(place, "add", "dbnet", NETNS, "--container-id", "box")
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *added]
    with subprocess.Popen(command, env=ENVIRON, stderr=subprocess.PIPE, text=True) as process:
        while not mark.exists():
            assert process.poll() is None
        process.terminate()
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (143, "cnitool: interrupted by SIGTERM\n  nothing stays of dbnet box/eth0\n")


STUBBORN = """
import os, signal, subprocess, sys
import libcni.cli.signals as signals
signals.GRACE, signals._LOOK = 0.2, 50
with signals.Forwarding() as forwarding:
    os.kill(os.getpid(), signal.SIGHUP)  # before there is a process: it gets it when it is there
    command = ["sh", "-c", "trap '' TERM HUP; while :; do sleep 0.05; done"]
    process = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    sys.exit(-forwarding.wait(process))
"""


def test_command_that_ignores_the_end_is_killed_after_the_grace() -> None:
    done = subprocess.run([sys.executable, "-c", STUBBORN], env=ENVIRON, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (9, b"")


def test_interrupted_add_that_cannot_be_deleted_says_how(place: Place) -> None:
    mark = place.folder / "mark"
    script = f'#!/bin/sh\ncat >/dev/null\n[ "$CNI_COMMAND" = ADD ] || exit 7\ntouch {mark}\nexec sleep 60\n'
    (place.bin / "fake").write_text(script)
    command = words(place, "add", "dbnet", NETNS, "--container-id", "box")
    with subprocess.Popen(command, env=ENVIRON, stderr=subprocess.PIPE, text=True) as process:
        while not mark.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 129
    assert "cnitool: interrupted by SIGHUP" in errors
    assert "recover" in errors
    assert "unfinished" in place.run("attachments").stdout


def test_interrupted_delete_says_that_it_can_be_called_again(place: Place) -> None:
    place.run("add", "dbnet", NETNS, "--container-id", "box")
    mark = place.folder / "mark"
    (place.bin / "fake").write_text(f"#!/bin/sh\ncat >/dev/null\ntouch {mark}\nexec sleep 60\n")
    command = words(place, "del", "dbnet", NETNS, "--container-id", "box")
    with subprocess.Popen(command, env=ENVIRON, stderr=subprocess.PIPE, text=True) as process:
        while not mark.exists():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "cnitool: interrupted by SIGINT\n  what is not deleted yet is on record: call it again\n"


# Streams that are not there, or full


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("add", "--help"), ("--version",), ("networks",), ("status", "dbnet", "--output", "json"), ("demo",)],
    ids=" ".join,
)
def test_output_that_cannot_be_written_is_one_line(place: Place, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
        done = subprocess.run(
            words(place, *arguments),
            env=ENVIRON,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (1, "cnitool: No space left on device\n")


def test_run_whose_document_cannot_be_written_says_what_stays(place: Place) -> None:
    own = "--pid", str(os.getpid()), "--keep", "--output", "json"
    with open("/dev/full", "w") as full:  # noqa: PTH123 -- a device
        done = subprocess.run(
            words(place, "run", "dbnet", *own),
            env=ENVIRON,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == "cnitool: the result cannot be written: No space left on device; the attachment stays"
    place.run(*second.split("cnitool ", 1)[1].split())
    assert "no attachments" in place.run("attachments").stdout


CLOSING = "import os, sys; os.closerange(0, 3); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.parametrize("arguments", [("networks",), ("add", "dbnet", NETNS)], ids=" ".join)
def test_closed_streams_are_no_places_for_files(place: Place, arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CLOSING, *words(place, *arguments)], env=ENVIRON, check=False, timeout=60
    )
    assert done.returncode == 0
    if arguments[0] == "add":
        assert place.request["name"] == "dbnet"
        assert "dbnet" in place.run("attachments").stdout


def test_explanation_keeps_the_width_of_the_terminal(place: Place) -> None:
    with terminal(words(place, "explain", "7"), columns=60, environ={"PYTHONPATH": str(ROOT)}) as screen:
        assert screen.end() == 0
    assert max(map(len, screen.seen.splitlines())) <= 60
