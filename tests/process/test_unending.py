"""Processes that do not end, or whose end is kept from this one: nothing waits for them without an end."""

from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from libcni.errors import PluginError, PluginTimeoutError
from libcni.invoke.output import Invocation, check_success
from libcni.invoke.process.backend import IN_PYTHON, new_cells
from libcni.invoke.process.backend_python import PID, UNREAPED
from libcni.invoke.process.deadlines import ExecutionLimits, Schedule, Step
from libcni.invoke.process.ending import Ending, Fate
from libcni.invoke.process.process_tree import ProcessTree, read_process, read_processes
from libcni.invoke.process.unreaped import Unreaped, unreaped
from libcni.invoke.runner import PluginOutput
from tests.process.conftest import LONG, SOON, Flavour, Interrupted, Plugins, eventually, is_gone
from tests.process.heart import with_pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libcni.invoke.process.backend_python import Cells
    from libcni.invoke.runner import HookedCall, PluginCall

STILL = 1.0
"""Seconds that an event loop may stand still on a loaded machine; what must not be waited for in it takes longer."""

TRACER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <unistd.h>
int main(int count, char **arguments) {
    if (ptrace(PTRACE_SEIZE, atoi(arguments[1]), NULL, NULL) != 0) {
        perror("ptrace");
        return count;
    }
    puts("seized");
    fflush(stdout);
    for (;;) {
        pause();
    }
}
"""

UNKILLABLE = r"""
#include <unistd.h>
int main(void) {
    if (setuid(0) != 0) {
        return 1;
    }
    (void)!write(1, "answer\n", 7);
    sleep(300);
    return 0;
}
"""


def compiled(source: str, folder: Path, name: str) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (folder / f"{name}.c").write_text(source)
    subprocess.run([compiler, "-o", str(folder / name), str(folder / f"{name}.c")], check=True)
    return folder / name


def run(flavour: Flavour, call: PluginCall, **limits: float) -> tuple[PluginOutput | BaseException, float]:
    """Execute a plugin, and return how that went and how long an event loop stood still meanwhile."""
    runner: Any = flavour.runner(grace=0.2)
    runner._limits = runner._limits._replace(**limits)
    if not flavour.is_blocking:
        return flavour.drive(lambda: with_pulse(lambda: runner.run(call)))
    try:
        return flavour.drive(lambda: runner.run(call)), 0.0
    except BaseException as error:  # noqa: BLE001  # the outcome
        return error, 0.0


# A plugin that another process traces.


class _Tracer:
    """A process that traces a plugin, and does nothing else from then on."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process: subprocess.Popen[str] | None = None

    def seize(self, pid: int) -> None:
        self._process = subprocess.Popen([self._program, str(pid)], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "seized\n"

    def end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


@pytest.fixture
def tracer(tmp_path: Path) -> Iterator[_Tracer]:
    made = _Tracer(compiled(TRACER, tmp_path, "tracer"))
    yield made
    made.end()
    assert eventually(_all_are_reaped)


def _all_are_reaped() -> bool:
    unreaped.reap()
    return not len(unreaped)


def _traced(plugins: Plugins, tracer: _Tracer, then: str, **fields: Any) -> HookedCall:
    """Return a call of a plugin that is traced from its first line on. It starts nothing, which would stop it."""
    fifo = plugins.folder / "fifo"
    os.mkfifo(fifo)
    os.mkfifo(plugins.folder / "never")  # the first one may be open for writing a moment longer

    def seize(pid: str) -> None:
        tracer.seize(int(pid))
        fifo.write_text("go\n")

    return plugins.call(f'echo $$ >&2; read go <"$HERE/fifo"; {then}', on_stderr=seize, **fields)


def test_traced_plugin_that_exits_is_not_waited_for(flavour: Flavour, plugins: Plugins, tracer: _Tracer) -> None:
    started = time.monotonic()
    output, still = run(flavour, _traced(plugins, tracer, "echo answer; exit 0"), reaping=0.3)
    assert time.monotonic() - started < SOON
    assert not isinstance(output, BaseException)
    assert (output.stdout, output.exit_status, output.signal, output.pid) == (b"answer\n", None, None, None)
    assert not output.timed_out
    assert still < STILL
    with pytest.raises(PluginError, match=r"unknown status.*traces it"):
        check_success(Invocation("bridge", "/opt/bridge", "ADD"), output)
    assert len(unreaped) == 1


def test_traced_plugin_without_pidfd_is_not_waited_for(
    plugins: Plugins, tracer: _Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    monkeypatch.setattr("libcni.invoke.process.backend.processes", IN_PYTHON)
    output, _ = run(Flavour("blocking"), _traced(plugins, tracer, "echo answer; exit 0"), reaping=0.3)
    assert not isinstance(output, BaseException)
    assert (output.stdout, output.exit_status, output.timed_out) == (b"answer\n", None, False)


def test_traced_plugin_that_hangs_is_ended_and_left(flavour: Flavour, plugins: Plugins, tracer: _Tracer) -> None:
    """SIGTERM goes to the process that traces it and no further; SIGKILL ends it, and its exit status is kept."""
    output, still = run(flavour, _traced(plugins, tracer, 'read go <"$HERE/never"', timeout=0.5), reaping=0.3)
    assert not isinstance(output, BaseException)
    assert (output.timed_out, output.exit_status, output.signal, output.pid) == (True, None, None, None)
    assert output.duration < SOON
    assert still < STILL
    with pytest.raises(PluginTimeoutError, match="and was ended") as caught:
        check_success(Invocation("bridge", "/opt/bridge", "ADD"), output)
    assert caught.value.pid is None


def test_traced_plugin_is_reaped_by_a_later_execution(flavour: Flavour, plugins: Plugins, tracer: _Tracer) -> None:
    pids: list[int] = []
    call = replace(_traced(plugins, tracer, "exit 0"), on_start=pids.append)
    run(flavour, call, reaping=0.1)
    assert psutil.Process(pids[0]).status() == psutil.STATUS_ZOMBIE
    tracer.end()
    quiet = plugins.call_of(plugins.script("exit 0", "quiet"))
    assert eventually(lambda: flavour.run(quiet).exit_status == 0 and not psutil.pid_exists(pids[0]))
    assert not len(unreaped)


# A plugin that cannot be killed.


def _as_nobody(work: Callable[[], object]) -> str:
    """Do something in a forked child that is no root, and return the text of what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            text = str(work())
        except BaseException as error:  # noqa: BLE001  # goes to the parent
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


@pytest.fixture
def unkillable() -> Iterator[Path]:
    """A program that becomes root, whoever starts it."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a program that its caller cannot kill")
    with tempfile.TemporaryDirectory(prefix="unkillable-") as folder:
        Path(folder).chmod(0o755)
        program = compiled(UNKILLABLE, Path(folder), "outliving")
        program.chmod(0o4755)
        yield program
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.exe() == str(program):  # not that of another run of the tests
                    process.kill()


def _describe(output: PluginOutput | BaseException, still: float, seconds: float, slow: list[int]) -> str:
    if isinstance(output, BaseException):
        return repr(output)
    assert slow[-1:] == [output.pid], slow
    assert output.pid is not None
    assert psutil.pid_exists(output.pid)
    return f"{output.stdout!r} {output.exit_status} {output.signal} {output.timed_out} {still < STILL} {seconds}"


def _left(flavour: Flavour, plugins: Plugins, program: Path, **limits: float) -> float:
    """Run a plugin that cannot be killed, check what is said of it, and return how many seconds that took."""
    slow: list[int] = []
    call = plugins.call_of(str(program), timeout=0.3, on_slow=slow.append)

    def work() -> str:
        started = time.monotonic()
        outcome = run(flavour, call, **limits)
        return _describe(*outcome, time.monotonic() - started, slow)

    *what, seconds = _as_nobody(work).split()
    assert what == [r"b'answer\n'", "None", "None", "True", "True"]
    return float(seconds)


def test_plugin_that_cannot_be_killed_is_left(flavour: Flavour, plugins: Plugins, unkillable: Path) -> None:
    assert _left(flavour, plugins, unkillable, unkillable=0.5) < SOON


def test_plugin_that_cannot_be_killed_is_left_in_time(plugins: Plugins, unkillable: Path) -> None:
    assert _left(Flavour("blocking"), plugins, unkillable) < 0.3 + 0.2 + 5


def test_cancelled_call_of_a_plugin_that_cannot_be_killed_ends(
    flavour: Flavour, plugins: Plugins, unkillable: Path
) -> None:
    slow: list[int] = []

    def work() -> str:
        async def interrupted(interrupt: Callable[[], None]) -> None:
            runner: Any = flavour.runner(grace=0.1)
            runner._limits = runner._limits._replace(unkillable=0.3)

            def note(pid: int) -> None:
                slow.append(pid)
                if len(slow) == 1:
                    interrupt()

            await runner.run(plugins.call_of(str(unkillable), on_slow=note))

        with pytest.raises(Interrupted):
            flavour.interruptible(interrupted)
        assert len(slow) == 2  # and the record knows it again
        return f"{len(set(slow))} {psutil.pid_exists(slow[0])}"

    assert _as_nobody(work) == "1 True"


def test_error_of_a_plugin_that_lives_on_says_so_and_which() -> None:
    place = Invocation("bridge", "/opt/bridge", "ADD")
    for timed_out in (True, False):
        output = PluginOutput(exit_status=None, pid=4711, timed_out=timed_out, overflow=not timed_out)
        with pytest.raises(PluginTimeoutError, match="cannot be killed: process 4711 lives on") as caught:
            check_success(place, output, 3.0)
        assert caught.value.pid == 4711
        assert pickle.loads(pickle.dumps(caught.value)).pid == 4711  # noqa: S301  # its own


# Many descendants.


@pytest.mark.parametrize("start", ["", "setsid "], ids=["group", "session"])
def test_plugin_with_many_children_is_ended_with_them(flavour: Flavour, plugins: Plugins, start: str) -> None:
    body = f"""
        exec 3>&2 2>/dev/null >/dev/null
        i=0
        while [ $i -lt 800 ]; do {start}sleep {LONG} 3>&- & i=$((i+1)); done
        sleep 0.2
        echo "$!" >&3
        wait
    """
    started: list[float] = []

    def ready(_: str) -> None:
        started.append(time.monotonic())
        raise LookupError

    outcome, still = run(flavour, plugins.call(body, on_stderr=ready, timeout=60))
    assert isinstance(outcome, LookupError)
    assert time.monotonic() - started[0] < SOON
    assert still < STILL
    assert eventually(lambda: not _sleepers(plugins.folder))


def _sleepers(folder: Path) -> list[int]:
    """Return the processes that have a folder in their environment and sleep."""
    found: list[int] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "sleep" and process.environ().get("HERE") == str(folder):
                found.append(process.pid)
    return found


@pytest.mark.parametrize("ignored", ["", "trap '' TERM; "], ids=["obedient", "stubborn"])
def test_plugin_is_ended_where_no_descriptor_is_left(flavour: Flavour, plugins: Plugins, ignored: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def take_all(_: str) -> None:
        used = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208  # only their numbers
        filling.extend(os.dup(0) for _ in range(used))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(filling) + 1, limits[1]))

    filling: list[int] = []
    call = plugins.call(f"{ignored}echo $$ >&2; while :; do :; done", on_stderr=take_all, timeout=0.5)
    try:
        outcome, _ = run(flavour, call)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in filling:
            os.close(descriptor)
    assert isinstance(outcome, PluginOutput), outcome
    assert (outcome.timed_out, outcome.signal) == (True, signal.SIGKILL if ignored else signal.SIGTERM)
    assert is_gone(int(outcome.stderr))


