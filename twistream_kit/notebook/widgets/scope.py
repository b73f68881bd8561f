"""A live waveform of a call: the sound that the caller says and hears, with marks and clears.

The kernel sends the minimum and the maximum of each 20 ms, ten times a second; the browser draws
them.  That costs the kernel a hundredth of its time, where a plot would take a third.

The trace follows a growing capture, at the cost of the new entries only.  The caller's voice is
drawn at the time of its arrival, yours at the time when the caller heard it by the playout model,
so that sound removed by a clear never appears.  A page without a kernel shows a still picture.
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
from twistream_kit.errors import WrongType
from twistream_kit.live.stream.stream import MediaStream, describe_end
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
"""The duration that the picture shows; 400 columns of both voices are 1.6 kB."""

KEPT_EVENTS = 200
"""The number of marks, clears and keys that the trace keeps."""

_UNNAMED_MARKS = ("", UNNAMED)
"""Marks without a name of the user's: they measure the progress of a playback."""

FIRST_MEDIA_SECONDS = 0.1
"""Twilio's first media comes within this of the start message (PROTOCOL.md §2.3)."""

_RECENT_COLUMNS = 15
"""A party that was loud within the last 300 ms counts as speaking."""

_LOUD = 4
"""The level that counts as loud, in 256ths of full scale: -36 dB."""

_COUNTED_EVENTS = (
    ("mark back", "mark back", "marks back"),
    ("clear", "clear", "clears"),
    ("key", "key", "keys"),
)

_WIDTH, _LANE = 640, 70
"""The width of the still picture and the height of one of its lanes, in pixels."""

_STILL_COLUMNS = 160
"""The still picture has fewer columns, because its text is saved in the notebook's file."""

_COLOURS = {
    "caller": CALLER_COLOUR,
    "yours": YOUR_COLOUR,
    "mark": MARK_COLOUR,
    "clear": CLEAR_COLOUR,
}

_STATIC = Path(__file__).parents[1] / "static"


