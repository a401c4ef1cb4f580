"""The calls of a verb: its plugin calls in order, and inside them the calls of IPAM plugins, which plugins make.

The library sees its own calls. Those that a plugin makes are seen by a stand-in: a shell script of the same name in a
directory before the others in ``CNI_PATH``, which notes request, answer and time around the real plugin.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.cli.failure import error_document
from libcni.errors import CNIError
from libcni.invoke.events import Observer
from libcni.invoke.find import find_in_path
from libcni.jsontext.decode import parse
from libcni.jsontext.frozen import object_of
from libcni.jsontext.scan import DocumentError
from libcni.jsontext.secrets import without_secrets

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from libcni.config.model import NetworkConfigList
    from libcni.invoke.events import OperationEvent, PluginEvent
    from libcni.protocol.attachment import RuntimeConf

__all__ = ["StandIns", "Trace", "TracedCall", "TracedVerb", "stand_ins"]

_SCRIPT = """\
#!/bin/sh
real={real}
folder=$(mktemp -d {folder}/call.XXXXXXXX) || exec "$real"
echo "$CNI_COMMAND" > "$folder/verb"
cat > "$folder/request"
date +%s.%N > "$folder/start"
"$real" < "$folder/request" > "$folder/answer"
status=$?
date +%s.%N > "$folder/end"
echo "$status" > "$folder/status"
cat "$folder/answer"
exit "$status"
"""


@dataclass(frozen=True, kw_only=True)
class TracedCall:
    """One call of a plugin.

    ``started`` is in seconds since the verb began, ``duration`` and ``cpu_seconds`` in seconds. ``max_rss`` is in
    bytes, and never below the memory of this process, with which a plugin starts. Processor time and memory of a call
    that a plugin makes are not known.
    """

    plugin: str
    verb: str
    path: str
    started: float
    duration: float
    exit_status: int | None
    signal: int | None = None
    cpu_seconds: float | None = None
    max_rss: int | None = None
    error: str = ""
    request: Any = None
    answer: Any = None
    calls: Sequence[TracedCall] = ()

    def document(self) -> dict[str, Any]:
        """Return the call for programs."""
        return {
            "plugin": self.plugin,
            "command": self.verb,
            "path": self.path,
            "started": self.started,
            "duration": self.duration,
            "exitStatus": self.exit_status,
            "signal": self.signal,
            "cpuSeconds": self.cpu_seconds,
            "maxRSS": self.max_rss,
            "error": self.error or None,
            "request": self.request,
            "answer": self.answer,
            "calls": [call.document() for call in self.calls],
        }


class TracedVerb(NamedTuple):
    """A verb that has run: its plugin calls, how many seconds it took, and its error."""

    command: str
    network: str
    rt: RuntimeConf
    calls: Sequence[TracedCall]
    duration: float
    error: CNIError | None

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "command": self.command,
            "network": self.network,
            "containerID": self.rt.container_id,
            "ifname": self.rt.ifname,
            "duration": self.duration,
            "error": None if self.error is None else error_document(self.error),
            "calls": [call.document() for call in self.calls],
        }


class Trace(Observer):
    """Collects the plugin calls of one verb."""

    def __init__(self) -> None:
        self.events: list[PluginEvent] = []
        self.end: OperationEvent | None = None

    def __call__(self, event: PluginEvent, /) -> None:
        """Take the end of a plugin call."""
        self.events.append(event)

    def operation_ended(self, event: OperationEvent, /) -> None:
        """Take the end of the operation."""
        self.end = event

    def calls(self, began: float, inner: Iterable[TracedCall]) -> list[TracedCall]:
        """Return the calls in order, each with those that it has made.

        :param began: when the verb began, in seconds since 1970.
        :param inner: calls that plugins have made, by time since 1970.
        """
        found = [_traced(event, began) for event in self.events]
        below = [replace(call, started=call.started - began) for call in inner]
        return [replace(call, calls=tuple(each for each in below if _is_during(each, call))) for call in found]


def _is_during(inner: TracedCall, outer: TracedCall) -> bool:
    return outer.started <= inner.started <= outer.started + outer.duration


def _traced(event: PluginEvent, began: float) -> TracedCall:
    return TracedCall(
        plugin=event.plugin,
        verb=event.verb,
        path=event.path,
        started=max(event.started - began, 0.0),
        duration=event.duration,
        exit_status=event.exit_status,
        signal=event.signal,
        cpu_seconds=event.cpu_seconds,
        max_rss=event.max_rss,
        error=str(event.error) if event.error is not None else "",
        request=_decoded(event.request),
        answer=_decoded(event.answer),
    )


def _decoded(data: bytes) -> Any:
    """Return a document without secrets; what is no JSON as text, and nothing as ``None``."""
    try:
        return without_secrets(parse(data))
    except DocumentError:
        return data.decode("utf-8", "replace").strip() or None


class StandIns:
    """A directory of stand-ins, and what they have noted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self._real: dict[str, str] = {}

    def add(self, plugin: str, real: str) -> None:
        """Make the stand-in of a plugin."""
        self._real[plugin] = real
        path = self.bin / plugin
        path.write_text(_SCRIPT.format(real=shlex.quote(real), folder=shlex.quote(str(self.folder / plugin))))
        path.chmod(0o755)
        (self.folder / plugin).mkdir()

    def calls(self) -> Iterator[TracedCall]:
        """Go through the calls that have ended."""
        for plugin, real in self._real.items():
            for call in sorted((self.folder / plugin).iterdir()):
                with suppress(OSError, ValueError):  # one that was killed has no end
                    started, end = (float((call / name).read_text()) for name in ("start", "end"))
                    status = int((call / "status").read_text())
                    answer = _decoded((call / "answer").read_bytes())
                    yield TracedCall(
                        plugin=plugin,
                        verb=(call / "verb").read_text().strip(),
                        path=real,
                        started=started,
                        duration=end - started,
                        exit_status=status,
                        error=str(object_of(answer).get("msg", "failed")) if status else "",
                        request=_decoded((call / "request").read_bytes()),
                        answer=answer,
                    )


@contextmanager
def stand_ins(network: NetworkConfigList, directories: Sequence[str]) -> Generator[StandIns]:
    """Make stand-ins of the IPAM plugins of a network that can be found; they go at the end."""
    folder = Path(tempfile.mkdtemp(prefix="cnitool-trace-"))
    made = StandIns(folder)
    made.bin.mkdir()
    chain = {plugin.type for plugin in network.plugins}
    try:
        for name in sorted({str(object_of(plugin.data.get("ipam")).get("type", "")) for plugin in network.plugins}):
            if name and name not in chain and os.sep not in name:
                with suppress(CNIError):  # the plugin that needs it will say that it is missing
                    made.add(name, find_in_path(name, directories))
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)
