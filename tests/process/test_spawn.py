"""Starting a process: by libc and, where that cannot close descriptors, by Python; both do the same."""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from libcni.invoke import spawn as module
from libcni.invoke.libc import LibcSpawn
from libcni.invoke.spawn import Child, Spawn, _chosen, _python_spawn, spawn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.process.conftest import Flavour, Plugins


def _by_libc() -> Spawn:
    return LibcSpawn()


@pytest.fixture(params=[_by_libc, lambda: _python_spawn], ids=["libc", "python"])
def start(request: pytest.FixtureRequest) -> Spawn:
    chosen: Spawn = request.param()
    return chosen


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[tuple[int, int, int]]:
    (tmp_path / "in").write_bytes(b"asked")
    opened = (
        os.open(tmp_path / "in", os.O_RDONLY | os.O_CLOEXEC),
        os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC),
        os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC),
    )
    yield opened
    for descriptor in opened:
        os.close(descriptor)


class Started:
    """What one process wrote, and how it ended."""

    def __init__(self, folder: Path, child: Child) -> None:
        self.pid = child.pid
        self.status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
        self.out = (folder / "out").read_bytes()
        self.err = (folder / "err").read_bytes()


@pytest.fixture
def run(tmp_path: Path, start: Spawn, descriptors: tuple[int, int, int]) -> Any:
    def run(path: str, environment: Mapping[str, str] | None = None) -> Started:
        child = Child()
        assert child.pid == 0
        os.lseek(descriptors[0], 0, os.SEEK_SET)
        for descriptor in descriptors[1:]:
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
        start(child, path, environment or {"PATH": os.environ["PATH"]}, descriptors=descriptors)
        return Started(tmp_path, child)

    return run


def test_spawn_connects_the_three_descriptors(run: Any, plugins: Plugins) -> None:
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
    own_of_libc = 0b11 << 31  # signals 32 and 33: glibc has them ignored in everything it spawns
    assert [int(line.split()[1], 16) & ~own_of_libc for line in started.out.splitlines()] == [0, 0]


def test_spawn_passes_the_environment_as_bytes_and_nothing_else(run: Any) -> None:
    environment = {"ÄÖ": "grüße", "LOST": "\udcff\udcfe", "EMPTY": "", "EQUALS": "a=b", "LINES": "a\nb"}
    started = run("/usr/bin/env", environment)
    assert sorted(started.out.splitlines()) == sorted(
        b"\n".join([os.fsencode(f"{name}={value}") for name, value in environment.items()]).splitlines()
    )


def test_spawn_takes_an_empty_environment(start: Spawn, tmp_path: Path, descriptors: tuple[int, int, int]) -> None:
    child = Child()
    start(child, "/usr/bin/env", {}, descriptors=descriptors)
    started = Started(tmp_path, child)
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


def test_environments_of_threads_are_not_mixed_up(start: Spawn, tmp_path: Path) -> None:
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for _ in range(20):
            reader, writer = os.pipe()
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            child = Child()
            start(child, "/usr/bin/env", {"NUMBER": str(number)}, descriptors=(null, writer, null))
            os.close(writer)
            os.close(null)
            out = os.read(reader, 100)
            os.close(reader)
            os.waitpid(child.pid, 0)
            if out != f"NUMBER={number}\n".encode():
                wrong.append(out)

    assert tmp_path.exists()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


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
    start: Spawn, plugins: Plugins, descriptors: tuple[int, int, int], make: Any, number: int
) -> None:
    path, child = make(plugins), Child()
    with pytest.raises(OSError, match=r".") as caught:
        start(child, path, {}, descriptors=descriptors)
    assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))
    assert (str(caught.value.filename), child.pid) == (path, 0)


def test_spawn_of_a_file_that_is_open_for_writing_says_so(
    start: Spawn, busy: Path, descriptors: tuple[int, int, int]
) -> None:
    child = Child()
    with busy.open("r+b"), pytest.raises(OSError, match="Text file busy") as caught:
        start(child, str(busy), {}, descriptors=descriptors)
    assert (caught.value.errno, child.pid) == (errno.ETXTBSY, 0)


