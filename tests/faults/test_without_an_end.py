"""Plugins and disks that take for ever: a verb returns all the same, and an event loop goes on meanwhile."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from libcni import AsyncCNIConfig, CNIConfig, CNIError, PluginTimeoutError, RuntimeConf, network_conf_from_bytes
from libcni.invoke.process.unreaped import unreaped
from libcni.jsontext.encode import dump
from libcni.storage.operations import FileOperations
from tests.faults.trials import size
from tests.process.test_unending import TRACER, compiled

if TYPE_CHECKING:
    from collections.abc import Callable

    from libcni import NetworkConfigList
    from tests.faults.trials import Trials

FLAVOURS = ("sync", "asyncio", "trio")
RT = RuntimeConf("box", "", "eth0")
PATIENCE = 12.0
"""Seconds: the deadline of a plugin here, the grace and what is waited for after SIGKILL, on a loaded machine."""
STILL = 1.5
"""Seconds that an event loop may stand still on a loaded machine; what is tried here takes longer."""


def network(*plugins: str) -> NetworkConfigList:
    chain = [{"type": plugin} for plugin in plugins]
    return network_conf_from_bytes(dump({"cniVersion": "1.0.0", "name": "net", "plugins": chain}))


def script(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


class _Pulse:
    """The longest time that an event loop stood still."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        last = time.monotonic()
        while True:
            await anyio.sleep(0.01)
            now = time.monotonic()
            self.longest = max(self.longest, now - last)
            last = now


def add(flavour: str, config: Any, *, cancel_after: float | None = None) -> tuple[str, float, float]:
    """Run an ADD; return how it ended, how long it took, and how long its event loop stood still."""
    pulse, started = _Pulse(), time.monotonic()

    async def attempt() -> str:
        try:
            with anyio.move_on_after(cancel_after) as scope:
                await config.add_network_list(network("one"), RT)
        except CNIError as error:
            return str(error)
        return "cancelled" if scope.cancelled_caught else "added"

    async def work() -> str:
        said = ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pulse.beat)
            said = await attempt()
            tasks.cancel_scope.cancel()
        return said

    if flavour != "sync":
        said = anyio.run(work, backend=flavour)
    else:
        try:
            config.add_network_list(network("one"), RT)
            said = "added"
        except CNIError as error:
            said = str(error)
    return said, time.monotonic() - started, pulse.longest


