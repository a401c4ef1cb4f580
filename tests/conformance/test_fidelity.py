"""Reports are true, and one for each fault: plugins and runtimes that do it another way, and the levels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from libcni.conformance.catalogue import load_checks, select
from libcni.conformance.outcome import Status
from libcni.conformance.runtimes.session import RuntimeSession, runtime_subject
from libcni.conformance.sentences import WORDS, Level, load_sentences
from libcni.conformance.session import Session
from libcni.conformance.subject import Kind
from libcni.conformance.tables import checks_of
from tests.conformance import bench
from tests.conformance.test_runtimes import write_tool

if TYPE_CHECKING:
    from pathlib import Path

    from libcni.conformance.outcome import Report

GOOD = {Status.PASSED, Status.SKIPPED}
RUNTIME_CHECKS = load_checks(for_runtimes=True)


def run(name: str, folder: Path, only: list[str], active: str = "", **changes: Any) -> Report:
    own = bench.subject(name, bench.write_plugins(folder / "bin", bench.kind_of(name), active))
    return Session().run([replace(own, **changes)], select(load_checks(), only))


def reports(report: Report) -> dict[str, str]:
    return {o.check: f"{o.status}: {o.expected} {o.seen} {o.reason}" for o in report.outcomes if o.status not in GOOD}


# -------- one report each


@pytest.mark.parametrize(
    ("mutant", "said"),
    [
        ("output-error-json:stderr", "nothing on standard output; on standard error: error: the network has no name"),
        ("output-error-status:stderr", "status 0"),
        ("output-error-members:code", "code missing"),
        ("output-error-members:type", "found a string"),
        ("output-error-members:msg", "msg missing"),
    ],
)
def test_errors_of_another_form_are_one_report(mutant: str, said: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    report = run("interface", tmp_path, ["parameters", "output-error-*", "add-twice"], mutant)

    others = [outcome for outcome in report.outcomes if outcome.status in {Status.FAILED, Status.WARNED}]
    blocked = [outcome for outcome in report.outcomes if outcome.status is Status.BLOCKED]
    assert [outcome.check for outcome in others] == [bench.check_of(mutant)]
    assert said in others[0].seen
    assert len(blocked) > 10
    assert {outcome.blocker for outcome in blocked} == {others[0].check}


# -------- delegation


def test_meta_plugin_that_hands_on_the_whole_configuration_is_right(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    report = run("meta", tmp_path, ["delegation"], config={"whole": True, "delegate": {"type": "x"}})

    assert reports(report) == {}
    assert report.counts()[Status.PASSED] > 10


def test_delegate_may_stand_in_an_array(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    config = {"delegates": [{"type": "x"}, {"type": "y"}]}
    report = run("meta", tmp_path, ["delegation"], delegate="delegates", config=config)

    assert reports(report) == {}
    assert report.counts()[Status.PASSED] > 10


@pytest.mark.parametrize("mutant", ["add-foreign-interface", "delegate-error"])
def test_delegation_does_not_judge_an_add_that_succeeded(mutant: str, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    only = ["delegate-del-after-*", "delegate-error-text", "delegate-failed-clean"]
    report = run("delegating", tmp_path, only, mutant)

    assert reports(report) == {}
    assert any("ADD succeeds" in outcome.reason for outcome in report.outcomes)


# -------- state, logs


@pytest.mark.parametrize(("path", "counts"), [("{log}/x", False), ("/var/log/x", False), ("{data}/x", True)])
def test_log_is_no_state_in_its_documented_places(path: str, counts: bool, namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("interface", tmp_path)
    report = run("interface", tmp_path, ["del-state", "no-files-left"], config={**own.config, "logFile": path})

    assert (reports(report) != {}) == counts


def test_log_that_the_description_names_is_no_state(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    own = bench.subject("interface", tmp_path)
    config = {**own.config, "logFile": "{data}/x.log"}

    assert reports(run("interface", tmp_path, ["del-state"], config=config, logs=("{data}/*.log",))) == {}


# -------- versions


def test_plugin_without_the_newest_version_gets_one_line(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    plugin = tmp_path / "old"
    plugin.write_text('#!/bin/sh\necho \'{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}\'\n')
    plugin.chmod(0o755)
    own = replace(bench.subject("interface", tmp_path), plugin=str(plugin))

    report = Session().run([own], select(load_checks(), ["gc-*", "version-answer"]))

    late = len(select(load_checks(), ["gc-*"]))
    note = f"supports versions up to 1.0.0: {late} checks of what later versions have do not apply"
    assert report.subjects["old"]["notes"] == [note]
    assert report.counts()[Status.SKIPPED] == late


def test_runtime_without_the_newest_version_gets_one_line(namespaces: None, tmp_path: Path) -> None:
    del namespaces
    tool = write_tool(tmp_path / "tool", known=["0.3.1", "0.4.0", "1.0.0"])

    chosen = [check for check in RUNTIME_CHECKS if check.since or check.id in {"rt-add-order", "rt-prevresult-check"}]
    report = RuntimeSession().run([runtime_subject([str(tool)])], chosen)

    assert reports(report) == {}
    assert report.counts()[Status.PASSED] == 2
    assert len(report.subjects["tool"]["notes"]) == 1
    skipped = {outcome.check for outcome in report.outcomes if outcome.status is Status.SKIPPED}
    assert skipped == {check.id for check in RUNTIME_CHECKS if check.since == "1.1.0"}


# -------- levels

EXPECTED_LEVELS = {
    Level.MUST: ["add-address", "check-later-changes", "parallel-add", "delegate-status", "rt-prevresult-removed"],
    Level.SHOULD: ["gc-before-add", "gc-twice", "delegate-error", "rt-reserved-removed", "del-no-netns", "gc-removes"],
    Level.MAY: ["rt-gc", "rt-status", "rt-check-stops", "add-second-interface"],
    Level.CONVENTION: ["check-harmless", "add-twice-harmless", "add-failed-clean"],
}
EXPECTED_SECTIONS = {"parallel-add": "3, Lifecycle & ordering", "delegate-status": "2, STATUS", "del-twice": "2, DEL"}


def test_level_is_that_of_the_sentence_and_its_word() -> None:
    by_id = {check.id: check for check in (*load_checks(), *RUNTIME_CHECKS)}
    words = {"must": "MUST", "must not": "MUST", "required": "MUST", "should": "SHOULD", "should not": "SHOULD"}
    words |= {"may": "MAY", "step": "MUST", "defines": "MUST", "says": "SHOULD", "convention": "convention"}

    assert {word: str(level) for word, level in WORDS.items()} == words
    for check in by_id.values():
        assert str(check.level) == words[check.sentence.word], check.id
    for level, ids in EXPECTED_LEVELS.items():
        assert [name for name in ids if by_id[name].level is not level] == []
    for name, section in EXPECTED_SECTIONS.items():
        assert by_id[name].section == section


def test_every_sentence_is_checked_or_says_why_not() -> None:
    for sentence in load_sentences().values():
        assert bool(checks_of(sentence)) != bool(sentence.why), sentence.id
        assert sentence.of in {"plugin", "runtime", "both", "other"}, sentence.id
        assert sentence.text.endswith((".", ".)")), sentence.id
    for check in (*load_checks(), *RUNTIME_CHECKS):
        assert set(check.also) <= set(load_sentences()), check.id
        whom = {"runtime", "both"} if check.group == "runtime" else {"plugin", "both"}
        assert check.sentence.of in whom, check.id


def test_kinds_are_those_of_the_descriptions() -> None:
    assert {bench.kind_of(name) for name in (*bench.PLAIN, *bench.OTHER_FAMILIES)} == {str(kind) for kind in Kind}