def test_spawn_with_too_large_an_environment_says_so(start: Spawn, descriptors: tuple[int, int, int]) -> None:
    child = Child()
    with pytest.raises(OSError, match="Argument list too long") as caught:
        start(child, "/usr/bin/env", {"LARGE": "x" * (1 << 22)}, descriptors=descriptors)
    assert (caught.value.errno, child.pid) == (errno.E2BIG, 0)


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
    start: Spawn, descriptors: tuple[int, int, int], path: str, environment: dict[str, str]
) -> None:
    child = Child()
    with pytest.raises(ValueError, match=r"embedded null (byte|character)|illegal environment variable name"):
        start(child, path, environment, descriptors=descriptors)
    assert child.pid == 0


# Which one is used.


class _Libc:
    """A libc that lacks a function."""

    def __init__(self, libc: ctypes.CDLL, missing: str) -> None:
        self._libc = libc
        self._missing = missing

    def __getattr__(self, name: str) -> Any:
        if name == self._missing:
            raise AttributeError(name)
        return getattr(self._libc, name)


def test_libc_is_used_where_it_closes_descriptors() -> None:
    assert isinstance(_chosen()[0], LibcSpawn)
    assert isinstance(spawn, LibcSpawn)


@pytest.mark.parametrize("missing", ["posix_spawn_file_actions_addclosefrom_np", "posix_spawn"])
def test_python_is_used_where_libc_lacks_a_function(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    libc = _Libc(ctypes.CDLL(None), missing)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: libc)
    assert _chosen()[0] is _python_spawn


def test_python_is_used_where_libc_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("statically linked")

    monkeypatch.setattr(ctypes, "CDLL", fail)
    assert _chosen()[0] is _python_spawn


@pytest.mark.usefixtures("_by_python")
def test_run_without_the_function_of_libc_is_the_same(flavour: Flavour, plugins: Plugins) -> None:
    pids: list[int] = []
    output = flavour.run(plugins.call("cat; echo said >&2; exit 3", stdin=b"asked", on_start=pids.append))
    assert (output.stdout, output.stderr, output.exit_status, len(pids)) == (b"asked", b"said\n", 3, 1)
    with pytest.raises(FileNotFoundError):
        flavour.run(plugins.call_of("/nonexistent/plugin"))


@pytest.fixture
def _by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libcni.invoke.process.spawn", _python_spawn)


def test_descriptor_that_is_closed_since_it_was_listed_is_none_to_close() -> None:
    descriptor = os.dup(0)
    os.close(descriptor)
    assert not module._is_inheritable(descriptor)


def test_process_id_that_libc_leaves_with_an_error_is_none(
    monkeypatch: pytest.MonkeyPatch, descriptors: tuple[int, int, int]
) -> None:
    """POSIX: "the value stored into the variable is unspecified"."""
    start, child, seen = _by_libc(), Child(), list[object]()

    def fail(cell: Any, *arguments: object) -> int:
        cell._obj.value = 4711
        seen.append(arguments[-1])
        return errno.EAGAIN

    monkeypatch.setattr(start, "_spawn", fail)
    with pytest.raises(BlockingIOError):
        start(child, "/usr/bin/env", {}, descriptors=descriptors)
    assert child.pid == 0
    assert seen != [None]  # an empty environment is an environment


def test_without_ctypes_python_starts_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, descriptors: tuple[int, int, int]
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    monkeypatch.delitem(sys.modules, "libcni.invoke.libc")
    specification = importlib.util.spec_from_file_location("spawn_without_ctypes", module.__file__)
    assert specification is not None
    assert specification.loader is not None
    without = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(without)
    assert without.spawn is without._python_spawn
    child = without.Child()
    without.spawn(child, "/bin/cat", {}, descriptors=descriptors)
    started = Started(tmp_path, child)
    assert (started.status, started.out) == (0, b"asked")
