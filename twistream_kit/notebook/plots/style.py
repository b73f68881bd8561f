"""What all pictures of this package share: their size, their type and how sound is drawn.

Matplotlib's `Figure` objects are made directly and never through pyplot, which keeps every figure
it makes for ever and is not safe in a thread or a callback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from matplotlib.figure import Figure

from twistream_kit.notebook.plots.colours import QUIET_COLOUR, YOUR_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

T = TypeVar("T")

WIDTH, HEIGHT = 7.0, 2.5
"""The size of a figure with one panel, in inches."""

COLUMNS = 1200
"""Sound longer than twice this many samples is drawn as that many pairs of minimum and maximum."""

SMALL = 8
"""The size of ticks, labels and notes, in points."""


def blank(title: str, *, height: float = HEIGHT) -> Figure:
    """Return an empty figure of the house's width with its `title` at the left.

    Args:
        title: What there is to see, in one sentence.
        height: In inches.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=110, layout="constrained", facecolor="white")
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


def dress(axes: Axes, *, x: str, y: str) -> None:
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


def envelope(
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
    edges, low, high = envelope(samples)
    times = begin + edges / sample_rate
    axes.fill_between(times, low, high, color=colour, linewidth=0.6)
