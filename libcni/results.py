"""Results: one form in memory for every version of the specification, and the way to and from each wire format.

Three wire formats exist: 0.1.0 and 0.2.0 (one address for each family), 0.3.0 to 0.4.0 (lists, with the family of each
address), 1.0.0 and 1.1.0 (lists; 1.1.0 adds members). What a version cannot express is dropped when converting to it.
Go counterpart: ``pkg/types/{020,040,100}``. Source: SPEC 1.1.0, section 5, "Success", and the same section of the older
versions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

from pydantic_core import ValidationError

from libcni.document import DocumentError, dump, format_path, kind_of, parse_object
from libcni.errors import ResultError, UnsupportedResultVersionError, VersionError
from libcni.frozen import FrozenDict, freeze, is_object, thaw
from libcni.protocol.problems import first_problem
from libcni.protocol.validation import validated
from libcni.versions import (
    CURRENT_VERSION,
    FIRST_VERSION,
    SUPPORTED_VERSIONS,
    check_supported,
    is_at_least,
    parse_version,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from typing_extensions import TypeIs

    from libcni.addresses import Address, InterfaceAddress
    from libcni.document import JSONObject
    from libcni.protocol.base import DNSDocument, Document
    from libcni.protocol.results01 import ResultDocument01
    from libcni.protocol.results03 import ResultDocument03
    from libcni.protocol.results10 import InterfaceDocument, IPDocument, ResultDocument10, RouteDocument
    from libcni.protocol.results11 import InterfaceDocument11, ResultDocument11, RouteDocument11

    ListResultDocument: TypeAlias = ResultDocument03 | ResultDocument10 | ResultDocument11
    ResultDocument: TypeAlias = ListResultDocument | ResultDocument01

__all__ = ["DNS", "CheckedResult", "IPConfig", "Interface", "Result", "Route", "check_result"]

D = TypeVar("D", bound="Document")

_NO_EXTRA: Mapping[str, Any] = FrozenDict()


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
    extra: Mapping[str, Any] = _NO_EXTRA


@dataclass(frozen=True, kw_only=True, slots=True)
class IPConfig:
    """An address with its prefix; ``interface`` is an index into the interfaces of the result, from 0."""

    address: InterfaceAddress
    gateway: Address | None = None
    interface: int | None = None
    extra: Mapping[str, Any] = _NO_EXTRA


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
    extra: Mapping[str, Any] = _NO_EXTRA


@dataclass(frozen=True, kw_only=True, slots=True)
class DNS:
    """Name resolution settings."""

    nameservers: Sequence[str] = ()
    domain: str = ""
    search: Sequence[str] = ()
    options: Sequence[str] = ()
    extra: Mapping[str, Any] = _NO_EXTRA


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
    extra: Mapping[str, Any] = _NO_EXTRA

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
        return check_result(obj, default_version).result()

    def as_version(self, version: str) -> Result:
        """Return the same result in another version; what that version cannot express is dropped.

        :raises VersionError: if ``version`` is malformed.
        :raises IncompatibleVersionError: if the library does not support it.
        """
        check_supported(version)
        result = replace(self, cni_version=version)
        if not is_at_least(version, "1.1.0"):
            result = _without_members_of_11(result)
        return result if is_at_least(version, "0.3.0") else _without_members_of_03(result)

    def to_dict(self) -> JSONObject:
        """Return the document in the wire format of ``cni_version``, as a new JSON object.

        :raises IncompatibleVersionError: if the library does not support that version.
        """
        result = self.as_version(self.cni_version)
        has_lists = is_at_least(self.cni_version, "0.3.0")
        members = _lists_to_dict(result) if has_lists else _families_to_dict(result)
        dns = _dns_to_dict(self.dns)
        if dns:
            members["dns"] = dns
        known = _KNOWN_MEMBERS if has_lists else _KNOWN_MEMBERS_01
        own = {key: thaw(value) for key, value in self.extra.items() if key not in known}
        return {"cniVersion": self.cni_version, **members, **own}

    def to_json(self) -> str:
        """Return the document in the wire format of ``cni_version``, as compact JSON text.

        :raises IncompatibleVersionError: if the library does not support that version.
        """
        return dump(self.to_dict())


class CheckedResult(NamedTuple):
    """A result document that has passed its check; most of a chain's are only handed on, never made a ``Result``."""

    version: str
    document: ResultDocument

    def result(self) -> Result:
        """Return the form in memory."""
        if _has_lists(self.document):
            return _from_lists(self.document, self.version)
        return _from_families(self.document, self.version)


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


def _has_lists(document: ResultDocument) -> TypeIs[ListResultDocument]:
    return "ips" in type(document).model_fields


def _is_interface_of_11(document: InterfaceDocument) -> TypeIs[InterfaceDocument11]:
    return "pciID" in type(document).model_fields


def _is_route_of_11(document: RouteDocument) -> TypeIs[RouteDocument11]:
    return "scope" in type(document).model_fields


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


def _extra(document: Document) -> Mapping[str, Any]:
    return _frozen(document.model_extra) if document.model_extra else _NO_EXTRA


def _frozen(value: JSONObject) -> Mapping[str, Any]:
    frozen: Mapping[str, Any] = freeze(value)
    return frozen


def _from_lists(document: ListResultDocument, version: str) -> Result:
    return Result(
        cni_version=version,
        interfaces=tuple([_interface(item) for item in document.interfaces or ()]),
        ips=tuple([_ip(item) for item in document.ips or ()]),
        routes=tuple([_route(item) for item in document.routes or ()]),
        dns=_dns(document.dns),
        extra=_extra(document),
    )


