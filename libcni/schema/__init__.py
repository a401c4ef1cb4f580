"""JSON Schemas of everything that can be checked before a plugin runs, and the checking.

The schemas of the protocol documents and of capability arguments are generated from models; those of plugin
configurations are written by hand; the one for editors is made from both. All stand in ``schemas/`` of the repository
and are installed with the package. ``python -m libcni.schema DIRECTORY`` writes the generated ones. Go libcni has no
counterpart. Source: JSON Schema drafts 2020-12 and 07; SPEC 1.1.0.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from libcni.schema.check import Checker, SchemaProblem, validate
from libcni.schema.files import load, names
from libcni.schema.formats import format_checker

if TYPE_CHECKING:
    from libcni.schema.documents import generate, generated_names
    from libcni.schema.editor import editor_schema

__all__ = [
    "Checker",
    "SchemaProblem",
    "editor_schema",
    "format_checker",
    "generate",
    "generated_names",
    "load",
    "names",
    "validate",
]

# Made from the models, whose library takes long to load: to check a document, or to print a schema, needs neither.
_OF_MODELS = {"generate": "documents", "generated_names": "documents", "editor_schema": "editor"}


def __getattr__(name: str) -> object:
    if name not in _OF_MODELS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"libcni.schema.{_OF_MODELS[name]}"), name)
    globals()[name] = value
    return value
