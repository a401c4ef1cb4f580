"""The compiled part of pydantic's core, loaded without the package around it, which takes 14 ms more."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

__all__ = ["load_compiled_core"]

_PACKAGE = "pydantic_core"
_COMPILED = "pydantic_core._pydantic_core"


def load_compiled_core() -> None:
    """Load the compiled part under its own name, where an import of the package finds it later.

    For the start of a program: no other thread may import the package meanwhile. Where this does not succeed, as with
    a later form of the package, the package is imported when it is needed.
    """
    if _PACKAGE in sys.modules or _COMPILED in sys.modules:
        return
    package = PathFinder.find_spec(_PACKAGE)
    if package is None:
        return
    compiled = PathFinder.find_spec(_COMPILED, package.submodule_search_locations)
    if compiled is None or compiled.loader is None:
        return
    module = module_from_spec(compiled)
    sys.modules[_COMPILED] = module
    compiled.loader.exec_module(module)
