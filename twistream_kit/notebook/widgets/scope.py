"""A moving picture of a call: what the caller says and hears, with marks and clears.

The kernel sends the least and the greatest sample of each 20 ms, ten times a second; the browser
draws them.  That costs the kernel a hundredth of its time, where a plot would take a third.

The trace follows a capture while it grows, at the cost of what is new.  The caller's voice stands
where it arrived, yours where the caller heard it by the playout model, so that what a clear threw
away never shows.  A page without a kernel shows the same as a still picture.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Entry
from twistream_kit.capture.replay import SentMark
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    QUIET_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import UNNAMED
from twistream_kit.protocol.playout import BYTES_PER_SECOND, PlayoutModel

COLUMN_BYTES = 160
"""One column of the picture is one frame, 20 ms."""

COLUMN_SECONDS = COLUMN_BYTES / BYTES_PER_SECOND

WINDOW_SECONDS = 8.0
"""How much the picture shows; 400 columns of both voices are 1.6 kB."""

KEPT_EVENTS = 200
"""How many marks, clears and keys the trace keeps."""

_UNNAMED_MARKS = ("", UNNAMED)
"""Marks that nobody asked for by name: they measure how far a playback is."""

LEAD_IN_SECONDS = 0.1
"""Twilio's first media comes within this of the start message (PROTOCOL.md §2.3)."""

_RECENT_COLUMNS = 15
"""Who was loud within 300 ms is said to speak."""

_LOUD = 4
"""In 256ths of full scale, -36 dB."""

_COUNTED_EVENTS = (
    ("mark back", "mark back", "marks back"),
    ("clear", "clear", "clears"),
    ("key", "key", "keys"),
)

_WIDTH, _LANE = 640, 70
"""The width of the still picture and the height of one of its lanes, in pixels."""

_STILL_COLUMNS = 160
"""The still picture has fewer columns: its text stays in the notebook's file."""

_COLOURS = {
    "caller": CALLER_COLOUR,
    "yours": YOUR_COLOUR,
    "mark": MARK_COLOUR,
    "clear": CLEAR_COLOUR,
}

_STATIC = Path(__file__).parents[1] / "static"


class LiveScope(anywidget.AnyWidget):
    """The last eight seconds of a call, moving: above what the caller says, below what is heard.

    What is below is what the caller *hears* of you by the playout model, not what was sent: a
    clear cuts it off, and silence follows.  Marks, clears and keys stand where they fall.  When the
    call has ended its last seconds remain.

    Args:
        stream: The stream to show; one that has ended shows its end.

    Raises:
        TypeError: If `stream` is not a `MediaStream`.
    """

    _esm = _STATIC / "scope.js"
    _css = _STATIC / "scope.css"

    picture = traitlets.Dict().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    story = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict(_COLOURS).tag(sync=True)

    def __init__(self, stream: MediaStream) -> None:
        if not isinstance(stream, MediaStream):
            raise TypeError(
                f"LiveScope takes a MediaStream, not {type(stream).__name__}; "
                "server.next_stream().result(10) gives one, kit.plot_timeline(capture) draws a "
                "call from a file"
            )
        super().__init__()
        self._stream = stream
        self._trace = ScopeTrace(stream.capture)
        self._is_closed = False
        if self._update():
            PUMP.add(self._update)

    def close(self) -> None:
        """Take the picture away; the stream goes on."""
        self._is_closed = True
        PUMP.remove(self._update)
        super().close()

    def __repr__(self) -> str:
        return f"<LiveScope of {self._stream!r}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if isinstance(shown, tuple):  # what a page without a kernel shows instead
            shown[0]["text/html"] = _draw_still(self.picture, self.story)
        return shown

    def _update(self) -> bool:
        """Show the last seconds; return whether there can be more."""
        if self._is_closed:
            return False
        stream = self._stream
        is_over = stream.closed.done()
        now = stream.capture.seconds if is_over else time.monotonic() - stream.capture.started
        window = self._trace.window(now)
        with self.hold_sync():
            self.picture = _as_traits(window, is_running=not is_over)
            self.state = self._describe_state()
            self.story = _describe(window)
        return not is_over

    def _describe_state(self) -> str:
        words = "In a call."
        if self._stream.closed.done():
            how = self._stream.closed.exception(0) or f"{self._stream.closed.result(0).detail}."
            words = f"Ended: {how}"
        if self._trace.unkept:
            minutes = self._stream.capture.keep_seconds / 60
            words += f" Sound is kept for {minutes:g} minutes and not drawn after them."
        return words


