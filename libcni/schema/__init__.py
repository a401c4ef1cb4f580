"""JSON Schemas of everything that can be checked before a plugin runs, and the checking.

The schemas of the protocol documents and of capability arguments are generated from models; those of plugin
configurations are written by hand; the one for editors is made from both. All stand in ``schemas/`` of the repository
and are installed with the package. ``python -m libcni.schema DIRECTORY`` writes the generated ones. Go libcni has no
counterpart. Source: JSON Schema drafts 2020-12 and 07; SPEC 1.1.0.
"""

from __future__ import annotations

from libcni.schema.check import Checker, SchemaProblem, validate
from libcni.schema.documents import generate, generated_names
from libcni.schema.editor import editor_schema
from libcni.schema.files import load, names
from libcni.schema.formats import format_checker

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
