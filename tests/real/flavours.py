"""The ways to use the library, behind one small face: each behaviour is written once and shown for all of them."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from libcni import AsyncCNIConfig, CNIConfig, CNIError, GCAttachment, PluginError, RuntimeConf, load_network_conf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

FLAVOURS = ("sync", "asyncio", "trio", "cnitool")


class RefusedError(Exception):
    """A verb failed; ``text`` is everything that the user gets to read."""

    def __init__(self, code: int, msg: str, plugin: str | None, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.msg = msg
        self.plugin = plugin
        self.text = text


@dataclass(frozen=True)
class Attachment:
    """A container in a network, as the caller of a verb names it."""

    container_id: str
    netns: str
    ifname: str = "eth0"
    args: tuple[tuple[str, str], ...] = ()
    capability_args: Mapping[str, Any] = field(default_factory=dict)

    def runtime_conf(self) -> RuntimeConf:
        return RuntimeConf(self.container_id, self.netns, self.ifname, self.args, self.capability_args)


@dataclass(frozen=True)
class Folders:
    """Where configurations, plugins and stored results are."""

    conf: Path
    bin: Path
    cache: Path

    def write(self, network: Mapping[str, Any]) -> str:
        """Store the network's configuration and return its name."""
        name = str(network["name"])
        (self.conf / f"{name}.conflist").write_text(json.dumps(network))
        return name


class Runtime(Protocol):
    """What a container runtime does with a network."""

    folders: Folders

    def add(self, network: str, attachment: Attachment) -> dict[str, Any]: ...

    def check(self, network: str, attachment: Attachment) -> None: ...

    def delete(self, network: str, attachment: Attachment) -> None: ...

    def collect_garbage(self, network: str, keep: Iterable[tuple[str, str]]) -> None: ...


class LibraryRuntime:
    """The library from Python: ``CNIConfig``, or ``AsyncCNIConfig`` on one of its event loops."""

    def __init__(self, folders: Folders, backend: str | None) -> None:
        self.folders = folders
        self._backend = backend
        flavour = CNIConfig if backend is None else AsyncCNIConfig
        self._cni = flavour([str(folders.bin)], cache_dir=folders.cache)

    def add(self, network: str, attachment: Attachment) -> dict[str, Any]:
        result = self._call("add_network_list", self._load(network), attachment.runtime_conf())
        document: dict[str, Any] = result.to_dict()
        return document

    def check(self, network: str, attachment: Attachment) -> None:
        self._call("check_network_list", self._load(network), attachment.runtime_conf())

    def delete(self, network: str, attachment: Attachment) -> None:
        self._call("del_network_list", self._load(network), attachment.runtime_conf())

    def collect_garbage(self, network: str, keep: Iterable[tuple[str, str]]) -> None:
        self._call("gc_network_list", self._load(network), [GCAttachment(*pair) for pair in keep])

    def _load(self, network: str) -> Any:
        return load_network_conf(self.folders.conf, network)

    def _call(self, verb: str, *arguments: Any) -> Any:
        method = getattr(self._cni, verb)
        try:
            if self._backend is None:
                return method(*arguments)
            work: Callable[[], Awaitable[Any]] = functools.partial(method, *arguments)
            return anyio.run(work, backend=self._backend)
        except CNIError as error:
            plugin = error.plugin if isinstance(error, PluginError) else None
            raise RefusedError(error.code, error.msg, plugin, str(error)) from error


class CnitoolRuntime:
    """The command line, in a process of its own."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders

    def add(self, network: str, attachment: Attachment) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self._verb("add", network, attachment))
        return result

    def check(self, network: str, attachment: Attachment) -> None:
        self._verb("check", network, attachment)

    def delete(self, network: str, attachment: Attachment) -> None:
        self._verb("del", network, attachment)

    def collect_garbage(self, network: str, keep: Iterable[tuple[str, str]]) -> None:
        self._run("gc", network, *(f"--keep={container_id}/{ifname}" for container_id, ifname in keep), environ={})

    def _verb(self, verb: str, network: str, attachment: Attachment) -> str:
        environ = {"CNI_IFNAME": attachment.ifname}
        if attachment.args:
            environ["CNI_ARGS"] = ";".join(f"{key}={value}" for key, value in attachment.args)
        if attachment.capability_args:
            environ["CAP_ARGS"] = json.dumps(attachment.capability_args)
        container_id = f"--container-id={attachment.container_id}"
        return self._run(verb, network, attachment.netns, container_id, environ=environ)

    def _run(self, *arguments: str, environ: Mapping[str, str]) -> str:
        folders = {"CNI_PATH": str(self.folders.bin), "NETCONFPATH": str(self.folders.conf)}
        command = [find_cnitool(), *arguments, f"--cache-dir={self.folders.cache}", "--output=json"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=100, env={**os.environ, **folders, **environ}
        )
        if done.returncode == 0:
            return done.stdout
        assert done.returncode == 1, f"cnitool {arguments}: status {done.returncode}: {done.stderr}"
        error = json.loads(done.stdout)
        raise RefusedError(error["code"], error["msg"], None, done.stderr)


def refusal_of(verb: Callable[[str, Attachment], object], network: str, attachment: Attachment) -> RefusedError | None:
    """Return the error with which a verb fails, ``None`` when it does not."""
    try:
        verb(network, attachment)
    except RefusedError as error:
        return error
    return None


def find_cnitool() -> str:
    """Return the command that was installed with the package under test."""
    return str(Path(sys.executable).with_name("cnitool"))


def make_runtime(flavour: str, folders: Folders) -> Runtime:
    """Return the runtime of that name from :data:`FLAVOURS`."""
    if flavour == "cnitool":
        return CnitoolRuntime(folders)
    return LibraryRuntime(folders, None if flavour == "sync" else flavour)
