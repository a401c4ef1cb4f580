"""Which of many ranges overlap: a sweep that agrees with a comparison of each with each."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from hypothesis import given
from hypothesis import strategies as st

from libcni.lint.ranges import first_overlaps

FOUR, SIX = IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/64")


@dataclass(frozen=True, slots=True)
class _Span:
    subnet: IPv4Network | IPv6Network
    bounds: tuple[int, int]
    network: int


def _are_left_alone(one: _Span, other: _Span) -> bool:
    return one.network == other.network


def _overlap(one: _Span, other: _Span) -> bool:
    if one.subnet.version != other.subnet.version or _are_left_alone(one, other):
        return False
    has_addresses = all(span.bounds[0] <= span.bounds[1] for span in (one, other))
    return has_addresses and one.bounds[0] <= other.bounds[1] and other.bounds[0] <= one.bounds[1]


SPANS = st.builds(
    _Span, st.sampled_from([FOUR, SIX]), st.tuples(st.integers(0, 12), st.integers(0, 12)), st.integers(0, 3)
)


@given(st.lists(SPANS, max_size=9))
def test_each_range_that_overlaps_an_earlier_one_is_found_with_such_a_one(spans: list[_Span]) -> None:
    spans = [_Span(span.subnet, span.bounds, span.network) for span in spans]
    found = [
        (_index(spans, later), _index(spans, earlier)) for later, earlier in first_overlaps(spans, _are_left_alone)
    ]
    expected = [later for later in range(len(spans)) if any(_overlap(spans[later], other) for other in spans[:later])]
    assert [later for later, _ in found] == expected
    assert all(earlier < later and _overlap(spans[earlier], spans[later]) for later, earlier in found)


def _index(spans: list[_Span], span: _Span) -> int:
    return next(index for index, one in enumerate(spans) if one is span)


def test_thousands_of_the_same_range_are_compared_in_seconds() -> None:
    spans = [_Span(FOUR, (0, 255), index) for index in range(5000)]
    start = time.process_time()
    found = first_overlaps(spans, _are_left_alone)
    assert [later for later, _ in found] == spans[1:]
    assert time.process_time() - start < 5