# What is left, for later.


def test_unreaped_forgets_the_oldest_beyond_its_limit() -> None:
    kept = Unreaped(limit=2)
    children = [subprocess.Popen(["sleep", str(LONG)]) for _ in range(3)]
    for child in children:
        kept.add(child.pid)
    assert len(kept) == 2
    kept.reap()
    assert len(kept) == 2
    for child in children:
        child.kill()
        child.wait()
    kept.reap()
    assert not len(kept)


def test_unreaped_leaves_a_process_alone_that_has_the_id_of_another() -> None:
    with subprocess.Popen(["true"], stdout=subprocess.PIPE) as child:
        kept = Unreaped()
        kept.add(child.pid)
        kept._children[0] = kept._children[0]._replace(started=1)
        assert child.stdout is not None
        child.stdout.read()
        kept.reap()
        assert not len(kept)
        assert child.wait() == 0


def test_unreaped_is_of_the_process_that_started_the_children() -> None:
    with subprocess.Popen(["sleep", str(LONG)]) as child:
        kept = Unreaped()
        kept.add(child.pid)
        pid = os.fork()
        if pid == 0:
            kept.reap()
            os._exit(len(kept))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert len(kept) == 1
        child.kill()


def test_unreaped_without_descriptors_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with subprocess.Popen(["sleep", str(LONG)]) as child:
        kept = Unreaped()
        kept.add(child.pid)
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", fail)
            kept.reap()
            kept.add(child.pid)
        assert len(kept) == 1
        child.kill()


