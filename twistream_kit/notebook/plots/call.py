"""A figure of one call: received, sent, buffered at Twilio, marks that came back, heard."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots._labels import Label, LabelRows
from twistream_kit.notebook.plots._timeline import MarkEnd, Timeline, read_timeline
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    add_legend,
    apply_house_style,
    clean_text,
    draw_sound,
    expect,
    label_axes,
    label_lane,
    make_figure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from twistream_kit.audio.clip import Clip

SHOWN_DEAF_SECONDS = 0.3
"""A caller who has to wait no longer than this does not notice."""

SHOWN_SILENCE_SECONDS = 0.1
"""The length of a shorter silence is not given."""

_MOST_KEYS = 8
"""Of more keys pressed one after the other, only the first are written out."""

_FAILURES = ("busy", "no-answer", "failed", "canceled", "stream-error")
"""Status reports that are set in bold type."""

_BARS = 150
"""Sent audio is added up to at most this many bars, because a call has thousands of messages."""

_BAR_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)

_BUFFER_COLUMNS = 1000
"""The buffer level at Twilio is drawn as at most this many pairs of minimum and maximum."""

_ROW = 0.16
"""The height of a row of labels, where that of a lane with sound is 1."""

_MOST_ROWS = {"call": 4, "keys": 2, "marks": 3, "clears": 2}
"""Labels that need more rows than this are joined with their neighbours."""

_SIGNS = {
    "heard": ("o", MARK_COLOUR, MARK_COLOUR, "mark back: heard"),
    "cleared": ("X", CLEAR_COLOUR, CLEAR_COLOUR, "mark back: cleared"),
    "missing": ("s", "white", QUIET_COLOUR, "mark missing"),
}
"""The marker, its face and edge colours, and the text of the legend for each ending."""

_LEGEND = (
    "caller's sound",
    "your sound",
    "key pressed",
    "mark sent",
    *(text for *_, text in _SIGNS.values()),
    "progress mark back",
    "clear sent",
    "silence after a clear",
)
"""The order of the legend; what else is drawn follows."""

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


@apply_house_style
def plot_timeline(capture: Capture) -> Figure:
    """Draw one call from the first message to the last, in lanes over one time axis.

    The lanes show, from the top: what the caller said, what your server sent, what was buffered at
    Twilio, and what the caller heard.  The last one is computed from the marks and the playout
    model; with the real service the caller hears it 50 to 300 ms later.  In a call of the simulator
    with a line or a latency it is heard `latency_ms` of its report later, which the time axis says
    if the report is given; `plot_turns` shows the ear.  Keys, marks and clears
    have lanes of their own for their names; where there are too many names, they are counted.

    A green dot is a mark that came back because its sound was heard, a purple cross one that came
    back because of a clear, and an empty square one that never came back, drawn where it was due.
    A dashed purple line is a clear; the grey field after it is the silence that follows, if there
    was something to discard.
    The hatched field is the deaf window, during which an interruption by the caller would have had
    no effect without a clear, since that sound waited at Twilio already; if a clear ended it early,
    the legend gives the length that it would have had.  A black triangle is an underrun: Twilio ran
    out of sound, and more of the same utterance came later.

    The time is that of the messages.  `plot_turns` counts in the frames that the caller heard, and
    there the voice of the caller stands 20 to 80 ms earlier, 40 ms in calls of the simulator.

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
    later_ms = getattr(capture, "latency_ms", 0.0)
    capture = expect(getattr(capture, "capture", capture), Capture, made_by)
    timeline = read_timeline(capture.entries, capture.endings, capture.statuses)
    lanes = _arrange_lanes(timeline)
    heights = {name: max(rows.height, 1) * _ROW for name, rows in lanes.items()}
    order = {"call": heights.get("call"), "caller": 1, "keys": heights.get("keys"), "sent": 0.8,
             "buffer": 0.8, "marks": heights.get("marks"), "clears": heights.get("clears"),
             "heard": 1}  # fmt: skip
    ratios = {name: ratio for name, ratio in order.items() if ratio}
    figure = make_figure(_write_title(timeline), height=5.2 + 1.2 * sum(heights.values()))
    panels: Any = figure.subplot_mosaic(
        [[name] for name in ratios], sharex=True, height_ratios=[*ratios.values()]
    )
    axes: dict[str, Axes] = panels
    _draw_voice(axes["caller"], timeline.caller, CALLER_COLOUR, "caller says\n(int16)")
    _draw_sent(axes["sent"], timeline)
    _draw_buffer(axes["buffer"], timeline)
    _draw_voice(axes["heard"], timeline.heard, YOUR_COLOUR, "caller hears\n(int16)")
    if "call" in lanes:
        _draw_reports(axes["call"], timeline, lanes["call"])
    if "keys" in lanes:
        _draw_keys(axes["keys"], timeline, lanes["keys"])
    if "marks" in lanes:
        _draw_marks(axes["marks"], timeline, lanes["marks"])
    if "clears" in lanes:
        lanes["clears"].draw(axes["clears"])
        label_lane(axes["clears"], "clears", lanes["clears"].height)
    _draw_verticals(
        axes["heard"], timeline.progress, MARK_COLOUR, "progress mark back", height=0.08
    )
    _draw_clears([panel for name, panel in axes.items() if name != "call"], timeline)
    if timeline.begins < 0:
        for panel in axes.values():
            panel.axvline(0, color=QUIET_COLOUR, linewidth=1, linestyle=":", zorder=0,
                          label="the stream begins")  # fmt: skip
    axes["heard"].set_xlim(timeline.begins, max(timeline.ends, 0.1))
    about = "time since the stream began (s)"
    if isinstance(later_ms, int | float) and later_ms > 0:
        about += f"; at Twilio, and at the caller's ear {later_ms:g} ms later"
    axes["heard"].set_xlabel(about, fontsize=SMALL)
    add_legend(figure, _LEGEND)
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
            is_one = len(timeline.clears) == 1
            after = "then {:.1f} s of silence" if is_one else "after one {:.1f} s of silence"
            parts.append(after.format(longest))
    if timeline.underruns:
        parts.append(_count(len(timeline.underruns), "underrun"))
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _arrange_lanes(timeline: Timeline) -> dict[str, LabelRows]:
    """Arrange the names of reports, keys, marks and clears, each in rows of a lane of its own."""
    lanes = {
        "call": (_name_reports(timeline), _join_reports),
        "keys": (_name_keys(timeline), _join_keys),
        "marks": (_name_marks(timeline), _join_marks),
        "clears": (_name_clears(timeline), _join_clears),
    }
    return {
        name: LabelRows(labels, timeline.begins, timeline.ends, join, _MOST_ROWS[name])
        for name, (labels, join) in lanes.items()
        if labels
    }


