"""Blocks of addresses: a gateway in its subnet, a range that starts before it ends, room for containers, no overlap.

What one value says against another is beyond a schema. Each IPAM plugin has keys of its own for the same things.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from dataclasses import dataclass
from heapq import heappop, heappush
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

from libcni.jsontext.frozen import array_of, is_object, object_of
from libcni.protocol.addresses import parse_address, parse_cidr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from libcni.jsontext.scan import Path
    from libcni.lint.findings import Source
    from libcni.protocol.addresses import Address

__all__ = ["Block", "Subnet", "blocks_of", "check_blocks", "first_overlaps"]

Subnet: TypeAlias = IPv4Network | IPv6Network

_SMALLEST = {4: 30, 6: 126}
"""The longest prefix that leaves an address beside network, gateway and broadcast; what host-local accepts."""


@dataclass(frozen=True, slots=True)
class _Keys:
    """The keys that an IPAM plugin has for the parts of a block."""

    subnet: str
    start: str = ""
    end: str = ""
    gateway: str = "gateway"
    is_pool: bool = True


_SPAN = re.compile(r"([0-9A-Fa-f.:]+)-([0-9A-Fa-f.:]+)(/[0-9]{1,3})")
_HOST_LOCAL = _Keys("subnet", "rangeStart", "rangeEnd")
_WHEREABOUTS = _Keys("range", "range_start", "range_end")
_STATIC = _Keys("address", is_pool=False)
_WEAVE = _Keys("subnet")


@dataclass(frozen=True, slots=True)
class Block:
    """A subnet of an IPAM configuration with its range and gateway; what is absent or no address is ``None``.

    ``group`` is the same for blocks that together give one address. A block of a single fixed address is no pool.
    """

    path: Path
    keys: _Keys
    group: Path
    subnet: Subnet
    start: Address | None
    end: Address | None
    gateway: Address | None
    own: Address | None = None
    """The address itself, of a block that is one fixed address."""
    has_span: bool = False
    """Whether start and end stand in the text of the subnet, as whereabouts takes them: ``10.1.0.5-10.1.0.9/24``."""

    def path_of_end(self, key: str) -> Path:
        """Return the path of the start or the end of the range, which ``key`` names."""
        return self.path_of(self.keys.subnet if self.has_span else key)

    def path_of(self, key: str) -> Path:
        """Return the path of one of its members."""
        return (*self.path, key)

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last address that it may give out, as numbers."""
        first, last = int(self.subnet.network_address), int(self.subnet.broadcast_address)
        return (
            first if self.start is None else int(self.start),
            last if self.end is None else int(self.end),
        )


def blocks_of(ipam: Mapping[str, Any], path: Path) -> list[Block]:
    """Return the blocks of an IPAM configuration; none when the plugin is not one that we know."""
    found = _PLACES.get(ipam.get("type", "") if isinstance(ipam.get("type"), str) else "")
    if found is None:
        return []
    keys, list_key = found
    placed = _Placed(keys)
    if keys is not _STATIC:
        placed.add(path, path, ipam)
    for index, item in enumerate(array_of(ipam.get(list_key))):
        at = (*path, list_key, index)
        if is_object(item):
            placed.add(at, at, item)
        for number, inner in enumerate(array_of(item)):
            placed.add((*at, number), at, object_of(inner))
    return placed.blocks


_PLACES: dict[str, tuple[_Keys, str]] = {
    "host-local": (_HOST_LOCAL, "ranges"),
    "whereabouts": (_WHEREABOUTS, "ipRanges"),
    "static": (_STATIC, "addresses"),
    "weave-ipam": (_WEAVE, ""),
}
"""The keys for the parts of a block, and the key that holds more blocks, or sets of them."""