def test_child_that_could_not_execute_and_is_kept_is_reaped_later(
    flavour: Flavour, plugins: Plugins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that traces it from its start keeps it; this is what ``_spawn.c`` says then."""
    made: list[int] = []

    def start(cells: Cells, *_: object) -> None:
        made.append(os.posix_spawn("/bin/true", ["true"], {}))
        cells[UNREAPED] = made[-1]
        raise OSError(errno.ENOEXEC, "Exec format error")

    with monkeypatch.context() as patched:
        patched.setattr("libcni.invoke.process.backend.processes", IN_PYTHON._replace(start=start))
        with pytest.raises(OSError, match="Exec format error"):
            flavour.run(plugins.call("exit 0"))
    assert len(made) == 1
    assert eventually(_all_are_reaped)
    assert not psutil.pid_exists(made[0])


def test_unreaped_forgets_a_child_that_something_else_reaps_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", str(LONG)]) as child:
        kept = Unreaped()
        kept.add(child.pid)

        def fail(*_: int) -> tuple[int, int]:
            raise ChildProcessError

        with monkeypatch.context() as patched:
            patched.setattr(os, "waitpid", fail)
            kept.reap()
        assert not len(kept)
        child.kill()


def test_unreaped_adds_no_process_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()
    kept = Unreaped()
    kept.add(child.pid)
    assert not len(kept)


def test_unreaped_of_a_parent_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", str(LONG)]) as child:
        kept = Unreaped()
        kept.add(child.pid)
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: 1)  # as in a forked child
            kept.reap()
        assert not len(kept)
        child.kill()


def test_unreaped_may_be_reaped_by_several_threads() -> None:
    class Shrinking(deque[Any]):
        def popleft(self) -> Any:
            self.clear()  # another thread was quicker
            return super().popleft()

    kept = Unreaped()
    kept._children = Shrinking([object(), object()])
    kept.reap()
    assert not len(kept)


# One process, as the kernel shows it.


def test_process_that_ends_while_it_is_read_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: int) -> bytes:
        raise ProcessLookupError(errno.ESRCH, "No such process")

    assert read_process(os.getpid()) is not None
    monkeypatch.setattr(os, "read", fail)
    assert read_process(os.getpid()) is None


def test_processes_that_may_not_be_read_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    assert os.getpid() in read_processes()
    monkeypatch.setattr(os, "open", fail)
    assert read_processes() == {}


def test_tree_takes_what_it_cannot_look_at_for_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with subprocess.Popen(["/bin/sh", "-c", f"sleep {LONG} & wait"], process_group=0) as leader:
        tree = ProcessTree(leader.pid)
        assert eventually(lambda: bool(psutil.Process(leader.pid).children()))
        tree.signal(0)
        assert not tree.is_alone()
        os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()
        assert eventually(tree.is_alone)
        monkeypatch.setattr(os, "open", fail)
        assert not tree.is_alone()


def test_schedule_hurries_only_what_was_told_to_end() -> None:
    schedule = Schedule(ExecutionLimits(grace=10), 0.0, None)
    schedule.hurry()
    assert schedule.step(1.0, drained=False, alone=True)[0] is Step.WAIT
    schedule.end()
    assert schedule.step(1.0, drained=False, alone=True)[0] is Step.TERMINATE
    assert schedule.step(2.0, drained=False, alone=True)[0] is Step.WAIT
    schedule.hurry()
    assert schedule.step(2.0, drained=False, alone=True)[0] is Step.KILL


def test_ending_of_the_parent_is_left_alone_in_a_forked_child(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["sleep", str(LONG)], process_group=0) as child:
        cells = new_cells()
        cells[PID] = child.pid
        ending = Ending(cells, ExecutionLimits())
        with monkeypatch.context() as patched:
            patched.setattr(os, "getpid", lambda: 1)
            ending.act(Step.KILL)
        assert child.poll() is None
        ending.act(Step.KILL)
        assert child.wait() == -signal.SIGKILL
        assert ending.is_dead()  # and reaped by something else


def test_process_that_cannot_be_reaped_is_left_when_nothing_can_be_waited_for() -> None:
    with subprocess.Popen(["sleep", str(LONG)], process_group=0) as child:
        cells = new_cells()
        cells[PID] = child.pid
        ending = Ending(cells, ExecutionLimits(reaping=0.05))
        ending.act = lambda step: None  # type: ignore[method-assign]  # noqa: ARG005  # as if no signal reached it
        ending.kill()
        assert (ending.fate, ending.exit_code()) == (Fate.LEFT, None)
        child.kill()
        child.wait()
    assert eventually(_all_are_reaped)