def _name_reports(timeline: Timeline) -> list[Label]:
    return [
        Label(report.at, clean_text(report.text), "bold" if report.name in _FAILURES else "normal")
        for report in timeline.reports
    ]


def _join_reports(labels: Sequence[Label]) -> str:
    return _join_names(labels, "reports")


def _name_keys(timeline: Timeline) -> list[Label]:
    return [Label(at, clean_text(digit), "bold", CALLER_COLOUR) for at, digit in timeline.keys]


def _join_keys(labels: Sequence[Label]) -> str:
    keys = " ".join(label.text for label in labels[:_MOST_KEYS])
    if len(labels) <= _MOST_KEYS:
        return keys
    if len({label.text for label in labels}) == 1:
        return f"{len(labels)} × {labels[0].text}"
    return f"{len(labels)} keys: {keys} …"


def _name_marks(timeline: Timeline) -> list[Label]:
    return [
        Label(end.at, _clean_name(end.name), colour=_SIGNS[end.ending][2], gap=6)
        for end in _sort_marks(timeline)
    ]


def _join_marks(labels: Sequence[Label]) -> str:
    return _join_names(labels, "marks")


def _name_clears(timeline: Timeline) -> list[Label]:
    labels = []
    for at, (begin, end) in zip(timeline.clears, timeline.silences, strict=True):
        is_long = end - begin >= SHOWN_SILENCE_SECONDS
        effect = f", then {end - begin:.1f} s of silence" if is_long else ""
        if begin == end:
            effect = ", nothing waited"
        labels.append(Label(at, f"clear{effect}", colour=CLEAR_COLOUR))
    return labels


def _join_clears(labels: Sequence[Label]) -> str:
    return f"{len(labels)} clears"


def _join_names(labels: Sequence[Label], noun: str) -> str:
    """Count labels, and name the first and the last of them, or the two that there are."""
    first, *others = dict.fromkeys(label.text for label in labels)
    if not others:
        return f"{len(labels)} × {first}"
    last = labels[-1].text
    if len(others) == 1 and len(labels) > 2:
        return f"{len(labels)} {noun}: {first} and {others[0]}"
    if last == first:  # so it would say nothing
        return f"{len(labels)} {noun}: {first}, {others[0]} …"
    return f"{len(labels)} {noun}: {first} … {last}"


def _sort_marks(timeline: Timeline) -> list[MarkEnd]:
    return sorted(timeline.mark_ends, key=lambda end: end.at)


def _clean_name(name: str) -> str:
    return clean_text(" ".join(name.split()))


def _draw_reports(axes: Axes, timeline: Timeline, rows: LabelRows) -> None:
    for report, row in zip(timeline.reports, rows.rows, strict=True):
        axes.vlines(
            report.at, 0, row + 0.9, color=QUIET_COLOUR, linewidth=1, clip_on=False,
            label="status of the call",
        )  # fmt: skip
    rows.draw(axes)
    label_lane(axes, "call", rows.height)


