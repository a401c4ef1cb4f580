"""Results: one form in memory for every version of the specification.

What a version cannot express is dropped when converting to it. Go counterpart: ``pkg/types/{020,040,100}``. Source:
SPEC 1.1.0, section 5, "Success", and the same section of the older versions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from libcni.errors import ResultError
from libcni.jsontext.decode import parse_object
from libcni.jsontext.encode import dump
from libcni.jsontext.scan import DocumentError, format_path
from libcni.protocol.versions import CURRENT_VERSION, check_supported, is_at_least
from libcni.results import wire
from libcni.results.check import check_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import TypeIs

    from libcni.jsontext.scan import JSONObject
    from libcni.protocol.addresses import Address, InterfaceAddress
    from libcni.protocol.documents.results01 import IPDocument01
    from libcni.protocol.documents.results10 import InterfaceDocument, IPDocument, RouteDocument
    from libcni.results.check import CheckedResult, ListResultDocument, ResultDocument
    from libcni.results.wire import Table

__all__ = ["DNS", "IPConfig", "Interface", "Result", "Route", "result_of"]


T = TypeVar("T", "Interface", "IPConfig", "Route")


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """An interface. ``sandbox`` is the path of its namespace, empty on the host; ``mtu`` is in bytes.

    What is absent is ``""`` or ``None``. ``extra`` holds members that the specification does not know.
    """

    name: str
    mac: str = ""
    mtu: int | None = None
    sandbox: str = ""
    socket_path: str = ""
    pci_id: str = ""
    extra: Mapping[str, Any] = wire.NO_EXTRA


@dataclass(frozen=True, kw_only=True, slots=True)
class IPConfig:
    """An address with its prefix; ``interface`` is an index into the interfaces of the result, from 0."""

    address: InterfaceAddress
    gateway: Address | None = None
    interface: int | None = None
    extra: Mapping[str, Any] = wire.NO_EXTRA


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """A route; ``mtu`` and ``advmss`` are in bytes, ``priority`` is the metric."""

    dst: InterfaceAddress
    gw: Address | None = None
    mtu: int | None = None
    advmss: int | None = None
    priority: int | None = None
    table: int | None = None
    scope: int | None = None
    extra: Mapping[str, Any] = wire.NO_EXTRA


@dataclass(frozen=True, kw_only=True, slots=True)
class DNS:
    """Name resolution settings."""

    nameservers: Sequence[str] = ()
    domain: str = ""
    search: Sequence[str] = ()
    options: Sequence[str] = ()
    extra: Mapping[str, Any] = wire.NO_EXTRA


_NO_DNS = DNS()


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The result of an ADD, in the version ``cni_version``.

    >>> result = Result.from_bytes(b'{"cniVersion": "0.2.0", "ip4": {"ip": "10.0.0.2/24"}}')
    >>> result.as_version("1.0.0").to_json()
    '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.2/24"}]}'
    """

    cni_version: str = CURRENT_VERSION
    interfaces: Sequence[Interface] = ()
    ips: Sequence[IPConfig] = ()
    routes: Sequence[Route] = ()
    dns: DNS = _NO_DNS
    extra: Mapping[str, Any] = wire.NO_EXTRA

    @classmethod
    def from_bytes(cls, data: bytes | str, *, default_version: str = "") -> Result:
        """Decode a result document.

        :param data: UTF-8 JSON, in the format of the version that its ``cniVersion`` names.
        :param default_version: the version of a document that names none, unless its shape is that of 0.2.0; 0.1.0 when
            this is empty.
        :raises ResultError: if it is not strict JSON or not a result of that version.
        """
        try:
            document = parse_object(data)
        except DocumentError as error:
            raise ResultError(str(error), field=format_path(error.path)) from None
        return cls.from_dict(document, default_version=default_version)

    @classmethod
    def from_dict(cls, obj: JSONObject, *, default_version: str = "") -> Result:
        """Decode a result from its JSON object.

        :param obj: the decoded document; it is not changed.
        :param default_version: as for :meth:`from_bytes`.
        :raises ResultError: if it is not a result of its version.
        """
        return result_of(check_result(obj, default_version))

    def as_version(self, version: str) -> Result:
        """Return the same result in another version; what that version cannot express is dropped.

        :raises VersionError: if ``version`` is malformed.
        :raises IncompatibleVersionError: if the library does not support it.
        """
        check_supported(version)
        result = replace(
            self,
            cni_version=version,
            interfaces=_kept(self.interfaces, wire.INTERFACE, version),
            ips=_kept(self.ips, wire.IP, version),
            routes=_kept(self.routes, wire.ROUTE, version),
        )
        return result if is_at_least(version, wire.LISTS_SINCE) else _without_lists(result)

    def to_dict(self) -> JSONObject:
        """Return the document in the wire format of ``cni_version``, as a new JSON object.

        :raises IncompatibleVersionError: if the library does not support that version.
        """
        version = self.cni_version
        result = self.as_version(version)
        nested = _lists(result) if is_at_least(version, wire.LISTS_SINCE) else _families(result)
        return wire.RESULT.write(result, version, {**nested, "dns": wire.DNS.write(result.dns, version)})

    def to_json(self) -> str:
        """Return the document in the wire format of ``cni_version``, as compact JSON text.

        :raises IncompatibleVersionError: if the library does not support that version.
        """
        return dump(self.to_dict())


