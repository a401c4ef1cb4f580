"""A machine of its own for one check: network namespaces, mounts and processes that end with it.

A check runs in a thread that leaves the program's network and mount namespace (both belong to a thread on Linux). What
a plugin does to "the host" happens in that thread's namespace; ``/run`` and the plugin's data directories are empty,
private file systems. When the thread ends the kernel removes all of it, however it ended; processes are looked for and
killed first.

A process belongs to a check when it is in one of the check's namespaces. The kernel gives the number of a namespace
that has gone to the next one on the machine, so a number counts only while a descriptor keeps its namespace.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from libcni.conformance.processes import LOOKS, find_children, find_processes

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from libcni.conformance.processes import Process

__all__ = [
    "LOG_FOLDER",
    "NETNS_FOLDER",
    "PRIVATE_FOLDERS",
    "ROOT",
    "STATE_FOLDERS",
    "Machine",
    "existing_folders",
    "is_possible",
    "open_machine",
]

ROOT = Path("/run/conformance")
"""The folder of the files of a check; ``/run`` is private: all checks use the same path, and none sees another's."""

NETNS_FOLDER = Path("/run/netns")

STATE_FOLDERS = ("/run", "/var/lib/cni")
"""Folders that plugins keep state in without being told to."""

LOG_FOLDER = "/var/log"
"""The folder that plugins log to without being told to; what is there is no state."""

PRIVATE_FOLDERS = (*STATE_FOLDERS, LOG_FOLDER)
"""Folders that are empty and private in each check."""

_MADE_FOR_CHECKS = 0o1755
"""The mode of a folder that a run made; the sticky bit, which does nothing here, is how other runs know it."""

_MARK = 0o1022

_CLONE_NEWNET = 0x40000000
_CLONE_NEWNS = 0x00020000
_MS_RDONLY = 0x1
_MS_REMOUNT = 0x20
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MNT_DETACH = 0x2
_THREAD = Path("/proc/thread-self/ns")


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _done(status: int, what: str) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _unshare(flags: int) -> None:
    _done(_library().unshare(flags), "unshare")


