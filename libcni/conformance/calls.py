"""One execution of a plugin, as a check makes it and as a report shows it.

Owns :class:`Request`, :class:`Answer`, and the shell text that repeats them. Source: SPEC 1.1.0, section 2.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard

from libcni.invoke.environment import CNI_COMMAND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from libcni.invoke.runner import PluginOutput
    from libcni.jsontext.scan import JSONObject

__all__ = ["Answer", "Request", "Step", "is_object", "printing", "shell_line", "shown"]

SHOWN = 64 * 1024
"""Bytes of a stream that go into a report."""

_IN_SHORT = 300
"""Bytes of standard input that a message quotes."""

_LONG_RUN = re.compile(rb"(.)\1{999,}", re.DOTALL)


def is_object(value: object) -> TypeGuard[JSONObject]:
    """Return whether a value is a JSON object."""
    return isinstance(value, dict)


@dataclass(frozen=True)
class Request:
    """A plugin call: the binary, its environment and the text for its standard input."""

    path: str
    environment: Mapping[str, str]
    stdin: bytes

    @property
    def verb(self) -> str:
        """The verb, empty when there is none."""
        return self.environment.get(CNI_COMMAND, "")

    @property
    def config(self) -> JSONObject:
        """The decoded configuration."""
        document: JSONObject = json.loads(self.stdin)
        return document

    def with_environment(self, **changes: str | None) -> Request:
        """Return the request with other variables; ``None`` takes one away."""
        merged = {**self.environment, **changes}
        return replace(self, environment={key: value for key, value in merged.items() if value is not None})

    def with_config(self, **members: Any) -> Request:
        """Return the request with other members of the configuration; ``None`` takes one away."""
        merged = {**self.config, **members}
        return self.with_stdin(json.dumps({key: value for key, value in merged.items() if value is not None}).encode())

    def with_stdin(self, stdin: bytes) -> Request:
        """Return the request with other bytes on standard input."""
        return replace(self, stdin=stdin)

    @property
    def shell(self) -> str:
        """A shell command that makes the same call."""
        return self.shell_with({})

    def shell_with(self, files: Mapping[bytes, str]) -> str:
        """Return the shell command, with parts of standard input taken from files, by the part."""
        variables = [shlex.quote(f"{key}={value}") for key, value in self.environment.items()]
        return f"{printing(self.stdin, files)} | env -i {' '.join(variables)} {shlex.quote(self.path)}"


@dataclass(frozen=True)
class Answer:
    """The answer to a call: exit status, output and duration."""

    request: Request
    output: PluginOutput

    @property
    def is_success(self) -> bool:
        """Whether it ended by itself with exit status 0, and did not print an error."""
        document = self.document or {}
        return (
            self.output.exit_status == 0
            and not self.output.timed_out
            and not ("code" in document and "msg" in document)
        )

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return self.output.stdout.decode("utf-8", "replace")

    @property
    def document(self) -> JSONObject | None:
        """The first JSON object on standard output, whatever stands around it; strictness is for single checks."""
        text = self.stdout
        start = text.find("{")
        while start >= 0:
            try:
                document, _ = json.JSONDecoder().raw_decode(text, start)
            except ValueError:
                start = text.find("{", start + 1)
            else:
                found: JSONObject = document
                return found
        return None

    @property
    def request_in_short(self) -> str:
        """The parts of the request that show that it is wrong: the variables of the protocol, and the input."""
        variables = [f"{key}={value}" for key, value in self.request.environment.items() if key.startswith("CNI_")]
        text = self.request.stdin[:_IN_SHORT].decode("utf-8", "backslashreplace")
        more = "…" if len(self.request.stdin) > _IN_SHORT else ""
        return f"{' '.join(variables)} and {f'standard input {text}{more}' if text else 'nothing on standard input'}"

    @property
    def summary(self) -> str:
        """The end of the process, in one line."""
        if self.output.timed_out:
            return f"not finished after {self.output.duration:.1f} s, and was ended"
        how = f"signal {self.output.signal}" if self.output.signal else f"status {self.output.exit_status}"
        printed = " ".join(self.stdout.split())
        return f"{how}, stdout: {printed[:400] or 'nothing'}"


@dataclass(frozen=True)
class Step:
    """One step of a check: a shell command, and for a call of the plugin its answer."""

    shell: str
    answer: Answer | None = None

    def document(self) -> JSONObject:
        """Return the step as it stands in a report."""
        if self.answer is None:
            return {"shell": self.shell}
        output = self.answer.output
        return {
            "shell": self.shell,
            "environment": dict(self.answer.request.environment),
            "stdin": shown(self.answer.request.stdin),
            "stdout": shown(output.stdout),
            "stderr": shown(output.stderr),
            "exitStatus": output.exit_status,
            "signal": output.signal,
            "timedOut": output.timed_out,
            "seconds": round(output.duration, 3),
        }


def shown(data: bytes) -> str:
    """Return bytes as text for a report, cut when there are many."""
    text = data[:SHOWN].decode("utf-8", "backslashreplace")
    return text if len(data) <= SHOWN else f"{text}… ({len(data)} bytes in all)"


def shell_line(steps: Sequence[Step], before: Sequence[str], after: Sequence[str] = ()) -> str:
    """Return one line for a root shell that repeats the steps in namespaces of their own, and leaves nothing behind.

    :param before: commands that lay the ground.
    :param after: commands that show what was compared.
    """
    shows = ["echo", "echo '== compared:'", *after] if after else []
    script = _joined([*before, *_commands(steps), *shows])
    return f"unshare --mount --net sh -c {shlex.quote(script)}"


def _joined(commands: Sequence[str]) -> str:
    return "".join(f"{command}{' ' if command.endswith('&') else '; '}" for command in commands).removesuffix("; ")


def _commands(steps: Sequence[Step]) -> Iterator[str]:
    """Yield the command of each step; ``prevResult`` is what the ADD prints this time, with its hardware addresses."""
    files: dict[bytes, str] = {}
    for number, step in enumerate(steps, 1):
        if step.answer is None or not step.shell.startswith(step.answer.request.shell):
            yield step.shell
            continue
        command = step.answer.request.shell_with(files)
        result = _printed_result(step.answer)
        later = (following.answer.request.stdin for following in steps[number:] if following.answer is not None)
        if result and any(result in stdin for stdin in later):
            files[result] = f"/run/result-{number}"
            command += f" | tee {files[result]}"
        yield command + step.shell.removeprefix(step.answer.request.shell)


def _printed_result(answer: Answer) -> bytes:
    """Return a result as it stands in later requests; nothing if more than that was printed."""
    try:
        is_alone = is_object(json.loads(answer.output.stdout))
    except ValueError:
        return b""
    return json.dumps(answer.document).encode() if is_alone and answer.is_success else b""


def printing(data: bytes, files: Mapping[bytes, str]) -> str:
    """Return shell text that prints the bytes."""
    parts = _parts(data)
    for text, path in files.items():
        before, found, after = data.partition(text)
        if found:
            parts = [*_parts(before), f"cat {path}", *_parts(after)]
    return parts[0] if len(parts) == 1 else f"{{ {'; '.join(parts or [':'])}; }}"


def _parts(data: bytes) -> list[str]:
    """Return shell commands that print the bytes, long runs of one byte in short form."""
    parts: list[str] = []
    position = 0
    for run in _LONG_RUN.finditer(data):
        parts += _print_commands(data[position : run.start()])
        size = run.end() - run.start()
        parts.append(f"head -c {size} /dev/zero | tr '\\0' {shlex.quote(_escaped(run.group(1)))}")
        position = run.end()
    return parts + _print_commands(data[position:])


def _print_commands(data: bytes) -> list[str]:
    if not data:
        return []
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return [f"printf {shlex.quote(_escaped(data).replace('%', '%%'))}"]
    if text.isprintable():
        return [f"printf %s {shlex.quote(text)}"]
    return [f"printf {shlex.quote(_escaped(data).replace('%', '%%'))}"]


def _escaped(data: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte != 92 else f"\\{byte:03o}" for byte in data)  # noqa: PLR2004 -- printable ASCII, without the backslash
