"""Checking documents as their models do, without the models: to import and build these takes as long as five ADDs.

``validators.json`` beside this is generated from the models, as the JSON Schemas are, and says the same to pydantic's
core. Source: SPEC 1.1.0.
"""

from __future__ import annotations

import functools
import json
import pkgutil
from typing import TYPE_CHECKING, Any, NoReturn, cast

from libcni.protocol.documents import field_validators as values
from libcni.protocol.documents.core import SchemaValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_core import CoreSchema

__all__ = ["CONFIG", "ROOT_CONFIG", "Validated", "models", "validated"]

CONFIG = {"strict": True, "extra_fields_behavior": "allow", "hide_input_in_errors": True}
"""The configuration of the models of objects, in the form of pydantic's core."""

ROOT_CONFIG = {"strict": True, "hide_input_in_errors": True}
"""The configuration of the models of other values."""


class Validated:
    """A document that was checked, with the attributes of its model; it is not to be changed."""

    __slots__ = ("__dict__", "__pydantic_extra__", "__pydantic_fields_set__", "__pydantic_private__")

    __pydantic_extra__: Mapping[str, Any] | None

    model_fields: frozenset[str] = frozenset()
    """The members that its model knows."""

    @property
    def model_extra(self) -> Mapping[str, Any] | None:
        """The members that its model does not know; ``None`` for a value that is no object."""
        return self.__pydantic_extra__

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is not to be changed: {name}")


def validated(model: str, document: object) -> Any:
    """Check a document, and return it with the attributes of the model that has this name.

    :raises pydantic_core.ValidationError: if it is not one.
    """
    return _validator(model).validate_python(document)


@functools.cache
def _validator(model: str) -> SchemaValidator:
    return SchemaValidator(cast("CoreSchema", _model(model)))


@functools.cache
def models() -> dict[str, Any]:
    """Return the validators by the name of the model, as in ``validators.json``; not to be changed."""
    described: dict[str, Any] = json.loads(pkgutil.get_data("libcni.protocol.documents", "validators.json") or b"")
    return described


@functools.cache
def _model(name: str) -> dict[str, Any]:
    """Return the schema of a model, in the form of pydantic's core."""
    described = models()[name]
    schema = _root(name, described["root"]) if "root" in described else _fields(name, described["fields"])
    after = described.get("after")
    return {"type": "function-after", "function": _function(after), "schema": schema} if after else schema


def _fields(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the model of an object."""
    fields = {field: {"type": "model-field", "schema": _built(each)} for field, each in described.items()}
    return {
        "type": "model",
        "cls": type(name, (Validated,), {"__slots__": (), "model_fields": frozenset(fields)}),
        "config": CONFIG | {"title": name},
        "schema": {"type": "model-fields", "model_name": name, "fields": fields},
    }


def _root(name: str, described: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the model of another value, whose one attribute is ``root``."""
    members = {"__slots__": (), "model_fields": frozenset({"root"}), "__pydantic_extra__": None}
    return {
        "type": "model",
        "cls": type(name, (Validated,), members),
        "config": ROOT_CONFIG | {"title": name},
        "root_model": True,
        "schema": _built(described),
    }


def _built(schema: dict[str, Any]) -> dict[str, Any]:
    if schema["type"] == "model":
        return _model(schema["name"])
    parts = {key: _built(value) if key.endswith("schema") else value for key, value in schema.items()}
    if "function" in schema:
        parts["function"] = _function(schema["function"])
    return parts


def _function(name: str) -> dict[str, Any]:
    return {"type": "no-info", "function": getattr(values, name)}
