"""A tour of the verbs: two containers, ADD, CHECK, DEL and GC, with every plugin call shown.

It goes the way that every runtime goes: a configuration directory, a cache directory, and plugins that are executed.
The embedded plugins need no root and no network; with the reference plugins the same is done to a real bridge.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from libcni.api import CNIConfig
from libcni.config.load import load_network_conf
from libcni.demo.install import install_plugins
from libcni.errors import CNIError
from libcni.invoke.blocking_runner import BlockingRunner
from libcni.invoke.environment import CNI_COMMAND, CNI_CONTAINERID
from libcni.jsontext.decode import parse
from libcni.jsontext.encode import dump
from libcni.jsontext.scan import DocumentError
from libcni.protocol.attachment import GCAttachment, RuntimeConf

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from libcni.config.model import NetworkConfigList
    from libcni.invoke.runner import PluginCall, PluginOutput

__all__ = ["run_embedded", "run_real"]

_SHOWN = 800
"""Characters of a document that are shown."""


@dataclass(frozen=True)
class _Stage:
    """The network and the containers of a tour."""

    say: Callable[[str], None]
    config: CNIConfig
    runner: _ShowingRunner
    network: NetworkConfigList
    containers: tuple[RuntimeConf, RuntimeConf]
    look: Callable[[RuntimeConf], None]


class _ShowingRunner(BlockingRunner):
    """Runs plugins, tells what went in and out, and keeps it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self.calls: list[dict[str, object]] = []

    async def run(self, call: PluginCall) -> PluginOutput:
        command = call.environment[CNI_COMMAND]
        self._say(f"    {PurePath(call.path).name} {command}")
        self._say(f"      in:  {_shortened(call.stdin)}")
        output = await super().run(call)
        end = f"exit status {output.exit_status}" if output.signal is None else f"signal {output.signal}"
        self._say(f"      out: {_shortened(output.stdout) or '(nothing)'}  [{end}, {output.duration * 1000:.1f} ms]")
        self.calls.append(_described(call, output))
        return output


def _described(call: PluginCall, output: PluginOutput) -> dict[str, object]:
    """Return the document of a plugin call."""
    return {
        "plugin": PurePath(call.path).name,
        "command": call.environment[CNI_COMMAND],
        "containerID": call.environment.get(CNI_CONTAINERID, ""),
        "duration": output.duration,
        "exitStatus": output.exit_status,
        "signal": output.signal,
        "request": _decoded(call.stdin),
        "answer": _decoded(output.stdout),
    }


def _decoded(data: bytes) -> object:
    """Return a document, the text of what is none, or ``None`` for nothing."""
    try:
        return parse(data) if data.strip() else None
    except DocumentError:
        return data.decode("utf-8", "replace")


