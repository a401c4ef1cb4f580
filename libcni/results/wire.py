"""The wire formats of results as one table: each member, the attribute that holds it, and the versions that have it.

Both directions read the table, and so does a conversion, which drops what the target version does not have. Three wire
formats exist: 0.1.0 and 0.2.0 (one address for each family), 0.3.0 to 0.4.0 (lists, with the family of each address),
1.0.0 and 1.1.0 (lists; 1.1.0 adds members). Go counterpart: ``pkg/types/{020,040,100}``. Source: SPEC 1.1.0, section 5,
"Success", and the same section of the older versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from libcni.jsontext.frozen import FrozenDict, freeze, thaw
from libcni.protocol.versions import CURRENT_VERSION, FIRST_VERSION, SUPPORTED_VERSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from libcni.jsontext.scan import JSONObject
    from libcni.protocol.addresses import Address, InterfaceAddress
    from libcni.protocol.documents.base import Document

    class HasExtra(Protocol):
        """An object of a result in memory."""

        @property
        def extra(self) -> Mapping[str, Any]: ...


__all__ = ["DNS", "INTERFACE", "IP", "LISTS_SINCE", "NO_EXTRA", "RESULT", "ROUTE", "Codec", "Member", "Table"]

LISTS_SINCE = "0.3.0"
"""The first version with lists of interfaces, addresses and routes in place of one address for each family."""

_LAST_WITHOUT_LISTS = "0.2.0"
_UINT32_MAX = 2**32 - 1

NO_EXTRA: Mapping[str, Any] = FrozenDict()


class Codec(NamedTuple):
    """Both directions of a value: from the checked document, and to JSON, where ``None`` and ``""`` are left out."""

    read: Callable[[Any], Any] | None
    """``None`` for a member that repeats what another one says."""
    write: Callable[[Any], object]
    absent: object
    """The value in memory of a member that the document does not have."""


def _same(value: object) -> object:
    return value


def _text(value: str | None) -> str:
    return value or ""


def _texts(value: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(value or ())


def _list(value: Sequence[str]) -> list[str] | None:
    return list(value) or None


def _written(address: Address | InterfaceAddress | None) -> str:
    return "" if address is None else str(address)


def _family(address: InterfaceAddress) -> str:
    return str(address.version)


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _UINT32_MAX


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


_VALUE = Codec(_same, _same, None)
_TEXT = Codec(_text, _same, "")
_TEXTS = Codec(_texts, _list, ())
_ADDRESS = Codec(_same, _written, None)
_FAMILY = Codec(None, _family, None)


class Member(NamedTuple):
    """A member of the wire format. One without an attribute holds other objects, which have tables of their own."""

    name: str
    attribute: str = ""
    codec: Codec = _VALUE
    since: str = FIRST_VERSION
    until: str = CURRENT_VERSION
    """The last version that has it."""
    is_required: bool = False
    """Whether it is written even when it is empty."""
    fits: Callable[[object], bool] | None = None
    """Whether a value that a plugin put under this name into an older result is one of this member."""


class Table:
    """The members of one kind of object, for every version of the specification."""

    def __init__(self, *members: Member) -> None:
        position = SUPPORTED_VERSIONS.index
        self._members = {
            version: tuple([m for m in members if position(m.since) <= position(version) <= position(m.until)])
            for version in SUPPORTED_VERSIONS
        }
        self._names = {version: frozenset(m.name for m in known) for version, known in self._members.items()}
        self._later = {m.name: m for m in members if m.fits is not None}
        absent: dict[str, Any] = {m.attribute: m.codec.absent for m in members if m.attribute}
        self._dropped = {
            version: {name: absent[name] for name in absent.keys() - {m.attribute for m in known}}
            for version, known in self._members.items()
        }

    def names(self, version: str) -> frozenset[str]:
        """Return the names of the members that a version has."""
        return self._names[version]

    def read(self, document: Document, version: str) -> dict[str, Any]:
        """Return the attributes that a checked document gives; ``extra`` are the plugin's own members."""
        attributes: dict[str, Any] = {
            m.attribute: m.codec.read(getattr(document, m.name))
            for m in self._members[version]
            if m.attribute and m.codec.read is not None
        }
        attributes["extra"] = freeze(document.model_extra) if document.model_extra else NO_EXTRA
        return attributes

    def write(self, item: HasExtra, version: str, nested: Mapping[str, object] = NO_EXTRA) -> JSONObject:
        """Return the JSON object of a version. The plugin's own members follow, and never shadow one of the version.

        :param nested: the members without an attribute; empty ones are left out.
        """
        document: JSONObject = {}
        for m in self._members[version]:
            value = m.codec.write(getattr(item, m.attribute)) if m.attribute else nested.get(m.name) or None
            if m.is_required or (value is not None and value != ""):
                document[m.name] = value
        names = self._names[version]
        document.update((key, thaw(value)) for key, value in item.extra.items() if key not in names)
        return document

    def taken_up(self, item: HasExtra, version: str) -> Mapping[str, Any]:
        """Return the attributes that members of the plugin's own become in a version that knows them.

        A plugin of an older version may print them; with ``extra``, from which they are gone.
        """
        found = {
            m.attribute: value
            for name, m in self._later.items()
            if name in self._names[version] and m.fits is not None and m.fits(value := item.extra.get(name))
        }
        if not found:
            return NO_EXTRA
        taken = {name for name, m in self._later.items() if m.attribute in found}
        return {**found, "extra": FrozenDict({key: value for key, value in item.extra.items() if key not in taken})}

    def dropped(self, version: str) -> Mapping[str, Any]:
        """Return the attributes that a version has no member for, each with the value that stands for absent."""
        return self._dropped[version]


