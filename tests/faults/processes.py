"""Runtime processes that can be killed anywhere: forked by a process of their own, which has one thread only.

Run as a program, this module is that process. Each line on its stdin is a task: which verb to run in a fork, and when
to kill that fork. Its answer is one line too.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio

from libcni import AsyncCNIConfig, CNIConfig, CNIError, RuntimeConf, network_conf_from_bytes
from libcni.disk import FileOperations
from libcni.invoke.plugin import HookedCall

if TYPE_CHECKING:
    from types import TracebackType

    from libcni.invoke.plugin import PluginCall, PluginOutput

ROOT = Path(__file__).parents[2]


class Steps:
    """Counts the steps of a runtime process, and kills it at one of them."""

    def __init__(self, kill_at: int | None) -> None:
        self.number = 0
        self._kill_at = kill_at

    def __call__(self) -> None:
        if self.number == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.number += 1


def _around(name: str) -> Any:
    original = getattr(FileOperations, name)

    @functools.wraps(original)
    def stepping(self: SteppingOperations, *args: Any, **options: Any) -> Any:
        self.step()
        value = original(self, *args, **options)
        self.step()
        return value

    return stepping


class SteppingOperations(FileOperations):
    """The file layer, with a step before and after each change."""

    def __init__(self, step: Steps) -> None:
        self.step = step


for _name in [name for name in vars(FileOperations) if not name.startswith("_")]:
    setattr(SteppingOperations, _name, _around(_name))


def step_through(config: CNIConfig | AsyncCNIConfig, step: Steps) -> None:
    """Have a runtime make a step before and after each change of a file and each execution, and at each start."""
    store = config._context.store
    for folder in (store.cache.folder, store.journal.folder, store.damaged, store.locks.folder):
        folder.operations = SteppingOperations(step)
    runner: Any = config._context.runner
    run = runner.run

    async def stepping(call: PluginCall) -> PluginOutput:
        def started(pid: int) -> None:
            step()
            if isinstance(call, HookedCall) and call.on_slow is not None:
                call.on_slow(pid)
            step()

        step()
        fields = {name: getattr(call, name) for name in ("path", "stdin", "environment", "timeout", "on_stderr")}
        output: PluginOutput = await run(HookedCall(**fields, on_start=started))
        step()
        return output

    runner.run = stepping


class Zygote:
    """The process that forks; used from tests."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.processes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        finally:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, **task: Any) -> dict[str, Any]:
        """Run one verb in a new process.

        :param task: ``verb``, ``bin``, ``cache``, ``plugins`` or ``config``, ``container``; ``flavour``, ``keep``;
            ``kill_at`` a step, or ``signal`` ``after`` seconds.
        :returns: ``status`` (negative for a signal), and what the process said: ``steps``, ``error``, ``reports``.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(task, default=str) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer


def _make(task: dict[str, Any]) -> CNIConfig | AsyncCNIConfig:
    kind = CNIConfig if task.get("flavour", "sync") == "sync" else AsyncCNIConfig
    environ = {"PATH": os.environ["PATH"]}
    return kind(
        [task["bin"]], cache_dir=task["cache"], environ=environ, lock_timeout=30, durable=task.get("durable", True)
    )


def _perform(task: dict[str, Any], config: Any) -> Any:
    plugins = [{"type": plugin} for plugin in task.get("plugins", ())]
    document = task.get("config") or {"cniVersion": "1.1.0", "name": "net", "plugins": plugins}
    rt = RuntimeConf(task.get("container", ""), task.get("netns", ""), "eth0")
    calls: dict[str, tuple[Any, ...]] = {
        "add": (config.add_network_list, rt),
        "del": (config.del_network_list, rt),
        "gc": (config.gc_network_list, [(name, "eth0") for name in task.get("keep", ())]),
    }
    if task["verb"] == "recover":
        work = config.recover
    else:
        method, *arguments = calls[task["verb"]]
        work = functools.partial(method, network_conf_from_bytes(json.dumps(document)), *arguments)
    flavour = task.get("flavour", "sync")
    return work() if flavour == "sync" else anyio.run(work, backend=flavour)


def _in_child(task: dict[str, Any], answer: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = _make(task)
    step = Steps(task.get("kill_at"))
    step_through(config, step)
    said: dict[str, Any] = {}
    os.write(answer, b"\n")
    try:
        value = _perform(task, config)
        if task["verb"] == "recover":
            said["reports"] = [[*report[:4], report.error and str(report.error)] for report in value]
    except (CNIError, KeyboardInterrupt) as error:
        said["error"] = f"{type(error).__name__}: {error} {getattr(error, '__notes__', '')}"
    os.write(answer, json.dumps(said | {"steps": step.number}).encode())


def _fork(task: dict[str, Any]) -> dict[str, Any]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            _in_child(task, writer)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    os.read(reader, 1)
    if "signal" in task:
        select.select([reader], [], [], 0)
        time.sleep(task["after"])
        os.kill(pid, task["signal"])
        if task.get("again"):
            time.sleep(task["again"])
            os.kill(pid, task["signal"])
    text = b""
    while part := os.read(reader, 65536):
        text += part
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    return {"status": os.waitstatus_to_exitcode(status), **(json.loads(text) if text else {})}


def _serve() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_fork(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