def _shortened(data: bytes) -> str:
    text = " ".join(data.decode("utf-8", "replace").split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def run_embedded(say: Callable[[str], None]) -> dict[str, object]:
    """Take the tour with the plugins of the package; everything it makes is in a temporary directory.

    :returns: the network, each plugin call, and what is left, as ``schemas/cnitool/demo.json`` has it.
    :raises CNIError: if a verb fails.
    """
    with tempfile.TemporaryDirectory(prefix="libcni-demo-") as directory:
        folder = Path(directory)
        plugins = _made(folder / "bin")
        install_plugins(plugins)
        allocator = {"type": "demo-range", "subnet": "10.77.0.0/24", "dataDir": str(_made(folder / "leases"))}
        document = {"cniVersion": "1.1.0", "name": "demo", "plugins": [allocator, {"type": "demo-pass"}]}
        own = f"/proc/{os.getpid()}/ns/net"
        containers = (RuntimeConf("red", own, "demo0"), RuntimeConf("blue", own, "demo1"))
        leases = folder / "leases" / "demo.json"

        def look(_rt: RuntimeConf) -> None:
            say(f"  leases: {' '.join(leases.read_text(encoding='utf-8').split()) if leases.exists() else 'none'}")

        return _tour(_stage(say, folder, (str(plugins),), document, containers, look))


def run_real(say: Callable[[str], None], plugin_directories: tuple[str, ...]) -> dict[str, object]:
    """Take the tour with a bridge in namespaces of its own, and show the addresses that the kernel has.

    :returns: as :func:`run_embedded`.
    :raises CNIError: if it is not run by root, a tool or a plugin is missing, or a verb fails.
    """
    if os.geteuid() != 0:
        raise CNIError("a real bridge needs root")
    if shutil.which("ip") is None:
        raise CNIError("a real bridge needs the command ip, of the package iproute2")
    token = secrets.token_hex(3)
    bridge = f"cnid{token}"
    with tempfile.TemporaryDirectory(prefix="libcni-demo-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        stack.callback(_ip, "link", "delete", bridge, check=False)
        names = [stack.enter_context(_namespace(f"cni-demo-{color}-{token}")) for color in ("red", "blue")]
        ipam = {"type": "host-local", "subnet": "10.88.77.0/24", "dataDir": str(_made(folder / "leases"))}
        plugin = {"type": "bridge", "bridge": bridge, "isGateway": True, "ipam": ipam}
        document = {"cniVersion": "1.0.0", "name": f"demo-{token}", "plugins": [plugin, {"type": "tuning"}]}
        red, blue = (RuntimeConf(name, f"/var/run/netns/{name}", "eth0") for name in names)

        def look(rt: RuntimeConf) -> None:
            shown = _ip("-n", rt.container_id, "-brief", "address", "show", check=False)
            say("  the kernel has: " + "; ".join(" ".join(line.split()) for line in shown.splitlines()))

        return _tour(_stage(say, folder, plugin_directories, document, (red, blue), look))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@contextlib.contextmanager
def _namespace(name: str) -> Generator[str]:
    _ip("netns", "add", name)
    try:
        yield name
    finally:
        _ip("netns", "delete", name, check=False)


def _ip(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607 -- fixed arguments; ip is where the system has it
    if check and done.returncode != 0:
        raise CNIError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _stage(  # noqa: PLR0917 -- gathers what the two tours differ in
    say: Callable[[str], None],
    folder: Path,
    plugin_directories: tuple[str, ...],
    document: Mapping[str, object],
    containers: tuple[RuntimeConf, RuntimeConf],
    look: Callable[[RuntimeConf], None],
) -> _Stage:
    configurations = _made(folder / "net.d")
    name = str(document["name"])
    path = configurations / f"10-{name}.conflist"
    path.write_text(dump(document), encoding="ascii")
    say(f"The configuration, {path}:")
    say(f"  {dump(document)}")
    runner = _ShowingRunner(say)
    config = CNIConfig(plugin_directories, cache_dir=folder / "cache", runner=runner)
    return _Stage(say, config, runner, load_network_conf(configurations, name), containers, look)


def _tour(stage: _Stage) -> dict[str, object]:
    say, config, network = stage.say, stage.config, stage.network
    red, blue = stage.containers
    for rt in stage.containers:
        say(f"\nADD container {rt.container_id}")
        result = config.add_network_list(network, rt)
        say(f"  result: {', '.join(str(ip.address) for ip in result.ips)}")
        stage.look(rt)
    say(f"\nCHECK container {red.container_id}")
    config.check_network_list(network, red)
    say("  as it was made")
    say(f"\nDEL container {red.container_id}")
    config.del_network_list(network, red)
    stage.look(red)
    say(f"\nGC with nothing to keep: container {blue.container_id} is gone without a DEL")
    for item in config.gc_network_list(network, list[GCAttachment]()):
        say(f"  deleted {item.container_id}/{item.ifname}")
    stage.look(blue)
    left, unfinished = len(config.get_cached_attachments()), len(config.pending())
    say(f"\nAttachments left: {left}. Unfinished: {unfinished}.")
    network_document = parse(network.raw)
    return {"network": network_document, "calls": stage.runner.calls, "attachmentsLeft": left, "unfinished": unfinished}