INTERFACE = Table(
    Member("name", "name", _TEXT, is_required=True),
    Member("mac", "mac", _TEXT),
    Member("sandbox", "sandbox", _TEXT),
    Member("mtu", "mtu", since="1.1.0", fits=_is_number),
    Member("socketPath", "socket_path", _TEXT, since="1.1.0", fits=_is_text),
    Member("pciID", "pci_id", _TEXT, since="1.1.0", fits=_is_text),
)
IP = Table(
    Member("version", "address", _FAMILY, since=LISTS_SINCE, until="0.4.0"),
    Member("ip", "address", _ADDRESS, until=_LAST_WITHOUT_LISTS),
    Member("address", "address", _ADDRESS, since=LISTS_SINCE),
    Member("gateway", "gateway", _ADDRESS),
    Member("interface", "interface", since=LISTS_SINCE),
    Member("routes", until=_LAST_WITHOUT_LISTS),
)
ROUTE = Table(
    Member("dst", "dst", _ADDRESS),
    Member("gw", "gw", _ADDRESS),
    Member("mtu", "mtu", since="1.1.0", fits=_is_number),
    Member("advmss", "advmss", since="1.1.0", fits=_is_number),
    Member("priority", "priority", since="1.1.0", fits=_is_number),
    Member("table", "table", since="1.1.0", fits=_is_number),
    Member("scope", "scope", since="1.1.0", fits=_is_number),
)
DNS = Table(
    Member("nameservers", "nameservers", _TEXTS),
    Member("domain", "domain", _TEXT),
    Member("search", "search", _TEXTS),
    Member("options", "options", _TEXTS),
)
RESULT = Table(
    Member("cniVersion", "cni_version", Codec(None, _same, CURRENT_VERSION)),
    Member("interfaces", since=LISTS_SINCE),
    Member("ips", since=LISTS_SINCE),
    Member("routes", since=LISTS_SINCE),
    Member("ip4", until=_LAST_WITHOUT_LISTS),
    Member("ip6", until=_LAST_WITHOUT_LISTS),
    Member("dns"),
)
