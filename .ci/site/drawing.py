"""Draw a flowchart of layers as SVG, since Mermaid would be a script from elsewhere."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import quote, unquote

_CHART = re.compile(r"^```mermaid\nflowchart TD\n(.*?)^```$", re.DOTALL | re.MULTILINE)

WIDTH, HEIGHT, GAP, RISE = 110, 30, 24, 34


_PLACE = re.compile(r'<div class="layers" data-chart="([^"]*)">\s*</div>')


def leave_places(text: str) -> str:
    """Return a page's text with a place for each chart, whose drawing Markdown would not keep."""
    return _CHART.sub(
        lambda chart: f'<div class="layers" data-chart="{quote(chart[1])}"></div>\n', text
    )


def draw_charts(page: str) -> str:
    """Return a page's HTML with the charts in their places."""
    return _PLACE.sub(lambda place: draw_layers(unquote(place[1])), page)


def draw_layers(chart: str) -> str:
    """Draw lines such as ``a --> b & c``, each node one row below the lowest that leads to it."""
    arrows = []
    for line in filter(None, map(str.strip, chart.splitlines())):
        sources, targets = line.split("-->")
        arrows += [(a.strip(), b.strip()) for a in sources.split("&") for b in targets.split("&")]
    rows: dict[str, int] = {}
    for _ in arrows:  # enough rounds for the longest way
        for source, target in arrows:
            rows[target] = max(rows.get(target, 0), rows.setdefault(source, 0) + 1)
    by_row: dict[int, list[str]] = {}
    for name, row in rows.items():
        by_row.setdefault(row, []).append(name)
    most = max(map(len, by_row.values()))
    width = most * (WIDTH + GAP)
    height = (max(by_row) + 1) * (HEIGHT + RISE) - RISE + 4
    middles = {
        name: (width * (at + 0.5) / len(names), row * (HEIGHT + RISE) + 2)
        for row, names in by_row.items()
        for at, name in enumerate(names)
    }
    lines = [
        f'<path d="M{middles[a][0]:g} {middles[a][1] + HEIGHT:g}L{middles[b][0]:g} '
        f'{middles[b][1] - 7:g}" marker-end="url(#arrow)"/>'
        for a, b in arrows
    ]
    boxes = [
        f'<rect x="{x - WIDTH / 2:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="4"/>'
        f'<text x="{x:g}" y="{y + 20:g}">{escape(name)}</text>'
        for name, (x, y) in middles.items()
    ]
    said = escape("; ".join(f"{a} to {b}" for a, b in arrows), quote=True)
    return (
        f'<svg class="layers" role="img" aria-label="Arrows: {said}" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px">'
        '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="1" refY="4" '
        'orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )
