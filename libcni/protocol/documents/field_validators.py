"""The checks of the values that stand in protocol documents: each returns what it accepts, or raises.

What they raise is turned into a problem of the document by pydantic. Source: SPEC 1.1.0, sections 1, 2 and 5.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Protocol, TypeVar

from libcni.errors import VersionError
from libcni.jsontext.scan import kind_of
from libcni.protocol.addresses import (
    Address,
    InterfaceAddress,
    check_hardware_address,
    parse_address,
    parse_address_or_cidr,
    parse_cidr,
    parse_subnet,
)
from libcni.protocol.documents.core import PydanticCustomError
from libcni.protocol.names import network_name_problem, plugin_type_problem
from libcni.protocol.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "END",
    "GUID_PATTERN",
    "MALFORMED_VERSION",
    "NO_PLUGINS",
    "PROTOCOL_PATTERN",
    "address",
    "address_or_cidr",
    "cidr",
    "decode_base64",
    "gateway",
    "guid",
    "hardware_address",
    "host_address",
    "inlined_plugins",
    "name",
    "plugin_type",
    "subnet",
    "switch",
    "transport_protocol",
    "version",
]

# In Python "$" also matches before a final line break; the look-ahead rules that out, and changes nothing in the
# regular expressions of other languages.
END = r"$(?!\n)"
GUID_PATTERN = "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){7}" + END
PROTOCOL_PATTERN = "^([Tt][Cc][Pp]|[Uu][Dd][Pp]|[Ss][Cc][Tt][Pp])" + END


class _HasPlugins(Protocol):
    """The members of the document of a network that are compared with each other."""

    @property
    def loadOnlyInlinedPlugins(self) -> bool: ...  # noqa: N802 -- the member's name on the wire

    @property
    def plugins(self) -> Sequence[object]: ...


D = TypeVar("D", bound=_HasPlugins)

MALFORMED_VERSION = "malformed_version"
"""The kind of mistake of a version that is none."""

NO_PLUGINS = "no_plugins"
"""The kind of mistake of a list that needs plugins and has none."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected a string, found {kind_of(value)}")  # noqa: TRY004 -- pydantic turns only ValueError into a finding
    return value


def cidr(value: object) -> InterfaceAddress:
    """Read an address with its prefix length."""
    return parse_cidr(_text(value))


def gateway(value: object) -> Address | None:
    """Read the address of a gateway, if there is one."""
    # Go writes the zero value of an address as an empty text.
    return None if value is None or value == "" else parse_address(_text(value))


def switch(value: object) -> bool:
    """Read a boolean, or the text of one."""
    if isinstance(value, bool):
        return value
    text = value.lower() if isinstance(value, str) else ""
    if text not in {"true", "false"}:
        raise ValueError(f"expected true or false, found {kind_of(value)}")
    return text == "true"


def name(value: str) -> str:
    """Return the name of a network, if it is one."""
    return _without(network_name_problem(value), value)


def plugin_type(value: str) -> str:
    """Return the type of a plugin, if it is one."""
    return _without(plugin_type_problem(value), value)


def _without(problem: str | None, value: str) -> str:
    if problem is not None:
        raise ValueError(problem)
    return value


def version(value: str) -> str:
    """Return a version of the specification, if it is one or empty."""
    # Go writes a version that was not given as an empty text.
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


def inlined_plugins(document: D) -> D:
    """Return the document of a network, if it has the plugins that it says it has."""
    if document.loadOnlyInlinedPlugins and not document.plugins:
        raise PydanticCustomError(NO_PLUGINS, "loadOnlyInlinedPlugins needs inlined plugins, and there are none")
    return document


def address(value: str) -> str:
    """Return an address without a prefix length as it is written, if it is one."""
    parse_address(value)
    return value


def address_or_cidr(value: str) -> str:
    """Return an address with or without a prefix length as it is written, if it is one."""
    parse_address_or_cidr(value)
    return value


def subnet(value: str) -> str:
    """Return a subnet as it is written, if it is one."""
    parse_subnet(value)
    return value


def hardware_address(value: str) -> str:
    """Return a hardware address as it is written, if it is one."""
    check_hardware_address(value)
    return value


def host_address(value: str) -> str:
    """Return an address of the host as it is written, if it is one or empty."""
    # Go writes an address that was not given as an empty text.
    return value and address(value)


def guid(value: str) -> str:
    """Return a GUID of InfiniBand, if it is one."""
    return _matching(GUID_PATTERN, value)


def transport_protocol(value: str) -> str:
    """Return the name of a transport protocol, if it is one."""
    return _matching(PROTOCOL_PATTERN, value)


def _matching(pattern: str, value: str) -> str:
    # pydantic's own regular expressions know no look-ahead.
    if re.search(pattern, value) is None:
        raise ValueError(f"{value[:100]!r} does not match {pattern!r}")
    return value
