"""A small world for a runtime: plugins in shell that write down what they hold, a cache directory, and a judgement."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libcni import CNIConfig, RuntimeConf, network_conf_from_bytes
from libcni.conformance.processes import Process, find_processes
from libcni.locks import container_lock, network_lock
from tests.children import describe
from tests.records import record_names

if TYPE_CHECKING:
    from pathlib import Path

NETWORK = "net"
CHAIN = ("one", "two", "three")

# Each event is one write to a file that is opened to append: the kernel keeps them in order.
_SCRIPT = """\
#!/bin/sh
plugin=${{0##*/}}
held={state}/held/$plugin@$CNI_CONTAINERID@$CNI_IFNAME
log() {{ echo "$1 $plugin $CNI_COMMAND $CNI_CONTAINERID $$" >>{state}/log; }}
{before}
case $CNI_COMMAND in
ADD)
  cat >/dev/null
  log begin
  sleep {pause}
  : >"$held"
  sleep {pause}
  {add}
  log end
  echo '{{"cniVersion":"1.1.0","interfaces":[{{"name":"'"$CNI_IFNAME"'"}}]}}'
  ;;
DEL)
  cat >/dev/null
  log begin
  {delete}
  rm -f "$held"
  log end
  ;;
VERSION) echo '{{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}}' ;;
esac
"""


def network(*plugins: str, name: str = NETWORK) -> Any:
    """Return a network of these plugins."""
    document = {"cniVersion": "1.1.0", "name": name, "plugins": [{"type": plugin} for plugin in plugins]}
    return network_conf_from_bytes(json.dumps(document))


def attachment(container_id: str, **options: Any) -> RuntimeConf:
    """Return what an ADD or DEL of that container is called with."""
    return RuntimeConf(container_id, options.pop("netns", ""), "eth0", **options)


@dataclass(frozen=True)
class World:
    """Plugins, their state and a cache directory, below one folder."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> World:
        world = cls(folder)
        for path in (world.bin, world.state / "held"):
            path.mkdir(parents=True)
        return world

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def script(self, name: str, **parts: Any) -> None:
        """Install a plugin; ``add`` and ``delete`` are more of its shell text, ``pause`` seconds on both sides."""
        values = {"before": "", "add": "", "delete": "", "pause": 0.005, "state": self.state} | parts
        path = self.bin / name
        path.write_text(_SCRIPT.format(**values))
        path.chmod(0o755)

    def chain(self, **parts: Any) -> None:
        """Install a chain of three plugins."""
        for name in CHAIN:
            self.script(name, **parts)

    def runtime(self, **options: Any) -> CNIConfig:
        """Return a blocking runtime over this world."""
        return CNIConfig([str(self.bin)], **{"cache_dir": self.cache, "environ": environ(), **options})

    @property
    def held(self) -> set[str]:
        """What plugins hold: the name of the plugin, the container and the interface."""
        return {path.name for path in (self.state / "held").iterdir()}

    def log(self) -> list[list[str]]:
        """Return what plugins did, in order."""
        path = self.state / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def clear(self) -> None:
        """Forget everything but the plugins."""
        shutil.rmtree(self.cache, ignore_errors=True)
        for path in (self.state / "held").iterdir():
            path.unlink()
        (self.state / "log").unlink(missing_ok=True)

    def files(self, name: str) -> list[str]:
        """Return the names in one folder of the cache directory."""
        path = self.cache / name
        return sorted(os.listdir(path)) if path.exists() else []  # noqa: PTH208 -- names are wanted

    def plugin_processes(self) -> list[Process]:
        """Return every process that runs one of the plugins."""
        beginning = f"{self.bin}/".encode()
        return find_processes(lambda process: any(word.startswith(beginning) for word in words_of(process)[:3]))

    def end_plugins(self) -> None:
        """End what a failed test left."""
        for process in self.plugin_processes():
            process.kill()

    def problems(self, containers: set[str], plugins: tuple[str, ...] = CHAIN, network: str = NETWORK) -> list[str]:
        """Say what is wrong after recovery when exactly these containers are attached, and nothing is under way."""
        found: list[str] = []

        def same(what: str, is_now: object, should_be: object) -> None:
            if is_now != should_be:
                found.append(f"{what}: {is_now}, should be {should_be}")

        same("plugin processes", [describe(process.number) for process in self.plugin_processes()], [])
        same("held", self.held, {f"{plugin}@{name}@eth0" for plugin in plugins for name in containers})
        same("results", self.files("results"), sorted(f"{network}-{name}-eth0" for name in containers))
        same("records", record_names(self.cache), sorted(f"{network}@{name}@eth0" for name in containers))
        same("damaged", self.files("damaged"), [])
        same("pending", self.runtime().pending(), [])
        locks = self.runtime()._context.store.locks
        for name in (network_lock(network), *map(container_lock, containers or {"c"})):
            held = locks.try_lock(name)
            if held is None:
                found.append(f"lock {name} is held")
            else:
                held.release()
        return found

    def attached(self, network: str = NETWORK) -> set[str]:
        """Return the containers that are attached, by what is stored."""
        return {item.container_id for item in self.runtime().get_cached_attachments() if item.network == network}


def words_of(process: Process) -> list[bytes]:
    """Return the command line of a process."""
    return process.read("cmdline").split(b"\0")


def environ() -> dict[str, str]:
    """Return the base environment of the plugins."""
    return {"PATH": os.environ["PATH"]}


def wait_until(condition: Any, patience: float = 20.0) -> bool:
    """Wait until something is true, and say whether it ever was."""
    give_up = time.monotonic() + patience
    while not condition():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.005)
    return True