class _Placed:
    """Collects the blocks of one IPAM configuration; what is no subnet is left to the schema."""

    def __init__(self, keys: _Keys) -> None:
        self._keys = keys
        self.blocks: list[Block] = []

    def add(self, path: Path, group: Path, members: Mapping[str, Any]) -> None:
        keys = self._keys
        text = members.get(keys.subnet)
        span = _SPAN.fullmatch(text) if keys is _WHEREABOUTS and isinstance(text, str) else None
        if not isinstance(text, str):
            return
        try:
            found = parse_cidr(text if span is None else span[1] + span[3])
        except ValueError:
            return
        start, end, gateway = (_address(members.get(key)) for key in (keys.start, keys.end, keys.gateway))
        if span is not None:
            start, end = _address(span[1]), _address(span[2])
        own = None if keys.is_pool else found.ip
        self.blocks.append(Block(path, keys, group, found.network, start, end, gateway, own, span is not None))


def _address(value: object) -> Address | None:
    try:
        return parse_address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def check_blocks(
    source: Source, path: Path, ipam: Mapping[str, Any], *, needs_gateway: frozenset[int] = frozenset()
) -> None:
    """Check the blocks of one IPAM configuration, each on its own and against each other.

    :param needs_gateway: address families in which a route goes over the gateway.
    """
    blocks = blocks_of(ipam, path)
    for block in blocks:
        _check_size(source, block)
        if block.gateway is not None:
            _check_usable(source, block, block.path_of(block.keys.gateway), address=block.gateway)
        if block.own is not None:
            _check_usable(source, block, block.path_of(block.keys.subnet), address=block.own)
        _check_gateway(source, block, needs_gateway)
        if block.start is not None or block.end is not None:
            _check_range(source, block)
    pools = [block for block in blocks if block.keys.is_pool]
    _check_families(source, pools)
    for block, other in first_overlaps(pools):
        source.report("CNI325", block.path_of(block.keys.subnet), f"the range overlaps that of {other.subnet}")


def _check_size(source: Source, block: Block) -> None:
    longest = _SMALLEST[block.subnet.version]
    if block.keys.is_pool and block.subnet.prefixlen > longest:
        message = f"{block.subnet} is too small to give out addresses"
        hint = f"the prefix may be /{longest} at most"
        source.report("CNI324", block.path_of(block.keys.subnet), message, hint=hint)


def _check_gateway(source: Source, block: Block, needs_gateway: frozenset[int]) -> None:
    gateway = block.gateway
    if gateway is None or gateway.is_link_local:
        return
    path = block.path_of(block.keys.gateway)
    if gateway.version != block.subnet.version:
        source.report("CNI326", path, f"{gateway} is not of the address family of {block.subnet}")
    elif gateway not in block.subnet and not _is_host(block):
        is_needed = block.subnet.version in needs_gateway
        why = "and a route goes over it" if is_needed else "which matters once a route goes over it"
        message = f"the gateway {gateway} is outside the subnet {block.subnet}, {why}"
        source.report("CNI321" if is_needed else "CNI327", path, message)


def _is_host(block: Block) -> bool:
    # A fixed address of its own, /32 or /128, has its gateway elsewhere by design.
    return not block.keys.is_pool and block.subnet.prefixlen == block.subnet.max_prefixlen


def _check_range(source: Source, block: Block) -> None:
    inside: list[Address] = []
    for key, address in ((block.keys.start, block.start), (block.keys.end, block.end)):
        if address is None:
            continue
        if address.version != block.subnet.version:
            message = f"{address} is not of the address family of {block.subnet}"
            source.report("CNI326", block.path_of_end(key), message)
        elif address not in block.subnet:
            source.report("CNI323", block.path_of_end(key), f"{address} is outside the subnet {block.subnet}")
        else:
            inside.append(address)
    if inside == [block.start, block.end] and int(inside[0]) > int(inside[1]):
        message = f"the range starts at {block.start}, behind its end {block.end}"
        source.report("CNI322", block.path_of_end(block.keys.start), message, hint="swap them")
        return
    for key, address in ((block.keys.start, block.start), (block.keys.end, block.end)):
        if address in inside:
            _check_usable(source, block, block.path_of_end(key), address=address)


