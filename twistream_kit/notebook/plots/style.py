"""What all pictures of this package share: size, type, colours, how sound is drawn, labels in rows.

Matplotlib's `Figure` objects are made directly and never through pyplot, which keeps every figure
it makes for ever and is not safe in a thread or a callback.

The colours of a call are the same in every picture, one for each party: blue and vermilion of Okabe
and Ito's palette, which people with any of the common forms of colour blindness tell apart; on
white both reach a contrast of 3.7 or more.  Nothing is said by colour alone: every lane and every
line carries its name as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CALLER_COLOUR = "#0072B2"
"""Inbound: what the caller says (blue)."""

YOUR_COLOUR = "#D55E00"
"""Outbound: what your server says (vermilion)."""

QUIET_COLOUR = "#6B6B6B"
"""What belongs to neither: grids, curves, notes (grey)."""

MARK_COLOUR = "#007A5A"
"""A mark (green, darkened for text)."""

CLEAR_COLOUR = "#A02C6D"
"""A clear (purple, darkened for text)."""

WIDTH, HEIGHT = 7.0, 2.5
"""The size of a figure with one panel, in inches."""

SMALL = 8
"""The size of ticks, labels and notes, in points."""

COLUMNS = 1200
"""Sound longer than twice this many samples is drawn as that many pairs of minimum and maximum."""

LANE_POINTS = 400
"""The width of a lane, in points, at the least."""

OFFSET_POINTS = 3
"""The gap between a place and its name, in points, unless a label has its own."""

T = TypeVar("T")


def make_figure(title: str, *, height: float = HEIGHT) -> Figure:
    """Return an empty figure of the house's width with its `title` at the left.

    Args:
        title: What there is to see, in one sentence.
        height: In inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def label_axes(axes: Axes, *, x: str, y: str) -> None:
    """Give `axes` their labels, which name the units, and the look of the house."""
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def expect(value: object, kind: type[T], sentence: str) -> T:
    """Return `value` if it is a `kind`.

    Raises:
        TypeError: With `sentence`, which says what is taken and how to make one.
    """
    if isinstance(value, kind):
        return value
    message = f"{sentence} This is a {type(value).__name__}."
    raise TypeError(message)


def draw_sound(
    axes: Axes,
    samples: NDArray[Any],
    *,
    sample_rate: int = 8000,
    begin: float = 0.0,
    colour: str = YOUR_COLOUR,
) -> None:
    """Draw sound over time: as a line where single samples show, else as an envelope.

    Args:
        axes: Where; its x axis is in seconds.
        samples: Shape ``(n,)``, any numeric dtype.
        sample_rate: In Hz.
        begin: The time of the first sample, in seconds.
        colour: Whose sound it is.
    """
    axes.axhline(0, color=QUIET_COLOUR, linewidth=0.5, zorder=0)
    if len(samples) <= 2 * COLUMNS:
        times = begin + np.arange(len(samples)) / sample_rate
        axes.plot(times, samples, color=colour, linewidth=0.8)
        return
    edges, low, high = reduce_sound(samples)
    times = begin + edges / sample_rate
    axes.fill_between(times, low, high, color=colour, linewidth=0.6)


def reduce_sound(
    samples: NDArray[Any], columns: int = COLUMNS
) -> tuple[NDArray[np.intp], NDArray[Any], NDArray[Any]]:
    """Reduce sound to what a picture can show.

    Args:
        samples: Shape ``(n,)``, n > 0.
        columns: The number of pieces, at most n.

    Returns:
        For each piece the index of its first sample, its minimum and its maximum.
    """
    edges = np.linspace(0, len(samples), min(columns, len(samples)) + 1).astype(np.intp)[:-1]
    return edges, np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)


class LabelRows:
    """Labels with a row for each.

    Args:
        labels: From left to right.
        begins: The time at the left edge of the lane.
        ends: The time at its right edge.

    Attributes:
        rows: The row of each label, from below.
    """

    def __init__(self, labels: Sequence[Label], begins: float, ends: float) -> None:
        self.labels = labels
        self._begins = begins
        self._scale = LANE_POINTS / max(ends - begins, 0.1)
        self.rows = self._find_rows()

    @property
    def height(self) -> int:
        """How many rows there are."""
        return max(self.rows, default=-1) + 1

    def draw(self, axes: Axes) -> None:
        """Write the labels; row 0 lies between 0 and 1."""
        for label, row in zip(self.labels, self.rows, strict=True):
            late = self._is_late(label)
            axes.annotate(
                label.text,
                (label.at, row + 0.5),
                xytext=(-label.gap if late else label.gap, 0),
                textcoords="offset points",
                ha="right" if late else "left",
                va="center",
                fontsize=SMALL,
                fontweight=label.weight,
                color=label.colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )

    def _find_rows(self) -> list[int]:
        # From the last to the first: the stem of an earlier one then passes left of a later name.
        taken: list[list[tuple[float, float]]] = []
        rows = []
        for label in reversed(self.labels):
            at, width = self._points(label), self._width(label)
            begin, end = (at - width, at + 6) if self._is_late(label) else (at - 6, at + width)
            row = next(
                (n for n, row in enumerate(taken) if all(b >= end or e <= begin for b, e in row)),
                len(taken),
            )
            taken[row:] = taken[row:] or [[]]
            taken[row].append((begin, end))
            rows.append(row)
        return rows[::-1]

    def _is_late(self, label: Label) -> bool:
        """Whether the name has to stand left of its place, to stay in the picture."""
        return self._points(label) + self._width(label) > LANE_POINTS

    def _points(self, label: Label) -> float:
        return (label.at - self._begins) * self._scale

    def _width(self, label: Label) -> float:
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath

        font = FontProperties(weight=label.weight)
        drawn = TextPath((0, 0), label.text, size=SMALL, prop=font).get_extents().width
        return float(drawn) + label.gap + 9


@dataclass(frozen=True, slots=True)
class Label:
    """A name and its place.

    Attributes:
        at: In seconds.
        text: What is written.
        weight: ``normal`` or ``bold``.
        colour: Of the text.
        gap: Between the place and the text, in points.
    """

    at: float
    text: str
    weight: str = "normal"
    colour: str = "black"
    gap: int = OFFSET_POINTS
