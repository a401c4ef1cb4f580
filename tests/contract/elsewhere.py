"""A program that takes away what another system lacks, and then does what is to work there; it prints what happened.

``python elsewhere.py SYSTEM DIRECTORY``. What the standard library and other packages need is loaded before.
"""

# ruff: noqa: F401 -- the order of the imports is what this is about

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import functools
import importlib.abc
import io
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import anyio
import click
import jsonschema
import opentelemetry.trace
import psutil
import pydantic
import rich.console
import rich.table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

LINUX_ONLY = {
    "os": (
        *("eventfd", "eventfd_write", "pidfd_open", "EFD_CLOEXEC", "EFD_NONBLOCK", "setns", "unshare", "fdatasync"),
        *("O_PATH", "O_TMPFILE", "sched_getaffinity", "sched_setaffinity", "splice", "memfd_create"),
    ),
    "select": ("epoll",),
    "signal": ("pidfd_send_signal", "SIGRTMIN"),
}
UNIX_ONLY = {
    "os": (
        *("O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY", "O_NOFOLLOW", "geteuid", "getuid", "getgid", "fork", "killpg"),
        *("setsid", "posix_spawn", "wait4", "WNOHANG", "mkfifo", "fchmod", "fchown", "register_at_fork", "getpgid"),
        "pipe2",
    ),
    "select": ("poll",),
    "signal": ("SIGKILL", "SIGHUP", "SIGPIPE", "SIGCHLD", "SIGSTOP", "pthread_sigmask", "setitimer"),
}
UNIX_MODULES = ("fcntl", "termios", "resource", "pwd", "grp", "pty", "tty")

NETWORK = '{"cniVersion": "1.0.0", "name": "net", "plugins": [{"type": "bridge", "bridge": "cni0"}]}'
PLUGIN = "#!/bin/sh\n"


class Missing(importlib.abc.MetaPathFinder):
    """Finds some modules nowhere."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        del path, target
        if name in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def take_away(module: ModuleType, names: Sequence[str]) -> None:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def become(system: str) -> None:
    """Take away what a system lacks."""
    tables = [LINUX_ONLY] if system == "macos" else [LINUX_ONLY, UNIX_ONLY]
    modules = ["libcni.invoke.process._spawn", *(UNIX_MODULES if system == "windows" else ())]
    for name in modules:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, Missing(modules))
    for table in tables:
        for name, attributes in table.items():
            take_away(sys.modules[name], attributes)


def attempt(work: Callable[[], object]) -> str:
    try:
        work()
    except Exception as error:  # noqa: BLE001 -- that is what the test looks at
        return f"{type(error).__name__}: {error}"
    return "works"


def tool(*words: str) -> str:
    """Call the tool, and return its exit status and what it wrote to stderr."""
    from libcni.cli import main  # noqa: PLC0415 -- after the names are gone

    sys.argv = ["cnitool", *words]
    out, errors = io.StringIO(), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as error:
            status = error.code or 0
    return f"{status} {errors.getvalue()}".strip()


def outcomes(folder: str) -> dict[str, str]:
    """Do everything, and return what became of it."""
    import libcni  # noqa: PLC0415 -- after the names are gone
    from libcni import schema  # noqa: PLC0415 -- as above
    from libcni.lint import lint_paths  # noqa: PLC0415 -- as above
    from libcni.plan import Planner  # noqa: PLC0415 -- as above

    conf = ["--conf-dir", folder, "--cache-dir", f"{folder}/none"]
    container = libcni.RuntimeConf("box", "/run/netns/x", "eth0")

    def netns() -> object:
        from libcni import netns  # noqa: PLC0415 -- as above

        return netns.create()

    def networks() -> object:
        from libcni.networks import BlockingNetworks  # noqa: PLC0415 -- as above

        return BlockingNetworks(folder, [folder], watch=False)

    def observe() -> object:
        from libcni.observe import to_prometheus  # noqa: PLC0415 -- as above

        return to_prometheus()

    def plan() -> None:
        network = libcni.load_network_conf(folder, "net")
        assert Planner([folder], cache_dir=f"{folder}/none").plan("ADD", network, container).calls

    return {
        "every name": attempt(lambda: [getattr(libcni, name) for name in libcni.__all__]),
        "load": attempt(lambda: libcni.load_conf_dir(folder).networks[0]),
        "lint": attempt(functools.partial(lint_paths, [folder], bin_dirs=None)),
        "plan": attempt(plan),
        "schema": attempt(lambda: schema.validate("network", schema.load("network"))),
        "result": attempt(functools.partial(libcni.Result.from_dict, {"cniVersion": "1.0.0"})),
        "observers": attempt(observe),
        "run plugins": attempt(lambda: libcni.CNIConfig([folder])),
        "run plugins, async": attempt(lambda: libcni.AsyncCNIConfig([folder])),
        "networks": attempt(networks),
        "namespaces": attempt(netns),
        "cnitool --help": tool("--help"),
        "cnitool lint": tool("lint", folder),
        "cnitool networks": tool("networks", *conf),
        "cnitool schema": tool("schema", "network"),
        "cnitool explain": tool("explain", "7"),
        "cnitool plan": tool("plan", "net", "/run/netns/x", "--bin-dir", folder, *conf),
        "cnitool add": tool("add", "net", "/run/netns/x", *conf),
        "cnitool run": tool("run", "net", *conf, "--", "true"),
    }


if __name__ == "__main__":
    become(sys.argv[1])
    sys.stdout.write(json.dumps(outcomes(sys.argv[2])))
