"""The whole of a call that has ended, as peaks in levels, and as a still picture.

The peaks are the minimum and the maximum of each 20 ms, and on each further level those of four
columns of the level before.  Ten minutes take 160 kB, whatever the sound is.  A page gets the
coarsest level at once, and of the finer ones the tiles of what it shows, 4 kB each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.replay import Replay, render_caller
from twistream_kit.notebook.display.html import Html, image
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

COLUMN_BYTES = 160
"""One column of the picture is one frame, 20 ms."""

COLUMN_SECONDS = COLUMN_BYTES / BYTES_PER_SECOND

FACTOR = 4
"""How many columns of a level become one of the next."""

TOP_COLUMNS = 2000
"""The coarsest level has at most so many columns: about one for each pixel."""

TILE_COLUMNS = 1024
"""The columns of one tile: 4 kB."""

MOST_SECONDS = 3600.0
"""What comes later in a call is left out; its sound is not kept either."""

MOST_EVENTS = 2000
"""More marks, clears and keys than this are not sent to a page."""

LOUD = 4
"""The level that counts as loud, in 256ths of full scale: -36 dB."""

COUNTED_EVENTS = (
    ("mark back", "mark back", "marks back"),
    ("clear", "clear", "clears"),
    ("key", "key", "keys"),
)

_WIDTH, _LANE, _ROW = 640, 70, 15
"""The width of the still picture, and the heights of a lane and of a row of labels, in pixels."""

_STILL_COLUMNS = 160
"""The still picture has few columns, because its text is saved in the notebook's file."""

_LETTER = 6.2
"""The width of a letter in the still picture; its font is that of the page."""

_LABEL_LETTERS = 24

Kind = Literal["mark sent", "mark back", "clear", "key"]


@dataclass(frozen=True, slots=True)
class ScopeEvent:
    """An event that is drawn as a line across the picture.

    Attributes:
        at: The time, in seconds since the stream began.
        kind: ``mark sent``, ``mark back``, ``clear`` or ``key``.
        name: The name of the mark, followed by ``(cleared)`` if it was cleared; or the key; empty
            for a clear.
    """

    at: float
    kind: Kind
    name: str = ""


@dataclass(frozen=True, slots=True)
class WholeCall:
    """What a page can look at of a call that has ended.

    Attributes:
        seconds: The duration of the call, or of its first hour.
        levels: The peaks, finest first: int8, shape ``(columns, 4)``, the minimum and the maximum
            of what the caller said, and of what the caller heard, in 256ths of full scale.
        events: The first marks, clears and keys, in order.
        more_events: How many more there were.
    """

    seconds: float
    levels: tuple[NDArray[np.int8], ...]
    events: tuple[ScopeEvent, ...]
    more_events: int = 0

    @property
    def top(self) -> NDArray[np.int8]:
        """The coarsest level, which shows the whole call."""
        return self.levels[-1]

    def read_tile(self, level: int, tile: int) -> NDArray[np.int8] | None:
        """Return one tile of a level; None if there is none."""
        if not 0 <= level < len(self.levels) or tile < 0:
            return None
        columns = self.levels[level][tile * TILE_COLUMNS : (tile + 1) * TILE_COLUMNS]
        return columns if len(columns) else None

    def describe(self) -> str:
        """Describe the call in figures."""
        spoke, heard = (self._measure_loud(lane) for lane in (0, 1))
        kinds = [event.kind for event in self.events]
        counts = [
            f"{kinds.count(kind)} {one if kinds.count(kind) == 1 else many}"
            for kind, one, many in COUNTED_EVENTS
            if kind in kinds
        ]
        if self.more_events:
            counts.append(f"{self.more_events} later events left out")
        return ", ".join(
            [
                f"{self.seconds:.1f} s of call",
                f"sound of the caller in {spoke:.1f} s",
                f"of yours in {heard:.1f} s",
                *counts,
            ]
        )

    def to_traits(self) -> dict[str, Any]:
        """Return what a page gets at once."""
        return {
            "seconds": round(self.seconds, 3),
            "counts": [len(level) for level in self.levels],
            "column_seconds": COLUMN_SECONDS,
            "factor": FACTOR,
            "tile_columns": TILE_COLUMNS,
            "top": self.top.tobytes(),
            "events": [[round(e.at, 3), e.kind, e.name] for e in self.events],
            "figures": self.describe(),
        }

    def _measure_loud(self, lane: int) -> float:
        columns = self.levels[0][:, 2 * lane : 2 * lane + 2].astype(int)
        return float((np.ptp(columns, axis=1) > 2 * LOUD).sum() * COLUMN_SECONDS)


