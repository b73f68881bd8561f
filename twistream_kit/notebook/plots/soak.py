"""A figure of a soak: memory, descriptors and threads of the server's process over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from twistream_kit.diagnosis.growth import KINDS, Growth, count_warm_up, say_slope
from twistream_kit.diagnosis.slope import find_offset
from twistream_kit.diagnosis.soak import SoakReport
from twistream_kit.diagnosis.turn_figures import say_number
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
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

_AT_REST, _UNDER_CALLS, _LINE, _WARM_UP, _GOOD, _FAILED = (
    "at rest", "under the calls", "fitted line", "warm-up, left out", "wave without a failed call",
    "wave with failed calls",
)  # fmt: skip

_LEGEND = (_AT_REST, _UNDER_CALLS, _LINE, _WARM_UP, _GOOD, _FAILED)
"""The order of the legend."""

_LABELS: Mapping[str, str] = {
    "memory": "memory (MB)",
    "descriptors": "descriptors",
    "threads": "threads",
}


@apply_house_style
def plot_soak(report: SoakReport) -> Figure:
    """Draw what the process of a server used over a long time.

    Memory, descriptors and threads have a panel each, with a point for each rest between two waves
    of calls, a thin curve for the readings under the calls, and the fitted line; what is shaded was
    left out as warm-up.  A panel says by how much the line rises an hour, and whether that is
    growth.  Without a process there is one panel, with the calls that failed in each wave.

    Args:
        report: The report of `run_soak`.

    Raises:
        TypeError: If `report` is something else.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.1))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> soak = kit.run_soak(
        ...     server.url, 0.01, 2, seconds=1, ramp_seconds=0, rest_seconds=0.1
        ... )
        >>> kit.plot_soak(soak.result(30)).get_suptitle()
        '2 calls in 1 wave, none failed...'
    """
    report = expect(report, SoakReport, "plot_soak draws the report of kit.run_soak(…).")
    names = [each.name for each in report.growth] or ["calls"]
    figure = make_figure(_write_title(report), height=1.1 + 1.5 * len(names))
    panels: Any = figure.subplot_mosaic([[name] for name in names], sharex=True)
    axes: dict[str, Axes] = panels
    for growth in report.growth:
        _draw_usage(axes[growth.name], report, growth)
    if not report.growth:
        _draw_failed(axes["calls"], report)
    last = axes[names[-1]]
    last.set_xlim(0, max(report.seconds / 60, 0.01))
    label_axes(last, x="time since the run began (minutes)", y=last.get_ylabel())
    add_legend(figure, _LEGEND)
    return figure


def _write_title(report: SoakReport) -> str:
    parts = [
        f"{say_number(report.calls, 'call')} in {say_number(len(report.waves), 'wave')}",
        f"{report.failed} failed" if report.failed else "none failed",
    ]
    grown = [each.name for each in report.growth if each.verdict == "grows"]
    if grown:
        parts.append(f"{' and '.join(grown)} grow{'s' if len(grown) == 1 else ''}".upper())
    if not report.valid:
        parts.append("INVALID RUN")
    if report.ended:
        parts.append("ended early")
    if report.is_interrupted:
        parts.append("interrupted")
    return ", ".join(parts)


def _draw_usage(axes: Axes, report: SoakReport, growth: Growth) -> None:
    name = growth.name
    samples = [(each.at / 60, getattr(each, name)) for each in report.samples]
    if samples:
        axes.plot(
            *zip(*samples, strict=True), color=QUIET_COLOUR, linewidth=0.8, label=_UNDER_CALLS
        )
    readings = report.readings
    axes.plot(
        [each.at / 60 for each in readings], [getattr(each, name) for each in readings], ".",
        color=CALLER_COLOUR, markersize=5, label=_AT_REST, zorder=3,
    )  # fmt: skip
    axes.axvspan(
        0, report.warm_up_seconds / 60, color=QUIET_COLOUR, alpha=0.15, linewidth=0, label=_WARM_UP
    )
    said = str(growth.verdict)
    if growth.per_hour is not None:
        left = readings[count_warm_up(readings) :]
        hours, values = [each.at / 3600 for each in left], [getattr(each, name) for each in left]
        offset, slope = find_offset(hours, values, growth.per_hour.value), growth.per_hour.value
        axes.plot(
            [60 * hours[0], 60 * hours[-1]],
            [offset + slope * hours[0], offset + slope * hours[-1]],
            color=YOUR_COLOUR, label=_LINE, zorder=4,
        )  # fmt: skip
        said += f": {say_slope(growth.per_hour, growth.unit)} an hour"
    _mark_failed_waves(axes, report)
    axes.set_title(said, fontsize=SMALL, loc="left")
    axes.set_ylabel(_LABELS[name], fontsize=SMALL)
    axes.tick_params(labelsize=SMALL)
    low, high = axes.get_ylim()
    if high - low < 4 * KINDS[name].resolution:  # noise of less than that should not look like more
        middle, half = (low + high) / 2, 2 * KINDS[name].resolution
        middle = max(middle, half)  # nothing is less than none
        axes.set_ylim(middle - half, middle + half)


def _mark_failed_waves(axes: Axes, report: SoakReport) -> None:
    for wave in report.waves:
        if wave.failed:
            axes.axvline(
                wave.ends / 60, color=CLEAR_COLOUR, linestyle=":", linewidth=1, label=_FAILED
            )


def _draw_failed(axes: Axes, report: SoakReport) -> None:
    from matplotlib.ticker import MaxNLocator

    for waves, colour, label in (
        ([wave for wave in report.waves if not wave.failed], QUIET_COLOUR, _GOOD),
        ([wave for wave in report.waves if wave.failed], CLEAR_COLOUR, _FAILED),
    ):
        if waves:
            axes.plot(
                [wave.ends / 60 for wave in waves], [wave.failed for wave in waves], ".",
                color=colour, label=label, clip_on=False, zorder=3,
            )  # fmt: skip
    axes.set_ylim(0, max([1, *(wave.failed for wave in report.waves)]) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("calls that failed", fontsize=SMALL)