def _from_families(document: ResultDocument01, version: str) -> Result:
    families = [family for family in (document.ip4, document.ip6) if family is not None]
    return Result(
        cni_version=version,
        ips=tuple([IPConfig(address=item.ip, gateway=item.gateway, extra=_extra(item)) for item in families]),
        routes=tuple([_route(item) for family in families for item in family.routes or ()]),
        dns=_dns(document.dns),
        extra=_extra(document),
    )


def _interface(document: InterfaceDocument) -> Interface:
    mac, sandbox = document.mac or "", document.sandbox or ""
    if not _is_interface_of_11(document):
        return Interface(name=document.name, mac=mac, sandbox=sandbox, extra=_extra(document))
    return Interface(
        name=document.name,
        mac=mac,
        sandbox=sandbox,
        mtu=document.mtu,
        socket_path=document.socketPath or "",
        pci_id=document.pciID or "",
        extra=_extra(document),
    )


def _ip(document: IPDocument) -> IPConfig:
    return IPConfig(
        address=document.address,
        gateway=document.gateway,
        interface=document.interface,
        extra=_extra(document),
    )


def _route(document: RouteDocument) -> Route:
    if not _is_route_of_11(document):
        return Route(dst=document.dst, gw=document.gw, extra=_extra(document))
    return Route(
        dst=document.dst,
        gw=document.gw,
        mtu=document.mtu,
        advmss=document.advmss,
        priority=document.priority,
        table=document.table,
        scope=document.scope,
        extra=_extra(document),
    )


def _dns(document: DNSDocument | None) -> DNS:
    if document is None:
        return _NO_DNS
    return DNS(
        nameservers=tuple(document.nameservers or ()),
        domain=document.domain or "",
        search=tuple(document.search or ()),
        options=tuple(document.options or ()),
        extra=_extra(document),
    )


def _without_members_of_11(result: Result) -> Result:
    interfaces = [replace(item, mtu=None, socket_path="", pci_id="") for item in result.interfaces]
    routes = [replace(item, mtu=None, advmss=None, priority=None, table=None, scope=None) for item in result.routes]
    return replace(result, interfaces=tuple(interfaces), routes=tuple(routes))


def _without_members_of_03(result: Result) -> Result:
    """Keep the first address of each family, and the routes of the families that are left, in the order of reading."""
    first: dict[int, IPConfig] = {}
    for item in result.ips:
        first.setdefault(item.address.version, replace(item, interface=None))
    ips = [first[family] for family in sorted(first)]
    routes = [route for family in sorted(first) for route in result.routes if route.dst.version == family]
    return replace(result, interfaces=(), ips=tuple(ips), routes=tuple(routes))


def _entry(known: JSONObject, extra: Mapping[str, Any]) -> JSONObject:
    """Join what the version knows, less what is absent, with the plugin's own members, which may not shadow it."""
    members = {key: value for key, value in known.items() if value is not None and value != ""}
    members.update((key, thaw(value)) for key, value in extra.items() if key not in known)
    return members


def _address_text(address: Address | None) -> str:
    return "" if address is None else str(address)


def _routes_to_list(routes: Iterable[Route], version: str) -> list[JSONObject]:
    has_attributes = is_at_least(version, "1.1.0")
    entries: list[JSONObject] = []
    for route in routes:
        known: JSONObject = {"dst": str(route.dst), "gw": _address_text(route.gw)}
        if has_attributes:
            known |= {key: getattr(route, key) for key in ("mtu", "advmss", "priority", "table", "scope")}
        entries.append(_entry(known, route.extra))
    return entries


def _interfaces_to_list(interfaces: Iterable[Interface], version: str) -> list[JSONObject]:
    has_attributes = is_at_least(version, "1.1.0")
    entries: list[JSONObject] = []
    for item in interfaces:
        known: JSONObject = {"name": item.name, "mac": item.mac, "sandbox": item.sandbox}
        if has_attributes:
            known |= {"mtu": item.mtu, "socketPath": item.socket_path, "pciID": item.pci_id}
        entries.append({"name": item.name} | _entry(known, item.extra))
    return entries


def _ips_to_list(ips: Iterable[IPConfig], version: str) -> list[JSONObject]:
    # The member that names the family came with 0.3.0 and went with 1.0.0.
    names_family = not is_at_least(version, "1.0.0")
    entries: list[JSONObject] = []
    for item in ips:
        known: JSONObject = {"version": str(item.address.version)} if names_family else {}
        known |= {"address": str(item.address), "gateway": _address_text(item.gateway), "interface": item.interface}
        entries.append(_entry(known, item.extra))
    return entries


def _families_to_dict(result: Result) -> JSONObject:
    members: JSONObject = {}
    for item in result.ips:
        family = item.address.version
        routes = [route for route in result.routes if route.dst.version == family]
        known: JSONObject = {"ip": str(item.address), "gateway": _address_text(item.gateway), "routes": None}
        if routes:
            known["routes"] = _routes_to_list(routes, result.cni_version)
        members[f"ip{family}"] = _entry(known, item.extra)
    return members


def _lists_to_dict(result: Result) -> JSONObject:
    version = result.cni_version
    lists = {
        "interfaces": _interfaces_to_list(result.interfaces, version),
        "ips": _ips_to_list(result.ips, version),
        "routes": _routes_to_list(result.routes, version),
    }
    return {key: entries for key, entries in lists.items() if entries}


def _dns_to_dict(dns: DNS) -> JSONObject:
    known: JSONObject = {
        "nameservers": list(dns.nameservers) or None,
        "domain": dns.domain,
        "search": list(dns.search) or None,
        "options": list(dns.options) or None,
    }
    return _entry(known, dns.extra)


_KNOWN_MEMBERS = frozenset({"cniVersion", "interfaces", "ips", "routes", "dns"})
_KNOWN_MEMBERS_01 = frozenset({"cniVersion", "ip4", "ip6", "dns"})
