"""The values that stand in protocol documents: addresses, names, versions, switches; how each is checked and described.

Each is one annotated type: the check that pydantic runs, and beside it the JSON Schema that says the same. Source:
SPEC 1.1.0, sections 1, 2 and 5.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from libcni.protocol import addresses, versions
from libcni.protocol.addresses import Address, InterfaceAddress
from libcni.protocol.documents.field_validators import (
    END,
    cidr,
    decode_base64,
    gateway,
    name,
    plugin_type,
    switch,
    version,
)
from libcni.protocol.names import NETWORK_NAME

__all__ = [
    "CIDR",
    "TRUE_PATTERN",
    "Base64",
    "Gateway",
    "Name",
    "PluginType",
    "Switch",
    "UInt32",
    "Version",
    "Version01",
    "Version03",
    "Version10",
    "Version11",
]

# For the schemas.
VERSION_PATTERN = f"^{versions.VERSION}{END}"
CIDR_PATTERN = f"^{addresses.CIDR}{END}"
GATEWAY_PATTERN = f"^{addresses.IP}?{END}"
NAME_PATTERN = f"^{NETWORK_NAME}{END}"
TYPE_PATTERN = r"^(?!\.{1,2}$(?!\n))[^/\\\u0000]+$"
SWITCH_PATTERN = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])" + END
TRUE_PATTERN = "^[Tt][Rr][Uu][Ee]" + END
UINT32_MAX = 2**32 - 1

CIDR = Annotated[
    InterfaceAddress,
    PlainValidator(cidr),
    WithJsonSchema({"type": "string", "pattern": CIDR_PATTERN, "format": "cni-cidr"}),
]
Gateway = Annotated[
    Address | None,
    PlainValidator(gateway),
    WithJsonSchema({"type": ["string", "null"], "pattern": GATEWAY_PATTERN, "format": "cni-gateway"}),
]
Switch = Annotated[
    bool,
    PlainValidator(switch),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": SWITCH_PATTERN}]},
    ),
]
Version = Annotated[
    str,
    AfterValidator(version),
    WithJsonSchema({"type": "string", "pattern": f"{VERSION_PATTERN}|^{END}"}),
]
Name = Annotated[
    str,
    AfterValidator(name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
PluginType = Annotated[
    str,
    AfterValidator(plugin_type),
    WithJsonSchema({"type": "string", "pattern": TYPE_PATTERN}),
]
Base64 = Annotated[
    bytes,
    PlainValidator(decode_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "format": "cni-base64"}),
]
# An empty text counts as absent, as above.
Version01 = Literal["", "0.1.0", "0.2.0"]
Version03 = Literal["", "0.3.0", "0.3.1", "0.4.0"]
Version10 = Literal["", "1.0.0"]
Version11 = Literal["", "1.1.0"]
UInt32 = Annotated[int, Field(ge=0, le=UINT32_MAX)]
