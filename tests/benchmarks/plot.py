"""Draws lines into an SVG file, without anything to install."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 48, 56
COLORS = ("#b3541e", "#1f6feb", "#2d8a4e", "#6e7781", "#8250df")

Points: TypeAlias = list[tuple[float, float]]


def draw(path: Path, title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> None:
    """Write a plot of named lines."""
    top = max(y for points in lines.values() for _, y in points) * 1.08
    right = max(x for points in lines.values() for x, _ in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / right * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    step = _step(top)
    for number in range(int(top / step) + 1):
        x, y = place(0, number * step)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{number * step:g}</text>')
    for x_value in sorted({x for points in lines.values() for x, _ in points}):
        x, y = place(x_value, 0)
        parts.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{x_value:g}</text>')
    parts.append(f'<text x="{(WIDTH + LEFT) / 2:.1f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text x="16" y="{TOP - 8}">{escape(y_label)}</text>')
    for index, (name, points) in enumerate(lines.items()):
        color = COLORS[index % len(COLORS)]
        placed = [place(x, y) for x, y in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in placed]
        parts.append(f'<text x="{LEFT + 12}" y="{TOP + 16 + index * 18}" fill="{color}">{escape(name)}</text>')
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _step(top: float) -> float:
    rough = top / 6
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
