"""``cnitool``: the library from the command line, a drop-in for Go's tool of that name."""

from __future__ import annotations

import atexit
import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run ``cnitool`` and exit: 0 done, 1 the operation failed, 2 wrong usage."""
    # What an import makes stays to the end. To look through it for garbage, again and again, and once more at the
    # exit, took 20 ms of the 128 ms of an ADD.
    gc.disable()
    atexit.register(gc.freeze)
    try:
        from libcni.cli.core import load_compiled_core

        load_compiled_core()
        from libcni.cli.output import exit_unwritten, prepare
        from libcni.cli.root import cnitool
        from libcni.cli.signals import install

        install()
        prepare()
        try:
            cnitool(prog_name="cnitool")
        except OSError as error:  # the verbs have theirs reported: this is of the help
            exit_unwritten(error)
    except ModuleNotFoundError as error:  # click at once, rich when a verb asks for it
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        from libcni.errors import MissingExtraError

        sys.stderr.write(f"cnitool: {MissingExtraError('the command line', 'cli')}\n")
        sys.exit(1)
    finally:
        gc.unfreeze()
        gc.enable()
