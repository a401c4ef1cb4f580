"""Plugins that the checks provide: they record how they are called and answer from files.

Owns :class:`Recorder`. One stands in for the plugin that a plugin delegates to, several make the chain that a runtime
calls. Source: SPEC 1.1.0, sections 3 and 4.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.conformance.calls import is_object, printing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from libcni.jsontext.scan import JSONObject

__all__ = ["DELEGATE_TYPE", "RecordedCall", "Recorder"]

DELEGATE_TYPE = "conformance-delegate"

_SCRIPT = """\
#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
name=${{0##*/}}
cd {folder} || exit 9
number=$(date +%s%N)-$$
cat > "$number.stdin"
env > "$number.env"
echo "$name" > "$number.name"
readlink /proc/self/ns/net > "$number.domain"
echo "log of $name" >&2
if [ -e "answer-$name-$CNI_COMMAND" ]; then cat "answer-$name-$CNI_COMMAND"; fi
[ ! -e "fails-$name-$CNI_COMMAND" ]
"""


@dataclass(frozen=True)
class RecordedCall:
    """One execution of a recording plugin; ``domain`` is the network namespace that it ran in."""

    plugin: str
    environment: dict[str, str]
    stdin: bytes
    domain: str = ""

    @property
    def verb(self) -> str:
        """The verb."""
        return self.environment.get("CNI_COMMAND", "")

    @property
    def config(self) -> JSONObject:
        """The decoded request, empty if it is no JSON object."""
        return self.document if is_object(self.document) else {}

    @property
    def document(self) -> object:
        """The decoded standard input, ``None`` if it is no JSON."""
        try:
            return json.loads(self.stdin)
        except ValueError:
            return None


@dataclass(frozen=True)
class Recorder:
    """Recording plugins in a plugin directory, and what they recorded."""

    folder: Path
    note: Callable[[str], None] = lambda _line: None

    @classmethod
    def make(cls, bin_dir: Path, *names: str, note: Callable[[str], None]) -> Recorder:
        """Write plugins into a plugin directory.

        :param note: gets shell commands that do what is done.
        """
        recorder = cls(bin_dir.parent / "records", note)
        for folder in (recorder.folder, bin_dir):
            folder.mkdir(parents=True, exist_ok=True)
        note(f"mkdir -p {recorder.folder} {bin_dir}")
        script = _SCRIPT.format(folder=shlex.quote(str(recorder.folder)))
        for name in names or (DELEGATE_TYPE,):
            path = bin_dir / name
            path.write_text(script)
            path.chmod(0o755)
            note(f"{printing(script.encode(), {})} > {path}; chmod 755 {path}")
        return recorder

    @property
    def showing(self) -> str:
        """A shell command that prints the calls: plugin, variables and standard input."""
        names = f"{self.folder}/*.stdin"
        return (
            f"for call in {names}; do cat ${{call%.stdin}}.name; grep ^CNI_ ${{call%.stdin}}.env; cat $call; echo; done"
        )

    def answers(self, verb: str, document: JSONObject, *, name: str = DELEGATE_TYPE) -> None:
        """Make a plugin print a document for a verb."""
        path = self.folder / f"answer-{name}-{verb}"
        path.write_text(json.dumps(document))
        self.note(f"{printing(json.dumps(document).encode(), {})} > {path}")

    def fails(self, verb: str, error: JSONObject, *, name: str = DELEGATE_TYPE) -> None:
        """Make a plugin fail for a verb, with an error document."""
        self.answers(verb, error, name=name)
        path = self.folder / f"fails-{name}-{verb}"
        path.touch()
        self.note(f"touch {path}")

    def works(self, verb: str, *, name: str) -> None:
        """Let a plugin succeed for a verb again."""
        for kind in ("answer", "fails"):
            path = self.folder / f"{kind}-{name}-{verb}"
            path.unlink(missing_ok=True)
            self.note(f"rm -f {path}")

    def calls(self) -> list[RecordedCall]:
        """Return the executions, in the order in which they began."""
        return [
            RecordedCall(
                _text(path, ".name").strip(),
                _environment(_text(path, ".env")),
                path.read_bytes(),
                _text(path, ".domain").strip(),
            )
            for path in sorted(self.folder.glob("*.stdin"))
        ]


def _text(path: Path, suffix: str) -> str:
    other = path.with_suffix(suffix)
    return other.read_text() if other.exists() else ""


def _environment(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
