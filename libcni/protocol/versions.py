"""Versions of the specification: which are known, how they compare, and what a plugin says it supports.

Go counterpart: ``pkg/version``. Source: SPEC 1.1.0, "Released versions" and section 2, "VERSION: probe plugin version
support".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from libcni.errors import IncompatibleVersionError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "CHECK_SINCE",
    "CURRENT_VERSION",
    "FIRST_VERSION",
    "GC_SINCE",
    "PREV_RESULT_ON_DEL_SINCE",
    "STATUS_SINCE",
    "SUPPORTED_VERSIONS",
    "VERSION",
    "PluginInfo",
    "check_supported",
    "is_at_least",
    "newest_supported",
    "parse_version",
    "unsupported_message",
]

SUPPORTED_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
"""Every released version of the specification, oldest first."""

CURRENT_VERSION = "1.1.0"
FIRST_VERSION = "0.1.0"
"""The version of a configuration that names none."""

CHECK_SINCE = "0.4.0"
PREV_RESULT_ON_DEL_SINCE = "0.4.0"
GC_SINCE = "1.1.0"
STATUS_SINCE = "1.1.0"

# Nine digits keep int() far from its limit; no leading zeros, as Semantic Versioning 2.0 has it.
_NUMBER = "(0|[1-9][0-9]{0,8})"
VERSION = rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
"""Regular expression of a whole version, as the schemas have it too."""

_OF_PLUGINS = re.compile(r"0\.[5-9]\.[0-9]+|1\.[01]\.[1-9][0-9]*|1\.[4-9]\.[0-9]+")
"""Releases of the plugins and of Go libcni, which people take for versions of the specification."""
_VERSION = re.compile(VERSION)


class PluginInfo(NamedTuple):
    """The answer of a plugin to VERSION: the version of the answer, and all versions that the plugin supports."""

    cni_version: str
    supported_versions: tuple[str, ...]


def parse_version(version: str) -> tuple[int, int, int]:
    """Return major, minor and patch.

    :raises VersionError: if ``version`` is not three plain numbers joined by dots.

    >>> parse_version("0.3.1")
    (0, 3, 1)
    """
    match = _VERSION.fullmatch(version)
    if match is None:
        raise VersionError(
            f"malformed version {version[:100]!r}: expected major.minor.patch, such as {CURRENT_VERSION!r}"
        )
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch)


def check_supported(version: str) -> None:
    """Check that the library speaks a version.

    :raises VersionError: if it is malformed.
    :raises IncompatibleVersionError: if it is not one of :data:`SUPPORTED_VERSIONS`.
    """
    parse_version(version)
    if version not in SUPPORTED_VERSIONS:
        raise IncompatibleVersionError(f"version {version!r} is not supported (known: {', '.join(SUPPORTED_VERSIONS)})")


def is_at_least(version: str, other: str) -> bool:
    """Return whether ``version`` is ``other`` or newer.

    :raises VersionError: if one of them is malformed.

    >>> is_at_least("1.1.0", "0.4.0"), is_at_least("0.3.1", "0.4.0")
    (True, False)
    """
    return parse_version(version) >= parse_version(other)


def unsupported_message(named: Sequence[str]) -> str:
    """Return why none of some versions can be used; one of the plugins is told from those of the specification.

    >>> print(unsupported_message(["2.0.0"]))
    no version of 2.0.0 is supported (known: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0)
    """
    known = ", ".join(SUPPORTED_VERSIONS)
    of_plugins = next((version for version in named if _OF_PLUGINS.fullmatch(version)), "")
    if of_plugins:
        return f"{of_plugins} is a version of the plugins or of libcni; the specification has {known}"
    return f"no version of {', '.join(named)} is supported (known: {known})"


def newest_supported(versions: Iterable[str]) -> str | None:
    """Return the highest of ``versions`` that the library supports, or ``None``.

    >>> newest_supported(["0.3.1", "1.0.0", "7.0.0"])
    '1.0.0'
    """
    given = set(versions)
    return next((version for version in reversed(SUPPORTED_VERSIONS) if version in given), None)
