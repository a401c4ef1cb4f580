"""Executing a plugin, also in ways that a runtime on a bad day does: slowly, in pieces, or with a signal in the middle.

The ordinary way is the library's own runner. Source: SPEC 1.1.0, section 2, "Execution protocol".
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libcni.invoke import BlockingRunner
from libcni.invoke.blocking_runner import complete
from libcni.invoke.runner import HookedCall, PluginOutput

if TYPE_CHECKING:
    from libcni.invoke.runner import PluginCall

__all__ = ["Manner", "run_call"]

_RUNNER = BlockingRunner(grace=0.5)
_PIECE = 16
_SMALLEST_PIPE = 4096
_BETWEEN_PIECES = 0.001
_LINGER = 1.0
_FOR_EVER = 600.0


@dataclass(frozen=True)
class Manner:
    """The conduct of a caller towards its plugin.

    :param pause: seconds after the first small piece of standard input; 0 writes all of it at once.
    :param stalled: seconds during which a full pipe of standard output is not read.
    :param terminate_after: seconds after which SIGTERM is sent.
    """

    pause: float = 0.0
    stalled: float = 0.0
    terminate_after: float | None = None


def run_call(call: PluginCall, manner: Manner | None = None) -> PluginOutput:
    """Execute a plugin and wait for it."""
    if manner is None:
        return complete(_RUNNER.run(call))
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    filler = _fill(out_write) if manner.stalled else 0
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            [call.path],
            stdin=subprocess.PIPE,
            stdout=out_write,
            stderr=err_write,
            env=dict(call.environment),
            process_group=0,
        )
    finally:
        os.close(out_write)
        os.close(err_write)
        readers = [_Reader(out_read, manner.stalled), _Reader(err_read, 0)]
    with process:
        _attend(process, call, manner)
    code = process.returncode
    duration = time.monotonic() - started
    for reader in readers:
        reader.join(_LINGER)
    return PluginOutput(
        stdout=b"".join(readers[0].parts)[filler:],
        stderr=b"".join(readers[1].parts),
        exit_status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        duration=duration,
        timed_out=call.timeout is not None and duration >= call.timeout,
    )


def _fill(writer: int) -> int:
    """Make the pipe small and full, so that its writer has to wait; return the bytes."""
    size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _SMALLEST_PIPE)
    return os.write(writer, b" " * size)


class _Reader(threading.Thread):
    """Reads a pipe to its end, which a process that the plugin left may keep away for long."""

    def __init__(self, descriptor: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.parts: list[bytes] = []
        self._descriptor = descriptor
        self._pause = pause
        self.start()

    def run(self) -> None:
        """Read."""
        time.sleep(self._pause)
        while part := os.read(self._descriptor, _SMALLEST_PIPE):
            self.parts.append(part)
        os.close(self._descriptor)


def _attend(process: subprocess.Popen[bytes], call: PluginCall, manner: Manner) -> None:
    """Feed the process, signal it in time, wait until it has ended, and kill what it left in its group.

    It is not reaped here: until it is, its number and that of its group are given to no other.
    """
    alarms = [threading.Timer(call.timeout or _FOR_EVER, lambda: _signal(process, signal.SIGKILL))]
    if manner.terminate_after is not None:
        alarms.append(threading.Timer(manner.terminate_after, lambda: _signal(process, signal.SIGTERM)))
    for alarm in alarms:
        alarm.start()
    try:
        if isinstance(call, HookedCall) and call.on_start is not None:
            call.on_start(process.pid)
        _feed(process, call.stdin, manner.pause)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        for alarm in alarms:
            alarm.cancel()
            alarm.join()
        _signal(process, signal.SIGKILL)


def _feed(process: subprocess.Popen[bytes], data: bytes, pause: float) -> None:
    stdin = process.stdin
    if stdin is None:  # pragma: no cover -- it is a pipe, which the type does not know
        return
    size = _PIECE if pause else max(1, len(data))
    wait = pause  # the first piece stands alone for a while, the others follow each other
    with suppress(BrokenPipeError):
        for start in range(0, len(data), size):
            stdin.write(data[start : start + size])
            stdin.flush()
            time.sleep(wait)
            wait = min(pause, _BETWEEN_PIECES)
    with suppress(BrokenPipeError):
        stdin.close()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ChildProcessError, ProcessLookupError, PermissionError):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # raises if something else has reaped it
        os.killpg(process.pid, number)