def _as_traits(window: ScopeWindow, *, is_running: bool) -> dict[str, Any]:
    return {
        "now": round(window.now, 3),
        "first": window.first,
        "caller": window.caller.tobytes(),
        "heard": window.heard.tobytes(),
        "events": [[round(e.at, 3), e.kind, e.name] for e in window.events],
        "running": is_running,
    }


def _describe(window: ScopeWindow) -> str:
    """Say what the picture shows, for those who do not see it."""
    speaks = "speaks" if _is_loud(window.caller) else "is silent"
    hears = "hears you" if _is_loud(window.heard) else "hears silence"
    kinds = [event.kind for event in window.events]
    counts = [
        f"{kinds.count(kind)} {one if kinds.count(kind) == 1 else many}"
        for kind, one, many in _COUNTED_EVENTS
        if kind in kinds
    ]
    noted = f"; in view: {', '.join(counts)}" if counts else ""
    return f"Waveform of the call: the caller {speaks} and {hears}{noted}"


def _is_loud(lane: Any) -> bool:
    recent = lane[-_RECENT_COLUMNS:].astype(int)
    return bool((recent[:, 1] - recent[:, 0]).max() > 2 * _LOUD)


class ScopeTrace:
    """The picture of one capture, which grows with it; one thread at a time.

    Args:
        capture: Of a call that goes on, or of one that has ended.
        seconds: How much one window shows.

    Attributes:
        unkept: How many messages of sound are known to the capture by their size alone.
    """

    def __init__(self, capture: Capture, seconds: float = WINDOW_SECONDS) -> None:
        self._capture = capture
        self._columns = round(seconds / COLUMN_SECONDS)
        self._read = 0
        self.unkept = 0
        self._caller = _SoundBuffer()
        self._next_chunk = 0
        self._yours = _SoundBuffer()
        self._model = PlayoutModel()
        self._marks: dict[str, deque[SentMark]] = {}
        self._events: deque[ScopeEvent] = deque(maxlen=KEPT_EVENTS)

    def window(self, now: float) -> ScopeWindow:
        """Return what the picture shows at `now`, in seconds since the stream began."""
        passed = len(self._capture)  # before the rest is read, since more may pass meanwhile
        for entry in self._capture.kept_since(self._read):
            self._read += 1
            self._take(entry)
        self.unkept = max(0, passed - self._read)
        first = int(now / COLUMN_SECONDS) + 1 - self._columns
        begin = first * COLUMN_SECONDS
        return ScopeWindow(
            now,
            first,
            self._caller_columns(first),
            self._heard_columns(first, now),
            tuple(event for event in self._events if event.at >= begin),
        )

    def _take(self, entry: Entry) -> None:
        at, message = entry.at, entry.message
        match message:
            case from_twilio.Media(track="inbound"):
                self._take_caller(message, entry.size, at)
            case to_twilio.Media():
                self._yours.append(message.payload)
                self._model.note_sent(entry.size, at)
            case to_twilio.Mark(name=name):
                mark = SentMark(name, at, self._model.sent_bytes)
                self._marks.setdefault(name, deque()).append(mark)
                self._note_mark(at, "mark sent", mark)
            case to_twilio.Clear():
                self._take_clear(at)
            case from_twilio.Mark(name=name):
                self._take_mark(name, at)
            case from_twilio.Dtmf(digit=digit):
                self._events.append(ScopeEvent(at, "key", digit))

    def _note_mark(self, at: float, kind: Kind, mark: SentMark, ending: str = "") -> None:
        if mark.name not in _UNNAMED_MARKS:
            self._events.append(ScopeEvent(at, kind, mark.name + ending))

    def _take_caller(self, message: from_twilio.Media, size: int, at: float) -> None:
        # As in the capture's own `caller`: a frame that is late is not a gap, one that is missing
        # by its number is.
        here = round(at * BYTES_PER_SECOND) - size
        if not self._next_chunk and at > LEAD_IN_SECONDS:
            self._caller.skip_to(here)
        elif message.chunk > self._next_chunk > 0:
            missing = (message.chunk - self._next_chunk) * size
            self._caller.skip_to(min(self._caller.end + missing, here))
        self._caller.append(message.payload)
        self._caller.forget(self._caller.end - 2 * self._columns * COLUMN_BYTES)
        self._next_chunk = message.chunk + 1

    def _take_clear(self, at: float) -> None:
        played = self._model.count_played(at)
        for waiting in self._marks.values():
            for mark in waiting:
                mark.cleared = mark.cleared or mark.position > played
        self._model.note_clear(at)
        self._events.append(ScopeEvent(at, "clear"))

    def _take_mark(self, name: str, at: float) -> None:
        waiting = self._marks.get(name)
        if not waiting:
            return
        mark = waiting.popleft()
        if not waiting:
            del self._marks[name]
        if not mark.cleared:
            self._model.note_mark(mark.position, at)
        self._note_mark(at, "mark back", mark, " (cleared)" if mark.cleared else "")

    def _caller_columns(self, first: int) -> NDArray[np.int8]:
        begin = first * COLUMN_BYTES
        lane = self._silence()
        _write_sound(lane, self._caller.between(begin, begin + len(lane)), begin=begin)
        return _envelope(lane)

    def _heard_columns(self, first: int, now: float) -> NDArray[np.int8]:
        lane = self._silence()
        needed = self._model.count_played(now)
        for interval in self._model.list_intervals(now):
            # The number that the byte at the left edge has, or would have, in what was sent.
            edge = (
                interval.first + first * COLUMN_BYTES - round(interval.started * BYTES_PER_SECOND)
            )
            begin, end = max(interval.first, edge), interval.first + interval.size
            if begin < end:
                _write_sound(lane, self._yours.between(begin, end), begin=edge)
                needed = min(needed, begin)
        self._yours.forget(needed - BYTES_PER_SECOND)  # a late mark may move what is heard
        return _envelope(lane)

    def _silence(self) -> NDArray[np.int16]:
        return np.zeros(self._columns * COLUMN_BYTES, np.int16)


