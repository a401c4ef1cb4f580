"""``cnitool``: the library from the command line, a drop-in for Go's tool of that name."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run ``cnitool`` and exit: 0 done, 1 the operation failed, 2 wrong usage."""
    try:
        from libcni.cli.root import cnitool
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        from libcni.errors import MissingExtraError

        sys.stderr.write(f"cnitool: {MissingExtraError('the command line', 'cli')}\n")
        sys.exit(1)
    cnitool(prog_name="cnitool")
