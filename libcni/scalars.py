"""The values that stand in protocol documents: addresses, names, versions, switches; how each is checked and described.

Each is one annotated type: the check that pydantic runs, and beside it the JSON Schema that says the same. Source:
SPEC 1.1.0, sections 1, 2 and 5.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from libcni.addresses import Address, InterfaceAddress, parse_address, parse_cidr
from libcni.document import kind_of
from libcni.errors import VersionError
from libcni.identifiers import network_name_problem, plugin_type_problem
from libcni.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CIDR",
    "MALFORMED_VERSION",
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
    "decode_base64",
]

# For the schemas. In Python "$" also matches before a final line break; the look-ahead rules that out, and changes
# nothing in the regular expressions of other languages.
END = r"$(?!\n)"
VERSION_PATTERN = r"^(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})" + END
CIDR_PATTERN = r"^[0-9A-Fa-f:.]+/[0-9]{1,3}" + END
ADDRESS_PATTERN = r"^[0-9A-Fa-f:.]*" + END
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.\-]*" + END
TYPE_PATTERN = r"^(?!\.{1,2}$(?!\n))[^/\\\u0000]+$"
SWITCH_PATTERN = "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])" + END
TRUE_PATTERN = "^[Tt][Rr][Uu][Ee]" + END
MALFORMED_VERSION = "malformed_version"
UINT32_MAX = 2**32 - 1


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, found {kind_of(value)}")  # noqa: TRY004 -- pydantic turns only ValueError into a finding
    return value


def _cidr(value: object) -> InterfaceAddress:
    return parse_cidr(_text(value))


def _gateway(value: object) -> Address | None:
    # Go writes the zero value of an address as an empty text.
    return None if value is None or value == "" else parse_address(_text(value))


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = value.lower() if isinstance(value, str) else ""
    if text not in {"true", "false"}:
        raise ValueError(f"expected true or false, found {kind_of(value)}")
    return text == "true"


def _satisfies(problem: Callable[[str], str | None]) -> Callable[[str], str]:
    def check(value: str) -> str:
        found = problem(value)
        if found is not None:
            raise ValueError(found)
        return value

    return check


def _version(value: str) -> str:
    # An empty text is what Go writes for a version that nobody gave.
    try:
        _ = value and parse_version(value)
    except VersionError as error:
        raise PydanticCustomError(MALFORMED_VERSION, "{reason}", {"reason": error.msg}) from None
    return value


def decode_base64(value: object) -> bytes:
    """Return the bytes of a base64 text.

    :raises ValueError: if it is none.
    """
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


CIDR = Annotated[
    InterfaceAddress,
    PlainValidator(_cidr),
    WithJsonSchema({"type": "string", "pattern": CIDR_PATTERN, "format": "cni-cidr"}),
]
Gateway = Annotated[
    Address | None,
    PlainValidator(_gateway),
    WithJsonSchema({"type": ["string", "null"], "pattern": ADDRESS_PATTERN, "format": "cni-gateway"}),
]
Switch = Annotated[
    bool,
    PlainValidator(_switch),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"type": "string", "pattern": SWITCH_PATTERN}]},
    ),
]
Version = Annotated[
    str,
    AfterValidator(_version),
    WithJsonSchema({"type": "string", "pattern": f"{VERSION_PATTERN}|^{END}"}),
]
Name = Annotated[
    str,
    AfterValidator(_satisfies(network_name_problem)),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]
PluginType = Annotated[
    str,
    AfterValidator(_satisfies(plugin_type_problem)),
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
