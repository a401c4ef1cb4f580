"""Errors: fields, texts, the wire form, and the way through pickle."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni import errors
from libcni.errors import (
    AttachmentExistsError,
    AttachmentNotFoundError,
    CacheError,
    CheckNotSupportedError,
    CNIError,
    CNIErrorGroup,
    ConfigError,
    DamagedFileError,
    ErrorCode,
    IncompatibleConfigError,
    IncompatibleVersionError,
    InvalidParameterError,
    LockTimeoutError,
    MalformedVersionError,
    MissingExtraError,
    NetworkNotFoundError,
    NoConfigsFoundError,
    NoRoomError,
    PluginError,
    PluginNotFoundError,
    PluginOutputError,
    PluginResultError,
    PluginStartError,
    PluginTimeoutError,
    ResultError,
    UnsupportedResultVersionError,
    VersionError,
    note_errors,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PLACE: dict[str, Any] = {
    "plugin": "bridge",
    "path": "/opt/cni/bin/bridge",
    "command": "ADD",
    "network": "dbnet",
    "container_id": "box",
    "ifname": "eth0",
    "exit_status": 1,
    "signal": None,
    "stderr": "what it logged",
    "stdout": "what it printed",
    "duration": 0.5,
}

BAD_FILE = ConfigError("is empty", source=Path("/etc/cni/net.d/a.conf"), line=1, column=1)

ERRORS: list[CNIError] = [
    CNIError("failed", code=42, details="because"),
    MissingExtraError("the command line", "cli"),
    ConfigError("is required", source=Path("/n/a.conflist"), field="plugins[1].type", line=3, column=9),
    MalformedVersionError("malformed version '1'", field="cniVersion"),
    IncompatibleConfigError("no version of 9.0.0 is supported", field="cniVersion"),
    NoConfigsFoundError("/etc/cni/net.d"),
    NetworkNotFoundError("/etc/cni/net.d", "dbnet", [BAD_FILE]),
    InvalidParameterError("ifname", "interface-name-0", "has 16 bytes; at most 15 are allowed"),
    VersionError("malformed version '1'"),
    IncompatibleVersionError("version '9.0.0' is not supported"),
    CheckNotSupportedError("0.3.1"),
    ResultError("is required", plugin="bridge", field="ips[0].address"),
    UnsupportedResultVersionError("version '9.0.0' is not supported", field="cniVersion"),
    PluginError("busy", code=11, details="try again", **PLACE),
    PluginNotFoundError("not found in /opt/cni/bin", paths=["/opt/cni/bin"], **PLACE),
    PluginOutputError("printed no result", **PLACE | {"stdout": "x" * 5000}),
    PluginResultError("is required", field="ips[0].address", details="stdout: {}", **PLACE),
    PluginStartError("is not a program", **PLACE),
    PluginTimeoutError("did not finish", timeout=2.5, **PLACE),
    AttachmentExistsError("dbnet", "box", "eth0", unfinished=True),
    AttachmentNotFoundError("dbnet", "box", "eth0"),
    LockTimeoutError("box", 4711, 60.0),
    CacheError("/var/lib/cni", "cannot be read"),
    NoRoomError("/var/lib/cni/results/a", "cannot be written: No space left on device"),
    DamagedFileError("/var/lib/cni/results/a", "damaged: is empty"),
    CNIErrorGroup(
        "not everything", [CNIError("first"), PluginError("second", **PLACE)], deleted=[("dbnet", "box", "eth0")]
    ),
]

each_error = pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)


def fields_of(error: BaseException) -> Any:
    """Return the fields of an error, with those of errors in it, in a form that can be compared."""
    inner = {"exceptions": error.exceptions} if isinstance(error, BaseExceptionGroup) else {}
    found = dict(vars(error)) | inner
    return type(error), str(error), {name: _comparable(value) for name, value in found.items()}


def _comparable(value: object) -> Any:
    if isinstance(value, BaseException):
        return fields_of(value)
    return [_comparable(item) for item in value] if isinstance(value, list | tuple) else value


def test_every_class_has_an_example_here() -> None:
    classes = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CNIError)}
    assert {cls for cls in classes if not cls.__name__.startswith("_")} == {type(error) for error in ERRORS}


@each_error
def test_error_pickled_keeps_class_text_fields_and_notes(error: CNIError) -> None:
    original = copy.copy(error)
    original.add_note("a note")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert fields_of(pickle.loads(pickle.dumps(original, protocol))) == fields_of(original)  # noqa: S301 -- our own


@each_error
def test_error_wire_form_has_code_message_and_version(error: CNIError) -> None:
    document = error.to_dict()
    assert document["cniVersion"] == "1.1.0"
    assert document["code"] == int(error.code)
    assert type(document["code"]) is int
    assert str(document["msg"])
    assert document.get("details", "") == error.details


@each_error
def test_error_text_is_one_paragraph(error: CNIError) -> None:
    assert "\n" not in str(error)
    assert not str(error).endswith(":")


@each_error
def test_error_can_be_copied_and_raised_again(error: CNIError) -> None:
    with pytest.raises(type(error)) as caught:
        raise copy.copy(error)
    assert fields_of(caught.value) == fields_of(error)


@pytest.mark.parametrize(
    ("cls", "bases"),
    [
        (ConfigError, (CNIError, ValueError)),
        (NoConfigsFoundError, (ConfigError,)),
        (NetworkNotFoundError, (ConfigError, LookupError)),
        (InvalidParameterError, (CNIError, ValueError)),
        (VersionError, (CNIError, ValueError)),
        (IncompatibleVersionError, (VersionError,)),
        (CheckNotSupportedError, (VersionError,)),
        (ResultError, (CNIError, ValueError)),
        (PluginNotFoundError, (PluginError, LookupError)),
        (PluginOutputError, (PluginError,)),
        (PluginTimeoutError, (PluginError, TimeoutError)),
        (AttachmentNotFoundError, (CNIError, LookupError)),
        (LockTimeoutError, (CNIError, TimeoutError)),
        (CNIErrorGroup, (CNIError, ExceptionGroup)),
        (MalformedVersionError, (ConfigError, VersionError)),
        (IncompatibleConfigError, (ConfigError, IncompatibleVersionError)),
        (UnsupportedResultVersionError, (ResultError, IncompatibleVersionError)),
        (PluginResultError, (PluginOutputError, ResultError)),
        (PluginStartError, (PluginError,)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_error_is_caught_as_what_it_is(cls: type, bases: tuple[type, ...]) -> None:
    assert all(issubclass(cls, base) for base in bases)


def test_config_error_text_names_file_place_and_field() -> None:
    error = ConfigError("is required", source=Path("/n/a.conflist"), field="plugins[1].type", line=3, column=9)
    assert str(error) == "/n/a.conflist: line 3, column 9: plugins[1].type: is required"
    assert str(ConfigError("is required")) == "is required"
    assert error.to_dict()["msg"] == str(error)
    assert error.code == ErrorCode.INVALID_NETWORK_CONFIG


def test_plugin_error_text_names_everything() -> None:
    text = str(PluginError("busy", code=11, details="try again", **PLACE))
    assert text == (
        "plugin 'bridge' (/opt/cni/bin/bridge) failed ADD of network 'dbnet' for container 'box', interface 'eth0': "
        "busy: try again (code 11)"
    )


@pytest.mark.parametrize("cls", [PluginError, PluginOutputError, PluginResultError])
def test_plugin_error_text_joins_the_lines_of_a_plugin(cls: type[PluginError]) -> None:
    error = cls("one:\n  two\r\n\n", **PLACE)
    assert str(error).endswith("one: two")
    assert "\n" not in str(CNIErrorGroup("all", [error]))
    assert error.msg == "one:\n  two\r\n\n"


def test_plugin_error_wire_form_is_the_plugins_own() -> None:
    error = PluginError("busy", code=11, details="try again", **PLACE)
    assert error.to_dict() == {"cniVersion": "1.1.0", "code": 11, "msg": "busy", "details": "try again"}


def test_plugin_error_without_fields_has_the_absent_ones() -> None:
    error = PluginError("failed")
    assert (error.plugin, error.path, error.command, error.network) == ("", "", "", "")
    assert (error.container_id, error.ifname, error.stderr, error.stdout) == ("", "", "", "")
    assert (error.exit_status, error.signal, error.duration) == (None, None, None)
    assert error.code == ErrorCode.INTERNAL


def test_plugin_error_with_unknown_field_is_refused() -> None:
    with pytest.raises(TypeError, match="has no field \\['pluggin'\\]"):
        PluginError("failed", pluggin="bridge")


@pytest.mark.parametrize("cls", [PluginError, PluginOutputError, PluginResultError])
def test_plugin_error_cuts_stdout_to_the_stated_length(cls: type[PluginError]) -> None:
    assert len(cls("x", stdout="y" * 5000).stdout) == PluginError.STDOUT_LIMIT == 4096


def test_plugin_result_error_names_plugin_and_field() -> None:
    error = PluginResultError("is required", field="ips[0].address", **PLACE)
    assert str(error).endswith("interface 'eth0': invalid result: ips[0].address: is required")
    assert str(PluginResultError("is empty")).endswith("invalid result: is empty")
    assert str(PluginResultError("is empty", details="stdout: {}")).endswith("invalid result: is empty: stdout: {}")
    assert error.to_dict()["msg"] == "invalid result: ips[0].address: is required"


def test_result_error_text_names_plugin_and_field() -> None:
    assert str(ResultError("is required", plugin="p", field="dns")) == "plugin 'p': invalid result: dns: is required"
    assert str(ResultError("is required")) == "invalid result: is required"


def test_network_not_found_names_every_bad_file_and_why() -> None:
    error = NetworkNotFoundError("/n", "dbnet", [BAD_FILE, ConfigError("is required", source="/n/b.conf")])
    assert "'dbnet' in /n" in str(error)
    assert "/etc/cni/net.d/a.conf: line 1, column 1: is empty; /n/b.conf: is required" in str(error)
    assert error.problems[0] is BAD_FILE
    assert "could not be used" not in str(NetworkNotFoundError("/n", "dbnet"))


def test_network_not_found_text_is_bounded_and_counts_by_cause() -> None:
    problems = [ConfigError("is empty", source=Path(f"/net.d/{number}.conflist")) for number in range(500)]
    error = NetworkNotFoundError("/net.d", "net", problems)
    assert "/net.d/19.conflist" in str(error)
    assert "/net.d/20.conflist" not in str(error)
    assert str(error).endswith("and 480 more: 480 × is empty")
    assert error.problems == tuple(problems)


@pytest.mark.parametrize(
    ("holder", "subject", "text"),
    [
        (4711, "", "container 'box' is busy: process 4711 still works on it after 2.5 s of waiting"),
        (None, "", "container 'box' is busy: another process still works on it after 2.5 s of waiting"),
        (1, "network 'n'", "network 'n' is busy: process 1 still works on it after 2.5 s of waiting"),
    ],
    ids=["holder", "unknown-holder", "subject"],
)
def test_lock_timeout_text_names_who_is_busy_with_what(holder: int | None, subject: str, text: str) -> None:
    error = LockTimeoutError("box", holder, 2.5, subject=subject)
    assert str(error) == text
    assert (error.container_id, error.holder, error.waited) == ("box", holder, 2.5)


def test_invalid_parameter_text_cuts_a_long_value() -> None:
    error = InvalidParameterError("ifname", "x" * 1000, "is too long")
    assert len(str(error)) < 300
    assert error.value == "x" * 1000


def test_error_group_splits_by_class_and_stays_one() -> None:
    group = CNIErrorGroup("not everything", [CNIError("first"), PluginError("second", plugin="p")])
    matched, rest = group.split(PluginError)
    assert isinstance(matched, CNIErrorGroup)
    assert isinstance(rest, CNIErrorGroup)
    assert [str(error) for error in rest.exceptions] == ["first"]
    assert str(group) == "not everything: first; plugin 'p': second"
    assert group.to_dict()["msg"] == str(group)
    caught: list[str] = []
    try:
        raise group
    except* PluginError as plugin_errors:
        caught += [str(error) for error in plugin_errors.exceptions]
    except* CNIError as others:
        caught += [str(error) for error in others.exceptions]
    assert caught == ["plugin 'p': second", "first"]


def test_error_group_text_is_bounded_and_counts_by_cause() -> None:
    def stuck(number: int) -> PluginError:
        return PluginError("stuck " * 20, **PLACE | {"container_id": f"box-{number}"})

    busy = [LockTimeoutError(f"box-{number}", 4711, 60.0) for number in range(37)]
    group = CNIErrorGroup("not everything", [*map(stuck, range(203)), *busy])
    text = str(group)
    assert len(text) < 1500
    assert ("box-2'" in text, "box-3'" in text) == (True, False)
    assert "and 237 more: 200 × plugin 'bridge' ADD: stuck stuck" in text
    assert text.endswith("37 × is busy: process 4711 still works on it")
    assert group.to_dict()["msg"] == text
    assert len(group.exceptions) == 240


@pytest.mark.parametrize(
    ("errors_of", "text"),
    [
        (lambda number: CacheError(f"/c/{number}", "is damaged"), "4 × is damaged"),
        (lambda number: AttachmentNotFoundError("n", f"box-{number}", "e"), "4 × not added, or deleted since"),
        (lambda number: CNIErrorGroup("inner", [CNIError(f"{number}")]), "4 × inner"),
        (lambda number: AttachmentExistsError("n", f"box-{number}", "e"), "4 × already added"),
        (lambda _: CNIError("x" * 5000), "4 × xxx"),
    ],
    ids=["file", "not-found", "group", "exists", "long"],
)
def test_error_group_counts_errors_that_differ_only_in_their_place(
    errors_of: Callable[[int], CNIError], text: str
) -> None:
    assert text in str(CNIErrorGroup("all", [errors_of(number) for number in range(7)]))


def test_error_group_of_many_causes_counts_the_rest_together() -> None:
    text = str(CNIErrorGroup("all", [CNIError(f"cause {number}") for number in range(200)]))
    assert text.endswith("1 × cause 7, 192 × another cause")


def test_note_errors_notes_a_few_and_keeps_all_on_the_error() -> None:
    problems = [PluginError("stuck", plugin="p", command="DEL", container_id=f"box-{number}") for number in range(9)]
    error = CNIError("failed")
    note_errors(error, "clean-up", problems)
    assert [note[:25] for note in error.__notes__[:3]] == ["clean-up: plugin 'p' fail"] * 3
    assert error.__notes__[3:] == ["clean-up: and 6 more: 6 × plugin 'p' DEL: stuck"]
    assert error.clean_up_errors == tuple(problems)
    interrupt = KeyboardInterrupt()
    note_errors(interrupt, "clean-up", problems[:1])
    assert len(interrupt.__notes__) == 1


@pytest.mark.parametrize(
    ("error", "subject"),
    [
        (
            PluginError("busy", **PLACE),
            {"plugin": "bridge", "command": "ADD", "network": "dbnet", "containerID": "box", "ifname": "eth0"},
        ),
        (PluginError("busy", plugin="bridge", command="VERSION"), {"plugin": "bridge", "command": "VERSION"}),
        (AttachmentNotFoundError("n", "c", "e"), {"network": "n", "containerID": "c", "ifname": "e"}),
        (LockTimeoutError("box", None, 1.0), {"containerID": "box"}),
        (LockTimeoutError("", None, 1.0, subject="network 'n'"), {}),
        (ResultError("bad", plugin="bridge"), {"plugin": "bridge"}),
        (NetworkNotFoundError("/n", "dbnet"), {"network": "dbnet"}),
        (CNIError("failed"), {}),
    ],
    ids=["plugin", "version", "attachment", "container", "network-busy", "result", "network", "nothing"],
)
def test_error_subject_names_what_is_known_as_on_the_wire(error: CNIError, subject: dict[str, str]) -> None:
    assert error.subject() == subject
    assert subject.keys().isdisjoint(error.to_dict())


def test_attachment_that_is_unfinished_is_not_called_added() -> None:
    added, unfinished = (AttachmentExistsError("n", "c", "e", unfinished=value) for value in (False, True))
    assert (added.unfinished, unfinished.unfinished) == (False, True)
    assert "already added" in str(added)
    assert "already added" not in str(unfinished)
    assert "unfinished" in str(unfinished)
    assert any("recover()" in note for note in unfinished.__notes__)


def test_error_codes_are_those_of_the_specification() -> None:
    assert [int(code) for code in ErrorCode] == [1, 2, 3, 4, 5, 6, 7, 11, 50, 51, 999]
