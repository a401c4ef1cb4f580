"""Checking a result document: first the version that it has, then its members against the model of that version.

Go counterpart: ``pkg/types/create``. Source: SPEC 1.1.0, section 5, "Success", and the same section of the older
versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from libcni.errors import ResultError, UnsupportedResultVersionError, VersionError
from libcni.jsontext.frozen import is_object
from libcni.jsontext.scan import format_path, kind_of
from libcni.protocol.documents.core import ValidationError
from libcni.protocol.documents.core_schemas import validated
from libcni.protocol.documents.problems import first_problem
from libcni.protocol.versions import FIRST_VERSION, SUPPORTED_VERSIONS, parse_version

if TYPE_CHECKING:
    from libcni.jsontext.scan import JSONObject
    from libcni.protocol.documents.results01 import ResultDocument01
    from libcni.protocol.documents.results03 import ResultDocument03
    from libcni.protocol.documents.results10 import ResultDocument10
    from libcni.protocol.documents.results11 import ResultDocument11

    ListResultDocument: TypeAlias = ResultDocument03 | ResultDocument10 | ResultDocument11
    ResultDocument: TypeAlias = ListResultDocument | ResultDocument01

__all__ = ["WIRE_FORMATS", "CheckedResult", "check_result"]

WIRE_FORMATS = {
    "0.1.0": "01",
    "0.2.0": "01",
    "0.3.0": "03",
    "0.3.1": "03",
    "0.4.0": "03",
    "1.0.0": "10",
    "1.1.0": "11",
}
"""The wire format of each version, as models have it in their names."""

_LAST_OLD_VERSION = "0.2.0"
_OLD_FORMAT = WIRE_FORMATS[_LAST_OLD_VERSION]
"""The wire format with one address for each family."""


class CheckedResult(NamedTuple):
    """A result document that has passed its check; most of a chain's are only handed on, never made a ``Result``."""

    version: str
    document: ResultDocument


def check_result(obj: object, default_version: str = "") -> CheckedResult:
    """Check a result object against the version it names, or else its shape shows, or else ``default_version``.

    :raises ResultError: if it is not a result of that version.
    """
    if not is_object(obj):
        raise ResultError(f"expected a JSON object, found {kind_of(obj)}")
    version = _version_of(obj, default_version)
    return CheckedResult(version, _validated(f"ResultDocument{WIRE_FORMATS[version]}", obj))


def _version_of(obj: JSONObject, default_version: str) -> str:
    version = obj.get("cniVersion") or _version_of_shape(obj, default_version)
    if not version:
        newer = next((key for key in ("ips", "interfaces") if key in obj), None)
        if newer is not None:
            raise ResultError(f"is required: a result with {newer!r} is newer than 0.2.0", field="cniVersion")
        return FIRST_VERSION
    if not isinstance(version, str):
        raise ResultError("expected a string", field="cniVersion")
    try:
        parse_version(version)
    except VersionError as error:
        raise ResultError(error.msg, field="cniVersion") from None
    if version not in SUPPORTED_VERSIONS:
        known = ", ".join(SUPPORTED_VERSIONS)
        raise UnsupportedResultVersionError(
            f"version {version!r} is not supported (known: {known})", field="cniVersion"
        )
    return version


def _version_of_shape(obj: JSONObject, default_version: str) -> str:
    """Return the default version of a result that names none, or 0.2.0 where only that shape has its addresses.

    A later version would take ``ip4`` and ``ip6`` for members of the plugin's own, and find no address.
    """
    old = next((key for key in ("ip4", "ip6") if is_object(obj.get(key))), None)
    if old is None or obj.get("ips") or WIRE_FORMATS.get(default_version, _OLD_FORMAT) == _OLD_FORMAT:
        return default_version
    newer = next((key for key in ("interfaces", "routes") if obj.get(key)), None)
    if newer is not None:
        reason = f"is required: {old!r} is of 0.1.0 and 0.2.0, and {newer!r} of later versions"
        raise ResultError(reason, field="cniVersion")
    return _LAST_OLD_VERSION


def _validated(model: str, obj: JSONObject) -> ResultDocument:
    try:
        document: ResultDocument = validated(model, obj)
    except ValidationError as error:
        problem = first_problem(error)
        raise ResultError(problem.message, field=format_path(problem.path)) from None
    return document