def _mount(source: str, target: str | Path, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    arguments = (source.encode(), str(target).encode(), kind.encode(), flags, data.encode())
    _done(_library().mount(*arguments), f"mount of {target}")


def is_possible() -> bool:
    """Return whether this process may make namespaces."""
    return os.geteuid() == 0


@contextmanager
def existing_folders(paths: Iterable[str]) -> Generator[None]:
    """Make the folders that are missing, to have something to mount on, and remove those again.

    Several runs may need them at the same time, and the one that ends last removes them: the kernel lets go of a mount
    when its folder is removed elsewhere.
    """
    held: list[tuple[Path, int]] = []
    try:
        for path in map(Path, paths):
            for folder in (*reversed(path.parents), path):
                descriptor = _hold(folder)
                if descriptor is not None:
                    held.append((folder, descriptor))
        yield
    finally:
        for folder, descriptor in reversed(held):
            _let_go(folder, descriptor)


def _hold(folder: Path) -> int | None:
    """Make a folder unless it is there; return a descriptor with a lock if it exists for the checks only."""
    while True:
        with suppress(FileExistsError):
            folder.mkdir(_MADE_FOR_CHECKS)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # another run has removed it in this moment
            continue
        if os.fstat(descriptor).st_mode & _MARK != _MADE_FOR_CHECKS & _MARK:
            os.close(descriptor)
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        if folder.exists() and os.path.samestat(folder.stat(), os.fstat(descriptor)):
            return descriptor
        os.close(descriptor)


def _let_go(folder: Path, descriptor: int) -> None:
    try:
        with suppress(OSError):  # another run needs it, or it is not empty
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder.rmdir()
    finally:
        os.close(descriptor)


@dataclass
class Machine:
    """The namespaces and folders of one check.

    ``data`` is the plugin's data directory, ``work`` its current directory, ``scratch`` its ``TMPDIR`` and ``tools`` a
    folder for programs that the check writes.
    """

    root: Path
    is_entered: bool = False
    namespaces: dict[str, Path] = field(default_factory=dict[str, Path])
    _numbers: dict[str, str] = field(default_factory=dict[str, str])
    _held: dict[str, int] = field(default_factory=dict[str, int])
    _opened: set[str] = field(default_factory=set[str])
    _left: list[Process] = field(default_factory=list["Process"])

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.root / "data"

    @property
    def work(self) -> Path:
        """The current directory of the plugin."""
        return self.root / "work"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files."""
        return self.root / "tmp"

    @property
    def tools(self) -> Path:
        """Programs that the check itself provides."""
        return self.root / "tools"

    @property
    def logs(self) -> Path:
        """The folder for logs, which are no state."""
        return self.root / "log"

    def make_folders(self) -> None:
        """Make all five folders."""
        for folder in (self.data, self.work, self.scratch, self.tools, self.logs):
            folder.mkdir(parents=True, exist_ok=True)

    def enter(self, folders: Iterable[str], visible: Iterable[str] = ()) -> None:
        """Take the calling thread to namespaces of its own.

        :param folders: directories that become empty and private; they exist.
        :param visible: files or directories below them that stay as they are.
        :raises OSError: if the kernel refuses; it takes root.
        """
        _unshare(_CLONE_NEWNS)
        _mount("none", "/", flags=_MS_REC | _MS_PRIVATE)
        kept = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in visible if Path(path).exists()]
        for folder in folders:
            _mount("tmpfs", folder, kind="tmpfs", data="mode=0755")
        for path, descriptor in kept:
            _show_again(Path(path), descriptor)
        _unshare(_CLONE_NEWNET)
        # What /sys/class/net shows is the namespace that mounted it.
        with suppress(OSError):
            _mount("sysfs", "/sys", kind="sysfs")
        self._hold(_THREAD / "mnt")
        self._hold(_THREAD / "net")
        self.is_entered = True
        self.make_folders()
        os.chdir(self.work)  # of this thread alone, since it left the others' mount namespace

    def add_namespace(self, name: str, folder: Path = NETNS_FOLDER) -> Path:
        """Make a network namespace with a path, as ``ip netns add`` does."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.touch()
        host = os.open(_THREAD / "net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _unshare(_CLONE_NEWNET)
            self._numbers[name] = self._hold(_THREAD / "net")
            _mount(str(_THREAD / "net"), path, flags=_MS_BIND)
        finally:
            _done(_library().setns(host, _CLONE_NEWNET), "setns")
            os.close(host)
        self.namespaces[name] = path
        return path

    def _hold(self, path: Path) -> str:
        """Keep a namespace, so that no other gets its number; return that, as links of ``/proc`` show it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        number = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 -- text is wanted
        self._held[number] = descriptor
        return number

    def remove_namespace(self, name: str) -> None:
        """Remove a namespace and its path, as ``ip netns delete`` does.

        The kernel removes it when nothing is in it, so it must not be held any more: what runs there is noted by now.
        """
        path = self.namespaces.pop(name)
        number = self._numbers.pop(name)
        if number not in self._opened:
            self._left += find_processes(lambda process: process.link("ns/net") == number)
            os.close(self._held.pop(number))
        _done(_library().umount2(str(path).encode(), _MNT_DETACH), "umount")
        path.unlink()

    @contextmanager
    def inside(self, name: str) -> Generator[None]:
        """Be in a namespace for a while, with the calling thread."""
        host = os.open(_THREAD / "net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _done(_library().setns(self._held[self._numbers[name]], _CLONE_NEWNET), "setns")
            yield
        finally:
            _done(_library().setns(host, _CLONE_NEWNET), "setns")
            os.close(host)

    def open_namespace(self, name: str) -> int:
        """Return a descriptor of a namespace, which stays open as long as the machine."""
        number = self._numbers[name]
        self._opened.add(number)
        return self._held[number]

    def make_read_only(self, folder: Path) -> None:
        """Make a folder read-only, for root too."""
        _mount(str(folder), folder, flags=_MS_BIND)
        _mount("none", folder, flags=_MS_REMOUNT | _MS_BIND | _MS_RDONLY)

    def fill(self, folder: Path) -> None:
        """Turn a folder into a file system without a free byte."""
        _mount("tmpfs", folder, kind="tmpfs", data="mode=0755,size=4096,nr_inodes=4")
        with suppress(OSError):
            (folder / "ballast").write_bytes(b"\0" * 4096)
        for number in range(4):
            with suppress(OSError):
                (folder / f"ballast-{number}").touch()

    def processes(self) -> list[Process]:
        """Return the processes that run in a namespace of this machine, threads of this program aside.

        With them what descends from them, and from what ran in a namespace when that was removed.
        """
        found = find_processes(self._is_inside)
        parents = [*self._left, *found]
        for _ in range(LOOKS):
            parents = find_children(parents)
            found += parents
        return found

    def _is_inside(self, process: Process) -> bool:
        return process.link("ns/mnt") in self._held or process.link("ns/net") in self._held

    def close(self) -> None:
        """Kill whatever was left running, and let go of the namespaces."""
        try:
            for _ in range(LOOKS):
                self._left += self.processes()
                self._left = [process for process in self._left if process.kill()]
                if not self._left:
                    return
        finally:
            for descriptor in self._held.values():
                os.close(descriptor)
            self._held.clear()


def _show_again(path: Path, descriptor: int) -> None:
    try:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 -- a magic link, not a path
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        _mount(f"/proc/thread-self/fd/{descriptor}", path, flags=_MS_BIND | _MS_REC)
    finally:
        os.close(descriptor)


@contextmanager
def open_machine(root: Path, folders: Iterable[str], visible: Iterable[str] = ()) -> Generator[Machine]:
    """Make a machine for the calling thread, which has to end soon after: there is no way back."""
    machine = Machine(root)
    try:
        machine.enter(folders, visible)
        yield machine
    finally:
        machine.close()
        with suppress(OSError):
            os.chdir("/")
