"""Starting a process and seeing it end: in C and, where that was not built, in Python; both do the same."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni.invoke.process import backend as module
from libcni.invoke.process import backend_python as portable
from libcni.invoke.process.backend import IN_PYTHON, Processes, encoded_environment, encoded_path, new_cells, processes
from libcni.invoke.process.backend_python import CLOSED, DESCRIPTORS, PID, PIDFD, STATUS, STDIN_WRITE
from tests.process.conftest import PATIENCE, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from libcni.invoke.process.backend_python import Cells
    from tests.process.conftest import Flavour, Plugins

MILLISECONDS = int(PATIENCE * 1000)


@pytest.fixture(
    params=[pytest.param(processes, marks=pytest.mark.needs_c, id="c"), pytest.param(IN_PYTHON, id="python")]
)
def chosen(request: pytest.FixtureRequest) -> Processes:
    found: Processes = request.param
    return found


class Started:
    """What one process wrote, and how it ended."""

    def __init__(self, chosen: Processes, cells: Cells) -> None:
        self.pid = cells[PID]
        taken = chosen.wait_for_exit(cells, MILLISECONDS, -1)
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
            os.write(report_write, repr(chosen.wait_for_exit(cells, MILLISECONDS, -1)).encode())
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
    assert chosen.wait_for_exit(cells, 10, -1) is None
    assert cells[STATUS] == CLOSED
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


def test_finish_is_ended_by_a_descriptor(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"exec sleep 300")
    event = os.eventfd(1, os.EFD_CLOEXEC)
    assert chosen.wait_for_exit(cells, MILLISECONDS, event) is None
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
            chosen.wait_for_exit(cells, MILLISECONDS, -1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


def test_finish_does_not_reap_while_somebody_has_the_pipes(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"sleep 300 & echo $!")
    taken = chosen.wait_for_exit(cells, MILLISECONDS, -1)
    assert taken is not None
    assert cells[STATUS] == CLOSED
    os.kill(int(taken[0]), signal.SIGKILL)
    assert eventually(lambda: chosen.wait_for_exit(cells, MILLISECONDS, -1) == (b"", b"") and cells[3] == CLOSED)
    if cells[STATUS] == CLOSED:
        os.waitpid(cells[PID], 0)


def test_long_request_is_written_as_far_as_the_pipe_takes_it(start: Callable[..., Cells], chosen: Processes) -> None:
    cells = start("/bin/sh", {}, b"exec sleep 300\n" + bytes(1 << 20))
    assert cells[STDIN_WRITE] != CLOSED
    os.kill(cells[PID], signal.SIGKILL)
    assert Started(chosen, cells).status == -signal.SIGKILL


# Which one is used.


@pytest.mark.needs_c
def test_c_is_used_where_it_was_built() -> None:
    from libcni.invoke.process import _spawn  # noqa: PLC0415  # it may not have been built

    assert module.chosen() == processes == (_spawn.start, _spawn.wait_for_exit, _spawn.drain)


def test_python_is_used_where_the_environment_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBCNI_PURE", "1")
    assert module.chosen() is IN_PYTHON


def test_python_is_used_where_c_was_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBCNI_PURE", raising=False)
    monkeypatch.setitem(sys.modules, "libcni.invoke.process._spawn", None)
    monkeypatch.delattr("libcni.invoke.process._spawn", raising=False)
    assert module.chosen() is IN_PYTHON


@pytest.mark.needs_c
def test_array_of_another_size_is_refused() -> None:
    for function in (processes.drain, lambda cells: processes.wait_for_exit(cells, 0, -1)):
        with pytest.raises(ValueError, match="right size"):
            function(new_cells()[:3])


def test_descriptor_that_is_closed_since_it_was_listed_is_none_to_close() -> None:
    descriptor = os.dup(0)
    os.close(descriptor)
    assert not portable._is_inheritable(descriptor)
