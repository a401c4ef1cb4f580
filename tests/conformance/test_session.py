"""Sessions: what applies, what goes wrong, time limits, cancelling; and descriptions of plugins."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from libcni.conformance import isolation, kernel
from libcni.conformance.catalogue import Check, load_checks, select
from libcni.conformance.lab import Probe
from libcni.conformance.outcome import Status
from libcni.conformance.session import Session, reason_to_skip
from libcni.conformance.subject import Kind, Subject, load_subject, profile_names, ready_subject
from libcni.errors import CNIError, ConfigError, InvalidParameterError, PluginNotFoundError
from tests.conformance import bench

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.conformance.outcome import Outcome

PROBE = Probe("/x", ("0.4.0", "1.0.0"))


def check_of(check_id: str) -> Check:
    return next(check for check in load_checks() if check.id == check_id)


@pytest.mark.parametrize(
    ("check_id", "subject", "probe", "reason"),
    [
        ("chained-kept", Subject("x", Kind.IPAM), PROBE, "is not for plugins of the profile ipam"),
        ("gc-twice", Subject("x", Kind.IPAM), PROBE, "no version from 1.1.0 on"),
        ("version-echo", Subject("x", Kind.IPAM, ignore={"version-*": "so"}), PROBE, "so"),
        ("add-succeeds", Subject("x", Kind.IPAM), replace(PROBE, missing_links=("vrf",)), "no links of type vrf"),
        ("add-succeeds", Subject("x", Kind.IPAM, missing="no server"), PROBE, "no server"),
        ("data-full", Subject("x", Kind.IPAM), PROBE, "names no data directory"),
        ("delegate-del", Subject("x", Kind.META), PROBE, "names no delegate"),
        ("capability-mac", Subject("x", Kind.INTERFACE), PROBE, "does not declare the capability mac"),
        ("version-echo", Subject("x", Kind.IPAM), PROBE, None),
    ],
)
def test_reason_to_skip(
    monkeypatch: pytest.MonkeyPatch, check_id: str, subject: Subject, probe: Probe, reason: str | None
) -> None:
    monkeypatch.setattr(isolation, "is_possible", lambda: True)

    found = reason_to_skip(subject, probe, check_of(check_id))

    assert found is None if reason is None else reason in str(found)


def test_without_root_what_needs_no_namespace_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isolation, "is_possible", lambda: False)
    own = bench.subject("interface", bench.write_plugins(tmp_path / "bin"))

    counts = Session().run([own], load_checks()).counts()

    assert counts[Status.PASSED] > 30
    assert counts[Status.FAILED] == counts[Status.BROKEN] == 0


def own_check(text: str, **members: object) -> Check:
    return replace(check_of("version-bare"), id="own", run=text, **members)  # type: ignore[arg-type]  # of any field


def outcome_of(subject: Subject, check: Check, session: Session | None = None) -> Outcome:
    return (session or Session()).run([subject], [check]).outcomes[0]


def test_check_that_cannot_be_done_is_broken(plugins: Path) -> None:
    own = replace(bench.subject("interface", plugins), prepare=("link add nonsense type nonsense",))

    found = outcome_of(own, check_of("add-succeeds"))

    assert found.status is Status.BROKEN
    assert "nonsense" in found.reason


def test_plugin_that_hangs_fails_within_its_time(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    plugin = tmp_path / "hangs"
    plugin.write_text("#!/bin/sh\nsleep 60\n")
    plugin.chmod(0o755)
    own = Subject(str(plugin), Kind.INTERFACE, seconds=0.2)
    started = time.monotonic()

    found = outcome_of(own, check_of("version-bare"))

    assert found.status is Status.FAILED
    assert "not finished after" in found.seen
    assert time.monotonic() - started < 10


def test_check_that_is_out_of_time_fails(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("interface", bench.write_plugins(tmp_path / "bin"))

    found = outcome_of(replace(own, prepare=("nonsense",)), check_of("add-succeeds"), Session(limit=-1))

    assert found.status is Status.FAILED
    assert found.expected == "the check to end within its time"


@pytest.mark.parametrize(
    ("closed", "status"), [(">&- 2>&-", Status.PASSED), (">/dev/null 2>&1", Status.PASSED), ("", Status.WARNED)]
)
def test_process_that_is_left_holds_output_open_or_not(
    namespaces: None, tmp_path: Path, closed: str, status: Status
) -> None:
    del namespaces
    plugin = tmp_path / "leaves"
    plugin.write_text(f"#!/bin/sh\ncat >/dev/null; setsid sleep 61 {closed} &\nsleep 0.1; echo '{{}}'\n")
    plugin.chmod(0o755)

    found = outcome_of(Subject(str(plugin), Kind.INTERFACE), check_of("stdio-closed"))

    assert found.status is status
    assert (found.seen == "held open by sleep 61") == (status is Status.WARNED)


def test_known_failure_does_not_count_and_its_end_is_told(tmp_path: Path, namespaces: None) -> None:
    del namespaces
    bad = bench.subject("interface", bench.write_plugins(tmp_path / "bad", "interface", "version-bare"))
    good = bench.subject("interface", bench.write_plugins(tmp_path / "good"))
    known = {"version-bare": "next release"}

    assert outcome_of(replace(bad, known=known), check_of("version-bare")).status is Status.KNOWN
    assert "passes now" in outcome_of(replace(good, known=known), check_of("version-bare")).reason


def test_cancelled_session_starts_nothing(plugins: Path) -> None:
    session = Session()
    own = bench.subject("interface", plugins)
    probe = session.probe(own)
    del probe
    session.report = lambda _outcome: session.cancel()
    session.jobs = 1

    report = session.run([own], select(load_checks(), ["version"]))

    assert report.was_stopped
    assert len(report.outcomes) < 10


def test_plugin_that_does_nothing_passes_hardly_anything(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    plugin = tmp_path / "silent"
    plugin.write_text("#!/bin/sh\nexit 0\n")
    plugin.chmod(0o755)

    report = Session().run([Subject(str(plugin), Kind.INTERFACE)], load_checks())

    passed = {outcome.check for outcome in report.outcomes if outcome.status is Status.PASSED}
    assert passed == {"version-unsupported-early", "del-before-add", "stdio-closed"}


@pytest.mark.parametrize(("check_id", "values"), [("containerid-bad", 4), ("ifname-long", 1), ("ifname-bad", 5)])
def test_bad_values_are_sent_with_every_verb(plugins: Path, check_id: str, values: int) -> None:
    line = Session().trace(bench.subject("interface", plugins), check_of(check_id))

    assert [line.count(f"CNI_COMMAND={verb} ") for verb in ("ADD", "DEL", "CHECK")] == [values] * 3


def test_processes_that_have_ended_are_forgotten(plugins: Path) -> None:
    session = Session()
    session.run([bench.subject("interface", plugins)], select(load_checks(), ["version", "stdin-pieces"]))

    assert not session._running, "cancelling would signal processes that got these numbers since"


def test_plugin_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for plugin in (str(tmp_path / "absent"), "absent"):
        with pytest.raises(PluginNotFoundError):
            Session().probe(Subject(plugin, Kind.IPAM, bin_dirs=(str(tmp_path),)))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(CNIError, match="iproute2"):
        kernel.check_tools()


def test_visible_path_is_kept_in_a_private_folder(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    folder = tmp_path / "state"
    (folder / "shared").mkdir(parents=True)
    (folder / "socket").write_text("here")
    (folder / "hidden").touch()
    plugin = tmp_path / "shows"
    plugin.write_text(f"#!/bin/sh\necho '{{\"seen\": \"'$(cd {folder}; echo *)'\"}}'\n")
    plugin.chmod(0o755)
    visible = (str(folder / "shared"), str(folder / "socket"), str(folder / "absent"))
    own = Subject(str(plugin), Kind.INTERFACE, private=(str(folder),), visible=visible)

    found = outcome_of(own, check_of("version-answer"))

    assert found.call is not None
    assert json.loads(found.call["stdout"]) == {"seen": "shared socket"}


def test_folders_are_made_and_removed_again(tmp_path: Path) -> None:
    wanted = tmp_path / "a" / "b"
    with isolation.existing_folders([str(wanted), str(tmp_path)]):
        assert wanted.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_folders_stay_until_the_last_run_has_ended(tmp_path: Path) -> None:
    wanted, deeper = tmp_path / "a", tmp_path / "a" / "b"
    with ExitStack() as second:
        with isolation.existing_folders([str(wanted)]):
            second.enter_context(isolation.existing_folders([str(deeper)]))
        assert deeper.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_a_run_that_was_killed_are_removed_by_the_next(tmp_path: Path) -> None:
    wanted = tmp_path / "a"
    program = (
        "import os, signal; from libcni.conformance.isolation import existing_folders\n"
        f"with existing_folders([{str(wanted)!r}]): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=30)
    assert wanted.is_dir()

    with isolation.existing_folders([str(wanted)]):
        pass

    assert list(tmp_path.iterdir()) == []


def test_folders_of_somebody_else_stay(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    with isolation.existing_folders([str(tmp_path / "theirs"), str(tmp_path / "ours")]):
        (tmp_path / "ours" / "file").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ours", "theirs"]


@pytest.mark.parametrize("name", profile_names())
def test_ready_description_can_be_read(name: str) -> None:
    subject = ready_subject(f"/opt/{name}")

    assert subject is not None
    assert subject.name == name
    assert subject.members(bench.TESTDATA, 1)["type"] == name


def test_unknown_plugin_has_no_ready_description() -> None:
    assert ready_subject("mine") is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("plugin = ", "Invalid"),
        ('plugin = "x"', "profile"),
        ('plugin = "x"\nprofile = "wrong"', "must be one of"),
        ('plugin = ".."\nprofile = "ipam"', "plain file name"),
        ('plugin = "x"\nprofile = "ipam"\nifname = "a/b"', "ifname"),
        ('plugin = "x"\nprofile = "ipam"\nmore = 1', "is not a member"),
        ('plugin = "x"\nprofile = "ipam"\nprepare = "x"', "must not be"),
        ('plugin = "x"\nprofile = "ipam"\nprepare = [1]', "must not be"),
        ('plugin = "x"\nprofile = "ipam"\nseconds = 0', "must not be"),
        ('plugin = "x"\nprofile = "ipam"\nseconds = true', "must not be"),
        ('plugin = "x"\nprofile = "ipam"\n[known]\na = ""', "needs a reason"),
        ('plugin = "x"\nprofile = "ipam"\n[known]\ndel-twise = "so"', "known.del-twise.*is no check"),
        ('plugin = "x"\nprofile = "ipam"\n[known]\n"del-*" = "so"', "is no check"),
        ('plugin = "x"\nprofile = "ipam"\n[ignore]\ncollection = "so"', "is no check"),
        ('plugin = "x"\nprofile = "ipam"\n[ignore]\n"zz-*" = "so"', "is the beginning of no check"),
    ],
)
def test_description_with_a_mistake_is_refused(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=part):
        load_subject(path)


def test_description_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "conformance.toml"
    path.write_bytes(b'plugin = "\xff"\n')
    with pytest.raises(ConfigError, match="decode"):
        load_subject(path)


def test_description_may_be_json(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"plugin": "x", "profile": "ipam", "prepare": ["a"], "config": {"n": ["{number}", 1]}}')

    subject = load_subject(path)

    assert subject.prepare == ("a",)
    assert subject.members(tmp_path, 3)["n"] == ["3", 1]
    path.write_text("[]")
    with pytest.raises(ConfigError, match="must be an object"):
        load_subject(path)


def test_selection_of_checks() -> None:
    checks = load_checks()

    assert [check.id for check in select(checks, ["version-b*"])] == ["version-bare"]
    assert all(check.group != "version" for check in select(checks, skip=["version"]))
    with pytest.raises(InvalidParameterError):
        select(checks, ["nothing"])


def test_catalogue_is_complete() -> None:
    for check in (*load_checks(), *load_checks(for_runtimes=True)):
        assert check.function.__doc__, check.id
        assert check.rule.endswith("."), check.id
        assert check.section[0].isdigit() or check.section.startswith(("Conventions", "No sentence")), check.id
