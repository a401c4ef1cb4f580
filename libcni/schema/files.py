"""The schema files: which there are, and how to read one."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, TypeAlias

from libcni.errors import InvalidParameterError

__all__ = ["Schema", "load", "names"]

Schema: TypeAlias = dict[str, Any]

_PACKAGE = Path(__file__).parents[1]


@functools.cache
def _directory() -> Path:
    installed = _PACKAGE / "_schemas"
    return installed if installed.is_dir() else _PACKAGE.parent / "schemas"


@functools.cache
def _names() -> tuple[str, ...]:
    directory = _directory()
    return tuple(sorted(path.relative_to(directory).with_suffix("").as_posix() for path in directory.rglob("*.json")))


def names() -> list[str]:
    """Return the names of all schemas, such as ``network`` and ``plugins/bridge``, sorted."""
    return list(_names())


def load(name: str) -> Schema:
    """Return a schema as a new JSON object.

    :param name: of a protocol document, ``plugins/<type>`` or ``capabilities/<name>``.
    :raises InvalidParameterError: if there is no such schema.
    """
    schema: Schema = json.loads(_text(name))
    return schema


@functools.cache
def _text(name: str) -> str:
    if name not in _names():
        raise InvalidParameterError("name", name, f"is not a schema; there are {', '.join(_names())}")
    return (_directory() / f"{name}.json").read_text(encoding="utf-8")
