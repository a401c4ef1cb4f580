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

__all__ = ["die_of_closed_pipe", "drop_output", "echo_result", "exit_unwritten", "prepare", "settle_output"]

_STREAMS = {"stdin": "r", "stdout": "w", "stderr": "w"}
"""The standard streams, in the order of their descriptors."""


def prepare() -> None:
    """Have all standard streams there, and let a sign that the encoding of the terminal lacks be written as its number.

    The number of a stream that was closed would be given to a file of the cache, or to a pipe of a plugin.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS.items()):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:  # something has taken its number already
                os.dup2(opened, descriptor)
                os.close(opened)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 -- a descriptor, to the end
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


def settle_output() -> None:
    """Give up standard output if it cannot take what is left: Python would try again at the exit, and end with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()


def exit_unwritten(error: OSError) -> NoReturn:
    """End with 1, as an output that is not the result of an operation cannot be written."""
    drop_output()
    click.echo(f"cnitool: {error.strerror}", err=True)
    raise SystemExit(1)


def die_of_closed_pipe() -> NoReturn:
    """End as programs do whose reader has gone: by SIGPIPE, without a word."""
    drop_output()
    if hasattr(signal, "SIGPIPE"):  # not on Windows
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    raise SystemExit(1)  # the signal is blocked, or there is none
