"""The scope as a still picture, for pages on which no kernel runs."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.notebook.plots.colours import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.widgets.scope_trace import COLUMN_SECONDS

_WIDTH, _LANE = 640, 70
_CORNERS = 160
"""The still picture has fewer columns: its text stays in the notebook's file."""


def scope_picture(picture: Mapping[str, Any], story: str) -> str:
    """Return a small picture of both lanes as HTML.

    Args:
        picture: As `LiveScope.picture` holds it.
        story: What there is to see, in words.
    """
    lanes = "".join(
        _lane(np.frombuffer(picture[name], np.int8).reshape(-1, 2), number, colour, title)
        for number, (name, colour, title) in enumerate(
            [
                ("caller", CALLER_COLOUR, "the caller says"),
                ("heard", YOUR_COLOUR, "the caller hears"),
            ]
        )
    )
    lines = "".join(_line(picture, *event) for event in picture["events"])
    note = "A still picture; run the notebook and it moves."
    height = 2 * _LANE
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{escape(story)}" '
        f'viewBox="0 0 {_WIDTH} {height}" style="width:100%;max-width:{_WIDTH}px" '
        f'font-family="sans-serif" font-size="11">{lanes}{lines}</svg>'
        f"<figcaption>{escape(story)}. {note}</figcaption></figure>"
    )


def _lane(lane: NDArray[np.int8], number: int, colour: str, title: str) -> str:
    middle = number * _LANE + _LANE / 2
    axis = f'<path d="M0 {middle}H{_WIDTH}" stroke="{QUIET_COLOUR}" stroke-width="0.5"/>'
    text = f'<text x="4" y="{number * _LANE + 12}" fill="currentColor">{title}</text>'
    if not lane.any():
        return axis + text
    groups = np.array_split(lane, _CORNERS)
    step = _WIDTH / len(groups)
    high = [f"{n * step:.0f} {middle - group.max() * 0.25:.1f}" for n, group in enumerate(groups)]
    low = [f"{n * step:.0f} {middle - group.min() * 0.25:.1f}" for n, group in enumerate(groups)]
    shape = "L".join([*high, *reversed(low)])
    return f'{axis}<path d="M{shape}Z" fill="{colour}" stroke="{colour}"/>{text}'


def _line(picture: Mapping[str, Any], at: float, kind: str, name: str) -> str:
    columns = len(picture["caller"]) // 2
    x = (at / COLUMN_SECONDS - picture["first"]) / columns * _WIDTH
    colour = {"clear": CLEAR_COLOUR, "key": CALLER_COLOUR}.get(kind, MARK_COLOUR)
    dashes = ' stroke-dasharray="4 3"' if kind == "clear" else ""
    title = escape(f"{kind} {name}".strip())
    return (
        f'<path d="M{x:.0f} 0V{2 * _LANE}" stroke="{colour}"{dashes}><title>{title}</title></path>'
    )
