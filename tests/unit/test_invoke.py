"""Lookup, environments, answers and delegation; delegates are real shell scripts."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import libcni.invoke as package
from libcni import (
    ConfigError,
    InvalidParameterError,
    PluginError,
    PluginNotFoundError,
    PluginOutputError,
    PluginTimeoutError,
    ResultError,
    RuntimeConf,
    conf_from_bytes,
)
from libcni.invoke import (
    delegate_add,
    delegate_check,
    delegate_del,
    delegate_gc,
    delegate_status,
    find_in_path,
)
from libcni.invoke.answer import Invocation, check_success, read_result, read_version, start_error
from libcni.invoke.child import encoded_environment
from libcni.invoke.environment import attachment_environment, network_environment, probe_environment, split_path
from libcni.invoke.plugin import PluginOutput
from libcni.invoke.schedule import Limits, Schedule, Step
from libcni.invoke.stderr import StderrLog, split_line
from libcni.testing import ScriptedRunner, failure, success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def executable(path: Path, text: str = "#!/bin/sh\n") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


# Lookup


def test_find_takes_the_first_match(tmp_path: Path) -> None:
    executable(tmp_path / "a" / "bridge")
    executable(tmp_path / "b" / "bridge")
    executable(tmp_path / "b" / "only")
    paths = [str(tmp_path / name) for name in ("missing", "a", "b")]
    assert find_in_path("bridge", paths) == str(tmp_path / "a" / "bridge")
    assert find_in_path("bridge", list(reversed(paths))) == str(tmp_path / "b" / "bridge")
    assert find_in_path("only", paths) == str(tmp_path / "b" / "only")


def test_find_follows_a_link_and_ignores_a_final_slash(tmp_path: Path) -> None:
    executable(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    assert find_in_path("link", [f"{tmp_path}/"]) == str(tmp_path / "link")
    assert find_in_path("sh", ["/bin//"]) == "/bin/sh"


def test_find_passes_over_what_is_no_executable_file(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a" / "bridge").mkdir()
    (tmp_path / "b" / "bridge").touch(mode=0o644)
    (tmp_path / "c" / "bridge").symlink_to("missing")
    paths = [str(tmp_path / name) for name in ("a", "b", "c")]
    with pytest.raises(PluginNotFoundError) as caught:
        find_in_path("bridge", paths)
    assert caught.value.paths == tuple(paths)
    assert caught.value.plugin == "bridge"
    assert f"{tmp_path}/a/bridge is not a regular file" in str(caught.value)
    executable(tmp_path / "d" / "bridge")
    assert find_in_path("bridge", [*paths, str(tmp_path / "d")]) == str(tmp_path / "d" / "bridge")


def test_find_says_that_a_file_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "bridge").touch(mode=0o644)
    with pytest.raises(PluginNotFoundError, match="bridge is not executable"):
        find_in_path("bridge", [str(tmp_path)])


@pytest.mark.parametrize("paths", [[], [""]], ids=["none", "empty"])
def test_find_never_looks_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    executable(tmp_path / "bridge")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PluginNotFoundError):
        find_in_path("bridge", paths)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/bin/sh", "../sh", "a\0b", "a\\b"], ids=ascii)
def test_find_of_what_is_no_file_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        find_in_path(name, ["/bin"])
    assert caught.value.name == "plugin"


def test_find_of_a_name_without_bytes_finds_nothing() -> None:
    with pytest.raises(PluginNotFoundError):
        find_in_path("\ud800", ["/bin"])


# Environment

BASE = {"PATH": "/bin", "CNI_COMMAND": "stale", "CNI_NETNS": "stale", "CNI_OWN": "kept"}
RT = RuntimeConf("box", "/run/netns/blue", "eth0", [("A", "1")])


def test_attachment_environment_is_the_base_and_the_six_variables() -> None:
    environment = attachment_environment(BASE, "ADD", paths=["/a", "/b"], rt=RT)
    assert list(environment.items()) == [
        ("PATH", "/bin"),
        ("CNI_OWN", "kept"),
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "box"),
        ("CNI_NETNS", "/run/netns/blue"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "A=1"),
        ("CNI_PATH", "/a:/b"),
    ]
    assert BASE["CNI_COMMAND"] == "stale"


def test_environment_is_a_dict_that_does_not_change() -> None:
    base = {"PATH": "/bin"}
    environment = attachment_environment(base, "ADD", paths=["/a"], rt=RT)
    base["PATH"] = "/sbin"
    assert encoded_environment(environment).startswith(b"PATH=/bin\0CNI_COMMAND=ADD\0")
    for copied in (pickle.loads(pickle.dumps(environment)), copy.copy(environment), environment | {}):  # noqa: S301  # ours
        assert list(copied.items()) == list(environment.items())
    with pytest.raises(TypeError, match="immutable"):
        environment["PATH"] = "/sbin"


def test_encoded_environment_is_that_of_now() -> None:
    base = {"PATH": "/bin", "CNI_OWN": "kept"}
    for path, container_id in (("/bin", "one"), ("/bin", "two"), ("/sbin", "two")):
        base["PATH"] = path
        environment = attachment_environment(base, "ADD", paths=["/a"], rt=replace(RT, container_id=container_id))
        expected = b"".join(f"{name}={value}\0".encode() for name, value in environment.items())
        assert encoded_environment(environment) == encoded_environment(environment) == expected
        assert encoded_environment(dict(environment)) == expected


@pytest.mark.parametrize("base", [{"": "x"}, {"A=B": "x"}, {"A": "x\0y"}, {"A\0": "x"}])
def test_environment_that_no_process_can_have_is_refused(base: dict[str, str]) -> None:
    for environment in (base, attachment_environment(base, "ADD", paths=["/a"], rt=RT)):
        with pytest.raises(ValueError, match=r"illegal environment variable name|embedded null byte"):
            encoded_environment(environment)


def test_network_environment_names_no_container() -> None:
    environment = network_environment(BASE | {"CNI_CONTAINERID": "stale", "CNI_IFNAME": "stale"}, "GC", ["/a"])
    assert environment == {"PATH": "/bin", "CNI_OWN": "kept", "CNI_COMMAND": "GC", "CNI_PATH": "/a"}


def test_probe_environment_satisfies_old_plugins() -> None:
    environment = probe_environment(BASE, ["/a"])
    assert environment["CNI_COMMAND"] == "VERSION"
    assert all(environment[name] for name in ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"))


def test_split_path_leaves_out_what_would_mean_here() -> None:
    assert split_path("") == split_path(":") == ()
    assert split_path(":/a::/b:") == ("/a", "/b")


# Answers

PLACE = Invocation("bridge", "/opt/cni/bin/bridge", "ADD", "net", "box", "eth0")


def output(stdout: str | bytes = b"", stderr: bytes = b"", **fields: Any) -> PluginOutput:
    return PluginOutput(stdout.encode() if isinstance(stdout, str) else stdout, stderr, **fields)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            output(stderr=b"no route\n", exit_status=3),
            "exited with status 3 without an error document; stderr: no route",
        ),
        (output("half {", exit_status=1), "exited with status 1 without an error document; stdout: half {"),
        (output(exit_status=1), "exited with status 1 without an error document; it printed nothing"),
        (output(exit_status=None, signal=9), "was killed by signal 9 (SIGKILL) without an error document"),
        (output(exit_status=None, signal=63), "was killed by signal 63 (unknown)"),
        (output('{"code": "x", "msg": 1}', exit_status=1), 'stdout: {"code": "x", "msg": 1}'),
        (output('{"code": 7, "code": 8, "msg": ""}', exit_status=1), "without an error document"),
    ],
    ids=["stderr", "stdout", "nothing", "signal", "unknown-signal", "wrong-types", "duplicate-key"],
)
def test_failure_without_error_document_is_described(given: PluginOutput, message: str) -> None:
    with pytest.raises(PluginError) as caught:
        check_success(PLACE, given)
    error = caught.value
    assert message in error.msg
    assert (error.plugin, error.path, error.command, error.network) == ("bridge", PLACE.path, "ADD", "net")
    assert (error.container_id, error.ifname) == ("box", "eth0")
    assert (error.exit_status, error.signal) == (given.exit_status, given.signal)


def test_failure_with_error_document_is_the_plugins_own() -> None:
    with pytest.raises(PluginError) as caught:
        check_success(PLACE, output('{"code": 11, "msg": "busy", "details": "d", "own": 1}', b"log", exit_status=1))
    error = caught.value
    assert (error.code, error.msg, error.details, error.stderr) == (11, "busy", "d", "log")


def test_failure_with_empty_message_says_so() -> None:
    with pytest.raises(PluginError, match="failed without a message"):
        check_success(PLACE, output('{"code": 11, "msg": "", "details": null}', exit_status=1))


def test_failure_quotes_only_the_end_of_a_long_log() -> None:
    with pytest.raises(PluginError) as caught:
        check_success(PLACE, output(stderr=b"x" * 100_000 + b"the end\xff", exit_status=1))
    assert len(str(caught.value)) < 3000
    assert caught.value.stderr.endswith("the end�")


def test_deadline_and_overflow_have_their_own_errors() -> None:
    with pytest.raises(PluginTimeoutError, match=r"within 2\.5 s") as caught:
        check_success(PLACE, output(exit_status=None, signal=15, timed_out=True), 2.5)
    assert (caught.value.timeout, caught.value.signal) == (2.5, 15)
    with pytest.raises(PluginTimeoutError, match="was ended"):
        check_success(PLACE, output(timed_out=True))
    with pytest.raises(PluginOutputError, match="more on stdout than is allowed"):
        check_success(PLACE, output("x", overflow=True))


@pytest.mark.parametrize(
    ("stdout", "message"),
    [
        ("", "succeeded, and printed no result"),
        (" null\n", "succeeded, and printed no result"),
        ("[]", "expected a JSON object, found an array"),
        ('{"ips": [{"x": NaN}]}', "ips[0].x: line 1, column 16"),
        (b"\xff", "invalid UTF-8"),
        ('{"code": 7, "msg": "bad"}', "exited with status 0 and printed an error: bad (code 7)"),
    ],
    ids=["nothing", "null", "array", "nan", "utf-8", "error"],
)
def test_answer_that_is_no_result_is_an_output_error(stdout: str | bytes, message: str) -> None:
    with pytest.raises(PluginOutputError) as caught:
        read_result(PLACE, output(stdout), "1.0.0")
    assert message in caught.value.msg
    text = stdout.decode("utf-8", "replace") if isinstance(stdout, bytes) else stdout
    assert caught.value.stdout == text
    assert caught.value.details == (f"stdout: {text.strip()}" if text.strip() else "")
    assert text.strip() in str(caught.value)


def test_answer_with_a_bad_member_is_an_output_error_and_a_result_error() -> None:
    for cls in (PluginOutputError, ResultError):
        with pytest.raises(cls) as caught:
            read_result(PLACE, output('{"cniVersion": "1.0.0", "ips": [null]}'), "1.0.0")
        assert isinstance(caught.value, PluginError)
        assert (getattr(caught.value, "field", ""), caught.value.plugin) == ("ips[0]", "bridge")


BAD_RESULT = '{"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.300/8"}]}'


@pytest.mark.parametrize(
    "given",
    [
        output(BAD_RESULT + "\n", b"log\n"),
        output('{"cniVersion":"1.0.0","ips":[{"addr', b"log\n"),
        output("half {", b"log\n", timed_out=True),
        output("half {", b"log\n", overflow=True),
        output("half {", b"log\n", exit_status=1),
    ],
    ids=["bad-member", "half", "timed-out", "overflow", "status"],
)
def test_error_without_an_error_document_shows_what_the_plugin_printed_and_logged(given: PluginOutput) -> None:
    def read() -> None:
        check_success(PLACE, given)
        read_result(PLACE, given, "1.0.0")

    with pytest.raises(PluginError) as caught:
        read()
    printed = given.stdout.decode()
    assert caught.value.stdout == printed
    assert f"stderr: log; stdout: {printed.strip()}" in str(caught.value)
    assert printed.strip() in json.dumps(caught.value.to_dict()).replace('\\"', '"')


def test_error_shows_a_long_answer_in_part_and_never_as_bytes() -> None:
    with pytest.raises(PluginOutputError) as caught:
        read_result(PLACE, output(b"{" + b"x" * 100_000 + b"\xff the end"), "1.0.0")
    assert len(str(caught.value)) < 3000
    assert caught.value.details.endswith("� the end")
    assert caught.value.stdout == "{" + "x" * (PluginError.STDOUT_LIMIT - 1)


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_answer_in_the_old_shape_without_a_version_keeps_its_address(version: str) -> None:
    printed = '{"ip4": {"ip": "192.0.2.7/24", "routes": [{"dst": "0.0.0.0/0"}]}, "dns": {"domain": "lab"}}'
    answer = read_result(PLACE, output(printed), version)
    assert [str(ip.address) for ip in answer.result.ips] == ["192.0.2.7/24"]
    assert (answer.result.cni_version, len(answer.result.routes), answer.result.dns.domain) == (version, 1, "lab")
    handed_on = json.loads(answer.text)
    assert (handed_on["cniVersion"], handed_on["ips"][0]["address"]) == (version, "192.0.2.7/24")
    assert "ip4" not in handed_on


@pytest.mark.parametrize(
    ("stdout", "version", "text"),
    [
        (' {"cniVersion": "1.0.0", "own": 1.50}\n', "1.0.0", '{"cniVersion": "1.0.0", "own": 1.50}'),
        ('{"own": 1.50}', "1.0.0", '{"own":1.50,"cniVersion":"1.0.0"}'),
        ('{"cniVersion": "", "own": 1.50}', "1.0.0", '{"cniVersion":"1.0.0","own":1.50}'),
        ('{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.1/8"}}', "1.1.0", None),
    ],
    ids=["as-printed", "no-version", "empty-version", "converted"],
)
def test_answer_goes_on_as_printed_in_the_version_of_the_list(stdout: str, version: str, text: str | None) -> None:
    answer = read_result(PLACE, output(stdout), version)
    assert answer.result.cni_version == version
    assert answer.text == (text or '{"cniVersion":"1.1.0","ips":[{"address":"10.0.0.1/8"}]}')


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"cniVersion": "1.0.0"}',
        '{"cniVersion": "1.0.0", "supportedVersions": ["x"]}',
        '{"cniVersion": 1, "supportedVersions": []}',
        '{"supportedVersions": ["1.0.0"]}',
    ],
)
def test_bad_version_information_is_an_output_error(stdout: str) -> None:
    with pytest.raises(PluginOutputError):
        read_version(PLACE, output(stdout))


def test_failure_of_version_for_another_reason_is_an_error() -> None:
    with pytest.raises(PluginError, match="busy"):
        read_version(PLACE, failure(11, "busy"))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOEXEC, "is not a program"),
        (errno.ENOENT, "interpreter"),
        (errno.EACCES, "no permission"),
        (errno.ETXTBSY, "text file busy"),
        (errno.ENOMEM, "cannot be started: Cannot allocate memory"),
    ],
    ids=["format", "missing", "permission", "busy", "other"],
)
def test_start_error_says_why(number: int, text: str) -> None:
    error = start_error(PLACE, OSError(number, os.strerror(number)))
    assert text in error.msg
    assert error.plugin == "bridge"
    assert "strange" in start_error(PLACE, OSError("strange")).msg


# What a plugin logs


def test_stderr_callback_that_raises_is_not_called_again() -> None:
    seen: list[str] = []

    def fail(line: str) -> None:
        seen.append(line)
        raise ValueError(line)

    log = StderrLog(100, fail)
    with pytest.raises(ValueError, match="one"):
        log.feed(b"one\ntwo\n")
    log.feed(b"three\n")
    log.finish()
    assert seen == ["one"]
    assert log.tail == b"one\ntwo\nthree\n"


def test_stderr_keeps_a_bounded_tail() -> None:
    log = StderrLog(10)
    for number in range(1000):
        log.feed(b"%d," % number)
        assert len(log._kept) <= 24
    assert log.tail == b",998,999,"[-10:] or log.tail.endswith(b"998,999,")


def test_long_line_is_cut_between_characters() -> None:
    text = "a" + "🂡" * 10
    pieces = list(split_line(text.encode(), 9))
    assert b"".join(pieces).decode() == text
    assert all(len(piece) <= 9 and piece.decode() for piece in pieces)


# Delegation

DELEGATE = """\
#!/bin/sh
cat > {here}/stdin
env | grep ^CNI_ | sort > {here}/env
case $CNI_COMMAND in
ADD) echo '{{"cniVersion": "0.4.0", "ips": [{{"version": "4", "address": "10.0.0.2/24"}}]}}' ;;
STATUS) echo '{{"cniVersion": "1.1.0", "code": 50, "msg": "not ready"}}'; exit 1 ;;
esac
"""
CONFIG = b'{"cniVersion": "1.0.0", "name": "net", "type": "meta", "mtu": 1.50}'


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    executable(tmp_path / "bin" / "delegate", DELEGATE.format(here=tmp_path))
    return {
        "PATH": os.environ["PATH"],
        "CNI_COMMAND": "ADD",
        "CNI_CONTAINERID": "box",
        "CNI_NETNS": "/run/netns/blue",
        "CNI_IFNAME": "eth0",
        "CNI_ARGS": "A=1",
        "CNI_PATH": f"/missing:{tmp_path}/bin",
    }


def test_delegate_add_returns_the_result_in_the_version_of_the_configuration(
    environ: dict[str, str], tmp_path: Path
) -> None:
    result = delegate_add("delegate", CONFIG, environ=environ)
    assert (result.cni_version, str(result.ips[0].address)) == ("1.0.0", "10.0.0.2/24")
    assert (tmp_path / "stdin").read_bytes() == CONFIG
    called_with = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines())
    assert called_with == {name: value for name, value in environ.items() if name.startswith("CNI_")}
    assert delegate_add("delegate", conf_from_bytes(CONFIG), environ=environ) == result
    assert delegate_add("delegate", CONFIG.decode(), environ=environ) == result


def test_delegate_add_keeps_the_address_of_an_old_result_without_a_version(
    environ: dict[str, str], tmp_path: Path
) -> None:
    executable(tmp_path / "bin" / "old", """#!/bin/sh\necho '{"ip4": {"ip": "192.0.2.7/24"}}'\n""")
    result = delegate_add("old", CONFIG, environ=environ)
    assert (result.cni_version, [str(ip.address) for ip in result.ips]) == ("1.0.0", ["192.0.2.7/24"])


