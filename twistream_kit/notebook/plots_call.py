"""A picture of one call: received, sent, buffered at Twilio, heard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from twistream_kit.notebook.colours import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.figures import SMALL, blank, draw_sound, dress, expect
from twistream_kit.notebook.timeline import Report, Timeline, read_timeline
from twistream_kit.protocol.capture import Capture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twistream_kit.audio.clip import Clip

MOST_LABELS = 12
"""More marks than this are drawn without their names, which would cover each other."""

SHOWN_SILENCE_SECONDS = 0.1
"""What is shorter than this is not worth a word."""

LANE_POINTS = 400
"""The width of a lane, in points, at the least."""

_TROUBLE = ("busy", "no-answer", "failed", "canceled", "stream-error")
"""Reports in bold type."""

_BARS = 150
"""What was sent is added up to at most so many bars, because a call has thousands of messages."""

_BAR_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def plot_timeline(capture: Capture) -> Figure:
    """Draw one call from the first message to the last, all of it over the same time.

    From above: what the caller said, what your server sent, what waited at Twilio to be played,
    and what the caller heard, as far as marks and the playout model can tell (with the real
    service the ear is 50 to 300 ms later).  Green lines are marks coming back, purple ones are
    clears; the grey field behind a clear is the silence that follows it.

    Where Twilio reported how the call went (status callbacks), a lane above says so, also for the
    time before the stream began; what lies too far off stands at the edge, with its time.

    Raises:
        TypeError: If `capture` is not a `Capture`.
    """
    made_by = "plot_timeline takes a Capture; stream.capture is one."
    capture = expect(capture, Capture, made_by)
    line = read_timeline(capture.entries, capture.endings, capture.statuses)
    rows = _rows(line)
    n_rows = max([row + 1 for row in rows], default=0)
    figure = blank(_title(line), height=5.4 + 0.17 * n_rows)
    heights = [0.14 * n_rows] * bool(rows) + [1, 0.8, 0.8, 1]
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    *above, received, sent, buffered, heard = lanes = list(axes)
    for lane in above:
        _draw_reports(lane, line, rows)
    _draw_voice(received, capture.caller, CALLER_COLOUR, "caller says\n(int16)")
    _draw_sent(sent, line)
    _draw_buffer(buffered, line)
    _draw_voice(heard, capture.heard, YOUR_COLOUR, "caller hears\n(int16)")
    for key_time, digit in line.keys:
        received.text(key_time, 0.97, digit, transform=received.get_xaxis_transform(), ha="center",
                      va="top", fontsize=SMALL, fontweight="bold", color=CALLER_COLOUR)  # fmt: skip
    _draw_marks(sent, heard, line)
    _draw_clears(lanes[-4:], line)
    if line.begins < 0:
        for lane in lanes[-4:]:
            lane.axvline(0, color=QUIET_COLOUR, linewidth=0.8, zorder=0)
    heard.set_xlim(line.begins, max(line.ends, 0.1))
    heard.set_xlabel("time since the stream began (s)", fontsize=SMALL)
    figure.legend(
        handles=_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=SMALL
    )
    return figure


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D(
            [], [], color=MARK_COLOUR, marker="v", markersize=4, linestyle="", label="mark sent"
        ),
        Line2D([], [], color=MARK_COLOUR, linewidth=1, label="mark back"),
        Line2D([], [], color=CLEAR_COLOUR, linewidth=1, linestyle="--", label="clear sent"),
        Patch(color=QUIET_COLOUR, alpha=0.2, label="silence after a clear"),
    ]


def _title(line: Timeline) -> str:
    parts = [f"{line.seconds:.1f} s of call"]
    parts.append(
        _count(sum(mark.returned_at is not None for mark in line.marks), "mark") + " returned"
    )
    if line.clears:
        longest = max(end - begin for begin, end in line.silences)
        parts.append(_count(len(line.clears), "clear"))
        if longest >= SHOWN_SILENCE_SECONDS:
            parts.append(f"then {longest:.1f} s of silence")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _rows(line: Timeline) -> list[int]:
    """Return the row of each report, from below, so that no name covers another.

    From the last to the first: the stem of an earlier one then passes left of a later one's name.
    """
    if len(line.reports) > MOST_LABELS:
        return [0] * len(line.reports)
    taken: list[list[tuple[float, float]]] = []
    rows = []
    for report in reversed(line.reports):
        at, width = _points(report, line), _width(report)
        begin, end = (at - width, at) if _is_late(report, line) else (at, at + width)
        row = next(
            (n for n, row in enumerate(taken) if all(b >= end or e <= begin for b, e in row)),
            len(taken),
        )
        taken[row:] = taken[row:] or [[]]
        taken[row].append((begin, end))
        rows.append(row)
    return rows[::-1]


def _is_late(report: Report, line: Timeline) -> bool:
    """Whether its name has to stand left of it, to stay in the picture."""
    return _points(report, line) + _width(report) > LANE_POINTS


def _points(report: Report, line: Timeline) -> float:
    return (report.at - line.begins) / max(line.ends - line.begins, 0.1) * LANE_POINTS


def _width(report: Report) -> float:
    font = FontProperties(weight=_weight(report))
    return float(TextPath((0, 0), report.text, size=SMALL, prop=font).get_extents().width) + 12


def _weight(report: Report) -> str:
    return "bold" if report.name in _TROUBLE else "normal"


def _draw_reports(axes: Axes, line: Timeline, rows: list[int]) -> None:
    for report, row in zip(line.reports, rows, strict=True):
        axes.vlines(report.at, 0, row + 0.9, color=QUIET_COLOUR, linewidth=1, clip_on=False)
        if len(line.reports) > MOST_LABELS:
            continue
        late = _is_late(report, line)
        axes.annotate(
            report.text,
            (report.at, row + 0.5),
            xytext=(-3 if late else 3, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=SMALL,
            fontweight=_weight(report),
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        )
    axes.set_ylim(0, max(rows) + 1)
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
        axes.bar(edges[:-1], sums, width=step, align="edge", color=YOUR_COLOUR)
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for the marks
    dress(axes, x="", y=f"you send\n(s per {step:g} s)")


def _draw_buffer(axes: Axes, line: Timeline) -> None:
    times, seconds = np.array(line.buffered or [(0.0, 0.0)]).T
    axes.fill_between(times, seconds, color=YOUR_COLOUR, alpha=0.35, linewidth=0)
    axes.plot(times, seconds, color=YOUR_COLOUR, linewidth=0.8)
    axes.set_ylim(bottom=0)
    dress(axes, x="", y="waits at\nTwilio (s)")


def _draw_marks(sent: Axes, heard: Axes, line: Timeline) -> None:
    for at in line.progress:
        heard.axvline(at, ymax=0.08, color=MARK_COLOUR, linewidth=0.8)
    for mark in line.marks:
        sent.plot(mark.sent_at, 0.9, "v", color=MARK_COLOUR, markersize=4,
                  transform=sent.get_xaxis_transform(), clip_on=False)  # fmt: skip
    level, last = 0, -line.seconds
    back = [(mark.returned_at, mark) for mark in line.marks if mark.returned_at is not None]
    for at, mark in back:
        if len(back) > MOST_LABELS:
            heard.axvline(at, ymin=0.92, color=MARK_COLOUR, linewidth=0.8)
            continue
        heard.axvline(at, color=MARK_COLOUR, linewidth=1)
        level = (level + 1) % 4 if at - last < 0.2 * line.seconds else 0
        last = at
        text = f"{mark.name} (cleared)" if mark.cleared else mark.name
        _label(heard, at, text, MARK_COLOUR, 1.0 - 0.16 * level, line)


def _draw_clears(lanes: list[Axes], line: Timeline) -> None:
    for axes in lanes:
        for at in line.clears:
            axes.axvline(at, color=CLEAR_COLOUR, linewidth=1, linestyle="--")
    for (begin, end), at in zip(line.silences, line.clears, strict=True):
        lanes[-1].axvspan(begin, end, color=QUIET_COLOUR, alpha=0.2, linewidth=0)
        _label(lanes[1], at, "clear", CLEAR_COLOUR, 0.6, line)
        if end - begin > 0.12 * line.seconds:
            lanes[-1].text((begin + end) / 2, 0.06, "silence", fontsize=SMALL, color="black",
                           transform=lanes[-1].get_xaxis_transform(), ha="center")  # fmt: skip


def _label(axes: Axes, at: float, text: str, colour: str, height: float, line: Timeline) -> None:
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
