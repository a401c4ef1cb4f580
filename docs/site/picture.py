"""Pictures of real runs: `cnitool trace … --output json | python -m docs.site.picture > add.svg`.

Time runs downwards; each line is a plugin, each arrow a call or its answer.
"""

from __future__ import annotations

import json
import sys
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "libcni"
WIDTH, MARGIN, TOP, STEP = 424, 82, 70, 46
"""Units of the drawing: narrow enough to be read on a telephone."""

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #222; } .name { font-weight: 600; text-anchor: middle; }
.time { font-size: 12px; fill: #555; text-anchor: end; }
.what { font-size: 12px; text-anchor: middle; paint-order: stroke; stroke: #fff; stroke-width: 4px; }
.line { stroke: #bbb; } .bar { fill: #2a7ab8; } .inner { fill: #6aa84f; }
.call, .answer { stroke: #222; fill: none; marker-end: url(#head); } .answer { stroke-dasharray: 4 3; }
"""


class Arrow(NamedTuple):
    """A call, or its answer: when, in seconds, from whom to whom, and what goes."""

    time: float
    source: str
    target: str
    what: str
    is_answer: bool


def arrows(calls: list[dict[str, Any]], caller: str = LIBRARY) -> Iterator[Arrow]:
    """Go through the arrows of calls and of those inside them."""
    for call in calls:
        plugin = call["plugin"]
        yield Arrow(call["started"], caller, plugin, request_text(call), is_answer=False)
        yield from arrows(call["calls"], plugin)
        yield Arrow(call["started"] + call["duration"], plugin, caller, answer_text(call), is_answer=True)


def request_text(call: dict[str, Any]) -> str:
    has_result = "prevResult" in (call["request"] or {})
    return f"{call['command']} + prevResult" if has_result else str(call["command"])


def answer_text(call: dict[str, Any]) -> str:
    if call["error"]:
        return "error"
    addresses = [each["address"] for each in (call["answer"] or {}).get("ips", ())]
    return ", ".join(addresses) or "done"


def picture(trace: dict[str, Any]) -> str:
    """Return the drawing of a trace.

    :param trace: the document of ``cnitool trace``.
    """
    found = sorted(arrows(trace["calls"]), key=lambda arrow: arrow.time)
    actors = list(dict.fromkeys([LIBRARY, *[arrow.target for arrow in found]]))
    gap = (WIDTH - MARGIN - 42) / max(len(actors) - 1, 1)
    places = {actor: MARGIN + round(gap * number) for number, actor in enumerate(actors)}
    height = TOP + STEP * len(found) + 20
    title = f"{trace['command']} of network {trace['network']}: {trace['duration'] * 1000:.1f} ms"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        '<marker id="head" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">',
        '<path d="M1,1 L8,4 L1,7" fill="none" stroke="#222"/></marker>',
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#fff"/>',
        f'<text x="12" y="22">{escape(title)}</text>',
        *[lane(actor, place, height) for actor, place in places.items()],
        *bars(found, places),
        *[drawn(arrow, places, TOP + STEP * (number + 0.5)) for number, arrow in enumerate(found)],
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def lane(actor: str, place: int, height: int) -> str:
    line = f'<line class="line" x1="{place}" y1="56" x2="{place}" y2="{height - 12}"/>'
    return f'{line}<text class="name" x="{place}" y="48">{escape(actor)}</text>'


def bars(found: list[Arrow], places: dict[str, int]) -> Iterator[str]:
    """Go through the bars that show from when to when each plugin runs."""
    for number, arrow in enumerate(found):
        if arrow.is_answer:
            continue
        back = (arrow.target, arrow.source, True)
        end = next(
            i for i, other in enumerate(found[number:], number) if (other.source, other.target, other.is_answer) == back
        )
        kind = "bar" if arrow.source == LIBRARY else "inner"
        top = TOP + STEP * (number + 0.5)
        left, height = places[arrow.target] - 4, STEP * (end - number)
        yield f'<rect class="{kind}" x="{left}" y="{top}" width="8" height="{height}"/>'


def drawn(arrow: Arrow, places: dict[str, int], y: float) -> str:
    start, end = places[arrow.source], places[arrow.target]
    side = 5 if end > start else -5
    kind = "answer" if arrow.is_answer else "call"
    return (
        f'<text class="time" x="{MARGIN - 22}" y="{y + 4}">{arrow.time * 1000:.1f} ms</text>'
        f'<line class="{kind}" x1="{start + side}" y1="{y}" x2="{end - side}" y2="{y}"/>'
        f'<text class="what" x="{(start + end) / 2}" y="{y - 6}">{escape(arrow.what)}</text>'
    )


if __name__ == "__main__":
    sys.stdout.write(picture(json.load(sys.stdin)))
