"""Runners for tests: scripted answers, and real executions that are recorded once and replayed without plugins or root.

All three work in ``CNIConfig`` and in ``AsyncCNIConfig``. Go counterpart: the fake ``invoke.Exec`` that each project
writes anew.
"""

from __future__ import annotations

import base64
import json
import os
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar

from libcni.errors import CNIError, InvalidParameterError, PluginNotFoundError
from libcni.invoke.environment import CNI_ARGS, CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME, CNI_NETNS
from libcni.invoke.runner import PluginOutput
from libcni.jsontext.decode import parse
from libcni.jsontext.encode import dump
from libcni.jsontext.scan import DocumentError
from libcni.jsontext.secrets import HIDDEN, is_secret, without_secrets
from libcni.protocol.cni_args import parse_args
from libcni.protocol.names import plugin_type_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from os import PathLike

    from libcni.invoke.runner import PluginCall, Runner

__all__ = ["RecordingRunner", "ReplayError", "ReplayRunner", "ScriptedCall", "ScriptedRunner", "failure", "success"]

T = TypeVar("T")

Answer: TypeAlias = "PluginOutput | BaseException | Callable[[ScriptedCall], PluginOutput]"


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """One call of a scripted runner, as the plugin would have seen it."""

    plugin: str
    command: str
    stdin: bytes
    environment: Mapping[str, str]

    @property
    def request(self) -> Any:
        """The decoded document on stdin."""
        return parse(self.stdin)

    @property
    def container_id(self) -> str:
        """``CNI_CONTAINERID``, empty when it is not set."""
        return self.environment.get(CNI_CONTAINERID, "")

    @property
    def ifname(self) -> str:
        """``CNI_IFNAME``, empty when it is not set."""
        return self.environment.get(CNI_IFNAME, "")

    @property
    def netns(self) -> str:
        """``CNI_NETNS``, empty when it is not set."""
        return self.environment.get(CNI_NETNS, "")

    @property
    def args(self) -> tuple[tuple[str, str], ...]:
        """The pairs in ``CNI_ARGS``."""
        return parse_args(self.environment.get(CNI_ARGS, ""))


def success(document: object = None) -> PluginOutput:
    """Return the output of a plugin that succeeds, and prints a JSON document when one is given."""
    return PluginOutput(stdout=b"" if document is None else dump(document).encode())


def failure(code: int, msg: str, *, details: str = "", status: int = 1) -> PluginOutput:
    """Return the output of a plugin that fails with the error document of the specification."""
    document = {"cniVersion": "1.0.0", "code": code, "msg": msg, "details": details}
    return PluginOutput(stdout=dump(document).encode(), exit_status=status)


def _in_turn(answer: Answer | Sequence[Answer]) -> Sequence[Answer]:
    return answer if _are_many(answer) else [answer] if _is_one(answer) else []


def _are_many(answer: Answer | Sequence[Answer]) -> TypeGuard[Sequence[Answer]]:
    return isinstance(answer, Sequence)


def _is_one(answer: Answer | Sequence[Answer]) -> TypeGuard[Answer]:
    return not isinstance(answer, Sequence)


def _seen(call: PluginCall) -> ScriptedCall:
    return ScriptedCall(
        PurePath(call.path).name, call.environment.get(CNI_COMMAND, ""), call.stdin, dict(call.environment)
    )


class _InPlace:
    """Base of runners that do file work and waits at once, in the caller's thread or task."""

    async def call(self, work: Callable[[], T]) -> T:
        """Do a piece of file work."""
        return work()

    async def sleep(self, seconds: float) -> None:
        """Do not wait."""
        del seconds

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, limit: int) -> list[T]:
        """Run the jobs one after the other, in order."""
        del limit
        return [await job() for job in jobs]

    async def shielded(self, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run the job."""
        return await job()


class ScriptedRunner(_InPlace):
    """Answers from a table and records what it was asked; nothing is executed.

    :param answers: by ``"plugin"`` and ``"COMMAND"``, an output, an exception to raise, a function of the call, or a
        list of these, one for each call in turn. What has no entry succeeds and prints nothing; ADD prints an empty
        result.
    :param missing: types of plugins that lookup does not find.

    >>> runner = ScriptedRunner({("bridge", "ADD"): failure(11, "busy")})
    >>> runner.find("bridge", [])
    '/scripted/bridge'
    """

    def __init__(
        self,
        answers: Mapping[tuple[str, str], Answer | Sequence[Answer]] | None = None,
        *,
        missing: Iterable[str] = (),
    ) -> None:
        self.calls: list[ScriptedCall] = []
        self.missing = set(missing)
        self._answers: dict[tuple[str, str], deque[Answer]] = {}
        for key, answer in (answers or {}).items():
            self.answer(*key, answer)

    def answer(self, plugin: str, command: str, answer: Answer | Sequence[Answer]) -> None:
        """Set the answer of a plugin to a verb, from now on."""
        self._answers[plugin, command] = deque(_in_turn(answer))

    @property
    def history(self) -> list[tuple[str, str]]:
        """Verb and plugin of every call so far, in order."""
        return [(call.command, call.plugin) for call in self.calls]

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return a path that names the plugin; nothing needs to be there."""
        problem = plugin_type_problem(plugin)
        if problem is not None:
            raise InvalidParameterError("plugin", plugin, problem)
        if plugin in self.missing:
            raise PluginNotFoundError(f"not found in {', '.join(paths)}", paths=paths, plugin=plugin)
        return f"/scripted/{plugin}"

    async def run(self, call: PluginCall) -> PluginOutput:
        """Record the call and return, or raise, the answer to it."""
        seen = _seen(call)
        self.calls.append(seen)
        answers = self._answers.get((seen.plugin, seen.command))
        if answers is None:
            return success({} if seen.command == "ADD" else None)
        # The last answer stays.
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, PluginOutput) else answer(seen)


