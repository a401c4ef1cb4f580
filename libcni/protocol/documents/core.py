"""The validator of pydantic's core and its errors.

The package ``pydantic_core`` also builds the types that describe schemas to a type checker: 14 ms, a tenth of the time
of ``cnitool add``. A program may have loaded the compiled part alone: see :mod:`libcni.cli.core`. Source: SPEC 1.1.0.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError, SchemaValidator, ValidationError
else:
    _core = sys.modules.get("pydantic_core._pydantic_core") or import_module("pydantic_core")
    PydanticCustomError = _core.PydanticCustomError
    SchemaValidator = _core.SchemaValidator
    ValidationError = _core.ValidationError

__all__ = ["PydanticCustomError", "SchemaValidator", "ValidationError"]