@pytest.mark.parametrize(
    ("delegate", "command"),
    [(delegate_check, "CHECK"), (delegate_del, "DEL"), (delegate_gc, "GC")],
    ids=["check", "del", "gc"],
)
def test_delegate_runs_its_own_verb_with_the_callers_variables(
    environ: dict[str, str], tmp_path: Path, delegate: Callable[..., None], command: str
) -> None:
    delegate("delegate", CONFIG, environ=environ)
    lines = (tmp_path / "env").read_text().splitlines()
    assert f"CNI_COMMAND={command}" in lines
    assert "CNI_CONTAINERID=box" in lines
    assert environ["CNI_COMMAND"] == "ADD"


def test_delegate_without_environ_takes_that_of_the_process(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    delegate_del("delegate", CONFIG)
    assert "CNI_COMMAND=DEL" in (tmp_path / "env").read_text()


def test_delegate_status_raises_the_delegates_error(environ: dict[str, str]) -> None:
    with pytest.raises(PluginError) as caught:
        delegate_status("delegate", CONFIG, environ=environ)
    error = caught.value
    assert (error.code, error.msg, error.plugin, error.network, error.container_id) == (
        50,
        "not ready",
        "delegate",
        "net",
        "box",
    )


def test_delegate_that_is_missing_is_an_error_with_its_place(environ: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(PluginNotFoundError) as caught:
        delegate_add("other", CONFIG, environ=environ)
    assert caught.value.paths == ("/missing", f"{tmp_path}/bin")
    assert (caught.value.command, caught.value.container_id) == ("ADD", "box")
    with pytest.raises(InvalidParameterError):
        delegate_add("a/b", CONFIG, environ=environ)


def test_delegate_that_cannot_start_is_a_plugin_error(environ: dict[str, str], tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "broken", "#!/missing/interpreter\n")
    with pytest.raises(PluginError, match="interpreter"):
        delegate_del("broken", CONFIG, environ=environ)


def test_delegate_that_hangs_is_ended_at_the_deadline(environ: dict[str, str], tmp_path: Path) -> None:
    executable(tmp_path / "bin" / "slow", "#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(PluginTimeoutError):
        delegate_del("slow", CONFIG, environ=environ, timeout=0.1)


@pytest.mark.parametrize("config", [b"", b"nope", b"[]", b"\xff", '{"name": 1, "name": 2}'], ids=repr)
def test_delegate_with_a_bad_configuration_is_a_config_error(environ: dict[str, str], config: bytes | str) -> None:
    for delegate in (delegate_add, delegate_del):
        with pytest.raises(ConfigError) as caught:
            delegate("delegate", config, environ=environ)
        assert caught.value.line == 1


def test_delegate_takes_another_runner(environ: dict[str, str]) -> None:
    runner = ScriptedRunner({("delegate", "ADD"): success({"cniVersion": "1.0.0"})})
    delegate_add("delegate", CONFIG, environ=environ, runner=runner)
    assert runner.calls[0].stdin == CONFIG
    assert json.loads(runner.calls[0].stdin)["type"] == "meta"


def test_names_of_the_package_load_when_they_are_used() -> None:
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = package.nothing


def test_schedule_of_a_plugin_that_is_ended_does_not_wait_for_pipes_that_nobody_known_holds() -> None:
    schedule = Schedule(Limits(grace=2, linger=1), 100.0, timeout=10)
    assert schedule.step(110.0, drained=False, alone=True)[0] is Step.TERMINATE
    schedule.exited(110.1)
    assert schedule.step(110.1, drained=False, alone=False)[0] is Step.WAIT
    assert schedule.step(110.2, drained=False, alone=True)[0] is Step.FINISH


def test_start_error_says_when_the_exit_status_was_lost() -> None:
    error = start_error(Invocation("bridge", "/opt/bridge", "ADD"), ChildProcessError(errno.ECHILD, "ran, and is lost"))
    assert error.msg == "ran, and is lost"
