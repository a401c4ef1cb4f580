"""A terminal that a test types into and reads from."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

PATIENCE = 30.0


class Terminal:
    """The side of a terminal on which a person sits."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._process = process
        self.seen = ""

    def expect(self, text: str) -> str:
        """Wait until a text is on the screen, and return all that was seen."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if not self._read():
                assert text in self.seen, self.seen
        return self.seen

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def end(self) -> int:
        """Read what is left, and return the exit status of the program."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, self.seen
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        """Read once; return whether there may be more."""
        if not select.select([self._descriptor], [], [], 0.1)[0]:
            return self._process.poll() is None
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += data.decode(errors="replace").replace("\r\n", "\n")
        return bool(data)


@contextmanager
def terminal(words: Sequence[str], *, columns: int = 80, environ: dict[str, str] | None = None) -> Generator[Terminal]:
    """Start a program on a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}

    def lead() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        words,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**given, "TERM": "xterm", **(environ or {})},
        preexec_fn=lead,  # noqa: PLW1509 -- nothing else makes it the controlling terminal
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            os.close(ours)
