"""A figure of one call: received, sent, buffered at Twilio, marks that came back, heard."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots._timeline import MarkEnd, Timeline, read_timeline
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    Label,
    LabelRows,
    draw_sound,
    escape_text,
    expect,
    label_axes,
    make_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from twistream_kit.audio.clip import Clip

MOST_LABELS = 12
"""If there are more marks than this, their names are left out: they would cover each other."""

_MOST_CHARACTERS = 24
"""The length of a drawn mark name; some users name their marks with whole sentences."""

SHOWN_DEAF_SECONDS = 0.3
"""A caller who has to wait no longer than this does not notice."""

SHOWN_SILENCE_SECONDS = 0.1
"""A shorter silence gets no label."""

_FAILURES = ("busy", "no-answer", "failed", "canceled", "stream-error")
"""Status reports that are set in bold type."""

_BARS = 150
"""Sent audio is added up to at most this many bars, because a call has thousands of messages."""

_BAR_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_BUFFER_COLUMNS = 1000
"""The buffer level at Twilio is drawn as at most this many pairs of minimum and maximum."""

_SIGNS = {
    "heard": ("o", MARK_COLOUR, MARK_COLOUR, "mark back: heard"),
    "cleared": ("X", CLEAR_COLOUR, CLEAR_COLOUR, "mark back: cleared"),
    "missing": ("s", "white", QUIET_COLOUR, "mark missing"),
}
"""The marker, its face and edge colours, and the text of the legend for each ending."""

_DEAF_STYLE: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": QUIET_COLOUR,
    "alpha": 0.5,
    "hatch": "////",
    "linewidth": 0,
}

_UNDERRUN_STYLE: dict[str, Any] = {
    "color": "black",
    "marker": "^",
    "markersize": 4,
    "linestyle": "",
}


def plot_timeline(capture: Capture) -> Figure:
    """Draw one call from the first message to the last, in lanes over one time axis.

    The lanes show, from the top: what the caller said, what your server sent, what was buffered at
    Twilio, the marks that came back, and what the caller heard.  The last lane is computed from the
    marks and the playout model; with the real service the caller hears it 50 to 300 ms later.

    A green dot is a mark that came back because its sound was heard, a purple cross one that came
    back because of a clear, and an empty square one that never came back, drawn where it was due.
    A dashed purple line is a clear; the grey field after it is the silence that follows.
    The hatched field is the deaf window, during which an interruption by the caller would have had
    no effect; if a clear ended it early, the text gives the length that it would have had.  A black
    triangle is an underrun: Twilio ran out of sound in the middle of a playback.

    If Twilio reported the progress of the call (status callbacks), a lane at the top shows the
    reports, also those from before the stream began.  Reports that lie too far outside the picture
    are drawn at its edge, with their time.

    Args:
        capture: A `Capture`, or an object that has one: a stream, an inspected stream, the report
            of a call.

    Raises:
        TypeError: If `capture` is not a `Capture` and has none.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.1))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> figure = kit.plot_timeline(kit.simulate_call(server.url).result(10))
        >>> figure.get_suptitle()
        '... s of call, 1 mark returned'
    """
    made_by = "plot_timeline takes a Capture; stream.capture is one."
    capture = expect(getattr(capture, "capture", capture), Capture, made_by)
    timeline = read_timeline(capture.entries, capture.endings, capture.statuses)
    reports, marks = _arrange_reports(timeline), _arrange_marks(timeline)
    above = [0.14 * max(reports.height, 1)] * bool(timeline.reports)
    between = [0.14 * max(marks.height, 2)] * bool(timeline.mark_ends)  # its label needs two rows
    heights = [*above, 1, 0.8, 0.8, *between, 1]
    figure = make_figure(_write_title(timeline), height=5.4 + 1.2 * sum(above + between))
    axes: list[Axes] = list(
        figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    )
    if above:
        _draw_reports(axes.pop(0), timeline, reports)
    received, sent, buffered, *lanes, heard = axes
    _draw_voice(received, timeline.caller, CALLER_COLOUR, "caller says\n(int16)")
    _draw_sent(sent, timeline)
    _draw_buffer(buffered, timeline)
    for lane in lanes:
        _draw_marks(lane, timeline, marks)
    _draw_voice(heard, timeline.heard, YOUR_COLOUR, "caller hears\n(int16)")
    for key_time, digit in timeline.keys:
        received.text(key_time, 0.97, escape_text(digit), fontsize=SMALL, fontweight="bold",
                      ha="center", va="top", color=CALLER_COLOUR,
                      transform=received.get_xaxis_transform())  # fmt: skip
    _draw_verticals(heard, timeline.progress, MARK_COLOUR, height=0.08)
    _draw_clears([received, sent, buffered, *lanes, heard], timeline)
    if timeline.begins < 0:
        for lane in axes:
            lane.axvline(0, color=QUIET_COLOUR, linewidth=0.8, zorder=0)
    heard.set_xlim(timeline.begins, max(timeline.ends, 0.1))
    heard.set_xlabel("time since the stream began (s)", fontsize=SMALL)
    if legend := _make_legend(timeline):
        figure.legend(
            handles=legend, loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL
        )
    return figure


def _write_title(timeline: Timeline) -> str:
    parts = [f"{timeline.seconds:.1f} s of call"]
    back = sum(end.ending != "missing" for end in timeline.mark_ends)
    parts.append(_count(back, "mark") + " returned")
    if missing := len(timeline.mark_ends) - back:
        parts.append(f"{missing} missing")
    if timeline.clears:
        longest = max(end - begin for begin, end in timeline.silences)
        parts.append(_count(len(timeline.clears), "clear"))
        if longest >= SHOWN_SILENCE_SECONDS:
            parts.append(f"then {longest:.1f} s of silence")
    if timeline.underruns:
        parts.append(_count(len(timeline.underruns), "underrun"))
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _make_legend(timeline: Timeline) -> list[Line2D | Patch]:
    legend: list[Line2D | Patch] = [*_explain_marks(timeline)]
    if timeline.clears:
        legend += [
            Line2D([], [], color=CLEAR_COLOUR, linewidth=1, linestyle="--", label="clear sent"),
            Patch(color=QUIET_COLOUR, alpha=0.2, label="silence after a clear"),
        ]
    return legend + _explain_buffer(timeline)


def _explain_marks(timeline: Timeline) -> list[Line2D]:
    """Return the legend entries of the mark signs that occur in the picture."""
    present = {end.ending for end in timeline.mark_ends}
    legend = [_make_sign(ending, (), ()) for ending in _SIGNS if ending in present]
    if timeline.marks:
        legend.insert(
            0,
            Line2D([], [], color=MARK_COLOUR, marker="v", markersize=4, ls="", label="mark sent"),
        )
    return legend


def _explain_buffer(timeline: Timeline) -> list[Line2D | Patch]:
    """Return the legend entries of the buffer signs that occur in the picture."""
    legend: list[Line2D | Patch] = []
    if _is_deaf(timeline):
        legend.append(Patch(**_DEAF_STYLE, label="deaf window"))
    if timeline.underruns:
        legend.append(Line2D([], [], **_UNDERRUN_STYLE, label="underrun"))
    return legend


def _arrange_reports(timeline: Timeline) -> LabelRows:
    labels = [
        Label(report.at, escape_text(report.text), "bold" if report.name in _FAILURES else "normal")
        for report in timeline.reports
    ]
    return LabelRows(labels if len(labels) <= MOST_LABELS else [], timeline.begins, timeline.ends)


def _arrange_marks(timeline: Timeline) -> LabelRows:
    """Arrange the names of the marks in rows; without names if there are too many."""
    labels = [
        Label(end.at, escape_text(_shorten(end.name)), colour=_SIGNS[end.ending][2], gap=6)
        for end in sorted(timeline.mark_ends, key=lambda end: end.at)
    ]
    shown = labels if len(labels) <= MOST_LABELS else []
    return LabelRows(shown, timeline.begins, timeline.ends)


def _shorten(name: str) -> str:
    plain = " ".join(name.split())
    return plain if len(plain) <= _MOST_CHARACTERS else f"{plain[: _MOST_CHARACTERS - 1]}…"


def _draw_reports(axes: Axes, timeline: Timeline, rows: LabelRows) -> None:
    for report, row in zip(timeline.reports, rows.rows or [0] * len(timeline.reports), strict=True):
        axes.vlines(report.at, 0, row + 0.9, color=QUIET_COLOUR, linewidth=1, clip_on=False)
    rows.draw(axes)
    axes.set_ylim(0, max(rows.height, 1))
    label_axes(axes, x="", y="call")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _draw_voice(axes: Axes, clip: Clip, colour: str, label: str) -> None:
    draw_sound(axes, clip.samples(), colour=colour)
    axes.set_ylim(-33000, 33000)
    axes.set_yticks([-32000, 0, 32000])
    label_axes(axes, x="", y=label)


def _draw_sent(axes: Axes, timeline: Timeline) -> None:
    step = next((s for s in _BAR_SECONDS if timeline.seconds / s <= _BARS), _BAR_SECONDS[-1])
    if timeline.sent:
        times, seconds = np.array(timeline.sent).T
        edges = np.arange(0, timeline.seconds + 2 * step, step)
        sums, _ = np.histogram(times, edges, weights=seconds)
        axes.stairs(sums, edges, fill=True, color=YOUR_COLOUR)
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for the marks
    label_axes(axes, x="", y=f"you send\n(s per {step:g} s)")
    if timeline.marks:  # plotted empty, matplotlib would reserve room for a marker in the corner
        axes.plot([mark.sent_at for mark in timeline.marks], [0.9] * len(timeline.marks), "v",
                  clip_on=False, color=MARK_COLOUR, markersize=4,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_buffer(axes: Axes, timeline: Timeline) -> None:
    """Draw the buffer level at Twilio, its underruns and the deaf window."""
    times, seconds = _thin_out(np.array(timeline.buffered or [(0.0, 0.0)])).T
    axes.fill_between(times, seconds, color=YOUR_COLOUR, alpha=0.35, linewidth=0)
    axes.plot(times, seconds, color=YOUR_COLOUR, linewidth=0.8)
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for the label
    if timeline.underruns:
        places = [gap.at for gap in timeline.underruns]
        axes.plot(places, [0.0] * len(places), clip_on=False, zorder=3, **_UNDERRUN_STYLE)
    if timeline.deaf is not None and _is_deaf(timeline):
        begin, end = timeline.deaf
        cleared = next((at for at in timeline.clears if begin < at < end), None)
        axes.axvspan(begin, min(end, timeline.ends) if cleared is None else cleared, **_DEAF_STYLE)
        but = "" if cleared is None else ", but for the clear"
        _write_beside(axes, begin, f"deaf for {end - begin:.1f} s{but}", "black", 0.98, timeline)
    label_axes(axes, x="", y="waits at\nTwilio (s)")


def _is_deaf(timeline: Timeline) -> bool:
    return timeline.deaf is not None and timeline.deaf[1] - timeline.deaf[0] >= SHOWN_DEAF_SECONDS


def _thin_out(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thin a line out to the first, lowest, highest and last corner of each column."""
    if len(corners) <= 4 * _BUFFER_COLUMNS:
        return corners
    times, values = corners.T
    columns = ((times - times[0]) / (times[-1] - times[0]) * _BUFFER_COLUMNS).astype(np.intp)
    edges = [0, *(np.flatnonzero(np.diff(columns)) + 1).tolist(), len(times)]
    kept = set()
    for first, end in pairwise(edges):
        inside = values[first:end]
        kept |= {first, first + int(inside.argmin()), first + int(inside.argmax()), end - 1}
    thinned: NDArray[np.float64] = corners[sorted(kept)]
    return thinned


