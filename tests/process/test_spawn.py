"""Starting a process and seeing it end: in C and, where that was not built, in Python; both do the same."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from array import array
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni.invoke import child as module
from libcni.invoke import portable
from libcni.invoke.child import IN_PYTHON, Processes, Threads, encoded_environment, encoded_path, new_cells, processes
from libcni.invoke.portable import CLOSED, DESCRIPTORS, ENDED, PID, PIDFD, STARTED, STATUS, STDIN_WRITE
from tests.contract.modules import ROOT
from tests.process.conftest import LONG, PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from libcni.invoke.portable import Cells, Start
    from tests.process.conftest import Flavour, Plugins

MILLISECONDS = int(PATIENCE * 1000)


def _in_c() -> Processes:
    if processes is IN_PYTHON:
        pytest.skip("the C part was not built: no compiler, or no headers of Python")
    return processes


@pytest.fixture(params=[_in_c, lambda: IN_PYTHON], ids=["c", "python"])
def chosen(request: pytest.FixtureRequest) -> Processes:
    found: Processes = request.param()
    return found


class Started:
    """What one process wrote, and how it ended."""

    def __init__(self, chosen: Processes, cells: Cells) -> None:
        self.pid = cells[PID]
        taken = chosen.finish(cells, MILLISECONDS, -1)
        assert taken is not None
        self.out, self.err = taken
        status = cells[STATUS]
        self.status = os.waitstatus_to_exitcode(status if status != CLOSED else os.waitpid(self.pid, 0)[1])


@pytest.fixture
def start(chosen: Processes) -> Iterator[Callable[..., Cells]]:
    made: list[Cells] = []

    def start(path: str, environment: Mapping[str, str], request: bytes = b"asked") -> Cells:
        cells = new_cells()
        made.append(cells)
        chosen.start(cells, encoded_path(path), encoded_environment(environment), request)
        return cells

    yield start
    for cells in made:
        for end in DESCRIPTORS:
            portable.close_end(cells, end)


@pytest.fixture
def run(chosen: Processes, start: Callable[..., Cells]) -> Any:
    def run(path: str, environment: Mapping[str, str] | None = None) -> Started:
        return Started(chosen, start(path, {"PATH": os.environ["PATH"]} if environment is None else environment))

    return run


def test_spawn_connects_three_pipes(run: Any, plugins: Plugins) -> None:
    started = run(plugins.script("cat; echo said >&2; exit 3"))
    assert (started.out, started.err, started.status) == (b"asked", b"said\n", 3)


def test_spawn_leads_a_group_of_its_own_with_its_path_as_name(run: Any, plugins: Plugins) -> None:
    started = run(plugins.script("cut -d' ' -f1,5 /proc/$$/stat; tr '\\0' '|' </proc/$$/cmdline"))
    assert started.out == f"{started.pid} {started.pid}\n/bin/sh|{plugins.folder}/plugin|".encode()


def test_spawn_closes_what_is_inheritable_and_leaves_it_open_here(run: Any, plugins: Plugins) -> None:
    path = plugins.script("for fd in /proc/$$/fd/*; do readlink $fd; done")
    usual = run(path).out.splitlines()
    opened = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(300)]
    for descriptor in opened:
        os.set_inheritable(descriptor, True)
    try:
        found = run(path).out.splitlines()
        assert all(map(os.get_inheritable, opened))
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert b"/etc/passwd" not in found
    assert len(found) == len(usual)


def test_spawn_blocks_and_ignores_no_signal(run: Any, plugins: Plugins) -> None:
    path = plugins.script("exec grep -E '^Sig(Blk|Ign)' /proc/self/status")
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGRTMIN, signal.SIGRTMAX)
    before = [signal.signal(number, signal.SIG_IGN) for number in ignored]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        started = run(path)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in zip(ignored, before, strict=True):
            signal.signal(number, handler)
    own_of_libc = 0b11 << 31  # signals 32 and 33: glibc has them ignored in everything that it spawns itself
    assert [int(line.split()[1], 16) & ~own_of_libc for line in started.out.splitlines()] == [0, 0]


def test_spawn_passes_the_environment_as_bytes_and_nothing_else(run: Any) -> None:
    environment = {"ÄÖ": "grüße", "LOST": "\udcff\udcfe", "EMPTY": "", "EQUALS": "a=b", "LINES": "a\nb"}
    started = run("/usr/bin/env", environment)
    assert sorted(started.out.splitlines()) == sorted(
        b"\n".join([os.fsencode(f"{name}={value}") for name, value in environment.items()]).splitlines()
    )


def test_spawn_takes_an_empty_environment(run: Any) -> None:
    started = run("/usr/bin/env", {})
    assert (started.status, started.out) == (0, b"")


def test_spawn_takes_a_path_that_is_no_ascii(run: Any, plugins: Plugins) -> None:
    assert run(plugins.script("echo found", "plügin")).out == b"found\n"


def test_environment_that_changed_is_not_the_one_before(run: Any) -> None:
    environment = {"ONE": "1"}
    outs = [run("/usr/bin/env", environment).out]
    environment["ONE"] = "2"
    outs.append(run("/usr/bin/env", environment).out)
    outs.append(run("/usr/bin/env", {"ONE": "2"}).out)
    outs.append(run("/usr/bin/env", {"TWO": "2"}).out)
    assert outs == [b"ONE=1\n", b"ONE=2\n", b"ONE=2\n", b"TWO=2\n"]


def test_environments_of_threads_are_not_mixed_up(run: Any) -> None:
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for _ in range(20):
            started = run("/usr/bin/env", {"NUMBER": str(number)})
            if started.out != f"NUMBER={number}\n".encode():
                wrong.append(started.out)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)])
def test_spawn_works_where_standard_streams_are_closed(
    plugins: Plugins, chosen: Processes, closed: tuple[int, ...]
) -> None:
    """The pipes get their numbers; what the plugin sees is the same."""
    path = plugins.script("cat; echo said >&2; exit 3")
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for descriptor in closed:
                os.close(descriptor)
            cells = new_cells()
            environment = encoded_environment({"PATH": os.environ["PATH"]})
            chosen.start(cells, encoded_path(path), environment, b"asked")
            os.write(report_write, repr(chosen.finish(cells, MILLISECONDS, -1)).encode())
        finally:
            os._exit(0)
    os.close(report_write)
    os.waitpid(pid, 0)
    with os.fdopen(report_read, "rb") as report:
        assert report.read() == repr((b"asked", b"said\n")).encode()


# What cannot be started.


def _missing(_: Plugins) -> str:
    return "/nonexistent/plugin"


def _not_executable(plugins: Plugins) -> str:
    path = plugins.script("exit 0")
    Path(path).chmod(0o644)
    return path


def _directory(plugins: Plugins) -> str:
    return str(plugins.folder)


def _no_program(plugins: Plugins) -> str:
    path = plugins.script("exit 0")
    Path(path).write_text("exit 0\n")
    return path


def _empty(plugins: Plugins) -> str:
    path = plugins.script("exit 0")
    Path(path).write_text("")
    return path


def _no_interpreter(plugins: Plugins) -> str:
    path = plugins.script("exit 0")
    Path(path).write_text("#!/nonexistent/interpreter\n")
    return path


def _below_a_file(plugins: Plugins) -> str:
    return plugins.script("exit 0") + "/plugin"


def _loop(plugins: Plugins) -> str:
    (plugins.folder / "loop").symlink_to("loop")
    return str(plugins.folder / "loop")


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (_missing, errno.ENOENT),
        (_not_executable, errno.EACCES),
        (_directory, errno.EACCES),
        (_no_program, errno.ENOEXEC),
        (_empty, errno.ENOEXEC),
        (_no_interpreter, errno.ENOENT),
        (_below_a_file, errno.ENOTDIR),
        (_loop, errno.ELOOP),
    ],
    ids=lambda value: getattr(value, "__name__", errno.errorcode.get(value) if isinstance(value, int) else None),
)
def test_spawn_failure_says_why_and_leaves_no_child(
    start: Callable[..., Cells], plugins: Plugins, make: Any, number: int
) -> None:
    path = make(plugins)
    with pytest.raises(OSError, match=r".") as caught:
        start(path, {})
    assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))


def test_spawn_of_a_file_that_is_open_for_writing_is_tried_again_with_the_same_pipes(
    chosen: Processes, busy: Path
) -> None:
    cells = new_cells()
    arguments = encoded_path(str(busy)), b"", b"asked"
    with busy.open("r+b"), pytest.raises(OSError, match="Text file busy") as caught:
        chosen.start(cells, *arguments)
    assert (caught.value.errno, cells[PID]) == (errno.ETXTBSY, 0)
    before = cells[DESCRIPTORS.start : DESCRIPTORS.stop]
    chosen.start(cells, *arguments)
    assert {fd for fd in cells[DESCRIPTORS.start : PIDFD] if fd != CLOSED} <= set(before)
    started = Started(chosen, cells)
    assert (started.out, started.status) == (b"asked", 0)
    for end in DESCRIPTORS:
        portable.close_end(cells, end)


def test_spawn_with_too_large_an_environment_says_so(start: Callable[..., Cells]) -> None:
    with pytest.raises(OSError, match="Argument list too long") as caught:
        start("/usr/bin/env", {"LARGE": "x" * (1 << 22)})
    assert caught.value.errno == errno.E2BIG


@pytest.mark.parametrize("left", range(6))
def test_spawn_without_descriptors_left_says_so(start: Callable[..., Cells], left: int) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(file.name) for file in Path("/proc/self/fd").iterdir())
    filling = [os.dup(0) for _ in range(used)]  # every number below the limit is taken, but for those that are left
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(filling) + 1 + left, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            start("/bin/true", {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in filling:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "environment"),
    [
        ("/usr/bin/env\0x", {}),
        ("/usr/bin/env", {"NAME": "before\0after"}),
        ("/usr/bin/env", {"NA\0ME": "value"}),
        ("/usr/bin/env", {"NA=ME": "value"}),
        ("/usr/bin/env", {"": "value"}),
    ],
    ids=["path", "value", "name", "equals", "empty"],
)
def test_text_that_c_would_read_as_another_one_is_refused(
    flavour: Flavour, plugins: Plugins, path: str, environment: dict[str, str]
) -> None:
    call = replace(plugins.call_of(path), environment=environment)
    with pytest.raises(ValueError, match=r"embedded null byte|illegal environment variable name"):
        flavour.run(call)


# How it ends.


def test_finish_waits_no_longer_than_it_is_told(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"exec sleep 300")
    assert chosen.finish(cells, 10, -1) is None
    assert cells[STATUS] == CLOSED
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


def test_finish_is_ended_by_a_descriptor(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"exec sleep 300")
    event = os.eventfd(1, os.EFD_CLOEXEC)
    assert chosen.finish(cells, MILLISECONDS, event) is None
    os.close(event)
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


def test_finish_runs_the_handlers_of_signals_and_goes_on(start: Callable[..., Cells], chosen: Processes) -> None:
    seen: list[int] = []
    previous = signal.signal(signal.SIGUSR1, lambda number, _: seen.append(number))
    try:
        cells = start("/bin/sh", {}, f"sleep 0.1; kill -USR1 {os.getpid()}; sleep 0.1; echo answer".encode())
        started = Started(chosen, cells)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert (seen, started.out) == ([signal.SIGUSR1], b"answer\n")


def test_finish_raises_what_the_handler_of_a_signal_does(start: Callable[..., Cells], chosen: Processes) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    previous = signal.signal(signal.SIGUSR1, fail)
    try:
        cells = start("/bin/sh", {}, f"sleep 0.1; kill -USR1 {os.getpid()}; exec sleep 300".encode())
        with pytest.raises(LookupError):
            chosen.finish(cells, MILLISECONDS, -1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


def test_finish_does_not_reap_while_somebody_has_the_pipes(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"sleep 300 & echo $!")
    taken = chosen.finish(cells, MILLISECONDS, -1)
    assert taken is not None
    assert cells[STATUS] == CLOSED
    os.kill(int(taken[0]), signal.SIGKILL)
    assert eventually(lambda: chosen.finish(cells, MILLISECONDS, -1) == (b"", b"") and cells[3] == CLOSED)
    if cells[STATUS] == CLOSED:
        os.waitpid(cells[PID], 0)


def test_long_request_is_written_as_far_as_the_pipe_takes_it(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"exec sleep 300\n" + bytes(1 << 20))
    assert cells[STDIN_WRITE] != CLOSED
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


# Which one is used.


def test_c_is_used_where_it_was_built() -> None:
    assert _in_c() is not IN_PYTHON


def test_python_is_used_where_it_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcni.invoke._native", None)
    monkeypatch.delattr("libcni.invoke._native", raising=False)
    assert module._chosen() is IN_PYTHON


def test_array_of_another_size_is_refused() -> None:
    for function in (_in_c().drain, lambda cells: _in_c().finish(cells, 0, -1)):
        with pytest.raises(ValueError, match="right size"):
            function(new_cells()[:3])


def _starts(*scripts: str, expected: bytes = b"") -> list[Start]:
    environment = encoded_environment({"PATH": os.environ["PATH"]})
    return [(new_cells(), b"/bin/sh", environment, script.encode(), expected) for script in scripts]


def test_programs_run_while_all_is_well_and_nothing_is_said() -> None:
    starts = _starts("exit 0", ":", "echo said", "echo never")
    assert _in_c().run(starts, MILLISECONDS, -1, None) == [(b"", b""), (b"", b""), (b"said\n", b"")]
    first, second, third, fourth = (cells for cells, *_ in starts)
    assert 0 < first[STARTED] < first[ENDED] <= second[STARTED] < second[ENDED] <= third[STARTED] < third[ENDED]
    assert (fourth[PID], fourth[STARTED]) == (0, 0)


def test_programs_run_while_each_prints_what_is_expected() -> None:
    starts = _starts("printf answer", "printf answer", "printf another", "printf answer", expected=b"answer")
    taken = _in_c().run(starts, MILLISECONDS, -1, None)
    assert taken == [(b"answer", b""), (b"answer", b""), (b"another", b"")]
    assert starts[3][0][PID] == 0


def test_python_runs_the_first_program() -> None:
    starts = _starts("exit 0", "echo never")
    assert IN_PYTHON.run(starts, MILLISECONDS, -1, None) == [(b"", b"")]
    assert starts[1][0][PID] == 0
    _settle(starts[0][0])


def test_no_program_of_a_row_ignores_a_signal() -> None:
    nothing = b"SigIgn:\t0000000000000000\n"
    before = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGHUP, signal.SIGRTMAX)]
    try:
        taken = _in_c().run(
            _starts(*3 * ["exec grep ^SigIgn /proc/self/status"], expected=nothing), MILLISECONDS, -1, None
        )
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    assert taken == 3 * [(nothing, b"")]


def test_something_is_done_while_the_first_program_runs(chosen: Processes, tmp_path: Path) -> None:
    starts = _starts(f"cat; until test -e {tmp_path}/go; do sleep 0.01; done; exit 0\n", "exit 0")
    first, second = (cells for cells, *_ in starts)
    seen: list[tuple[int, int]] = []

    def meanwhile() -> None:
        os.kill(first[PID], 0)
        seen.append((first[STATUS], second[PID]))
        (tmp_path / "go").touch()

    taken = chosen.run(starts, MILLISECONDS, -1, None, meanwhile)
    assert taken[0] == (b"", b"")
    assert seen == [(CLOSED, 0)]
    for cells, _ in zip((first, second), taken, strict=False):
        _settle(cells)


def test_what_is_raised_meanwhile_passes_through(chosen: Processes) -> None:
    starts = _starts("exec sleep 300", "exit 0")
    with pytest.raises(ZeroDivisionError):
        chosen.run(starts, MILLISECONDS, -1, None, lambda: 1 / 0)
    first, second = (cells for cells, *_ in starts)
    assert (first[STATUS], second[PID]) == (CLOSED, 0)
    os.kill(first[PID], signal.SIGKILL)
    _settle(first)


def test_nothing_is_done_meanwhile_before_the_whole_request_is_written(chosen: Processes) -> None:
    starts = _starts("exec sleep 300\n" + " " * (1 << 20))
    assert chosen.run(starts, MILLISECONDS, -1, None, lambda: 1 / 0) == [None]
    os.kill(starts[0][0][PID], signal.SIGKILL)
    _settle(starts[0][0])


def test_program_that_does_not_start_ends_the_row() -> None:
    starts = _starts("exit 0", "never")
    starts[1] = (starts[1][0], b"/nonexistent", b"", b"", b"")
    assert _in_c().run(starts, MILLISECONDS, -1, None) == [(b"", b"")]
    with pytest.raises(FileNotFoundError):
        _in_c().run(starts[1:], MILLISECONDS, -1, None)
    for cells, *_ in starts:
        assert cells[STATUS] != CLOSED or cells[PID] == 0
        for end in DESCRIPTORS:
            portable.close_end(cells, end)


def test_time_is_for_all_programs_together() -> None:
    starts = _starts("sleep 0.05", "sleep 0.05", *["sleep 0.05"] * 20)
    taken = _in_c().run(starts, 75, -1, None)
    assert 1 <= len(taken) < len(starts)
    _settle(starts[len(taken) - 1][0])


@pytest.mark.parametrize("wrong", [(), (1,), ("text",), ((new_cells(), b"x", b"", b"", b"", b""),)])
def test_what_is_no_program_is_refused(wrong: Any) -> None:
    first = _starts("exit 0")
    with pytest.raises(TypeError):
        _in_c().run([*first, *wrong] if wrong else 5, 0, -1, None)  # type: ignore[arg-type]
    assert first[0][0][PID] == 0
    with pytest.raises(ValueError, match="right size"):
        _in_c().run([(new_cells()[:3], b"x", b"", b"", b"")], 0, -1, None)


def test_descriptor_that_is_closed_since_it_was_listed_is_none_to_close() -> None:
    descriptor = os.dup(0)
    os.close(descriptor)
    assert not portable._is_inheritable(descriptor)


# In a thread of C.


@pytest.fixture
def event() -> Iterator[int]:
    descriptor = os.eventfd(0, os.EFD_CLOEXEC)
    yield descriptor
    os.close(descriptor)


def _threads() -> Threads:
    threads = _in_c().threads
    assert threads is not None
    return threads


def _submit(cells: Cells, script: str, event: int, patience: int = MILLISECONDS) -> Any:
    submit = _threads().submit
    environment = encoded_environment({"PATH": os.environ["PATH"]})
    return submit([(cells, b"/bin/sh", environment, script.encode(), b"")], patience, event, None)


def _settle(cells: Cells) -> None:
    """Reap and close what a job may have left to do: another process that was just starting had its pipes."""
    if cells[STATUS] == CLOSED:
        os.waitpid(cells[PID], 0)
    for end in DESCRIPTORS:
        portable.close_end(cells, end)


def _collect(job: Any) -> tuple[bytes, bytes] | None:
    [taken] = _threads().collect(job)
    return taken


def test_job_is_done_when_its_event_is_readable(event: int) -> None:
    cells = new_cells()
    job = _submit(cells, "echo answer; exit 3", event)
    assert os.eventfd_read(event) == 1
    assert _collect(job) == (b"answer\n", b"")
    assert os.waitstatus_to_exitcode(cells[STATUS]) == 3
    assert {cells[end] for end in DESCRIPTORS} == {CLOSED}


def test_job_that_is_dropped_ends_first(event: int, tmp_path: Path) -> None:
    cells = new_cells()
    job = _submit(cells, f"sleep 0.2; echo done >{tmp_path}/done", event)
    del job
    assert (tmp_path / "done").exists()
    assert cells[STATUS] == 0


def test_job_that_fails_says_so(event: int) -> None:
    submit = _threads().submit
    cells = new_cells()
    job = submit([(cells, b"/nonexistent", b"", b"", b"")], 0, event, None)
    with pytest.raises(FileNotFoundError):
        _collect(job)
    assert cells[PID] == 0
    for end in DESCRIPTORS:
        portable.close_end(cells, end)


def test_many_jobs_are_all_done(event: int) -> None:
    many = 200
    made = [new_cells() for _ in range(many)]
    jobs = [_submit(cells, f"echo {number}", event) for number, cells in enumerate(made)]
    assert [_collect(job) for job in jobs] == [(f"{number}\n".encode(), b"") for number in range(many)]
    for cells in made:
        _settle(cells)


def test_forked_child_has_threads_of_its_own(event: int) -> None:
    """Those of its parent do not exist there, and what they do is none of its business."""
    cells = new_cells()
    job = _submit(cells, "sleep 0.5; echo parent", event)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            del job
            own = os.eventfd(0, os.EFD_CLOEXEC)
            status = 0 if _collect(_submit(new_cells(), "echo child", own)) == (b"child\n", b"") else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert _collect(job) == (b"parent\n", b"")


# File work in C.


def _sync_job(descriptor: int, event: int, shared: Any = None) -> tuple[Any, Any]:
    numbers = array("q", (descriptor, 0, -1, -1, -1))
    return _threads().submit([], 0, event, (numbers, shared)), numbers


def test_syncs_of_one_file_are_shared_and_each_is_told(event: int, tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    reading, writing = os.pipe()
    shared = array("q", (0, 0, 0))
    jobs = [_sync_job(file, event, shared) for _ in range(100)]
    failing = [_sync_job(writing, event, array("q", (0, 0, 0))) for _ in range(20)]
    for job, _ in jobs + failing:
        assert _threads().collect(job) == []
    assert {numbers[2] for _, numbers in jobs} == {0}
    assert {numbers[2] for _, numbers in failing} == {errno.EINVAL}
    asked, done, syncing = shared
    assert 100 < asked <= 200
    assert (done, syncing) == (asked, 0)
    for descriptor in (file, reading, writing):
        os.close(descriptor)


def test_sync_does_not_wait_for_a_thread_of_another_process(event: int, tmp_path: Path) -> None:
    file = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    shared = array("q", (1, 0, os.getppid()))
    job, numbers = _sync_job(file, event, shared)
    assert _threads().collect(job) == []
    assert numbers[2] == 0
    os.close(file)


INTERRUPTED = """
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>
int fdatasync(int descriptor) {
    static int calls;
    errno = EINTR;
    return calls++ ? (int)syscall(SYS_fdatasync, descriptor) : -1;
}
"""


def test_sync_that_a_signal_interrupts_is_done_again(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None or not _in_c().in_c:
        pytest.skip("no C compiler")
    source, library = tmp_path / "interrupted.c", tmp_path / "interrupted.so"
    source.write_text(INTERRUPTED)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    script = """
