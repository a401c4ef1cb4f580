"""The answers of a plugin beside results, as models: errors and version information.

Go counterpart: ``pkg/types`` (``Error``) and ``pkg/version``. Source: SPEC 1.1.0, section 5, "Error" and "Version".
"""

from __future__ import annotations

from libcni.protocol.documents.base import Document
from libcni.protocol.documents.field_types import UInt32, Version

__all__ = ["ErrorDocument", "VersionDocument"]


class ErrorDocument(Document):
    """Error of a plugin that failed (SPEC 1.1.0, section 5, "Error")."""

    cniVersion: Version | None = None  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    code: UInt32
    """Error code: 1 to 99 are the specification's, 100 and above the plugin's."""
    msg: str
    """Short description."""
    details: str | None = None
    """Longer description."""


class VersionDocument(Document):
    """Answer to VERSION (SPEC 1.1.0, section 5, "Version")."""

    cniVersion: Version  # noqa: N815 -- the member's name on the wire
    """Version of the specification that the document follows."""
    supportedVersions: list[Version] | None = None  # noqa: N815 -- the member's name on the wire
    """Versions of the specification that the plugin supports."""