def _draw_marks(axes: Axes, timeline: Timeline, rows: LabelRows) -> None:
    """Draw a sign for each mark, and its name where there is room."""
    ends: list[MarkEnd] = sorted(timeline.mark_ends, key=lambda end: end.at)
    heights = rows.rows or [0] * len(ends)
    for ending in _SIGNS:
        places = [
            (end.at, row + 0.5)
            for end, row in zip(ends, heights, strict=True)
            if end.ending == ending
        ]
        if places:
            axes.add_line(_make_sign(ending, *zip(*places, strict=True)))
    rows.draw(axes)
    axes.set_ylim(0, max(rows.height, 1))
    label_axes(axes, x="", y="marks")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _make_sign(ending: str, times: tuple[float, ...], heights: tuple[float, ...]) -> Line2D:
    marker, face, edge, label = _SIGNS[ending]
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


def _draw_clears(lanes: list[Axes], timeline: Timeline) -> None:
    for axes in lanes:
        _draw_verticals(axes, timeline.clears, CLEAR_COLOUR, linestyle="--")
    spans = [(begin, end - begin) for begin, end in timeline.silences]
    lanes[-1].broken_barh(spans, (0, 1), color=QUIET_COLOUR, alpha=0.2, linewidth=0,
                          transform=lanes[-1].get_xaxis_transform())  # fmt: skip
    named = -timeline.seconds
    for (begin, end), at in zip(timeline.silences, timeline.clears, strict=True):
        if at - named > 0.08 * timeline.seconds:
            _write_beside(lanes[1], at, "clear", CLEAR_COLOUR, 0.6, timeline)
            named = at
        if end - begin > 0.12 * timeline.seconds:
            lanes[-1].text((begin + end) / 2, 0.06, "silence", fontsize=SMALL, color="black",
                           transform=lanes[-1].get_xaxis_transform(), ha="center")  # fmt: skip


def _draw_verticals(
    axes: Axes, times: list[float], colour: str, *, height: float = 1.0, linestyle: str = "-"
) -> None:
    """Draw lines from the bottom of a lane in one plot, because there may be hundreds."""
    axes.vlines(times, 0, height, color=colour, linewidth=1, linestyle=linestyle,
                transform=axes.get_xaxis_transform())  # fmt: skip


def _write_beside(
    axes: Axes, at: float, text: str, colour: str, height: float, timeline: Timeline
) -> None:
    """Write a label beside the line at `at`, on the side where there is room."""
    late = at > 0.75 * timeline.seconds
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