import os, sys
from array import array
from libcni.invoke.child import processes
numbers = array("q", (os.open(sys.argv[1], os.O_RDONLY), 0, -1, -1, -1))
processes.run([], 0, -1, (numbers, None))
print(numbers[2])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(source)],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == "0\n"


def test_file_work_of_another_form_is_refused() -> None:
    numbers, shared = array("q", (-1, 0, -1, -1, -1)), array("q", (0, 0, 0))
    for wrong in (5, (), (numbers,), (numbers, 5)):
        with pytest.raises(TypeError):
            _in_c().run([], 0, -1, wrong)  # type: ignore[arg-type]
    for short in ((numbers[:4], shared), (numbers, shared[:2])):
        with pytest.raises(ValueError, match="right size"):
            _in_c().run([], 0, -1, short)
    assert _in_c().run([], 0, -1, (numbers, shared)) == []


def test_job_is_collected_once_and_nothing_else_is() -> None:
    with pytest.raises(ValueError, match="PyCapsule"):
        _collect(object())


@pytest.mark.parametrize("script", [f"exec sleep {LONG}", f"sleep {LONG} & echo $!"], ids=["runs", "child"])
def test_job_gives_back_what_is_not_over(event: int, script: str) -> None:
    cells = new_cells()
    taken = _collect(_submit(cells, script, event, 0 if script.startswith("exec") else MILLISECONDS))
    assert cells[STATUS] == CLOSED
    assert cells[PIDFD] != CLOSED
    os.killpg(cells[PID], signal.SIGKILL)
    _settle(cells)
    assert (taken is None) == script.startswith("exec")
