"""``cnitool``: the library from the command line, a drop-in for Go's tool of that name."""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module
from types import ModuleType

__all__ = ["main"]

_LOADER = "pydantic.plugin._loader"


def main() -> None:
    """Run ``cnitool`` and exit: 0 done, 1 the operation failed, 2 wrong usage."""
    # What an import makes stays to the end. To look through it for garbage, again and again, and once more at the
    # exit, took 20 ms of the 128 ms of an ADD.
    gc.disable()
    atexit.register(gc.freeze)
    _find_no_plugins_of_pydantic()
    try:
        from libcni.cli.root import cnitool

        cnitool(prog_name="cnitool")
    except ModuleNotFoundError as error:  # click at once, rich when a verb asks for it
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        from libcni.errors import MissingExtraError

        sys.stderr.write(f"cnitool: {MissingExtraError('the command line', 'cli')}\n")
        sys.exit(1)
    finally:
        gc.unfreeze()
        gc.enable()


def _find_no_plugins_of_pydantic() -> None:
    """Keep pydantic from looking for plugins of its own, which a command has no use for.

    To look reads the metadata of everything that is installed, and took 10 ms of the 107 ms of an ADD. pydantic has a
    variable for it, ``PYDANTIC_DISABLE_PLUGINS``, which saves 2 ms of them, and which CNI plugins would inherit.
    """
    if _LOADER not in sys.modules:
        stand_in = ModuleType(_LOADER)
        vars(stand_in).update(get_plugins=tuple, __getattr__=_attribute_of_loader)
        sys.modules[_LOADER] = stand_in


def _attribute_of_loader(name: str) -> object:
    """Load the real loader for what another version of pydantic may want of it."""
    if name.startswith("__"):  # what the import system asks a module for
        raise AttributeError(name)
    del sys.modules[_LOADER]
    value: object = getattr(import_module(_LOADER), name)
    return value