def _draw_keys(axes: Axes, timeline: Timeline, rows: LabelRows) -> None:
    heights = [row + 0.9 for row in rows.rows]
    axes.vlines(
        [at for at, _ in timeline.keys], 0, heights, color=CALLER_COLOUR, linewidth=1.5,
        clip_on=False, label="key pressed",
    )  # fmt: skip
    rows.draw(axes)
    label_lane(axes, "keys", rows.height)


def _draw_voice(axes: Axes, clip: Clip, colour: str, label: str) -> None:
    is_heard = bool(clip.payload.strip(b"\xff"))
    whose = "caller's sound" if colour == CALLER_COLOUR else "your sound"
    draw_sound(axes, clip.samples(), colour=colour, label=whose if is_heard else "")
    axes.set_ylim(-33000, 33000)
    axes.set_yticks([-32000, 0, 32000])
    label_axes(axes, x="", y=label)


def _draw_sent(axes: Axes, timeline: Timeline) -> None:
    step = next((s for s in _BAR_SECONDS if timeline.seconds / s <= _BARS), _BAR_SECONDS[-1])
    if timeline.sent:
        times, seconds = np.array(timeline.sent).T
        edges = np.arange(0, timeline.seconds + 2 * step, step)
        sums, _ = np.histogram(times, edges, weights=seconds)
        axes.stairs(sums, edges, fill=True, color=YOUR_COLOUR, label="your sound")
    axes.set_ylim(0, 1.35 * max(axes.get_ylim()[1], 0.02))  # room for the marks
    label_axes(axes, x="", y=f"you send\n(s per {step:g} s)")
    if timeline.marks:  # plotted empty, matplotlib would reserve room for a marker in the corner
        axes.plot([mark.sent_at for mark in timeline.marks], [0.9] * len(timeline.marks), "v",
                  clip_on=False, color=MARK_COLOUR, markersize=4, label="mark sent",
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_buffer(axes: Axes, timeline: Timeline) -> None:
    """Draw the buffer level at Twilio, its underruns and the deaf window."""
    if timeline.sent:
        times, seconds = _thin_out(np.array(timeline.buffered)).T
        axes.fill_between(
            times, seconds, color=YOUR_COLOUR, alpha=0.35, linewidth=0, label="_your sound"
        )
        axes.plot(times, seconds, color=YOUR_COLOUR, linewidth=0.8, label="your sound")
    axes.set_ylim(0, 1.05 * max(axes.get_ylim()[1], 0.02))
    if timeline.underruns:
        places = [gap.at for gap in timeline.underruns]
        axes.plot(places, [0.0] * len(places), clip_on=False, zorder=3, label="underrun",
                  **_UNDERRUN_STYLE)  # fmt: skip
    if timeline.deaf is not None and _is_deaf(timeline):
        begin, end = timeline.deaf
        clear = next((at for at in timeline.clears if begin < at < end), None)
        drawn = min(end if clear is None else clear, timeline.seconds)
        axes.axvspan(begin, drawn, label=_describe_deaf(timeline, clear), **_DEAF_STYLE)
    label_axes(axes, x="", y="waits at\nTwilio (s)")


def _describe_deaf(timeline: Timeline, clear: float | None) -> str:
    begin, end = timeline.deaf or (0.0, 0.0)
    if clear is not None:
        return f"deaf window: {end - begin:.1f} s, but for the clear"
    if end > timeline.seconds:
        return f"deaf window: {timeline.seconds - begin:.1f} s, to the end"
    return f"deaf window: {end - begin:.1f} s"


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
    """Draw a sign for each mark, with its name or the number of its neighbours beside it."""
    ends = _sort_marks(timeline)
    for ending in _SIGNS:
        places = [
            (end.at, row + 0.5)
            for end, row in zip(ends, rows.rows, strict=True)
            if end.ending == ending
        ]
        if places:
            axes.add_line(_make_sign(ending, *zip(*places, strict=True)))
    rows.draw(axes)
    label_lane(axes, "marks", rows.height)


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
    if not timeline.clears:
        return
    for axes in lanes:
        _draw_verticals(axes, timeline.clears, CLEAR_COLOUR, "clear sent", linestyle="--")
    spans = [(begin, end - begin) for begin, end in timeline.silences if begin < end]
    if not spans:
        return
    lanes[-1].broken_barh(spans, (0, 1), color=QUIET_COLOUR, alpha=0.2, linewidth=0,
                          transform=lanes[-1].get_xaxis_transform(),
                          label="silence after a clear")  # fmt: skip


def _draw_verticals(
    axes: Axes,
    times: list[float],
    colour: str,
    label: str,
    *,
    height: float = 1.0,
    linestyle: str = "-",
) -> None:
    """Draw lines from the bottom of a lane in one plot, because there may be hundreds."""
    if times:
        axes.vlines(times, 0, height, color=colour, linewidth=1, linestyle=linestyle, label=label,
                    transform=axes.get_xaxis_transform())  # fmt: skip
