"""Reading the output of a plugin: a result, version information, or an error.

Pure: from a :class:`PluginOutput` to data or an error that names the plugin, the verb and the attachment. Output is
read as strictly as a configuration. Go counterpart: ``invoke/raw_exec.go`` (``pluginErr``) and ``version/plugin.go``.
Source: SPEC 1.1.0, section 2, "Execution protocol", and section 5.
"""

from __future__ import annotations

import errno
import signal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from libcni.errors import (
    PluginError,
    PluginOutputError,
    PluginResultError,
    PluginStartError,
    PluginTimeoutError,
    ResultError,
    VersionError,
)
from libcni.jsontext.decode import decode_text, parse_object
from libcni.jsontext.encode import dump, join_object
from libcni.jsontext.frozen import is_array
from libcni.jsontext.scan import DocumentError, format_path, split_object
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.documents.problems import first_problem
from libcni.protocol.versions import FIRST_VERSION, PluginInfo, parse_version
from libcni.results.check import check_result
from libcni.results.result import Result, result_of

if TYPE_CHECKING:
    from libcni.invoke.runner import PluginOutput
    from libcni.jsontext.scan import JSONObject
    from libcni.protocol.documents.error_and_version import ErrorDocument, VersionDocument
    from libcni.results.check import CheckedResult

__all__ = ["Invocation", "PrevResult", "check_success", "read_result", "read_version", "start_error"]

_RESULT_MEMBERS = frozenset({"ips", "interfaces", "routes", "ip4", "ip6"})

E = TypeVar("E", bound=PluginError)

QUOTE = 2048
"""Bytes of the end of stderr, or of stdout, that the text of an error quotes."""

_START_REASONS = {
    errno.ENOEXEC: "is not a program: a binary of another machine, or a script without a '#!' line",
    errno.ENOENT: "cannot be started: the file, or the interpreter that it names, does not exist",
    errno.EACCES: "cannot be started: no permission to execute it",
    errno.ETXTBSY: "cannot be started: the file is still open for writing (text file busy)",
}

# What plugins from before 0.2.0 say; there is no code for it.
_VERSION_IS_UNKNOWN = "unknown CNI_COMMAND: VERSION"


class Invocation(NamedTuple):
    """A plugin invocation as errors name it: the plugin, the verb and the attachment."""

    plugin: str
    path: str
    command: str
    network: str = ""
    container_id: str = ""
    ifname: str = ""

    def at(self, path: str) -> Invocation:
        """Return the same with the path of the binary."""
        return self._replace(path=path)

    def error(self, kind: type[E], msg: str, output: PluginOutput | None = None, **fields: Any) -> E:
        """Make an error that names the plugin, the verb and the attachment."""
        place = self._asdict()
        if output is not None:
            place |= {
                "exit_status": output.exit_status,
                "signal": output.signal,
                "stderr": _quoted(output.stderr),
                "stdout": output.stdout[: PluginError.STDOUT_LIMIT * 4].decode("utf-8", "replace"),
                "duration": output.duration,
            }
        return kind(msg, **place, **fields)


class PrevResult(NamedTuple):
    """The result of one plugin as ``prevResult`` of the next one: the encoded document, and the checked one."""

    text: str
    checked: CheckedResult | None = None
    converted: Result | None = None
    stdout: bytes = b""
    """Standard output of the plugin."""

    @property
    def result(self) -> Result:
        """The result in memory."""
        return self.converted or (result_of(self.checked) if self.checked is not None else Result())


def start_error(invocation: Invocation, error: OSError) -> PluginError:
    """Return the error for a plugin that could not be started, or of which it is not known how it ended."""
    if isinstance(error, ChildProcessError):
        return invocation.error(PluginError, str(error.strerror))
    number = error.errno or 0
    kind = PluginError if number == errno.ECHILD else PluginStartError
    reason = _START_REASONS.get(number, f"cannot be started: {error.strerror or error}")
    return invocation.error(kind, reason)


def check_success(invocation: Invocation, output: PluginOutput, timeout: float | None = None) -> None:
    """Check how a plugin ended.

    :raises PluginTimeoutError: if it was ended at its deadline, or could not be ended and lives on.
    :raises PluginOutputError: if it printed more than is allowed.
    :raises PluginError: if it failed, with its own code, message and details when it printed the specification's error.
    """
    if output.timed_out:
        did = "did not finish in time" if timeout is None else f"did not finish within {timeout:g} s"
        raise _ended_error(PluginTimeoutError, invocation, output, did=did, timeout=timeout or 0.0, pid=output.pid)
    if output.overflow:
        did = "printed more on stdout than is allowed"
        if output.pid is not None:
            raise _ended_error(PluginTimeoutError, invocation, output, did=did, timeout=timeout or 0.0, pid=output.pid)
        raise _ended_error(PluginOutputError, invocation, output, did=did)
    if output.exit_status == 0:
        return
    document = _error_document(output.stdout)
    if document is None:
        raise invocation.error(PluginError, _unexplained(output), output)
    msg = document.msg or "failed without a message"
    raise invocation.error(PluginError, msg, output, code=document.code, details=document.details or "")


