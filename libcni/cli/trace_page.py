"""A trace as one page that needs nothing else: a timeline, and below it each call with request and answer.

No script: a bar of the timeline is a link to its call.
"""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libcni.cli.traced import TracedCall, TracedVerb

__all__ = ["page_text"]

_MEBIBYTE = 2**20
_LABEL_BEGINS = 75
"""Percent of the width: a bar that ends behind it has its label on its left, or inside if there is no room either."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #2a7ab8; --inner: #4a8332; --bad: #c33; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1100px; padding: 1rem; }
h1 { font-size: 1.35rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.row { display: grid; grid-template-columns: 11rem 1fr; gap: .75rem; align-items: center; padding: .2rem 0;
  border-bottom: 1px solid var(--line); text-decoration: none; color: inherit; }
.row.inner .name { padding-left: 1rem; }
.name { overflow-wrap: anywhere; } .lane { position: relative; height: 1.35rem; }
.bar { position: absolute; top: .2rem; height: .95rem; min-width: 3px; background: var(--bar); border-radius: 2px; }
.inner .bar { background: var(--inner); } .failed .bar { background: var(--bad); }
.time { position: absolute; top: .12rem; line-height: 1.1rem; font-size: .8rem; white-space: nowrap; }
.axis { display: flex; justify-content: space-between; font-size: .8rem; margin-left: 11.75rem; }
section { border: 1px solid var(--line); border-radius: 6px; margin: .75rem 0; padding: .5rem .9rem; }
section.inner { margin-left: 1.25rem; } section:target { outline: 2px solid var(--bar); }
section h3 { font-size: 1rem; margin: .25rem 0; } .bad { color: var(--bad); font-weight: 600; }
pre { overflow-x: auto; font-size: .82rem; margin: .4rem 0; padding: .5rem; background: #8881; border-radius: 4px; }
summary { cursor: pointer; }
@media (max-width: 600px) {
  .row { grid-template-columns: 1fr; gap: 0; } .axis { margin-left: 0; } section.inner { margin-left: .5rem; }
}
"""


class _Shown(NamedTuple):
    """A call with its anchor, and whether a plugin has made it."""

    call: TracedCall
    anchor: str
    is_inner: bool

    @property
    def classes(self) -> str:
        failed = " failed" if self.call.error else ""
        return f"{'inner' if self.is_inner else 'outer'}{failed}"


def page_text(traced: TracedVerb) -> str:
    """Return the page."""
    shown = list(_shown(traced.calls))
    title = f"{traced.command} {traced.network} {traced.rt.container_id}/{traced.rt.ifname}"
    ends = [each.call.started + each.call.duration for each in shown]
    span = max([traced.duration, *ends]) or 1.0
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        *_outcome(traced),
        *(_calls(shown, span) if shown else ()),
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _calls(shown: Sequence[_Shown], span: float) -> Iterator[str]:
    yield "<h2>Timeline</h2>"
    yield from (_row(each, span) for each in shown)
    yield _axis(span)
    yield "<h2>Plugin calls</h2>"
    yield from (_section(each) for each in shown)


def _shown(calls: Sequence[TracedCall], *, prefix: str = "call", is_inner: bool = False) -> Iterator[_Shown]:
    for number, call in enumerate(calls, 1):
        anchor = f"{prefix}-{number}"
        yield _Shown(call, anchor, is_inner)
        yield from _shown(call.calls, prefix=anchor, is_inner=True)


def _outcome(traced: TracedVerb) -> Iterator[str]:
    count = len(traced.calls)
    yield f"<p>{count} plugin call{'s' * (count != 1)} in {traced.duration * 1000:.1f} ms.</p>"
    if traced.error is not None:
        notes = "".join(f"<br>{escape(note)}" for note in getattr(traced.error, "__notes__", ()))
        yield f'<p class="bad">Failed: {escape(str(traced.error))}{notes}</p>'


def _row(each: _Shown, span: float) -> str:
    call = each.call
    left, width = 100 * call.started / span, 100 * call.duration / span
    label = _label_place(left, left + width)
    name = f"{escape(call.plugin)} {escape(call.verb)}"
    return (
        f'<a class="row {each.classes}" href="#{each.anchor}"><span class="name">{name}</span>'
        f'<span class="lane"><span class="bar" style="left:{left:.2f}%;width:{width:.2f}%"></span>'
        f'<span class="time" style="{label}">{call.duration * 1000:.1f} ms</span></span></a>'
    )


def _label_place(left: float, right: float) -> str:
    """Return the style of the time of a bar: behind it, before it, or where neither has room in it."""
    if right < _LABEL_BEGINS:
        return f"left:{right:.2f}%;margin-left:.4rem"
    if left > 100 - _LABEL_BEGINS:
        return f"right:{100 - left:.2f}%;margin-right:.4rem"
    return f"left:{left:.2f}%;margin-left:.4rem;color:#fff"


def _axis(span: float) -> str:
    marks = (f"<span>{span * 1000 * part:.1f} ms</span>" for part in (0, 0.5, 1))
    return f'<div class="axis">{"".join(marks)}</div>'


def _section(each: _Shown) -> str:
    call = each.call
    end = f"signal {call.signal}" if call.signal is not None else f"exit status {call.exit_status}"
    figures = [end, f"began at {call.started * 1000:.1f} ms", f"took {call.duration * 1000:.1f} ms"]
    if call.cpu_seconds is not None:
        figures.append(f"processor time {call.cpu_seconds * 1000:.1f} ms")
    if call.max_rss:
        figures.append(f"memory at most {call.max_rss / _MEBIBYTE:.1f} MiB")
    parts = [
        f'<section id="{each.anchor}" class="{each.classes}"><h3>{escape(call.plugin)} {escape(call.verb)}</h3>',
        f"<p>{', '.join(figures)}. <code>{escape(call.path)}</code></p>",
        *([f'<p class="bad">{escape(call.error)}</p>'] if call.error else []),
        _document("Request", call.request),
        _document("Answer", call.answer),
        "</section>",
    ]
    return "\n".join(parts)


def _document(title: str, value: object) -> str:
    if value is None:
        return f"<p>{title}: nothing.</p>"
    text = escape(json.dumps(value, indent=2, ensure_ascii=False))
    return f"<details open><summary>{title}</summary><pre>{text}</pre></details>"
