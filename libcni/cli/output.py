"""Standard output: signs that its encoding lacks, a reader that has gone, and a disk that is full."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from libcni.errors import CNIError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["die_of_closed_pipe", "drop_output", "echo_result", "prepare"]


def prepare() -> None:
    """Let a sign that the encoding of the terminal lacks be written as its number, and never end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def echo_result(text: str, *, deletion: Callable[[], str]) -> None:
    """Write the result of an ADD. Without a reader that is no error: the ADD has succeeded.

    :param deletion: returns a command that deletes the attachment.
    :raises CNIError: if it cannot be written; the attachment stays all the same.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        drop_output()
        failed = CNIError(f"the result cannot be written: {error.strerror}; the attachment stays")
        failed.add_note(f"delete it with: {deletion()}")
        raise failed from error


def drop_output() -> None:
    """Give up standard output: what is still to be written, at the exit too, goes nowhere."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, 1)
    os.close(descriptor)


def die_of_closed_pipe() -> NoReturn:
    """End as programs do whose reader has gone: by SIGPIPE, without a word."""
    drop_output()
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(1)  # the signal is blocked, or there is none
