"""The lane of what waits at Twilio in the picture of a call."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from twistream_kit.notebook.plots.colours import QUIET_COLOUR, YOUR_COLOUR
from twistream_kit.notebook.plots.style import SMALL, dress
from twistream_kit.notebook.plots.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SHOWN_DEAF_SECONDS = 0.3
"""A caller who has to wait no longer than this does not notice."""

_COLUMNS = 1000
"""What waits at Twilio is drawn as at most so many pairs of the least and the most."""

_DEAF: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": QUIET_COLOUR,
    "alpha": 0.5,
    "hatch": "////",
    "linewidth": 0,
}
_UNDERRUN: dict[str, Any] = {
    "color": "black",
    "marker": "^",
    "markersize": 4,
    "linestyle": "",
}


def draw_buffer(axes: Axes, line: Timeline) -> None:
    """Draw how much waited, when it ran out, and how long the caller was in vain."""
    times, seconds = _thinned(np.array(line.buffered or [(0.0, 0.0)])).T
    axes.fill_between(times, seconds, color=YOUR_COLOUR, alpha=0.35, linewidth=0)
    axes.plot(times, seconds, color=YOUR_COLOUR, linewidth=0.8)
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for a word
    if line.underruns:
        places = [gap.at for gap in line.underruns]
        axes.plot(places, [0.0] * len(places), clip_on=False, zorder=3, **_UNDERRUN)
    if line.deaf is not None and _is_deaf(line):
        begin, end = line.deaf
        cleared = next((at for at in line.clears if begin < at < end), None)
        axes.axvspan(begin, min(end, line.ends) if cleared is None else cleared, **_DEAF)
        but = "" if cleared is None else ", but for the clear"
        write(axes, begin, f"deaf for {end - begin:.1f} s{but}", "black", 0.98, line)
    dress(axes, x="", y="waits at\nTwilio (s)")


def _is_deaf(line: Timeline) -> bool:
    return line.deaf is not None and line.deaf[1] - line.deaf[0] >= SHOWN_DEAF_SECONDS


def _thinned(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of a line; of very many the first, least, most and last in each column."""
    if len(corners) <= 4 * _COLUMNS:
        return corners
    times, values = corners.T
    columns = ((times - times[0]) / (times[-1] - times[0]) * _COLUMNS).astype(np.intp)
    edges = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(times)]
    kept = set()
    for first, end in pairwise(edges):
        inside = values[first:end]
        kept |= {first, first + int(inside.argmin()), first + int(inside.argmax()), end - 1}
    thinned: NDArray[np.float64] = corners[sorted(kept)]
    return thinned


def buffer_legend(line: Timeline) -> list[Line2D | Patch]:
    """Return what the signs mean, of those that are there."""
    legend: list[Line2D | Patch] = []
    if _is_deaf(line):
        legend.append(Patch(**_DEAF, label="deaf window"))
    if line.underruns:
        legend.append(Line2D([], [], **_UNDERRUN, label="underrun"))
    return legend


def write(axes: Axes, at: float, text: str, colour: str, height: float, line: Timeline) -> None:
    """Write beside a line at `at`, on the side where there is room."""
    late = at > 0.75 * line.seconds
    axes.annotate(
        text,
        (at, height),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if late else 3, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        fontsize=SMALL,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )
