"""Processes that the checks look at and kill, each held by a descriptor.

The kernel gives the number of a process that has ended to another one. An open directory of ``/proc`` stays that of one
process: once that has ended nothing can be read there, and no signal goes anywhere. Owns :class:`Process`. Source:
proc(5), pidfd_send_signal(2), which takes such a directory from Linux 5.1 on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["LOOKS", "Process", "State", "find_children", "find_processes", "kill_groups", "own_child"]

LOOKS = 10
"""Passes over the processes: one that is killed may have forked meanwhile."""

_PIDFD_SEND_SIGNAL = 424
"""On every architecture. Python has a function for it only where it was built on a system that knew it."""

_ENDED = (FileNotFoundError, ProcessLookupError)
_NOT_OURS = (*_ENDED, PermissionError)


class State(NamedTuple):
    """The state of a process in ``/proc/PID/stat``."""

    letter: str
    parent: int
    group: int

    @property
    def is_running(self) -> bool:
        """Whether it has not ended: a zombie only waits for its parent."""
        return self.letter not in "ZX"


class Process:
    """A process, also when its number has become that of another one. The descriptor is closed with the object.

    :raises FileNotFoundError: if there is none of that number.
    """

    __slots__ = ("_folder", "number")

    _folder: int

    def __init__(self, number: int) -> None:
        self.number = number
        self._folder = os.open(f"/proc/{number}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        # Threads hand it on: a descriptor that one of them closed would soon be that of another process.
        with suppress(AttributeError):  # it was not opened
            os.close(self._folder)

    def read(self, name: str) -> bytes:
        """Return the contents of a file of its directory.

        :raises OSError: if the process was reaped, or the file is not for this program.
        """
        with os.fdopen(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder), "rb") as file:
            return file.read()

    def link(self, name: str) -> str:
        """Return where a link in its directory leads to.

        :raises OSError: if the process has ended, or the link is not for this program.
        """
        return os.readlink(name, dir_fd=self._folder)

    def state(self) -> State:
        """Return its state.

        :raises OSError: if it was reaped.
        """
        letter, parent, group = self.read("stat").rpartition(b")")[2].split()[:3]  # the name before may hold anything
        return State(letter.decode(), int(parent), int(group))

    def has_number(self) -> bool:
        """Return whether the number still is this one's; what was read of a number before belongs to it then."""
        try:
            self.state()
        except _ENDED:
            return False
        return True

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process got it, be it as a zombie."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(_PIDFD_SEND_SIGNAL, self._folder, int(number), None, 0) == 0:
            return True
        error = ctypes.get_errno()
        if error in {errno.ESRCH, errno.EPERM}:  # it has ended, or is of another user
            return False
        raise OSError(error, f"signal to process {self.number}: {os.strerror(error)}")

    def kill(self) -> bool:
        """Send SIGKILL; return whether the process got it, be it as a zombie."""
        return self.send(signal.SIGKILL)


def own_child(number: int) -> Process:
    """Return a child of this program that was not waited for.

    :raises CNIError: if ``/proc`` does not show it, or shows another process by that number.
    """
    with suppress(*_ENDED):
        child = Process(number)
        if child.state().parent == _own_number():
            return child
    raise CNIError(
        f"/proc does not show process {number} as a child of this program: "
        "it is of another PID namespace, or something else reaps children"
    )


def find_processes(is_wanted: Callable[[Process], bool]) -> list[Process]:
    """Return every process that is wanted, this program aside.

    :param is_wanted: may raise what methods of a process raise that has ended, or is not for this program.
    """
    found: list[Process] = []
    own = _own_number()
    for name in os.listdir("/proc"):  # noqa: PTH208 -- names are wanted
        if not name.isdigit() or int(name) == own:
            continue
        with suppress(*_NOT_OURS):
            process = Process(int(name))
            if is_wanted(process):
                found.append(process)
    return found


def find_children(parents: Iterable[Process]) -> list[Process]:
    """Return the children of processes, as far as these are there."""
    there = {parent.number: parent for parent in parents if parent.has_number()}

    def is_child(process: Process) -> bool:
        parent = there.get(process.state().parent)
        return parent is not None and parent.has_number()

    return find_processes(is_child) if there else []


def kill_groups(leaders: Iterable[Process]) -> None:
    """Kill processes that lead a process group, and all that is in these groups.

    A leader that was reaped leads nothing: its number may be another group's, so what it left in its group stays. The
    others are stopped first, so that their numbers are theirs until all that is in their groups was found.
    """
    led = {leader.number: leader for leader in leaders if leader.send(signal.SIGSTOP)}

    def is_led(process: Process) -> bool:
        state = process.state()
        leader = led.get(state.group)
        return leader is not None and process.number != leader.number and state.is_running and leader.has_number()

    for _ in range(LOOKS if led else 0):
        if not [process for process in find_processes(is_led) if process.kill()]:
            break
    for leader in led.values():
        leader.kill()


def _own_number() -> int:
    """Return the number of this program as ``/proc`` has it, which may be of another PID namespace."""
    return int(os.readlink("/proc/self"))  # noqa: PTH115 -- text is wanted