Kind = Literal["mark sent", "mark back", "clear", "key"]


@dataclass(frozen=True, slots=True)
class ScopeEvent:
    """Something that is drawn as a line across the picture.

    Attributes:
        at: In seconds since the stream began.
        kind: ``mark sent``, ``mark back``, ``clear`` or ``key``.
        name: Of the mark, with ``(cleared)`` behind it if it was; or the key; empty for a clear.
    """

    at: float
    kind: Kind
    name: str = ""


@dataclass(frozen=True, slots=True)
class ScopeWindow:
    """What the picture shows at one moment.

    Attributes:
        now: In seconds since the stream began.
        first: The number of the first column; column 0 begins at 0 s.
        caller: int8, shape ``(columns, 2)``: the least and the greatest sample of each column,
            in 256ths of full scale.
        heard: The same of what the caller heard of you.
        events: What happened within it, oldest first.
    """

    now: float
    first: int
    caller: NDArray[np.int8]
    heard: NDArray[np.int8]
    events: tuple[ScopeEvent, ...]


class _SoundBuffer:
    """PCMU bytes with numbers, of which the oldest are forgotten."""

    def __init__(self) -> None:
        self._payload = bytearray()
        self._first = 0

    @property
    def end(self) -> int:
        return self._first + len(self._payload)

    def append(self, payload: bytes) -> None:
        self._payload += payload

    def skip_to(self, number: int) -> None:
        """Go on at a later number; what lies between was silent."""
        if number - self.end > BYTES_PER_SECOND * 60:  # far beyond any window: begin anew
            self._payload.clear()
            self._first = number
        self._payload += b"\xff" * max(0, number - self.end)

    def forget(self, before: int) -> None:
        """Drop the bytes before a number, in portions: dropping moves all that stay."""
        if before - self._first >= BYTES_PER_SECOND:
            del self._payload[: before - self._first]
            self._first = before

    def between(self, begin: int, end: int) -> tuple[int, bytes]:
        """Return what there is from `begin` to `end`, and the number of its first byte."""
        begin = max(begin, self._first)
        return begin, bytes(self._payload[begin - self._first : max(0, end - self._first)])


