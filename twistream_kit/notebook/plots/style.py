"""The style of all figures of this package: size, font, colours, drawn sound, labels in rows.

Matplotlib's `Figure` objects are made directly and never through pyplot: pyplot keeps a reference
to every figure that it makes and is not safe in a thread or a callback.

The colours of a call are the same in every figure, one for each party: blue and vermilion of Okabe
and Ito's palette, which people with any of the common forms of colour blindness can distinguish; on
white both reach a contrast of 3.7 or more.  Colour alone never carries information: every lane and
every line has its name as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from twistream_kit.errors import WrongType, escape_controls

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

CALLER_COLOUR = "#0072B2"
"""Inbound: what the caller says (blue)."""

YOUR_COLOUR = "#D55E00"
"""Outbound: what your server says (vermilion)."""

QUIET_COLOUR = "#6B6B6B"
"""Everything that belongs to neither party: grids, curves, notes (grey)."""

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
"""The minimum width of a lane, in points."""

OFFSET_POINTS = 3
"""The gap between a position and its label, in points, unless the label has its own."""

T = TypeVar("T")


def make_figure(title: str, *, height: float = HEIGHT) -> Figure:
    """Return an empty figure of the common width, with its `title` at the left.

    Args:
        title: One sentence that says what the figure shows.
        height: In inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, height), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(escape_text(title), x=0.01, ha="left", fontsize=10)
    return figure


def escape_text(text: str) -> str:
    """Return a text from outside, such as a file's name, so that matplotlib draws it as it is.

    Between two dollar signs it would read formulas, and no font has lone surrogates.
    """
    return escape_controls(text).replace("$", r"\$")


def label_axes(axes: Axes, *, x: str, y: str) -> None:
    """Set the labels of `axes`, which name the units, and the common style."""
    axes.set_xlabel(x, fontsize=SMALL)
    axes.set_ylabel(y, fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def expect(value: object, kind: type[T], sentence: str) -> T:
    """Return `value` if it is a `kind`.

    Raises:
        TypeError: Otherwise; its message is `sentence`, which names the expected type and how to
            make one, and the type of `value`.
    """
    if isinstance(value, kind):
        return value
    message = f"{sentence} This is a {type(value).__name__}."
    raise WrongType(message)


def draw_sound(
    axes: Axes,
    samples: NDArray[Any],
    *,
    sample_rate: int = 8000,
    begin: float = 0.0,
    colour: str = YOUR_COLOUR,
) -> None:
    """Draw sound over time: as a line if single samples are visible, else as an envelope.

    Args:
        axes: The axes to draw on; the x axis is in seconds.
        samples: Shape ``(n,)``, any numeric dtype.
        sample_rate: In Hz.
        begin: The time of the first sample, in seconds.
        colour: The colour of the party whose sound it is.
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
    """Reduce sound to one minimum and one maximum for each column of a picture.

    Args:
        samples: Shape ``(n,)``, n > 0.
        columns: The number of pieces, at most n.

    Returns:
        The index of the first sample, the minimum and the maximum of each piece.
    """
    edges = np.linspace(0, len(samples), min(columns, len(samples)) + 1).astype(np.intp)[:-1]
    return edges, np.minimum.reduceat(samples, edges), np.maximum.reduceat(samples, edges)


class LabelRows:
    """Labels in as many rows as they need in order not to overlap.

    Args:
        labels: From left to right.
        begins: The time at the left edge of the lane.
        ends: The time at its right edge.

    Attributes:
        rows: The row of each label, counted from the bottom.
    """

    def __init__(self, labels: Sequence[Label], begins: float, ends: float) -> None:
        self.labels = labels
        self._begins = begins
        self._scale = LANE_POINTS / max(ends - begins, 0.1)
        self.rows = self._find_rows()

    @property
    def height(self) -> int:
        """The number of rows."""
        return max(self.rows, default=-1) + 1

    def draw(self, axes: Axes) -> None:
        """Draw the labels; row 0 lies between 0 and 1 on the y axis."""
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
        # From the last to the first: the stem of an earlier label then passes left of a later one.
        taken: list[list[tuple[float, float]]] = []
        rows = []
        for label in reversed(self.labels):
            at, width = self._to_points(label), self._measure_width(label)
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
        """Whether the label must be drawn left of its position, to stay in the picture."""
        return self._to_points(label) + self._measure_width(label) > LANE_POINTS

    def _to_points(self, label: Label) -> float:
        return (label.at - self._begins) * self._scale

    def _measure_width(self, label: Label) -> float:
        from matplotlib.font_manager import FontProperties
        from matplotlib.textpath import TextPath

        font = FontProperties(weight=label.weight)
        drawn = TextPath((0, 0), label.text, size=SMALL, prop=font).get_extents().width
        return float(drawn) + label.gap + 9


@dataclass(frozen=True, slots=True)
class Label:
    """A label at a time.

    Attributes:
        at: The time, in seconds.
        text: The text that is drawn; see `escape_text`.
        weight: The font weight, ``normal`` or ``bold``.
        colour: The colour of the text.
        gap: The gap between the position and the text, in points.
    """

    at: float
    text: str
    weight: str = "normal"
    colour: str = "black"
    gap: int = OFFSET_POINTS
