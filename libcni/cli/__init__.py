"""``cnitool``: the library from the command line, a drop-in for Go's tool of that name."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run ``cnitool`` and exit: 0 done, 1 the operation failed, 2 wrong usage."""
    try:
        from libcni.cli.root import cnitool

        cnitool(prog_name="cnitool")
    except ModuleNotFoundError as error:  # click at once, rich when a verb asks for it
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        from libcni.errors import MissingExtraError

        sys.stderr.write(f"cnitool: {MissingExtraError('the command line', 'cli')}\n")
        sys.exit(1)
