"""``cnitool``: the library from the command line, a drop-in for Go's tool of that name."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run ``cnitool`` and exit: 0 done, 1 the operation failed, 2 wrong usage."""
    try:
        import click  # noqa: F401 -- asked for here, where its absence has a clear answer
    except ImportError:
        from libcni.errors import MissingExtraError

        sys.stderr.write(f"cnitool: {MissingExtraError('the command line', 'cli')}\n")
        sys.exit(1)
    from libcni.cli.root import cnitool

    cnitool(prog_name="cnitool")
