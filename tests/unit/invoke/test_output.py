"""What a plugin answered: results, errors, versions, and what it means when there is no answer."""

from __future__ import annotations

import errno
import json
import os
from typing import Any

import pytest

from libcni import PluginError, PluginOutputError, PluginTimeoutError, ResultError
from libcni.invoke.output import Invocation, check_success, read_result, read_version, start_error
from libcni.invoke.runner import PluginOutput
from libcni.testing import failure

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
        '{"cniVersion": "", "supportedVersions": ["1.0.0"]}',
        '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0", 5]}',
    ],
)
def test_bad_version_information_is_an_output_error(stdout: str) -> None:
    with pytest.raises(PluginOutputError):
        read_version(PLACE, output(stdout))


def test_malformed_version_among_those_that_a_plugin_supports_is_passed_over() -> None:
    stdout = '{"cniVersion": "1.0.0", "supportedVersions": ["0.-42.0", "1.0.0", ""]}'
    assert read_version(PLACE, output(stdout)).supported_versions == ("1.0.0",)


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


def test_start_error_says_when_the_exit_status_was_lost() -> None:
    error = start_error(PLACE, ChildProcessError(errno.ECHILD, "ran, and is lost"))
    assert error.msg == "ran, and is lost"
