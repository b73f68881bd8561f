"""A figure of many calls at once: how long each waited, and how many were under way."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from matplotlib.ticker import LogLocator, NullFormatter

from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    add_legend,
    apply_house_style,
    expect,
    label_axes,
    make_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    "first_sound_ms": YOUR_COLOUR,
    "response_ms": MARK_COLOUR,
    "barge_in_ms": CLEAR_COLOUR,
    "gap_ms": QUIET_COLOUR,
}

_NAMES = {
    "first_sound_ms": "first sound",
    "response_ms": "response",
    "barge_in_ms": "barge-in",
    "gap_ms": "gap",
}

_FAILED, _UNDER_WAY, _LIMIT = "call failed", "calls under way", "limit"

_LEGEND = (*_NAMES.values(), _LIMIT, _UNDER_WAY, _FAILED)
"""The order of the legend."""


@apply_house_style
def plot_load(report: LoadReport) -> Figure:
    """Draw what many calls at once have shown.

    Above is the share of the values that were at most so long, for each kind of time, from 0 to
    100 %, over a logarithmic axis; a dashed line is its limit.  A curve that ends below 100 % had
    values that never came.  Below is how many calls were under way at each time, with a point for
    the first sound of each call, and a cross for each that failed.

    Args:
        report: The report of `simulate_calls`.

    Raises:
        TypeError: If `report` is something else.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_calls(server.url, 3, seconds=2, ramp_seconds=0.2).result(20)
        >>> kit.plot_load(report).get_suptitle()
        '3 calls at once, none failed...'
    """
    report = expect(report, LoadReport, "plot_load draws the report of kit.simulate_calls(…).")
    figure = make_figure(_write_title(report), height=4.4)
    panels: Any = figure.subplot_mosaic([["times"], ["calls"]], height_ratios=[1.3, 1])
    axes: dict[str, Axes] = panels
    _draw_times(axes["times"], report)
    _draw_calls(axes["calls"], report)
    add_legend(figure, _LEGEND)
    return figure


def _write_title(report: LoadReport) -> str:
    failed = f"{report.failed} failed" if report.failed else "none failed"
    parts = [f"{len(report.calls)} calls at once", failed]
    if len(report.first_sound_ms):
        what, value = report.first_sound_ms.checked
        said = "95 % within" if what == "p95" else "at most"
        parts.append(f"first sound {said} {value:.0f} ms")
    if not report.valid:
        parts.append("INVALID RUN")
    if report.is_interrupted:
        parts.append("interrupted")
    return ", ".join(parts)


def _draw_times(axes: Axes, report: LoadReport) -> None:
    for figure in report.figures:
        n, seen = len(figure), 0
        if not n:
            continue
        places, shares = [], [0.0]
        for _, end, times in figure.histogram.list_bins():
            seen += times
            places.append(min(max(end, 1.0), max(figure.histogram.longest, 1.0)))
            shares.append(100 * seen / n)
        axes.step(
            [places[0], *places], shares, where="post", color=_COLOURS[figure.name],
            label=_NAMES[figure.name],
        )  # fmt: skip
        if math.isfinite(limit := report.limits.get(figure.name, math.inf)):
            axes.axvline(
                max(limit, 1.0), color=_COLOURS[figure.name], linestyle="--", linewidth=1,
                label=_LIMIT,
            )  # fmt: skip
    axes.set_xscale("log")
    least, most = axes.get_xlim()
    axes.set_xlim(least / 1.3, most * 1.3)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 103)
    label_axes(axes, x="time (ms)", y="share of values\nup to it (%)")


def _draw_calls(axes: Axes, report: LoadReport) -> None:
    edges = sorted(
        [(call.begins, 1) for call in report.calls] + [(call.ends, -1) for call in report.calls]
    )
    under_way, times, counts = 0, [0.0], [0]
    for at, change in edges:
        under_way += change
        times.append(at)
        counts.append(under_way)
    axes.step(times, counts, where="post", color=CALLER_COLOUR, label=_UNDER_WAY)
    failed = [call for call in report.calls if not call.ok]
    if failed:
        axes.plot(
            [call.begins for call in failed], [0] * len(failed), "x", color=YOUR_COLOUR,
            label=_FAILED, clip_on=False, zorder=4,
        )  # fmt: skip
    axes.set_xlim(0, max(report.seconds, 0.1))
    axes.set_ylim(0, max([1, *counts]) * 1.08)
    label_axes(axes, x="time since the run began (s)", y="calls")
    heard = [call for call in report.calls if call.first_sound_ms is not None]
    if heard:
        beside: Any = axes.twinx()
        beside.plot(
            [call.begins for call in heard], [call.first_sound_ms for call in heard], ".",
            color=_COLOURS["first_sound_ms"], markersize=4, label=_NAMES["first_sound_ms"],
        )  # fmt: skip
        beside.set_ylim(0, 1.08 * max(1.0, report.first_sound_ms.max))
        beside.set_ylabel("first sound (ms)", fontsize=SMALL)
        beside.tick_params(labelsize=SMALL)