class LiveScope(anywidget.AnyWidget):
    """A live waveform of the last eight seconds of a call: the caller above, your sound below.

    The lower lane shows what the caller *hears* of you by the playout model, not what was sent: a
    clear cuts it off, and silence follows.  Marks, clears and keys are drawn at their times.  After
    the end of the call its last seconds remain.

    Args:
        stream: The stream to show; if it has ended, its last seconds are shown.

    Raises:
        TypeError: If `stream` is not a `MediaStream`.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.1))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_call(server.url).result(10)
        >>> scope = kit.LiveScope(server.streams[0])
        >>> scope.summary
        'Waveform of the call: the caller is silent and hears you'
        >>> scope.close()
    """

    _esm = _STATIC / "scope.js"
    _css = _STATIC / "scope.css"

    picture = traitlets.Dict().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict(_COLOURS).tag(sync=True)

    def __init__(self, stream: MediaStream) -> None:
        if not isinstance(stream, MediaStream):
            raise WrongType(
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
        """Close the widget; the stream continues."""
        self._is_closed = True
        PUMP.remove(self._update)
        super().close()

    def __repr__(self) -> str:
        return f"<LiveScope of {self._stream!r}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if isinstance(shown, tuple):  # shown by a page without a kernel
            shown[0]["text/html"] = _draw_still(self.picture, self.summary)
        return shown

    def _update(self) -> bool:
        """Show the last seconds; return whether more can follow."""
        if self._is_closed:
            return False
        stream = self._stream
        is_over = stream.closed.done()
        now = stream.capture.seconds if is_over else time.monotonic() - stream.capture.started
        window = self._trace.read_window(now)
        with self.hold_sync():
            self.picture = _as_traits(window, is_running=not is_over)
            self.state = self._describe_state()
            self.summary = _describe(window)
        return not is_over

    def _describe_state(self) -> str:
        words = "In a call."
        if self._stream.closed.done():
            words = f"Ended: {describe_end(self._stream).removesuffix('.')}."
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
    """Describe the picture in words, for screen readers."""
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
    """Computes the picture of one capture, which may grow; for one thread at a time.

    Args:
        capture: The capture of a running call, or of one that has ended.
        seconds: The duration that one window shows.

    Attributes:
        unkept: The number of media messages whose sound the capture did not keep.
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

    def read_window(self, now: float) -> ScopeWindow:
        """Return the window that ends at `now`, in seconds since the stream began."""
        passed = len(self._capture)  # read first, because more entries may arrive meanwhile
        for entry in self._capture.kept_since(self._read):
            self._read += 1
            self._take(entry)
        self.unkept = max(0, passed - self._read)
        first = int(now / COLUMN_SECONDS) + 1 - self._columns
        begin = first * COLUMN_SECONDS
        return ScopeWindow(
            now,
            first,
            self._reduce_caller(first),
            self._reduce_heard(first, now),
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
        # As in the capture's own `caller`: a late frame is no gap, a missing number is one.
        here = round(at * BYTES_PER_SECOND) - size
        if not self._next_chunk and at > FIRST_MEDIA_SECONDS:
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

    def _reduce_caller(self, first: int) -> NDArray[np.int8]:
        begin = first * COLUMN_BYTES
        lane = self._make_silence()
        _write_sound(lane, self._caller.read_between(begin, begin + len(lane)), begin=begin)
        return _reduce_lane(lane)

    def _reduce_heard(self, first: int, now: float) -> NDArray[np.int8]:
        lane = self._make_silence()
        needed = self._model.count_played(now)
        for interval in self._model.list_intervals(now):
            # The number of the byte at the left edge, counted in the sound that was sent.
            edge = (
                interval.first + first * COLUMN_BYTES - round(interval.started * BYTES_PER_SECOND)
            )
            begin, end = max(interval.first, edge), interval.first + interval.size
            if begin < end:
                _write_sound(lane, self._yours.read_between(begin, end), begin=edge)
                needed = min(needed, begin)
        self._yours.forget(needed - BYTES_PER_SECOND)  # a late mark may shift the heard sound
        return _reduce_lane(lane)

    def _make_silence(self) -> NDArray[np.int16]:
        return np.zeros(self._columns * COLUMN_BYTES, np.int16)


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
class ScopeWindow:
    """The part of the call that the picture shows at one moment.

    Attributes:
        now: The time at the right edge, in seconds since the stream began.
        first: The number of the first column; column 0 begins at 0 s.
        caller: int8, shape ``(columns, 2)``: the minimum and the maximum of each column, in 256ths
            of full scale.
        heard: The same for the sound of yours that the caller heard.
        events: The events within the window, oldest first.
    """

    now: float
    first: int
    caller: NDArray[np.int8]
    heard: NDArray[np.int8]
    events: tuple[ScopeEvent, ...]


class _SoundBuffer:
    """Numbered PCMU bytes, of which only the newest are kept."""

    def __init__(self) -> None:
        self._payload = bytearray()
        self._first = 0

    @property
    def end(self) -> int:
        return self._first + len(self._payload)

    def append(self, payload: bytes) -> None:
        self._payload += payload

    def skip_to(self, number: int) -> None:
        """Continue at a later number, and fill the gap with silence."""
        if number - self.end > BYTES_PER_SECOND * 60:  # far beyond any window: start afresh
            self._payload.clear()
            self._first = number
        self._payload += b"\xff" * max(0, number - self.end)

    def forget(self, before: int) -> None:
        """Drop the bytes before a number, many at a time: each drop moves all remaining bytes."""
        if before - self._first >= BYTES_PER_SECOND:
            del self._payload[: before - self._first]
            self._first = before

    def read_between(self, begin: int, end: int) -> tuple[int, bytes]:
        """Return the kept bytes between `begin` and `end`, and the number of the first one."""
        begin = max(begin, self._first)
        return begin, bytes(self._payload[begin - self._first : max(0, end - self._first)])


def _write_sound(lane: NDArray[np.int16], sound: tuple[int, bytes], *, begin: int) -> None:
    """Write sound into a lane whose first sample has the number `begin`."""
    number, payload = sound
    place = number - begin
    payload = payload[max(0, -place) : max(0, len(lane) - place)]
    place = max(0, place)
    lane[place : place + len(payload)] = decode_ulaw(payload)


def _reduce_lane(lane: NDArray[np.int16]) -> NDArray[np.int8]:
    columns = lane.reshape(-1, COLUMN_BYTES)
    both = np.stack([columns.min(axis=1), columns.max(axis=1)], axis=1)
    return (both >> 8).astype(np.int8)


def _draw_still(picture: Mapping[str, Any], summary: str) -> str:
    """Return a small picture of both lanes as HTML.

    Args:
        picture: As `LiveScope.picture` holds it.
        summary: The description of the picture, in words.
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
    note = "A still picture; run the notebook to see it live."
    height = 2 * _LANE
    return (
        f'<figure style="margin:4px 0"><svg role="img" aria-label="{escape(summary)}" '
        f'viewBox="0 0 {_WIDTH} {height}" style="width:100%;max-width:{_WIDTH}px" '
        f'font-family="sans-serif" font-size="11">{lanes}{lines}</svg>'
        f"<figcaption>{escape(summary)}. {note}</figcaption></figure>"
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