def result_of(checked: CheckedResult) -> Result:
    """Return the form in memory of a document that has passed its check."""
    version, document = checked
    interfaces: Sequence[InterfaceDocument] = ()
    ips: Sequence[IPDocument | IPDocument01]
    routes: Sequence[RouteDocument]
    if _has_lists(document):
        interfaces, ips, routes = document.interfaces or (), document.ips or (), document.routes or ()
    else:
        ips = [family for family in (document.ip4, document.ip6) if family is not None]
        routes = [route for family in (document.ip4, document.ip6) if family for route in family.routes or ()]
    return Result(
        cni_version=version,
        interfaces=tuple([Interface(**wire.INTERFACE.read(item, version)) for item in interfaces]),
        ips=tuple([IPConfig(**wire.IP.read(item, version)) for item in ips]),
        routes=tuple([Route(**wire.ROUTE.read(item, version)) for item in routes]),
        dns=_NO_DNS if document.dns is None else DNS(**wire.DNS.read(document.dns, version)),
        **wire.RESULT.read(document, version),
    )


def _has_lists(document: ResultDocument) -> TypeIs[ListResultDocument]:
    return "ips" in type(document).model_fields


def _kept(items: Sequence[T], table: Table, version: str) -> Sequence[T]:
    dropped = table.dropped(version)
    if dropped:
        return tuple([replace(item, **dropped) for item in items])
    if not any(item.extra for item in items):
        return items
    return tuple([replace(item, **table.taken_up(item, version)) for item in items])


def _without_lists(result: Result) -> Result:
    """Keep the first address of each family, and the routes of the families that are left, in the order of reading."""
    first: dict[int, IPConfig] = {}
    for item in result.ips:
        first.setdefault(item.address.version, item)
    ips = [first[family] for family in sorted(first)]
    routes = [route for family in sorted(first) for route in result.routes if route.dst.version == family]
    return replace(result, interfaces=(), ips=tuple(ips), routes=tuple(routes))


def _lists(result: Result) -> JSONObject:
    version = result.cni_version
    return {
        "interfaces": [wire.INTERFACE.write(item, version) for item in result.interfaces],
        "ips": [wire.IP.write(item, version) for item in result.ips],
        "routes": [wire.ROUTE.write(item, version) for item in result.routes],
    }


def _families(result: Result) -> JSONObject:
    version = result.cni_version
    members: JSONObject = {}
    for item in result.ips:
        family = item.address.version
        routes = [wire.ROUTE.write(route, version) for route in result.routes if route.dst.version == family]
        members[f"ip{family}"] = wire.IP.write(item, version, {"routes": routes})
    return members
