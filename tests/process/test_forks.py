"""A program that forks while a plugin runs, and one that reaps, or ignores, the children of the library."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libcni import CNIConfig, PluginError, RuntimeConf
from libcni.config.parse import parse_network
from tests.process.conftest import Flavour, Plugins, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDS = ["sys.exit(3)", "raise KeyboardInterrupt", "os._exit(3)"]

PROGRAM = """
    import os, sys
    from pathlib import Path
    from tests.process.conftest import Flavour, Plugins

    flavour, plugins = Flavour({flavour!r}), Plugins(Path({folder!r}))
    children = []

    def fork(line):
        if line != "ready":
            return
        children.append(os.fork())
        if children[-1] == 0:
            os.environ["FORKED"] = "1"
            {end}
        os.waitpid(children[-1], 0)
        (plugins.folder / "go").touch()

    call = plugins.call({body!r}, stdin=bytes({size}), on_stderr=fork, timeout=10)

    async def run():
        try:
            return await flavour.runner().run(call)
        except BaseException:
            if flavour.name == "trio":  # whose loop takes that of the parent with it when it ends in a child
                os._exit(0)
            raise

    try:
        output = flavour.drive(run)
        seen = f"{{output.stdout}} {{output.exit_status}} {{output.timed_out}} {{output.duration < 5}}"
        (plugins.folder / ("forked" if "FORKED" in os.environ else "seen")).write_text(seen)
    except BaseException as error:
        if "FORKED" not in os.environ:
            raise
        os._exit(0)
"""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", [2, 1 << 20], ids=["short", "long"])
def test_forked_child_that_ends_leaves_the_plugin_to_its_parent(
    flavour: Flavour, plugins: Plugins, end: str, size: int
) -> None:
    """The child goes through every ``finally`` of the call: it neither kills nor reaps, and writes nothing."""
    body = f"""trap 'echo TERM' TERM; echo ready >&2; {wait_for("go")}; wc -c; exit 7"""
    code = PROGRAM.format(flavour=flavour.name, folder=str(plugins.folder), body=body, size=size, end=end)
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, cwd=Path(__file__).parents[2], timeout=60)
    assert (plugins.folder / "seen").read_text() == repr(str(size).encode() + b"\n") + " 7 False True"
    assert not (plugins.folder / "forked").exists()


# Children that are not told of.


@pytest.fixture
def ignored() -> Iterator[None]:
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, previous)


@pytest.mark.usefixtures("ignored")
def test_plugin_is_not_started_where_its_end_would_not_be_told(flavour: Flavour, plugins: Plugins) -> None:
    with pytest.raises(ChildProcessError, match="not started: this process ignores SIGCHLD"):
        flavour.run(plugins.call('touch "$HERE/ran"'))
    assert not (plugins.folder / "ran").exists()


@pytest.mark.usefixtures("ignored")
def test_add_says_why_no_plugin_was_started(plugins: Plugins) -> None:
    plugins.script("exit 0", "plugin")
    network = parse_network(b'{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"plugin"}]}')
    config = CNIConfig([plugins.folder], cache_dir=plugins.folder / "cache")
    with pytest.raises(PluginError, match="ignores SIGCHLD"):
        config.add_network_list(network, RuntimeConf("pod", "", "eth0"))


def test_plugin_that_something_else_reaps_has_an_unknown_end(flavour: Flavour, plugins: Plugins) -> None:
    def reap(pid: str) -> None:
        os.waitpid(int(pid), 0)

    with pytest.raises(ChildProcessError, match="something else in this process reaps its children"):
        flavour.run(plugins.call("echo $$ >&2; sleep 0.2; echo answer", on_stderr=reap))


# Namespaces.


def _unshare_network() -> None:
    import ctypes  # noqa: PLC0415  # os.unshare came with Python 3.12

    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def _network() -> str:
    return os.readlink("/proc/thread-self/ns/net")  # noqa: PTH115  # text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_plugin_runs_in_the_namespace_of_the_thread_that_calls(flavour: Flavour, plugins: Plugins) -> None:
    call = plugins.call("readlink /proc/self/ns/net")
    seen: list[tuple[str, str]] = []

    def work() -> None:
        for _ in range(2):
            outputs = flavour.run(call)
            seen.append((_network(), outputs.stdout.decode().strip()))
            _unshare_network()

    work_here = flavour.run(call).stdout.decode().strip()
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
        thread.join()
    assert work_here == _network()
    assert all(own == of_plugin for own, of_plugin in seen)
    assert len({own for own, _ in seen}) == 3
