"""Names along a lane of a picture, in as many rows as keep them from covering each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from twistream_kit.notebook.plots.style import SMALL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE_POINTS = 400
"""The width of a lane, in points, at the least."""

OFFSET_POINTS = 3


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
        font = FontProperties(weight=label.weight)
        drawn = TextPath((0, 0), label.text, size=SMALL, prop=font).get_extents().width
        return float(drawn) + label.gap + 9
