"""A place to run ``cnitool`` in: directories, a plugin in shell that writes down what it was asked, and the call."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass, field
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from libcni.cli.root import cnitool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

STREAMS: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in signature(CliRunner).parameters else {}
"""Versions of click before 8.2 give stdout and stderr together, unless they are asked."""

PLUGIN = """\
#!/bin/sh
cat > {log}.stdin
echo "$CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS" >> {log}
[ -e {log}.fails.$CNI_COMMAND ] && {{ cat {log}.fails.$CNI_COMMAND; exit 1; }}
case $CNI_COMMAND in
ADD) echo '{{"cniVersion": "1.1.0", "interfaces": [{{"name": "eth0"}}], "ips": [{{"address": "10.0.0.2/24"}}]}}' ;;
VERSION) echo '{{"cniVersion": "1.1.0", "supportedVersions": ["1.0.0", "1.1.0"]}}' ;;
esac
"""


@dataclass
class Place:
    """Directories of one test, and how to call the command line in them."""

    folder: Path
    environ: dict[str, str | None] = field(default_factory=dict)

    @property
    def conf(self) -> Path:
        return self.folder / "net.d"

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def network(self, name: str = "dbnet", *, file: str = "10-dbnet.conflist", **members: Any) -> None:
        document = {"cniVersion": "1.1.0", "name": name, "plugins": [{"type": "fake"}]} | members
        (self.conf / file).write_text(json.dumps(document))

    def fails(self, command: str, code: int, msg: str) -> None:
        (self.folder / f"log.fails.{command}").write_text(json.dumps({"code": code, "msg": msg}))

    def succeeds(self, command: str) -> None:
        (self.folder / f"log.fails.{command}").unlink()

    @property
    def calls(self) -> list[str]:
        """What the plugin was asked since the last look: verb, container, namespace, interface and arguments."""
        log = self.folder / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [line.rstrip() for line in lines]

    @property
    def request(self) -> Any:
        return json.loads((self.folder / "log.stdin").read_text())

    def run(self, *arguments: str, status: int = 0) -> Result:
        """Call ``cnitool``; it must end with that status and never with a traceback."""
        directories = ("--conf-dir", str(self.conf), "--bin-dir", str(self.bin), "--cache-dir", str(self.cache))
        return self.run_bare(*directories, *arguments, status=status)

    def run_bare(self, *arguments: str, status: int = 0) -> Result:
        """Call ``cnitool`` without naming the directories."""
        result = CliRunner(**STREAMS).invoke(cnitool, list(arguments), env=self.environ, prog_name="cnitool")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        return result


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Take away the handler that writes to the output of the call that set it up."""
    log = logging.getLogger("libcni")
    level = log.level
    yield
    log.handlers.clear()
    log.setLevel(level)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


def make_place(tmp_path: Path) -> Place:
    """Make directories with a network and a plugin."""
    names = ("CNI_PATH", "NETCONFPATH", "CNI_ARGS", "CAP_ARGS", "CNI_IFNAME")
    made = Place(tmp_path, dict.fromkeys(names))
    for directory in (made.conf, made.bin):
        directory.mkdir()
    plugin = made.bin / "fake"
    plugin.write_text(PLUGIN.format(log=tmp_path / "log"))
    plugin.chmod(0o755)
    made.network()
    assert shutil.which("sh")
    return made