def config_of(flavour: str, folder: Path, **options: Any) -> Any:
    kind: Any = CNIConfig if flavour == "sync" else AsyncCNIConfig
    return kind([folder], cache_dir=folder / "cache", **options)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "plugins"
    made.mkdir()
    return made


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_traced_plugin_holds_no_call_and_no_loop(
    flavour: str, folder: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("a plugin that another process traces and keeps: ADD and its clean-up return")
    program = compiled(TRACER, folder, "tracer")
    pids = folder / "pids"
    body = f'echo $$ > {pids}; read go < {folder}/go; [ "$CNI_COMMAND" = DEL ] || echo "{{}}"; exit 0'
    script(folder, "one", f'[ "$CNI_COMMAND" = DEL ] && exit 0; {body}')
    os.mkfifo(folder / "go")
    for number in range(size(1, 10)):
        pids.unlink(missing_ok=True)
        trace = f"until [ -s {pids} ]; do sleep 0.01; done; {program} $(cat {pids}) & echo $!"
        command = f"{trace}; sleep 0.3; echo > {folder}/go"
        with subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True) as tracing:
            said, seconds, still = add(flavour, config_of(flavour, folder, timeout=20.0))
            assert tracing.stdout is not None
            subprocess.run(["kill", "-9", tracing.stdout.readline().strip()], check=True)
        deadline = time.monotonic() + PATIENCE
        while len(unreaped) and time.monotonic() < deadline:  # as the next call would
            unreaped.reap()
            time.sleep(0.01)
        trials.check(["it is never reaped"] if len(unreaped) else [], f"{flavour} {number}")
        problems = [] if "traces it" in said else [said]
        problems += [] if seconds < PATIENCE else [f"took {seconds:.1f} s"]
        problems += [] if still < STILL else [f"the loop stood still for {still:.1f} s"]
        trials.check(problems, f"{flavour} {number}")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_plugin_with_hundreds_of_children_is_ended_with_them(
    flavour: str, folder: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("a plugin with 400 children at its deadline: all are ended, and the loop goes on")
    script(
        folder,
        "one",
        '[ "$CNI_COMMAND" = ADD ] || exit 0\ni=0\n'
        f"while [ $i -lt 400 ]; do HERE={folder} sleep 300 & i=$((i+1)); done\nwait",
    )
    for number in range(size(1, 5)):
        said, seconds, still = add(flavour, config_of(flavour, folder, timeout=3.0))
        left = _with_environment(f"HERE={folder}")
        problems = [] if "did not finish" in said else [said]
        problems += [f"{left} children are left"] if left else []
        problems += [] if seconds < PATIENCE + 3 else [f"took {seconds:.1f} s"]
        problems += [] if still < STILL else [f"the loop stood still for {still:.1f} s"]
        trials.check(problems, f"{flavour} {number}")


def _with_environment(wanted: str) -> int:
    found = 0
    for entry in Path("/proc").iterdir():
        try:
            variables = (entry / "environ").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        found += wanted.encode() in variables.split(b"\0")
    return found


class _SlowDisk(FileOperations):
    """Each sync takes long."""

    def sync(self, descriptor: int) -> None:
        time.sleep(STILL * 2)
        super().sync(descriptor)


@pytest.mark.parametrize("flavour", FLAVOURS[1:])
def test_cancelled_add_on_a_slow_disk_leaves_the_loop_alone(
    flavour: str, folder: Path, trials_of: Callable[[str], Trials]
) -> None:
    trials = trials_of("ADD cancelled during a sync that takes seconds: the loop goes on, and nothing is left")
    script(folder, "one", 'cat >/dev/null; [ "$CNI_COMMAND" = DEL ] || echo "{}"')
    for number in range(size(1, 10)):
        config = config_of(flavour, folder)
        config._context.store.journal.folder.operations = _SlowDisk()
        said, _, still = add(flavour, config, cancel_after=0.3)
        plain = CNIConfig([folder], cache_dir=folder / "cache")
        plain.recover()
        problems = [] if said == "cancelled" else [said]
        problems += [] if still < STILL else [f"the loop stood still for {still:.1f} s"]
        problems += [str(item) for item in [*plain.pending(), *plain.get_cached_attachments()]]
        trials.check(problems, f"{flavour} {number}")


def test_plugin_that_cannot_be_killed_is_on_record_and_no_delete_runs_beside_it(
    trials_of: Callable[[str], Trials],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a program that its caller cannot kill")
    trials = trials_of("a plugin that its caller cannot kill: ADD returns, it is on record, and no DEL runs beside it")
    for number in range(size(1, 10)):
        place = Path(f"/tmp/libcni-unkillable-{os.getpid()}-{number}")
        place.mkdir(mode=0o755)
        try:
            trials.check(_outlived(place), str(number))
        finally:
            shutil.rmtree(place)


_OUTLIVING = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
    const char *command = getenv("CNI_COMMAND");
    if (strcmp(command, "ADD") != 0) {
        return creat("deleted", 0644) < 0;
    }
    if (setuid(0) != 0) {
        return 1;
    }
    sleep(20);
    return 0;
}
"""


def _outlived(place: Path) -> list[str]:
    """Run an ADD as a user that cannot kill its plugin; return what is wrong with how it ended."""
    compiled(_OUTLIVING, place, "one").chmod(0o4755)
    reading, writing = os.pipe()
    (place / "cache").mkdir()
    os.chown(place / "cache", 65534, 65534)
    child = os.fork()
    if not child:
        os.chdir(place / "cache")
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.write(writing, "\n".join(_as_nobody(place)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    problems = text.splitlines()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "exe").readlink() == place / "one":
                os.kill(int(entry.name), 9)
    return problems


def _as_nobody(place: Path) -> list[str]:
    config = CNIConfig([place], cache_dir=place / "cache" / "cni", timeout=0.5)
    started = time.monotonic()
    problems: list[str] = []
    try:
        config.add_network_list(network("one"), RT)
        problems.append("it succeeded")
    except PluginTimeoutError as error:
        if error.pid is None or "lives on" not in str(error):
            problems.append(f"not said to live on: {error}")
    except CNIError as error:
        problems.append(repr(error))
    if time.monotonic() - started > PATIENCE:
        problems.append("it took too long")
    problems += [] if [item.state for item in config.pending()] == ["unfinished"] else ["it is not on record"]
    delete = functools.partial(config.del_network_list, network("one"), RT)
    try:
        delete()
        problems.append("a DEL ran beside it")
    except CNIError as error:
        problems += [] if "does not end" in str(error) else [repr(error)]
    if Path("deleted").exists():
        problems.append("the plugin got a DEL while it ran")
    return problems