class ReplayError(CNIError):
    """A call was made for which the recording has no execution left, or the file is no recording."""


_OUTPUT_TEXTS = ("stdout", "stderr")


class RecordingRunner:
    """Runs plugins through another runner, and appends every execution to a file of JSON lines.

    :param runner: does the work.
    :param path: of the file; it is made or continued. It holds requests and answers as they were, secrets included.
    :param hide_secrets: whether values whose name looks like that of a secret are left out: members of the documents,
        and pairs of ``CNI_ARGS``. What a plugin writes to stderr stays as it is.
    """

    def __init__(self, runner: Runner, path: str | PathLike[str], *, hide_secrets: bool = False) -> None:
        self._runner = runner
        self._path = Path(path)
        self._hides = hide_secrets
        self._lock = threading.Lock()
        self.find = runner.find
        self.call = runner.call
        self.sleep = runner.sleep
        self.gather = runner.gather
        self.shielded = runner.shielded

    async def run(self, call: PluginCall) -> PluginOutput:
        """Execute the plugin and record the execution."""
        answer = output = await self._runner.run(call)
        seen = _seen(call)
        protocol = {key: value for key, value in seen.environment.items() if key.startswith("CNI_")}
        stdin = call.stdin
        if self._hides:
            protocol[CNI_ARGS] = _args_without_secrets(protocol.get(CNI_ARGS, ""))
            stdin, output = _without_secrets(stdin), replace(output, stdout=_without_secrets(output.stdout))
        fields = asdict(output) | {name: _encoded(getattr(output, name)) for name in _OUTPUT_TEXTS}
        line = dump({"plugin": seen.plugin, "environment": protocol, "stdin": _encoded(stdin), "output": fields})
        with self._lock:
            _append_private(self._path, f"{line}\n".encode())
        return answer


def _without_secrets(data: bytes) -> bytes:
    """Return a document without secrets; what is no JSON as it is."""
    try:
        document = parse(data)
    except DocumentError:
        return data
    hidden = without_secrets(document)
    return data if hidden == document else dump(hidden).encode()


def _args_without_secrets(text: str) -> str:
    pairs = (pair.partition("=") for pair in text.split(";"))
    return ";".join(f"{key}{sign}{HIDDEN if sign and is_secret(key) else value}" for key, sign, value in pairs)


def _append_private(path: Path, line: bytes) -> None:
    # What goes to plugins may be secret.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        file.write(line)


class ReplayRunner(_InPlace):
    """Answers each call with the recorded execution of the same plugin, verb, container and interface, in their order.

    :param path: of a file that :class:`RecordingRunner` wrote.
    :raises OSError: if it cannot be read.
    :raises ReplayError: if it is something else.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.calls: list[ScriptedCall] = []
        self._recorded: dict[tuple[str, ...], deque[PluginOutput]] = defaultdict(deque)
        self._plugins: set[str] = set()
        for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise ReplayError(f"{path}: line {number} is not a recorded execution: {error!r}") from None

    def _take(self, record: dict[str, Any]) -> None:
        fields = record["output"]
        output = PluginOutput(**fields | {name: _decoded(fields[name]) for name in _OUTPUT_TEXTS})
        self._plugins.add(record["plugin"])
        self._recorded[_identity(record["plugin"], record["environment"])].append(output)

    def find(self, plugin: str, paths: Sequence[str]) -> str:
        """Return a path that names the plugin, if the recording has it."""
        if plugin not in self._plugins:
            raise PluginNotFoundError("not in the recording", paths=paths, plugin=plugin)
        return f"/replayed/{plugin}"

    async def run(self, call: PluginCall) -> PluginOutput:
        """Return the recorded output of the plugin.

        :raises ReplayError: if there is no such execution left.
        """
        seen = _seen(call)
        self.calls.append(seen)
        identity = _identity(seen.plugin, seen.environment)
        left = self._recorded.get(identity)
        if not left:
            raise ReplayError(f"no recorded execution is left for {' '.join(part for part in identity if part)}")
        return left.popleft()


def _identity(plugin: str, environment: Mapping[str, str]) -> tuple[str, ...]:
    return (plugin, *[environment.get(name, "") for name in (CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME)])


def _encoded(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode("utf-8")}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _decoded(value: Mapping[str, str]) -> bytes:
    return base64.b64decode(value["base64"]) if "base64" in value else value["text"].encode()