def _ended_error(kind: type[E], invocation: Invocation, output: PluginOutput, *, did: str, **fields: Any) -> E:
    """Make the error for a plugin that had to be ended: say whether it was."""
    what = "was ended" if output.pid is None else f"cannot be killed: process {output.pid} lives on"
    return invocation.error(kind, f"{did}, and {what}", output, details=_said(output), **fields)


def _error_document(stdout: bytes) -> ErrorDocument | None:
    try:
        document: ErrorDocument = validated("ErrorDocument", parse_object(stdout))
    except (DocumentError, ValidationError):
        return None
    return document


def _unexplained(output: PluginOutput) -> str:
    """Describe a failure without a usable error document."""
    if output.exit_status is output.signal is None:
        how = "ended with an unknown status (a process that traces it keeps that)"
    elif output.signal is not None:
        how = f"was killed by signal {output.signal} ({_signal_name(output.signal)})"
    else:
        how = f"exited with status {output.exit_status}"
    return f"{how} without an error document; {_said(output) or 'it printed nothing'}"


def _said(output: PluginOutput) -> str:
    """Quote the end of what a plugin printed and logged; empty if that is nothing."""
    streams = (("stderr", output.stderr), ("stdout", output.stdout))
    return "; ".join([f"{name}: {quote}" for name, text in streams if (quote := _quoted(text))])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def _quoted(data: bytes) -> str:
    return data[-QUOTE:].decode("utf-8", "replace").strip()


def read_result(
    invocation: Invocation, output: PluginOutput, version: str, *, before: PrevResult | None = None
) -> PrevResult:
    """Read the result of an ADD, and bring it to the version of the list.

    A result in that version goes on as it was printed; one without a version is taken to have it.

    :param before: of the plugin before in the chain: many a plugin prints just that again.
    :raises PluginOutputError: if the plugin printed no result.
    :raises PluginResultError: if what it printed is not a result.
    """
    if before is not None and output.stdout and before.stdout == output.stdout:
        return before
    text, document = _read_object(invocation, output, "result")
    if "code" in document and "msg" in document and _RESULT_MEMBERS.isdisjoint(document):
        message = f"exited with status 0 and printed an error: {document['msg']} (code {document['code']})"
        raise _output_error(invocation, output, message)
    try:
        checked = check_result(document, version)
    except ResultError as error:
        said = _said(output)
        raise invocation.error(PluginResultError, error.msg, output, field=error.field, details=said) from None
    if checked.version != version:
        result = result_of(checked).as_version(version)
        return PrevResult(result.to_json(), converted=result, stdout=output.stdout)
    if not document.get("cniVersion"):
        text = join_object({**split_object(text), "cniVersion": dump(version)}.items())
    return PrevResult(text.strip(), checked, stdout=output.stdout)


def _read_object(invocation: Invocation, output: PluginOutput, expected: str) -> tuple[str, JSONObject]:
    try:
        text = decode_text(output.stdout)
        if text.strip() in {"", "null"}:
            raise _output_error(invocation, output, f"succeeded, and printed no {expected}")
        return text, parse_object(text)
    except DocumentError as error:
        place = f"{format_path(error.path)}: " if error.path else ""
        raise _output_error(invocation, output, f"printed something else than a {expected}: {place}{error}") from None


def _output_error(invocation: Invocation, output: PluginOutput, message: str) -> PluginOutputError:
    return invocation.error(PluginOutputError, message, output, details=_said(output))


def read_version(invocation: Invocation, output: PluginOutput, timeout: float | None = None) -> PluginInfo:
    """Read the answer to VERSION; a plugin that does not know the verb supports 0.1.0.

    :raises PluginOutputError: if it printed something else than version information.
    :raises PluginError: if it failed for another reason.
    """
    try:
        check_success(invocation, output, timeout)
    except PluginError as error:
        if error.msg == _VERSION_IS_UNKNOWN:
            return PluginInfo(FIRST_VERSION, (FIRST_VERSION,))
        raise
    _, document = _read_object(invocation, output, "version document")
    if document.get("cniVersion") == "":
        raise _output_error(invocation, output, "printed version information with an empty cniVersion")
    try:
        document = _without_malformed_versions(document)
        model: VersionDocument = validated("VersionDocument", document)
    except ValidationError as error:
        problem = first_problem(error)
        message = f"printed invalid version information: {format_path(problem.path)}: {problem.message}"
        raise _output_error(invocation, output, message) from None
    return PluginInfo(model.cniVersion, _supported(invocation, output, model))


def _without_malformed_versions(document: JSONObject) -> JSONObject:
    """Pass over texts that are no versions, as Go does: nobody asks for them."""
    listed = document.get("supportedVersions")
    if not is_array(listed):
        return document
    return {
        **document,
        "supportedVersions": [item for item in listed if not isinstance(item, str) or _is_version(item)],
    }


def _is_version(text: str) -> bool:
    try:
        parse_version(text)
    except VersionError:
        return False
    return True


def _supported(invocation: Invocation, output: PluginOutput, model: VersionDocument) -> tuple[str, ...]:
    if model.supportedVersions:
        return tuple(model.supportedVersions)
    # The first plugins with VERSION, of 0.2.0, listed nothing.
    if model.cniVersion == "0.2.0":
        return (FIRST_VERSION, "0.2.0")
    raise _output_error(invocation, output, "printed version information without supportedVersions")