def _check_usable(source: Source, block: Block, path: Path, *, address: Address | None) -> None:
    """Report the network and the broadcast address, which nothing in an IPv4 subnet can have."""
    if address is None or block.subnet.version != 4 or block.subnet.prefixlen > _SMALLEST[4]:  # noqa: PLR2004 -- IPv4
        return
    ends = {int(block.subnet.network_address): "network", int(block.subnet.broadcast_address): "broadcast"}
    kind = ends.get(int(address))
    if kind is not None:
        better = address + 1 if kind == "network" else address - 1
        message = f"{address} is the {kind} address of {block.subnet}, which no container and no gateway can have"
        source.report("CNI329", path, message, hint=f"use {better}")


def _check_families(source: Source, blocks: Sequence[Block]) -> None:
    """Report blocks of a set whose first block is of the other address family."""
    first: dict[Path, dict[int, Block]] = {}
    for block in blocks:
        known = first.setdefault(block.group, {})
        other = next((found for version, found in known.items() if version != block.subnet.version), None)
        if other is not None:
            message = f"{block.subnet} is not of the address family of {other.subnet}, which is in the same set"
            path = block.path_of(block.keys.subnet)
            source.report("CNI326", path, message, hint="give each family a set of its own")
        known.setdefault(block.subnet.version, block)


class _Span(Protocol):
    """Addresses from a first to a last one."""

    @property
    def subnet(self) -> Subnet:
        """The subnet that they are of."""
        ...

    @property
    def bounds(self) -> tuple[int, int]:
        """The first and the last address, as numbers."""
        ...


SpanT = TypeVar("SpanT", bound=_Span)


def first_overlaps(
    spans: Sequence[SpanT], may_overlap: Callable[[SpanT, SpanT], bool] = lambda _one, _other: False
) -> list[tuple[SpanT, SpanT]]:
    """Return each span that overlaps an earlier one, with such a one; a sweep, so that many stay cheap.

    :param may_overlap: says of two whether they are left alone.
    """
    if len(spans) < 2:  # noqa: PLR2004 -- two can overlap
        return []
    sweep = _Sweep(spans, may_overlap)
    for index in sorted(range(len(spans)), key=lambda index: (spans[index].subnet.version, spans[index].bounds[0])):
        # One that ends before it starts is a finding of its own.
        if spans[index].bounds[0] <= spans[index].bounds[1]:
            sweep.add(index)
    return [(spans[later], spans[earlier]) for later, earlier in sorted(sweep.first.items())]


class _Sweep(Generic[SpanT]):
    """A sweep over spans by their starts: those that the last one may overlap, and the pairs that do."""

    def __init__(self, spans: Sequence[SpanT], may_overlap: Callable[[SpanT, SpanT], bool]) -> None:
        self.spans = spans
        self.may_overlap = may_overlap
        self.first: dict[int, int] = {}
        self._active: list[int] = []
        """Indices of the spans that have not ended, in their order."""
        self._ends: list[tuple[int, int]] = []
        self._free: set[int] = set()
        """Those of them that overlap no earlier one yet."""
        self._version = 0

    def add(self, index: int) -> None:
        """Take the next span."""
        span = self.spans[index]
        self._end_those_before(span)
        for other in self._active:
            if other > index:
                break
            if not self.may_overlap(self.spans[other], span):
                self.first[index] = other
                break
        for other in [one for one in self._free if one > index and not self.may_overlap(self.spans[one], span)]:
            self.first[other] = index
            self._free.discard(other)
        insort(self._active, index)
        heappush(self._ends, (span.bounds[1], index))
        if index not in self.first:
            self._free.add(index)

    def _end_those_before(self, span: SpanT) -> None:
        is_other_family = span.subnet.version != self._version
        self._version = span.subnet.version
        while self._ends and (is_other_family or self._ends[0][0] < span.bounds[0]):
            _, ended = heappop(self._ends)
            del self._active[bisect_left(self._active, ended)]
            self._free.discard(ended)
