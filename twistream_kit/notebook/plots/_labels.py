"""Labels in a lane of their own, in as many rows as they need in order not to overlap.

Labels that would need too many rows are counted: neighbours become one label, such as "5 marks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from twistream_kit.notebook.plots.style import SMALL, escape_math, measure_text, shorten_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE_POINTS = 400
"""The minimum width of a lane, in points."""

LABEL_POINTS = 150
"""The maximum width of a label: some users name their marks with whole sentences."""

OFFSET_POINTS = 3
"""The gap between a position and its label, in points, unless the label has its own."""

_JOINED_POINTS = (0, 6, 12, 24, 40, 60, 80)
"""The width in which labels are joined, tried in this order.

With the last one there are six labels at most, and one that ends near the right edge still finds
room at the left of its first mark."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label at a time, or one for several.

    Attributes:
        at: The time, in seconds; of several the last one.
        text: The text, clean.
        weight: The font weight, ``normal`` or ``bold``.
        colour: The colour of the text.
        gap: The gap between the position and the text, in points.
        begin: The time of the first one, if it stands for several.
    """

    at: float
    text: str
    weight: str = "normal"
    colour: str = "black"
    gap: int = OFFSET_POINTS
    begin: float | None = None

    @property
    def first(self) -> float:
        """The time of the first thing that it names."""
        return self.at if self.begin is None else self.begin


Join = Callable[[Sequence[Label]], str]
"""Writes one text for several labels."""


class LabelRows:
    """Labels in as many rows as they need in order not to overlap.

    Args:
        labels: From left to right.
        begins: The time at the left edge of the lane.
        ends: The time at its right edge.
        join: Writes one text for labels that are too many.
        most_rows: Labels that need more rows are joined with their neighbours.

    Attributes:
        rows: The row of each label that was given, counted from the bottom; joined ones share one.
    """

    def __init__(
        self, labels: Iterable[Label], begins: float, ends: float, join: Join, most_rows: int
    ) -> None:
        self._begins = begins
        self._scale = LANE_POINTS / max(ends - begins, 0.1)
        given = [replace(each, text=shorten_text(each.text, LABEL_POINTS)) for each in labels]
        self.labels: list[Label] = []
        self.rows: list[int] = []
        for points in _JOINED_POINTS:
            groups = self._group(given, points) if points else [[each] for each in given]
            self.labels = [_join_labels(group, join) for group in groups]
            placed = self._find_rows()
            self.rows = [
                row for row, group in zip(placed, groups, strict=True) for _ in range(len(group))
            ]
            self._placed = placed
            if self.height <= most_rows:
                break

    @property
    def height(self) -> int:
        """The number of rows."""
        return max(self.rows, default=-1) + 1

    def draw(self, axes: Axes) -> None:
        """Draw the labels; row 0 lies between 0 and 1 on the y axis."""
        for label, row in zip(self.labels, self._placed, strict=True):
            late = self._is_late(label)
            axes.annotate(
                escape_math(label.text),
                (label.first if late else label.at, row + 0.5),
                xytext=(-label.gap if late else label.gap, 0),
                textcoords="offset points",
                ha="right" if late else "left",
                va="center",
                fontsize=SMALL,
                fontweight=label.weight,
                color=label.colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )

    def _group(self, labels: Sequence[Label], points: float) -> list[list[Label]]:
        """Join all labels that lie within `points` of the first of them."""
        groups: list[list[Label]] = []
        for label in labels:
            if groups and (label.at - groups[-1][0].at) * self._scale <= points:
                groups[-1].append(label)
            else:
                groups.append([label])
        return groups

    def _find_rows(self) -> list[int]:
        # From the last to the first: the stem of an earlier label then passes left of a later one.
        taken: list[list[tuple[float, float]]] = []
        rows = []
        for label in reversed(self.labels):
            begin, end = self._measure(label)
            row = next(
                (n for n, row in enumerate(taken) if all(b >= end or e <= begin for b, e in row)),
                len(taken),
            )
            taken[row:] = taken[row:] or [[]]
            taken[row].append((begin, end))
            rows.append(row)
        return rows[::-1]

    def _measure(self, label: Label) -> tuple[float, float]:
        """Return where a label begins and ends, in points from the left edge of the lane."""
        width = self._measure_width(label)
        first, last = self._to_points(label.first), self._to_points(label.at)
        return (first - width, last + 6) if self._is_late(label) else (first - 6, last + width)

    def _is_late(self, label: Label) -> bool:
        """Whether the label must be drawn left of its position, to stay in the picture."""
        return self._to_points(label.at) + self._measure_width(label) > LANE_POINTS

    def _to_points(self, at: float) -> float:
        return (at - self._begins) * self._scale

    def _measure_width(self, label: Label) -> float:
        return measure_text(label.text, weight=label.weight) + label.gap + 9


def _join_labels(group: Sequence[Label], join: Join) -> Label:
    if len(group) == 1:
        return group[0]
    colours, weights = {each.colour for each in group}, {each.weight for each in group}
    return Label(
        group[-1].at,
        shorten_text(join(group), LABEL_POINTS),
        "bold" if "bold" in weights else "normal",
        colours.pop() if len(colours) == 1 else "black",
        group[0].gap,
        begin=group[0].at,
    )
