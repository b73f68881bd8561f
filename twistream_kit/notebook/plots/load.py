"""A figure of many calls at once: how long each waited, and how many were under way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.diagnosis.load_figure import TIMES, say_plainly
from twistream_kit.diagnosis.turn_figures import say_number
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

_LEGEND = (
    *(f"{name}{end}" for name in _NAMES.values() for end in ("", f" {_LIMIT}")),
    _UNDER_WAY,
    _FAILED,
)
"""The order of the legend."""

_LINEAR_TO = 10.0
"""With times below 0 the axis is linear within so many ms of 0, and logarithmic outside."""

_NARROW = 10.0
"""A range whose end is less than so many times its begin is drawn over a linear axis."""

_LONG = 1000.0
"""In a range that ends at more than so many times its begin only the powers of ten have room."""

_REFUSED_SECONDS = 0.1
"""A call that failed within less was refused, and was not under way."""


@apply_house_style
def plot_load(report: LoadReport) -> Figure:
    """Draw what many calls at once have shown.

    Above is the share of the values that were at most so long, for each kind of time, from 0 to
    100 %, over an axis that is logarithmic unless all lie close together; a dashed line is its
    limit, a thicker one with dots a limit that was exceeded or has no values.  A curve that ends
    below 100 % had values that never came; what is below 0 ms began before the caller had ended.
    Below is how many calls were under way at each time, with a point for
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
    parts = [f"{say_number(len(report.calls), 'call')} at once", failed]
    if len(report.first_sound_ms):
        what, value = report.first_sound_ms.checked
        said = "95 % within" if what == "p95" else "at most"
        parts.append(f"first sound {said} {value:.0f} ms")
    parts += filter(None, [report.describe_limits()])
    if not report.valid:
        parts.append("INVALID RUN")
    if report.is_interrupted:
        parts.append("ended early")
    return ", ".join(parts)


def _draw_times(axes: Axes, report: LoadReport) -> None:
    figures = [figure for figure in report.figures if len(figure) > figure.histogram.never]
    limits = {name: limit for name, limit in report.limits.items() if name in TIMES}
    edges = [*limits.values()]
    for figure in figures:
        edges += [figure.histogram.min, figure.histogram.longest]
    floor = _set_time_scale(axes, edges)
    for figure in figures:
        seen, places, shares = 0, [max(figure.histogram.min, floor)], [0.0]
        for _, end, times in figure.histogram.list_bins():
            seen += times
            places.append(min(max(end, places[0]), max(figure.histogram.longest, floor)))
            shares.append(100 * seen / len(figure))
        axes.step(
            places, shares, where="post", color=_COLOURS[figure.name], label=_NAMES[figure.name]
        )
    cases = report.list_cases()
    for name, limit in limits.items():
        style, width = ("-.", 2.0) if cases[name] else ("--", 1.0)
        axes.axvline(
            max(limit, floor), color=_COLOURS[name], linestyle=style, linewidth=width,
            label=f"{_NAMES[name]} {_LIMIT}",
        )  # fmt: skip
    if not figures:
        axes.text(
            0.5, 0.5, "no call has shown a time", transform=axes.transAxes, ha="center",
            va="center", fontsize=SMALL, color=QUIET_COLOUR,
            bbox={"facecolor": "white", "edgecolor": "none"},
        )  # fmt: skip
    axes.set_ylim(0, 103)
    is_below = min(edges, default=0.0) < 0
    below = "; below 0 the server began before the caller had ended" if is_below else ""
    label_axes(axes, x=f"time (ms){below}", y="share of values\nup to it (%)")


def _set_time_scale(axes: Axes, edges: list[float]) -> float:
    """Give the axis of times a scale for all from the least to the greatest of these.

    Returns:
        The least time that it can show.
    """
    if not edges:
        axes.set_xticks([])
        return 0.0
    least, most = min(edges), max(edges)
    if least < -_LINEAR_TO:
        axes.set_xscale("symlog", linthresh=_LINEAR_TO)
        axes.set_xlim(1.5 * least, 1.5 * max(most, _LINEAR_TO))
        sizes = [10.0**power for power in range(1, 8)]
        steps = [size for size in sizes if size <= 1.5 * max(-least, most)]
        axes.xaxis.set_major_locator(FixedLocator([*(-size for size in steps), 0.0, *steps]))
        floor = 1.5 * least
    elif least <= 0 or most / max(least, 1.0) < _NARROW:
        margin = 0.08 * (most - least) or 0.1 * abs(most) or 1.0
        axes.set_xlim(least - margin, most + margin)
        axes.xaxis.set_major_locator(MaxNLocator(8))
        floor = least
    else:
        floor = max(least, 1.0)
        axes.set_xscale("log")
        axes.set_xlim(floor / 1.3, most * 1.3)
        is_long = most / floor > _LONG
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if is_long else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda ms, _: say_plainly(round(ms, 6)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    return floor


def _draw_calls(axes: Axes, report: LoadReport) -> None:
    made = [call for call in report.calls if call.ok or call.ends - call.begins > _REFUSED_SECONDS]
    edges = sorted([(call.begins, 1) for call in made] + [(call.ends, -1) for call in made])
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
    length = max(report.seconds, 0.1)
    axes.set_xlim(-0.015 * length, length)
    axes.set_ylim(0, max([1, *counts]) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    label_axes(axes, x="time since the run began (s)", y="calls")
    heard = [call for call in report.calls if call.first_sound_ms is not None]
    if heard:
        beside: Any = axes.twinx()
        beside.plot(
            [call.begins for call in heard], [call.first_sound_ms for call in heard], ".",
            color=_COLOURS["first_sound_ms"], markersize=4, clip_on=False,
            label=_NAMES["first_sound_ms"],
        )  # fmt: skip
        beside.set_ylim(0, 1.08 * max(1.0, report.first_sound_ms.max))
        beside.set_ylabel("first sound (ms)", fontsize=SMALL)
        beside.tick_params(labelsize=SMALL)
