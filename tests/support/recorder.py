"""A plugin in shell that answers from its own text and records every request, byte by byte."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SCRIPT = """\
#!/bin/sh
here={folder}
number=$(ls "$here" | grep -c stdin)
request=$(printf '%s/%03d' "$here" "$number")
cat > "$request.stdin"
env > "$request.env"
echo "${{0##*/}}" > "$request.plugin"
{and_then}
case $CNI_COMMAND in
ADD) cat {answer} ;;
VERSION) echo '{{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}}' ;;
esac
"""

_OF_THE_SHELL = frozenset({"_", "OLDPWD", "PWD", "SHLVL"})


@dataclass(frozen=True)
class Call:
    """One execution of a recording plugin."""

    plugin: str
    stdin: bytes
    environ: dict[str, str]

    @property
    def verb(self) -> str:
        return self.environ["CNI_COMMAND"]

    @property
    def cni_environ(self) -> dict[str, str]:
        return {name: value for name, value in self.environ.items() if name.startswith("CNI_")}


@dataclass(frozen=True)
class Recorder:
    """A folder of recording plugins, and one of what they recorded, in order."""

    bin_dir: Path
    records: Path

    @classmethod
    def make(cls, folder: Path) -> Recorder:
        recorder = cls(folder / "bin", folder / "records")
        recorder.bin_dir.mkdir(parents=True)
        recorder.records.mkdir()
        return recorder

    def plugin(self, name: str, answer: str, *, and_then: str = "") -> None:
        """Install a plugin that prints ``answer`` for an ADD.

        :param and_then: more shell text, run before the answer; the request is in the file ``$request.stdin``.
        """
        stored = self.bin_dir.with_name(f"{name}.answer")
        stored.write_text(answer)
        path = self.bin_dir / name
        folder = shlex.quote(str(self.records))
        path.write_text(_SCRIPT.format(folder=folder, answer=shlex.quote(str(stored)), and_then=and_then))
        path.chmod(0o755)

    def take(self) -> list[Call]:
        """Return the calls since the last time, and forget them."""
        calls = []
        for stdin in sorted(self.records.glob("*.stdin")):
            lines = stdin.with_suffix(".env").read_text().splitlines()
            pairs = dict(line.split("=", 1) for line in lines)
            environ = {name: value for name, value in pairs.items() if name not in _OF_THE_SHELL}
            plugin = stdin.with_suffix(".plugin").read_text().strip()
            calls.append(Call(plugin, stdin.read_bytes(), environ))
        for path in self.records.iterdir():
            path.unlink()
        return calls
