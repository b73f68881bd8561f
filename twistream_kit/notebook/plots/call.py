"""A picture of one call: received, sent, buffered at Twilio, heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots.colours import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.plots.label_rows import Label, LabelRows
from twistream_kit.notebook.plots.plots_buffer import buffer_legend, draw_buffer, write
from twistream_kit.notebook.plots.plots_marks import MOST_LABELS, draw_marks, mark_legend, mark_rows
from twistream_kit.notebook.plots.style import SMALL, blank, draw_sound, dress, expect
from twistream_kit.notebook.plots.timeline import Timeline, read_timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twistream_kit.audio.clip import Clip

SHOWN_SILENCE_SECONDS = 0.1
"""What is shorter than this is not worth a word."""

_TROUBLE = ("busy", "no-answer", "failed", "canceled", "stream-error")
"""Reports in bold type."""

_BARS = 150
"""What was sent is added up to at most so many bars, because a call has thousands of messages."""

_BAR_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def plot_timeline(capture: Capture) -> Figure:
    """Draw one call from the first message to the last, all of it over the same time.

    From above: what the caller said, what your server sent, what waited at Twilio to be played,
    the marks that came back, and what the caller heard, as far as marks and the playout model can
    tell (with the real service the ear is 50 to 300 ms later).

    A mark that came back because its sound was heard is a green dot, one that came back because of
    a clear a purple cross, and one that never came back an empty square where it should have been.
    Dashed purple lines are clears; the grey field behind a clear is the silence that follows it.
    The hatched field is the deaf window: for so long the caller could have interrupted in vain; if
    a clear has ended it, the text says how long it would have been.  Black triangles stand where
    Twilio ran out of sound in mid-sentence.

    Where Twilio reported how the call went (status callbacks), a lane above says so, also for the
    time before the stream began; what lies too far off stands at the edge, with its time.

    Args:
        capture: A `Capture`, or what has one: a stream, an inspected stream, the report of a call.

    Raises:
        TypeError: If it is nothing of the kind.
    """
    made_by = "plot_timeline takes a Capture; stream.capture is one."
    capture = expect(getattr(capture, "capture", capture), Capture, made_by)
    line = read_timeline(capture.entries, capture.endings, capture.statuses)
    reports, marks = _report_rows(line), mark_rows(line)
    above = [0.14 * max(reports.height, 1)] * bool(line.reports)
    between = [0.14 * max(marks.height, 2)] * bool(line.mark_ends)  # its label needs two rows
    heights = [*above, 1, 0.8, 0.8, *between, 1]
    figure = blank(_title(line), height=5.4 + 1.2 * sum(above + between))
    axes: list[Axes] = list(
        figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    )
    if above:
        _draw_reports(axes.pop(0), line, reports)
    received, sent, buffered, *lanes, heard = axes
    _draw_voice(received, line.caller, CALLER_COLOUR, "caller says\n(int16)")
    _draw_sent(sent, line)
    draw_buffer(buffered, line)
    for lane in lanes:
        draw_marks(lane, line, marks)
    _draw_voice(heard, line.heard, YOUR_COLOUR, "caller hears\n(int16)")
    for key_time, digit in line.keys:
        received.text(key_time, 0.97, digit, transform=received.get_xaxis_transform(), ha="center",
                      va="top", fontsize=SMALL, fontweight="bold", color=CALLER_COLOUR)  # fmt: skip
    _draw_verticals(heard, line.progress, MARK_COLOUR, height=0.08)
    _draw_clears([received, sent, buffered, *lanes, heard], line)
    if line.begins < 0:
        for lane in axes:
            lane.axvline(0, color=QUIET_COLOUR, linewidth=0.8, zorder=0)
    heard.set_xlim(line.begins, max(line.ends, 0.1))
    heard.set_xlabel("time since the stream began (s)", fontsize=SMALL)
    if legend := _legend(line):
        figure.legend(
            handles=legend, loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL
        )
    return figure


def _legend(line: Timeline) -> list[Line2D | Patch]:
    legend: list[Line2D | Patch] = [*mark_legend(line)]
    if line.clears:
        legend += [
            Line2D([], [], color=CLEAR_COLOUR, linewidth=1, linestyle="--", label="clear sent"),
            Patch(color=QUIET_COLOUR, alpha=0.2, label="silence after a clear"),
        ]
    return legend + buffer_legend(line)


def _title(line: Timeline) -> str:
    parts = [f"{line.seconds:.1f} s of call"]
    back = sum(end.ending != "missing" for end in line.mark_ends)
    parts.append(_count(back, "mark") + " returned")
    if missing := len(line.mark_ends) - back:
        parts.append(f"{missing} missing")
    if line.clears:
        longest = max(end - begin for begin, end in line.silences)
        parts.append(_count(len(line.clears), "clear"))
        if longest >= SHOWN_SILENCE_SECONDS:
            parts.append(f"then {longest:.1f} s of silence")
    if line.underruns:
        parts.append(_count(len(line.underruns), "underrun"))
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _report_rows(line: Timeline) -> LabelRows:
    labels = [
        Label(report.at, report.text, "bold" if report.name in _TROUBLE else "normal")
        for report in line.reports
    ]
    return LabelRows(labels if len(labels) <= MOST_LABELS else [], line.begins, line.ends)


def _draw_reports(axes: Axes, line: Timeline, rows: LabelRows) -> None:
    for report, row in zip(line.reports, rows.rows or [0] * len(line.reports), strict=True):
        axes.vlines(report.at, 0, row + 0.9, color=QUIET_COLOUR, linewidth=1, clip_on=False)
    rows.draw(axes)
    axes.set_ylim(0, max(rows.height, 1))
    dress(axes, x="", y="call")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _draw_voice(axes: Axes, clip: Clip, colour: str, label: str) -> None:
    draw_sound(axes, clip.samples(), colour=colour)
    axes.set_ylim(-33000, 33000)
    axes.set_yticks([-32000, 0, 32000])
    dress(axes, x="", y=label)


def _draw_sent(axes: Axes, line: Timeline) -> None:
    step = next((s for s in _BAR_SECONDS if line.seconds / s <= _BARS), _BAR_SECONDS[-1])
    if line.sent:
        times, seconds = np.array(line.sent).T
        edges = np.arange(0, line.seconds + 2 * step, step)
        sums, _ = np.histogram(times, edges, weights=seconds)
        axes.stairs(sums, edges, fill=True, color=YOUR_COLOUR)
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for the marks
    dress(axes, x="", y=f"you send\n(s per {step:g} s)")
    if line.marks:  # without one, matplotlib would take room for a sign in the figure's corner
        axes.plot([mark.sent_at for mark in line.marks], [0.9] * len(line.marks), "v",
                  clip_on=False, color=MARK_COLOUR, markersize=4,
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_clears(lanes: list[Axes], line: Timeline) -> None:
    for axes in lanes:
        _draw_verticals(axes, line.clears, CLEAR_COLOUR, linestyle="--")
    spans = [(begin, end - begin) for begin, end in line.silences]
    lanes[-1].broken_barh(spans, (0, 1), color=QUIET_COLOUR, alpha=0.2, linewidth=0,
                          transform=lanes[-1].get_xaxis_transform())  # fmt: skip
    named = -line.seconds
    for (begin, end), at in zip(line.silences, line.clears, strict=True):
        if at - named > 0.08 * line.seconds:
            write(lanes[1], at, "clear", CLEAR_COLOUR, 0.6, line)
            named = at
        if end - begin > 0.12 * line.seconds:
            lanes[-1].text((begin + end) / 2, 0.06, "silence", fontsize=SMALL, color="black",
                           transform=lanes[-1].get_xaxis_transform(), ha="center")  # fmt: skip


def _draw_verticals(
    axes: Axes, times: list[float], colour: str, *, height: float = 1.0, linestyle: str = "-"
) -> None:
    """Draw lines from the foot of a lane, all at once, because there may be hundreds."""
    axes.vlines(times, 0, height, color=colour, linewidth=1, linestyle=linestyle,
                transform=axes.get_xaxis_transform())  # fmt: skip
