"""One process from its start to its exit, in Python: the specification of ``_spawn.c``, and used where that is missing.

Names the parts of the array that describes a process. Go counterpart: ``os/exec``. Source: SPEC 1.1.0, section 2,
"Execution protocol".
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from functools import partial
from itertools import chain, starmap
from operator import setitem
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from array import array
    from collections.abc import Iterable

__all__ = ["CLOSED", "close_end", "drain", "feed", "give", "start", "wait_for_exit"]

Cells: TypeAlias = "array[int]"
Taken: TypeAlias = tuple[bytes, bytes]

PID, STDIN_READ, STDIN_WRITE, STDOUT_READ, STDOUT_WRITE, STDERR_READ, STDERR_WRITE, PIDFD = range(8)
"""Parts of the array: the process, 0 until it is started, and descriptors, as ``_spawn.c`` has them."""
WRITTEN, STATUS, MAX_RSS, CPU = range(8, 12)
"""Bytes of the request that are written; when it was reaped, how it ended, its memory in KiB and its time in us."""
STARTED, ENDED, UNREAPED = range(12, 15)
"""Nanoseconds of the monotonic clock: when it was started, and when it was reaped; 0 before. And the process id of a
child that could not execute the program and is still to be reaped, 0 for none: ``_spawn.c`` waits a moment for it, and
the C library, which starts it here, as long as that takes."""

CLOSED = -1
"""A descriptor that is closed, or the status of a process that was not reaped."""

DESCRIPTORS = range(STDIN_READ, PIDFD + 1)
NEW = (0, *[CLOSED] * 7, 0, CLOSED, 0, 0, 0, 0, 0)

CHUNK = 64 * 1024
_DRAIN_READS = 32
"""Twice what the largest pipe of an ordinary user holds, 1 MiB: a child that never stops writing is left alone."""
_SURE_TO_FIT = select.PIPE_BUF
"""Bytes: what an empty pipe takes at once, however little the system gives it."""
_FIRST_FREE = 3
_UNBLOCKABLE = frozenset({9, 19})
"""SIGKILL and SIGSTOP, by their numbers on Linux: other systems may have no such names."""
_SIGNALS = tuple(sorted(int(number) for number in signal.valid_signals() if int(number) not in _UNBLOCKABLE))


def start(cells: Cells, program: bytes, environment: bytes, request: bytes | None) -> None:  # noqa: PLR0917 -- as in C
    """Start a program, as :class:`libcni.invoke.process.backend.Processes` says."""
    if cells[STDOUT_READ] == CLOSED:
        ends = range(STDIN_READ, STDERR_WRITE + 1)
        _store(cells, ends, chain.from_iterable(map(os.pipe2, (os.O_CLOEXEC,) * 3)))
    cells[STARTED] = cells[STARTED] or time.monotonic_ns()  # that of the first try
    if request is not None and cells[STDIN_WRITE] != CLOSED:
        give(cells, request)
    _spawn(cells, program, environment)
    close_end(cells, STDOUT_WRITE)
    close_end(cells, STDERR_WRITE)
    if cells[STDIN_WRITE] == CLOSED:
        close_end(cells, STDIN_READ)
    with suppress(OSError, AttributeError):  # a kernel before 5.3, a sandbox, no descriptor left: look now and then
        _store(cells, (PIDFD,), starmap(os.pidfd_open, ((cells[PID],),)))


def give(cells: Cells, request: bytes) -> None:
    """Write as much of a request as the pipe takes at once, and close it when that was all."""
    if len(request) > _SURE_TO_FIT:
        os.set_blocking(cells[STDIN_WRITE], False)
    if feed(cells, request):
        close_end(cells, STDIN_WRITE)


def feed(cells: Cells, request: bytes) -> bool:
    """Write what the pipe takes at once, and return whether that was all."""
    # Our own read end stays open until the exit: a plugin that does not read gives neither EPIPE nor SIGPIPE.
    try:
        while cells[WRITTEN] < len(request):
            cells[WRITTEN] += os.write(cells[STDIN_WRITE], memoryview(request)[cells[WRITTEN] :])
    except BlockingIOError:
        return False
    return True


def close_end(cells: Cells, end: int) -> None:
    """Close a descriptor, if it is open."""
    fd = cells[end]
    if fd != CLOSED:
        cells[end] = CLOSED
        os.close(fd)


def _spawn(cells: Cells, program: bytes, environment: bytes) -> None:
    """Start a process on a system where inherited descriptors have to be listed and closed one by one.

    Python's own descriptors are not inheritable, but what the program inherited itself and those of C libraries may be.
    """
    descriptors = cells[STDIN_READ], cells[STDOUT_WRITE], cells[STDERR_WRITE]
    listed = map(int, os.listdir("/proc/self/fd"))  # noqa: PTH208  # 8 us
    others = set(listed).difference(range(_FIRST_FREE), descriptors)
    actions = [
        *[(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(descriptors)],
        *[(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in others if _is_inheritable(descriptor)],
    ]
    begin = partial(os.posix_spawn, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_SIGNALS)
    variables = dict(variable.split(b"=", 1) for variable in environment.split(b"\0")[:-1])
    _store(cells, (PID,), starmap(begin, ((program, [program], variables),)))


def _is_inheritable(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:  # closed since it was listed, as the one of the listing itself
        return False


def _store(cells: Cells, places: Iterable[int], values: Iterable[int]) -> None:
    """Store new process ids and descriptors in the array, as one step.

    The handler of a signal may raise between a call and an assignment, but not within one built-in call: a process or a
    descriptor is known before a KeyboardInterrupt can hit.
    """
    any(map(partial(setitem, cells), places, values))


def wait_for_exit(cells: Cells, milliseconds: int, interrupt: int) -> Taken | None:
    """Wait for the exit, as :class:`libcni.invoke.process.backend.Processes` says; nothing is reaped here."""
    poller = select.poll()
    for fd in (cells[PIDFD], interrupt):
        if fd != CLOSED:
            poller.register(fd, select.POLLIN)
    has_exited = any(fd == cells[PIDFD] for fd, _ in poller.poll(milliseconds))
    return drain(cells) if has_exited else None


def drain(cells: Cells) -> Taken:
    """Take what is in the pipes by now, and wait for nothing."""
    poller = select.poll()
    open_ends = {cells[end]: end for end in (STDOUT_READ, STDERR_READ) if cells[end] != CLOSED}
    taken = {STDOUT_READ: bytearray(), STDERR_READ: bytearray()}
    for fd in open_ends:
        poller.register(fd, select.POLLIN)
    for _ in range(_DRAIN_READS):
        if not open_ends:
            break
        for fd, events in poller.poll(0):
            data = os.read(fd, CHUNK) if events & select.POLLIN else b""
            taken[open_ends[fd]] += data
            # Without writers, a pipe that gives less than was asked for is empty.
            if len(data) < CHUNK and events & select.POLLHUP:
                poller.unregister(fd)
                close_end(cells, open_ends.pop(fd))
    return bytes(taken[STDOUT_READ]), bytes(taken[STDERR_READ])
