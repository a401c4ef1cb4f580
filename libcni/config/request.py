"""The document that a plugin reads from its stdin, put together from the text of its configuration.

A number or a member that only the plugin knows arrives exactly as it was written. Go counterpart: ``buildOneConfig``
and ``injectRuntimeConfig`` in ``libcni/api.go``. Source: SPEC 1.1.0, section 3, "Deriving request configuration from
plugin configuration".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libcni.jsontext.encode import dump, join_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from libcni.protocol.attachment import GCAttachment

__all__ = ["gc_members", "is_passed_on", "request_start", "runtime_config", "with_members"]

RESERVED_PREFIX = "cni.dev/"
"""Keys that begin so are the runtime's (SPEC 1.1.0, section 1, "Reserved keys")."""

_VALID_ATTACHMENTS = ("cni.dev/valid-attachments", "cni.dev/attachments")
"""Keys of the attachments that GC must keep; the second is of an earlier specification; plugins still read it."""

RUNTIME_CONFIG = "runtimeConfig"

_OWNED_BY_RUNTIME = frozenset({"name", "cniVersion", "capabilities", "prevResult"})


def is_passed_on(key: str) -> bool:
    """Return whether a request takes a member of the configuration over."""
    return key not in _OWNED_BY_RUNTIME and not key.startswith(RESERVED_PREFIX)


def request_start(members: Iterable[tuple[str, str]], name: str, version: str) -> str:
    """Return the start of a request, up to the inserted members.

    :param members: of the configuration, each value as it was written.
    """
    return join_object([("cniVersion", dump(version)), ("name", dump(name)), *members])[:-1]


def with_members(start: str, inserted: Mapping[str, str]) -> bytes:
    """Return a request with its inserted members at the end, whose values are encoded."""
    return "".join([start, *[f",{dump(member)}:{text}" for member, text in inserted.items()], "}"]).encode()


def gc_members(keep: Iterable[GCAttachment]) -> dict[str, str]:
    """Return the inserted members of a GC, which list the attachments to keep."""
    entries = dump([{"containerID": item.container_id, "ifname": item.ifname} for item in keep])
    return dict.fromkeys(_VALID_ATTACHMENTS, entries)


def runtime_config(declared: frozenset[str], capability_args: Mapping[str, Any]) -> dict[str, str]:
    """Return the member with the capability arguments that a plugin declares; empty without any."""
    values = {key: value for key, value in capability_args.items() if key in declared}
    return {RUNTIME_CONFIG: dump(values)} if values else {}
