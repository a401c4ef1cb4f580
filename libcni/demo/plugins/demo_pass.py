"""The plugin ``demo-pass``: stands in a chain and hands on the result of the plugin before it.

Source: SPEC 1.1.0, section 2, "ADD": a chained plugin prints ``prevResult``, changed or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .protocol import Request, run_plugin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .protocol import Handler

__all__ = ["HANDLERS", "add", "check", "nothing"]


def add(request: Request) -> dict[str, Any]:
    """Print the result of the plugin before, in the version that the runtime speaks."""
    return {**request.previous, "cniVersion": request.version}


def check(request: Request) -> None:
    """Insist on the result of the ADD, as any plugin that changes something would."""
    _ = request.previous


def nothing(_request: Request) -> None:
    """Do nothing: a plugin that keeps nothing has nothing to remove, and is always ready."""


HANDLERS: Mapping[str, Handler] = {
    "ADD": add,
    "CHECK": check,
    "DEL": nothing,
    "GC": nothing,
    "STATUS": nothing,
}

if __name__ == "__main__":
    raise SystemExit(run_plugin(HANDLERS))