def read_whole_call(capture: Capture) -> WholeCall:
    """Read a call that has ended, by the playout model that also measures live calls."""
    entries = [entry for entry in capture.entries if entry.at <= MOST_SECONDS]
    replay = Replay(entries, capture.endings)
    size = max(1, -(-round(replay.seconds * BYTES_PER_SECOND) // COLUMN_BYTES))
    finest = np.hstack(
        [
            _reduce_sound(render_caller(entries).samples(), size),
            _reduce_sound(replay.render_heard().samples(), size),
        ]
    )
    events = [
        ScopeEvent(entry.at, "key", entry.message.digit)
        for entry in entries
        if isinstance(entry.message, from_twilio.Dtmf)
    ]
    events += [ScopeEvent(at, "clear") for at in replay.clears]
    for mark in replay.marks:
        if not mark.name:
            continue
        events.append(ScopeEvent(mark.sent_at, "mark sent", mark.name))
        if mark.returned_at is not None:
            ending = " (cleared)" if replay.get_ending(mark) == "cleared" else ""
            events.append(ScopeEvent(mark.returned_at, "mark back", mark.name + ending))
    events.sort(key=lambda event: event.at)
    return WholeCall(
        replay.seconds,
        _build_levels(finest),
        tuple(events[:MOST_EVENTS]),
        max(0, len(events) - MOST_EVENTS),
    )


def _reduce_sound(samples: NDArray[np.int16], columns: int) -> NDArray[np.int8]:
    lane = np.zeros(columns * COLUMN_BYTES, np.int16)
    lane[: len(samples)] = samples[: len(lane)]
    return reduce_columns(lane)


def reduce_columns(lane: NDArray[np.int16]) -> NDArray[np.int8]:
    """Return the minimum and the maximum of each column of samples, in 256ths of full scale."""
    columns = lane.reshape(-1, COLUMN_BYTES)
    both = np.stack([columns.min(axis=1), columns.max(axis=1)], axis=1)
    return (both >> 8).astype(np.int8)


def _build_levels(finest: NDArray[np.int8]) -> tuple[NDArray[np.int8], ...]:
    levels = [finest]
    while len(levels[-1]) > TOP_COLUMNS:
        begins = np.arange(0, len(levels[-1]), FACTOR)
        low = np.minimum.reduceat(levels[-1][:, 0::2], begins)
        high = np.maximum.reduceat(levels[-1][:, 1::2], begins)
        levels.append(np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1))
    return tuple(levels)


def draw_still(
    columns: NDArray[np.int8],
    events: Sequence[ScopeEvent],
    begin: float,
    end: float,
    words: str,
) -> Html:
    """Return a picture of both lanes as HTML, which needs no kernel and no script.

    Its labels stand in rows above the lanes, never on the sound.

    Args:
        columns: The peaks between `begin` and `end`, as in `WholeCall.levels`.
        events: The events; those outside are left out.
        begin: The time at the left edge, in seconds.
        end: The time at the right edge.
        words: The description of the picture, shown below it.
    """
    seen = [event for event in events if begin <= event.at <= end]
    scale = _WIDTH / max(end - begin, 0.001)
    keys = [event for event in seen if event.kind == "key"]
    others = [event for event in seen if event.kind in ("clear", "mark back")]
    parts, top = [], 0
    lanes = (
        ("the caller says", keys, 1, CALLER_COLOUR, columns[:, :2]),
        ("the caller hears", others, 2, YOUR_COLOUR, columns[:, 2:]),
    )
    for title, shown, rows, colour, lane in lanes:
        bottom = top + rows * _ROW + _LANE
        parts += [_draw_line((event.at - begin) * scale, top, bottom, event) for event in shown]
        parts.append(_draw_lane(lane, bottom - _LANE / 2, colour))
        parts += _write_labels(title, shown, rows, top, begin, scale)
        top = bottom
    if begin >= 0:
        parts.append(f'<text x="0" y="{top + 12}">{begin:.1f} s</text>')
    parts.append(f'<text x="{_WIDTH}" y="{top + 12}" text-anchor="end">{end:.1f} s</text>')
    height = top + 16
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11" fill="#212121">'
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>{"".join(parts)}</svg>'
    )
    caption = f"<figcaption>{escape(words)}.</figcaption>"
    return Html(f'<figure style="margin:4px 0">{image(drawing, words)}{caption}</figure>')


