"""The validators that ``libcni.protocol.documents.core_schemas`` reads, generated from the models.

``python -m libcni.schema.validators FILE`` writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from libcni.protocol import documents as protocol
from libcni.protocol.capabilities import CAPABILITIES
from libcni.protocol.documents import field_validators as values
from libcni.protocol.documents.core_schemas import CONFIG, ROOT_CONFIG

if TYPE_CHECKING:
    from pydantic import BaseModel

    from libcni.schema.files import Schema

__all__ = ["validators", "write"]

_MODELS: tuple[type[BaseModel], ...] = (
    *(protocol.NetworkDocument, protocol.PluginDocument, protocol.ErrorDocument, protocol.VersionDocument),
    *(protocol.ResultDocument01, protocol.ResultDocument03, protocol.ResultDocument10, protocol.ResultDocument11),
    protocol.CacheDocument,
    *CAPABILITIES.values(),
)
_SAYS_NOTHING = {"metadata", "serialization", "json_schema_input_schema", "ref"}


class _Collection:
    """The models that occur, by name."""

    def __init__(self) -> None:
        self.models: dict[str, Schema] = {}
        self._definitions: dict[str, Schema] = {}

    def add(self, schema: Schema) -> Schema:
        """Take a model from what pydantic makes of it, and return the reference to it."""
        if schema["type"] == "definitions":
            self._definitions |= {each["ref"]: each for each in schema["definitions"]}
            return self.add(schema["schema"])
        if schema["type"] == "definition-ref":
            return self.add(self._definitions[schema["schema_ref"]])
        if schema["type"] == "function-after" and schema["schema"]["type"] == "model":
            reference = self.add(schema["schema"])
            self.models[reference["name"]]["after"] = "inlined_plugins"
            return reference
        if schema["type"] == "model":
            return self._add_model(schema)
        return {key: self._part(key, value) for key, value in schema.items() if key not in _SAYS_NOTHING}

    def _add_model(self, schema: Schema) -> Schema:
        name: str = schema["cls"].__name__
        config = {key: value for key, value in schema["config"].items() if key != "title"}
        is_root = schema.get("root_model", False)
        if config != (ROOT_CONFIG if is_root else CONFIG) or schema["config"]["title"] != name:
            raise ValueError(f"{name} has a configuration of its own: {config}")
        self.models[name] = {"root": self.add(schema["schema"])} if is_root else self._fields(schema["schema"])
        return {"type": "model", "name": name}

    def _fields(self, schema: Schema) -> Schema:
        return {"fields": {field: self.add(each["schema"]) for field, each in schema["fields"].items()}}

    def _part(self, key: str, value: Any) -> Any:
        if key.endswith("schema"):
            return self.add(value)
        if key == "function":
            return _name_of(value["function"])
        return value


def _name_of(function: Any) -> str:
    name: str = function.__name__
    if getattr(values, name, None) is not function:
        raise ValueError(f"{name} is not one of the field validators")
    return name


def validators() -> Schema:
    """Return the models that documents are checked with, by name."""
    collection = _Collection()
    for model in _MODELS:
        model.model_rebuild(force=True)
        collection.add(dict(model.__pydantic_core_schema__))
    return collection.models


def write(path: str) -> None:
    """Write the file."""
    Path(path).write_text(json.dumps(validators(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
