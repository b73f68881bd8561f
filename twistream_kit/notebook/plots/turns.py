"""A figure of a conversation: who spoke when, and the times between."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from twistream_kit.diagnosis.turns import turns
from twistream_kit.notebook.plots._labels import Label, LabelRows
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    SMALL,
    YOUR_COLOUR,
    add_legend,
    apply_house_style,
    draw_sound,
    label_axes,
    label_lane,
    make_figure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from twistream_kit.audio.clip import Clip
    from twistream_kit.diagnosis.turns import Turns

_ROW = 0.16
"""The height of a row of times, where that of a lane with sound is 1."""

_MOST_ROWS = 4
"""Times that need more rows than this are counted."""

_RESPONSE, _BARGE_IN, _DEAD_AIR, _OVERLAP = "response", "barge-in", "dead air", "both speak"
_LOST = "not heard"

_LEGEND = ("caller's turn", "server's turn", _RESPONSE, _BARGE_IN, _OVERLAP, _DEAD_AIR, _LOST)
"""The order of the legend."""

_COLOURS = {
    _RESPONSE: MARK_COLOUR,
    _BARGE_IN: CLEAR_COLOUR,
    _DEAD_AIR: QUIET_COLOUR,
    _LOST: YOUR_COLOUR,
}

_DEAD_STYLE: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": QUIET_COLOUR,
    "alpha": 0.5,
    "hatch": "////",
    "linewidth": 0,
}


class _Time(NamedTuple):
    """A time that was measured, from its beginning to its end in the picture."""

    what: str
    begins: float
    ends: float
    text: str


@apply_house_style
def plot_turns(call: Any) -> Figure:
    """Draw the turns of a call: what both parties said, and the times between over one time axis.

    A bar below the sound of each party is a turn.  Between the two lanes stand the times: green
    from the end of the caller's speech to the beginning of the answer, purple from the beginning of
    an interruption to the end of what it interrupted, grey for dead air, which is hatched in the
    lanes.  Where both speak, the lanes are shaded.  A cross at the end of the call stands for words
    of the server that nobody heard.  A response that never came is drawn until the
    caller spoke again or the call ended.

    Of a simulated call the time counts in the frames that the caller heard.  `plot_timeline` puts
    the first frame of the caller's voice at the time of its message and the others behind it; as
    Twilio's first 2 to 5 frames come at once (§10.20), its voice stands 20 to 80 ms later than
    here, 40 ms in calls of the simulator.

    Args:
        call: `Turns`, the report of a call, a `Capture`, or an object that has one.

    Raises:
        TypeError: If `call` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.5))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> figure = kit.plot_turns(kit.simulate_call(server.url).result(10))
        >>> figure.get_suptitle()
        '... s of call, 1 turn'
    """
    measured = turns(call)
    times = _list_times(measured)
    rows = LabelRows(
        [
            Label(each.ends, each.text, colour=_COLOURS[each.what], gap=4, begin=each.begins)
            for each in times
        ],
        0.0,
        max(measured.seconds, 0.1),
        lambda labels: f"{len(labels)} times",
        _MOST_ROWS,
    )
    height = max(rows.height, 1) * _ROW
    figure = make_figure(_write_title(measured), height=3.2 + 1.2 * height)
    panels: Any = figure.subplot_mosaic(
        [["caller"], ["times"], ["server"]], sharex=True, height_ratios=[1, height, 1]
    )
    axes: dict[str, Axes] = panels
    _draw_party(axes["caller"], measured, "caller", measured.said, CALLER_COLOUR)
    _draw_party(axes["server"], measured, "server", measured.heard, YOUR_COLOUR)
    _draw_times(axes["times"], times, rows)
    _draw_fields([axes["caller"], axes["server"]], measured)
    axes["server"].set_xlim(0, max(measured.seconds, 0.1))
    about = "time since the call began (s)"
    if not measured.is_estimate:
        about += ", by the frames that the caller heard"
    else:
        about += "; the times are estimates, see turns.uncertainty"
    axes["server"].set_xlabel(about, fontsize=SMALL)
    add_legend(figure, _LEGEND)
    return figure


def _write_title(measured: Turns) -> str:
    number = len(measured)
    parts = [f"{measured.seconds:.1f} s of call", f"{number or 'no'} turn{'s' * (number != 1)}"]
    for name, figure in (("response", measured.response_ms), ("barge-in", measured.barge_in_ms)):
        if figure.values:
            parts.append(f"{name} {figure.describe()}")
    if measured.false_barge_ins:
        parts.append(f"{measured.false_barge_ins} × stopped by a sound")
    if measured.cleared:
        parts.append(f"{measured.cleared} × cleared")
    if measured.cut_off_ms:
        parts.append(f"last {measured.cut_off_ms:.0f} ms not heard")
    return ", ".join(parts)


def _list_times(measured: Turns) -> list[_Time]:
    """Return the times between turns, by their ends."""
    times = []
    rows = list(measured)
    for place, turn in enumerate(rows):
        if turn.response_ms is not None and turn.who == "server":
            begins = turn.begins - turn.response_ms / 1000
            times.append(_Time(_RESPONSE, begins, turn.begins, f"{turn.response_ms:.0f} ms"))
        elif turn.response_ms is not None:
            later = (
                next_turn.begins for next_turn in rows[place + 1 :] if next_turn.who == "caller"
            )
            times.append(_Time(_RESPONSE, turn.ends, next(later, measured.seconds), "no answer"))
        if turn.barge_in_ms is not None:
            is_over = math.isfinite(turn.barge_in_ms)
            ends = turn.begins + turn.barge_in_ms / 1000 if is_over else measured.seconds
            text = f"{turn.barge_in_ms:.0f} ms" if is_over else "does not stop"
            text += ", to its end" if is_over and turn.is_stopped is False else ""
            times.append(_Time(_BARGE_IN, turn.begins, ends, text))
    for at, seconds in measured.dead_air:
        if not any(each.what == _RESPONSE and each.begins <= at < each.ends for each in times):
            times.append(_Time(_DEAD_AIR, at, at + seconds, f"{seconds * 1000:.0f} ms"))
    if measured.cut_off_ms:
        text = f"{measured.cut_off_ms:.0f} ms not heard"
        times.append(_Time(_LOST, measured.seconds, measured.seconds, text))
    return sorted(times, key=lambda each: each.ends)


def _draw_party(axes: Axes, measured: Turns, who: str, clip: Clip, colour: str) -> None:
    draw_sound(axes, clip.samples(), colour=colour)
    axes.set_ylim(-36000, 33000)
    axes.set_yticks([-32000, 0, 32000])
    label_axes(axes, x="", y="caller says\n(int16)" if who == "caller" else "caller hears\n(int16)")
    spans = [(turn.begins, turn.ends - turn.begins) for turn in measured if turn.who == who]
    if spans:
        axes.broken_barh(
            spans, (0.0, 0.06), facecolors=colour, transform=axes.get_xaxis_transform(),
            label=f"{who}'s turn", zorder=3,
        )  # fmt: skip


def _draw_times(axes: Axes, times: Sequence[_Time], rows: LabelRows) -> None:
    for each, row in zip(times, rows.rows, strict=True):
        if each.what == _LOST:
            axes.plot(
                each.ends, row + 0.5, "x", color=_COLOURS[_LOST], label=_LOST, clip_on=False,
                zorder=4,
            )  # fmt: skip
            continue
        axes.hlines(
            row + 0.5, each.begins, each.ends, color=_COLOURS[each.what], linewidth=2.5,
            label=each.what,
        )  # fmt: skip
    rows.draw(axes)
    label_lane(axes, "times", rows.height)


def _draw_fields(lanes: Sequence[Axes], measured: Turns) -> None:
    """Draw dead air, and where both speak."""
    caller = [turn for turn in measured if turn.who == "caller"]
    for server in (turn for turn in measured if turn.who == "server"):
        for turn in caller:
            begins, ends = max(server.begins, turn.begins), min(server.ends, turn.ends)
            if begins < ends:
                for axes in lanes:
                    axes.axvspan(
                        begins, ends, color=CLEAR_COLOUR, alpha=0.15, linewidth=0, label=_OVERLAP
                    )
    for at, seconds in measured.dead_air:
        for axes in lanes:
            axes.axvspan(at, at + seconds, label=_DEAD_AIR, **_DEAD_STYLE)