def _write_sound(lane: NDArray[np.int16], sound: tuple[int, bytes], *, begin: int) -> None:
    """Write sound into a lane whose first sample has the number `begin`."""
    number, payload = sound
    place = number - begin
    payload = payload[max(0, -place) : max(0, len(lane) - place)]
    place = max(0, place)
    lane[place : place + len(payload)] = decode_ulaw(payload)


def _envelope(lane: NDArray[np.int16]) -> NDArray[np.int8]:
    columns = lane.reshape(-1, COLUMN_BYTES)
    both = np.stack([columns.min(axis=1), columns.max(axis=1)], axis=1)
    return (both >> 8).astype(np.int8)


def _draw_still(picture: Mapping[str, Any], story: str) -> str:
    """Return a small picture of both lanes as HTML.

    Args:
        picture: As `LiveScope.picture` holds it.
        story: What there is to see, in words.
    """
    lanes = "".join(
        _draw_lane(np.frombuffer(picture[name], np.int8).reshape(-1, 2), number, colour, title)
        for number, (name, colour, title) in enumerate(
            [
                ("caller", CALLER_COLOUR, "the caller says"),
                ("heard", YOUR_COLOUR, "the caller hears"),
            ]
        )
    )
    lines = "".join(_draw_event(picture, *event) for event in picture["events"])
    note = "A still picture; run the notebook and it moves."
    height = 2 * _LANE
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{escape(story)}" '
        f'viewBox="0 0 {_WIDTH} {height}" style="width:100%;max-width:{_WIDTH}px" '
        f'font-family="sans-serif" font-size="11">{lanes}{lines}</svg>'
        f"<figcaption>{escape(story)}. {note}</figcaption></figure>"
    )


def _draw_lane(lane: NDArray[np.int8], number: int, colour: str, title: str) -> str:
    middle = number * _LANE + _LANE / 2
    axis = f'<path d="M0 {middle}H{_WIDTH}" stroke="{QUIET_COLOUR}" stroke-width="0.5"/>'
    text = f'<text x="4" y="{number * _LANE + 12}" fill="currentColor">{title}</text>'
    if not lane.any():
        return axis + text
    groups = np.array_split(lane, _STILL_COLUMNS)
    step = _WIDTH / len(groups)
    high = [f"{n * step:.0f} {middle - group.max() * 0.25:.1f}" for n, group in enumerate(groups)]
    low = [f"{n * step:.0f} {middle - group.min() * 0.25:.1f}" for n, group in enumerate(groups)]
    shape = "L".join([*high, *reversed(low)])
    return f'{axis}<path d="M{shape}Z" fill="{colour}" stroke="{colour}"/>{text}'


def _draw_event(picture: Mapping[str, Any], at: float, kind: str, name: str) -> str:
    columns = len(picture["caller"]) // 2
    x = (at / COLUMN_SECONDS - picture["first"]) / columns * _WIDTH
    colour = {"clear": CLEAR_COLOUR, "key": CALLER_COLOUR}.get(kind, MARK_COLOUR)
    dashes = ' stroke-dasharray="4 3"' if kind == "clear" else ""
    title = escape(f"{kind} {name}".strip())
    return (
        f'<path d="M{x:.0f} 0V{2 * _LANE}" stroke="{colour}"{dashes}><title>{title}</title></path>'
    )
