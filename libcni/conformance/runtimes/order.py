"""Checks of which plugins a runtime calls, in which order, and what it says. Source: SPEC 1.1.0, section 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libcni.conformance.expect import expect
from libcni.conformance.lab import members
from libcni.conformance.runtimes.session import CHAIN
from libcni.jsontext.decode import parse_object
from libcni.jsontext.scan import DocumentError

if TYPE_CHECKING:
    from libcni.conformance.calls import Answer
    from libcni.conformance.delegates import RecordedCall
    from libcni.conformance.runtimes.session import RuntimeLab
    from libcni.jsontext.scan import JSONObject

__all__ = [
    "add_reports_failure",
    "add_stops_at_failure",
    "add_succeeds",
    "adds_forward",
    "check_disabled",
    "check_of_old_version",
    "check_stops_at_failure",
    "checks_forward",
    "delete_can_be_repeated",
    "delete_stops_at_failure",
    "deleted_after_failed_add",
    "deletes_again",
    "deletes_backward",
    "deletes_unknown",
    "not_added_again",
    "not_checked",
    "plugin_missing",
    "prints_final_result",
    "prints_only_result",
    "result_has_version",
]

_FORWARD: list[str] = list(CHAIN)
_BACKWARD: list[str] = list(reversed(CHAIN))
_REASON = "conformance plugin says no"


def _names(calls: list[RecordedCall], verb: str) -> list[str]:
    return [call.plugin for call in calls if call.verb == verb]


def _ordered(answer: Answer, calls: list[RecordedCall], verb: str, *, wanted: list[str]) -> None:
    names = _names(calls, verb)
    expect(names == wanted, f"{verb} of {', '.join(wanted) or 'no plugin'}", ", ".join(names) or "no call", answer)


def adds_forward(lab: RuntimeLab) -> None:
    """Add."""
    lab.configure()
    answer, calls = lab.run("add")
    _ordered(answer, calls, "ADD", wanted=_FORWARD)


def add_succeeds(lab: RuntimeLab) -> None:
    """Add, and look at how the tool ends."""
    lab.configure()
    answer, _ = lab.run("add")
    expect(answer.is_success, "the tool to succeed when every plugin does", answer.summary, answer)


def checks_forward(lab: RuntimeLab) -> None:
    """Add and check."""
    lab.configure()
    lab.attached()
    answer, calls = lab.run("check")
    _ordered(answer, calls, "CHECK", wanted=_FORWARD)


def deletes_backward(lab: RuntimeLab) -> None:
    """Add and delete."""
    lab.configure()
    lab.attached()
    answer, calls = lab.run("del")
    _ordered(answer, calls, "DEL", wanted=_BACKWARD)


def add_stops_at_failure(lab: RuntimeLab) -> None:
    """Add, with a plugin in the middle that fails."""
    lab.configure()
    lab.recorder.fails("ADD", lab.error(_REASON), name="second")
    answer, calls = lab.run("add")
    _ordered(answer, calls, "ADD", wanted=_FORWARD[:2])


def add_reports_failure(lab: RuntimeLab, verb: str) -> None:
    """Run a verb, with a plugin in the middle that fails."""
    lab.configure()
    if verb != "ADD":
        lab.attached()
    lab.recorder.fails(verb, lab.error(_REASON), name="second")
    answer, _ = lab.run(verb.lower())
    expect(answer.output.exit_status != 0, "an exit status other than 0", answer.summary, answer)
    text = answer.stdout + answer.output.stderr.decode("utf-8", "replace")
    expect(_REASON in text, f"what the plugin said, {_REASON}", text[-500:], answer)


def check_stops_at_failure(lab: RuntimeLab) -> None:
    """Check, with a plugin in the middle that fails."""
    lab.configure()
    lab.attached()
    lab.recorder.fails("CHECK", lab.error(_REASON), name="second")
    answer, calls = lab.run("check")
    _ordered(answer, calls, "CHECK", wanted=_FORWARD[:2])


def delete_stops_at_failure(lab: RuntimeLab) -> None:
    """Delete, with a plugin in the middle that fails."""
    lab.configure()
    lab.attached()
    lab.recorder.fails("DEL", lab.error(_REASON), name="second")
    answer, calls = lab.run("del")
    _ordered(answer, calls, "DEL", wanted=_BACKWARD[:2])


def deleted_after_failed_add(lab: RuntimeLab) -> None:
    """Add, with a plugin in the middle that fails, and delete: by the tool itself or by a call."""
    lab.configure()
    lab.recorder.fails("ADD", lab.error(_REASON), name="second")
    _, calls = lab.run("add")
    answer, more = lab.run("del")
    names = _names(calls + more, "DEL")
    missing = [name for name in _BACKWARD if name not in names]
    expect(not missing, "DEL of every plugin after an ADD that failed", f"no DEL of {', '.join(missing)}", answer)


def deletes_unknown(lab: RuntimeLab) -> None:
    """Delete a container that was never added."""
    lab.configure()
    answer, calls = lab.run("del")
    _ordered(answer, calls, "DEL", wanted=_BACKWARD)
    expect(answer.is_success, "del of a container that was never added to succeed", answer.summary, answer)


def deletes_again(lab: RuntimeLab) -> None:
    """Delete twice."""
    lab.configure()
    lab.attached()
    lab.run("del")
    answer, calls = lab.run("del")
    _ordered(answer, calls, "DEL", wanted=_BACKWARD)


def delete_can_be_repeated(lab: RuntimeLab) -> None:
    """Delete with a plugin that fails, and again when it does not."""
    lab.configure()
    lab.attached()
    lab.recorder.fails("DEL", lab.error(_REASON), name="second")
    lab.run("del")
    lab.recorder.works("DEL", name="second")
    answer, calls = lab.run("del")
    _ordered(answer, calls, "DEL", wanted=_BACKWARD)


def not_checked(lab: RuntimeLab, *, is_deleted: bool) -> None:
    """Check a container that was never added, or was deleted."""
    lab.configure()
    if is_deleted:
        lab.attached()
        lab.run("del")
    answer, calls = lab.run("check")
    _ordered(answer, calls, "CHECK", wanted=[])


def not_added_again(lab: RuntimeLab) -> None:
    """Add twice."""
    lab.configure()
    lab.attached()
    answer, calls = lab.run("add")
    _ordered(answer, calls, "ADD", wanted=[])


def check_disabled(lab: RuntimeLab) -> None:
    """Check a network that forbids it."""
    lab.configure("1.0.0", disableCheck=True)
    lab.attached()
    answer, calls = lab.run("check")
    _ordered(answer, calls, "CHECK", wanted=[])
    expect(answer.is_success, "check of a network with disableCheck to succeed", answer.summary, answer)


def check_of_old_version(lab: RuntimeLab) -> None:
    """Check a network of a version that has no CHECK."""
    lab.configure("0.3.1")
    lab.attached()
    answer, calls = lab.run("check")
    _ordered(answer, calls, "CHECK", wanted=[])


def plugin_missing(lab: RuntimeLab) -> None:
    """Add with a plugin that is not there."""
    lab.configure()
    (lab.bin_dir / "second").unlink()
    answer, _ = lab.run("add")
    expect(answer.output.exit_status != 0, "add with a plugin that is missing to fail", answer.summary, answer)


def prints_final_result(lab: RuntimeLab) -> None:
    """Look at what add prints."""
    lab.configure()
    answer, _ = lab.run("add")
    printed = _routes(answer.document or {})
    wanted = _routes(lab.result_of(2))
    expect(printed == wanted, f"the result of the last plugin, with routes {', '.join(wanted)}", printed, answer)


def _routes(result: JSONObject) -> list[str]:
    return [str(route.get("dst")) for route in members(result, "routes")]


def prints_only_result(lab: RuntimeLab) -> None:
    """Look at everything that add prints, with plugins that log."""
    lab.configure()
    answer, _ = lab.run("add")
    try:
        parse_object(answer.output.stdout)
    except DocumentError as error:
        expect(condition=False, expected="one JSON object on standard output", seen=str(error), answer=answer)


def result_has_version(lab: RuntimeLab) -> None:
    """Look at the version of what add prints."""
    lab.configure("0.4.0")
    answer, _ = lab.run("add")
    said = (answer.document or {}).get("cniVersion")
    expect(said == "0.4.0", "a result in version 0.4.0, the network's", said, answer)
