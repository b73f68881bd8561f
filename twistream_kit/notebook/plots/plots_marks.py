"""The lane of the marks in the picture of a call: where each came back, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.lines import Line2D

from twistream_kit.notebook.plots.colours import CLEAR_COLOUR, MARK_COLOUR, QUIET_COLOUR
from twistream_kit.notebook.plots.label_rows import Label, LabelRows
from twistream_kit.notebook.plots.style import dress
from twistream_kit.notebook.plots.timeline import MarkEnd, Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 12
"""More marks than this are drawn without their names, which would cover each other."""

MOST_CHARACTERS = 24
"""Of a name; people put whole sentences into them."""

SIGNS = {
    "heard": ("o", MARK_COLOUR, MARK_COLOUR, "mark back: heard"),
    "cleared": ("X", CLEAR_COLOUR, CLEAR_COLOUR, "mark back: cleared"),
    "missing": ("s", "white", QUIET_COLOUR, "mark missing"),
}
"""For each ending a shape, the colours of its face and its edge, and what the legend says."""


def mark_rows(line: Timeline) -> LabelRows:
    """Return the names of the marks with their rows; none if there are too many."""
    labels = [
        Label(end.at, _shortened(end.name), colour=SIGNS[end.ending][2], gap=6)
        for end in sorted(line.mark_ends, key=lambda end: end.at)
    ]
    shown = labels if len(labels) <= MOST_LABELS else []
    return LabelRows(shown, line.begins, line.ends)


def draw_marks(axes: Axes, line: Timeline, rows: LabelRows) -> None:
    """Draw a sign for each mark, and its name where there is room."""
    ends: list[MarkEnd] = sorted(line.mark_ends, key=lambda end: end.at)
    heights = rows.rows or [0] * len(ends)
    for ending in SIGNS:
        places = [
            (end.at, row + 0.5)
            for end, row in zip(ends, heights, strict=True)
            if end.ending == ending
        ]
        if places:
            axes.add_line(_sign(ending, *zip(*places, strict=True)))
    rows.draw(axes)
    axes.set_ylim(0, max(rows.height, 1))
    dress(axes, x="", y="marks")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def mark_legend(line: Timeline) -> list[Line2D]:
    """Return what the signs mean, of those that are there."""
    present = {end.ending for end in line.mark_ends}
    legend = [_sign(ending, (), ()) for ending in SIGNS if ending in present]
    if line.marks:
        legend.insert(
            0,
            Line2D([], [], color=MARK_COLOUR, marker="v", markersize=4, ls="", label="mark sent"),
        )
    return legend


def _sign(ending: str, times: tuple[float, ...], heights: tuple[float, ...]) -> Line2D:
    marker, face, edge, label = SIGNS[ending]
    return Line2D(
        times,
        heights,
        linestyle="",
        marker=marker,
        markersize=5.5,
        markerfacecolor=face,
        markeredgecolor=edge,
        label=label,
        clip_on=False,
        zorder=3,
    )


def _shortened(name: str) -> str:
    plain = " ".join(name.split())
    return plain if len(plain) <= MOST_CHARACTERS else f"{plain[: MOST_CHARACTERS - 1]}…"