def _draw_lane(lane: NDArray[np.int8], middle: float, colour: str) -> str:
    axis = f'<path d="M0 {middle}H{_WIDTH}" stroke="{QUIET_COLOUR}" stroke-width="0.5"/>'
    if not lane.any():
        return axis
    groups = np.array_split(lane, min(_STILL_COLUMNS, len(lane)))
    step = _WIDTH / len(groups)
    high = [f"{n * step:.0f} {middle - group.max() * 0.25:.1f}" for n, group in enumerate(groups)]
    low = [f"{n * step:.0f} {middle - group.min() * 0.25:.1f}" for n, group in enumerate(groups)]
    shape = "L".join([*high, *reversed(low)])
    return f'{axis}<path d="M{shape}Z" fill="{colour}" stroke="{colour}"/>'


def _draw_line(x: float, top: float, bottom: float, event: ScopeEvent) -> str:
    cleared = event.kind == "clear" or event.name.endswith(" (cleared)")
    colour = CLEAR_COLOUR if cleared else MARK_COLOUR
    colour = CALLER_COLOUR if event.kind == "key" else colour
    dashes = ' stroke-dasharray="4 3"' if event.kind == "clear" else ""
    return f'<path d="M{x:.0f} {top}V{bottom:.0f}" stroke="{colour}"{dashes}/>'


def _write_labels(
    title: str, events: Sequence[ScopeEvent], rows: int, top: float, begin: float, scale: float
) -> list[str]:
    """Write the title and the labels that find room; count the others."""
    labels = [((event.at - begin) * scale, _shorten(event.name or event.kind)) for event in events]
    title_ends = len(title) * _LETTER + 12
    placed = _place_labels(labels, rows, title_ends, _WIDTH)
    if len(placed) < len(labels):
        placed = _place_labels(labels, rows, title_ends, _WIDTH - 60)  # room for the number
    written = [f'<text x="0" y="{top + 11}">{title}</text>']
    written += [
        f'<text x="{left:.0f}" y="{top + row * _ROW + 11:.0f}" textLength="{width:.0f}">'
        f"{escape(text)}</text>"
        for left, width, row, text in placed
    ]
    if hidden := len(labels) - len(placed):
        written.append(
            f'<text x="{_WIDTH}" y="{top + 11}" text-anchor="end">+ {hidden} more</text>'
        )
    return written


def _shorten(text: str) -> str:
    return text if len(text) <= _LABEL_LETTERS else f"{text[: _LABEL_LETTERS - 1]}…"


def _place_labels(
    labels: Sequence[tuple[float, str]], rows: int, title_ends: float, most: float
) -> list[tuple[float, float, int, str]]:
    """Return left edge, width, row and text of the labels that find room left of `most`."""
    ends = [title_ends, *[0.0] * (rows - 1)]
    placed = []
    for x, text in labels:
        width = len(text) * _LETTER
        left = x + 4 if x + 4 + width <= most else x - 4 - width
        row = next((n for n, end in enumerate(ends) if end <= left), None)
        if row is not None and left + width <= most:
            ends[row] = left + width + 8
            placed.append((left, width, row, text))
    return placed
