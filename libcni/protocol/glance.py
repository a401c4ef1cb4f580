"""A stored attachment checked as its text is decoded, in one pass of pydantic's core that makes no objects of it.

What passes here passes the check of the models too, whose schemas this is made of; what does not may pass that all the
same: the models have the last word, and the better message. Source: SPEC 1.1.0, section 3, "Caching".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import SchemaValidator

from libcni import values
from libcni.protocol.validation import models
from libcni.results import WIRE_FORMATS

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

__all__ = ["glance"]

_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_BYTE}(?:\.{_BYTE}){{3}}"
_NAME = {"type": "str", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$"}

_AT_A_GLANCE = {
    "cidr": {"type": "str", "pattern": rf"^{_IPV4}/(?:3[0-2]|[12]?[0-9])$"},
    "gateway": {"type": "str", "pattern": rf"^(?:{_IPV4})?$"},
}
"""What most values that a function checks look like."""

_STORED = {
    "containerId": _NAME,
    "config": {"type": "str"},
    "ifName": {"type": "str", "pattern": r"^[A-Za-z0-9_\-]{1,15}$"},
    "networkName": _NAME,
    "cniArgs": {
        "type": "list",
        "items_schema": {
            "type": "tuple",
            "items_schema": [{"type": "str", "pattern": "^[^=;]+$"}, {"type": "str", "pattern": "^[^;]*$"}],
        },
    },
}
"""What most members of the file itself look like that a verb needs; :meth:`RuntimeConf.check` has the rules."""


def glance(text: bytes) -> dict[str, Any] | None:
    """Return the members of a stored attachment, or ``None`` when the models have to say what is the matter with it.

    :param text: plain, as :class:`libcni.quick.Quick` has it.
    """
    try:
        members: dict[str, Any] = _validator().validate_json(text, strict=True)
        # Most networks have many attachments, which have the same configuration.
        members["config"] = _decoded(members["config"])
    except ValueError:
        return None
    return members


_decoded = functools.lru_cache(64)(values.decode_base64)


@functools.cache
def _validator() -> SchemaValidator:
    file = _members("CacheDocument")
    fields = file["fields"]
    for name, schema in _STORED.items():
        fields[name]["schema"] = schema
    formats = {version: _members(f"ResultDocument{form}") for version, form in WIRE_FORMATS.items()}
    fields["result"]["schema"] = {"type": "tagged-union", "discriminator": "cniVersion", "choices": formats}
    return SchemaValidator(cast("CoreSchema", file))


def _members(model: str) -> dict[str, Any]:
    fields = {name: _member(schema) for name, schema in models()[model]["fields"].items()}
    return {"type": "typed-dict", "extra_behavior": "ignore", "fields": fields}


def _member(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "typed-dict-field", "required": schema["type"] != "default", "schema": _checked(schema)}


def _checked(schema: dict[str, Any]) -> dict[str, Any]:
    if schema["type"] == "default":
        return _checked(schema["schema"])
    if schema["type"] == "model":
        return _members(schema["name"])
    parts = {key: _checked(value) if key.endswith("schema") else value for key, value in schema.items()}
    if "function" not in schema:
        return parts
    name = schema["function"]
    parts["function"] = {"type": "no-info", "function": getattr(values, name)}
    quick = _AT_A_GLANCE.get(name)
    return parts if quick is None else {"type": "union", "mode": "left_to_right", "choices": [quick, parts]}
