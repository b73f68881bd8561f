"""A live waveform of a call: the sound that the caller says and hears, with marks and clears.

The kernel sends the minimum and the maximum of each 20 ms, ten times a second; the browser draws
them.  That costs the kernel a hundredth of its time, where a plot would take a third.

The trace follows a growing capture, at the cost of the new entries only.  The caller's voice is
drawn at the time of its arrival, yours at the time when the caller heard it by the playout model,
so that sound removed by a clear never appears.  After the end of the call the page can go back over
the whole of it; `_whole_call` reads it once.  A page without a kernel shows a still picture.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Entry
from twistream_kit.capture.replay import SentMark
from twistream_kit.errors import WrongType
from twistream_kit.guard import Guard
from twistream_kit.live.stream.stream import MediaStream, describe_end
from twistream_kit.notebook.display.html import Html
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._whole_call import (
    COLUMN_BYTES,
    COLUMN_SECONDS,
    COUNTED_EVENTS,
    LOUD,
    Kind,
    ScopeEvent,
    WholeCall,
    draw_still,
    read_whole_call,
    reduce_columns,
)
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import UNNAMED
from twistream_kit.protocol.playout import BYTES_PER_SECOND, PlayoutModel

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

_COLOURS = {
    "caller": CALLER_COLOUR,
    "yours": YOUR_COLOUR,
    "mark": MARK_COLOUR,
    "clear": CLEAR_COLOUR,
}

_STATIC = Path(__file__).parents[1] / "static"


class LiveScope(KeepsLastPicture, HearingWidget):
    """A live waveform of the last eight seconds of a call: the caller above, your sound below.

    The lower lane shows what the caller *hears* of you by the playout model, not what was sent: a
    clear cuts it off, and silence follows.  Marks, clears and keys are drawn at their times.  After
    the end of the call it shows the whole of it, in figures too: drag it, zoom by its buttons, by
    the wheel with Ctrl, by ``+`` and ``-``, or by two fingers.

    Args:
        stream: The stream to show; if it has ended, the whole call is shown.

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

    _esm = join_modules(_STATIC / "live" / "scope.js")
    _css = (_STATIC / "voices.css").read_text("utf-8") + (_STATIC / "scope.css").read_text("utf-8")

    picture = traitlets.Dict().tag(sync=True)
    whole = traitlets.Dict().tag(sync=True)
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
        self._whole: WholeCall | None = None
        self.on_msg(self._handle_request)
        answer_on_subshell(self)
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
        # For a page without a kernel, unless the last picture stands below already.
        if isinstance(shown, tuple) and not self._has_last_picture:
            shown[0]["text/html"] = _draw_now(self.picture, self.summary)
        return shown

    def _draw_last_picture(self) -> Html | None:
        whole = self._whole
        if whole is None:
            return None
        words = f"{self.state} {whole.describe()}"
        return draw_still(whole.top, whole.events, 0.0, max(whole.seconds, COLUMN_SECONDS), words)

    def _read_whole(self) -> None:
        """Read the whole call and show it; on a thread of its own, since it may take a second."""
        with Guard("the scope could not read the whole call"):
            self._whole = whole = read_whole_call(self._stream.capture)
            if not self._is_closed:
                self.whole = whole.to_traits()
        self._keep_last_picture()

    def _handle_request(self, _widget: object, content: Any, _buffers: object) -> None:
        """Send the tile of the peaks that a page asks for."""
        if not isinstance(content, dict) or content.get("kind") != "peaks" or self._whole is None:
            return
        level, tile = content.get("level"), content.get("tile")
        if type(level) is not int or type(tile) is not int:
            return
        peaks = self._whole.read_tile(level, tile)
        if peaks is not None:
            self.send({"kind": "peaks", "level": level, "tile": tile}, [peaks.tobytes()])

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
        if is_over:
            threading.Thread(
                target=self._read_whole, name="twistream_kit scope", daemon=True
            ).start()
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
        for kind, one, many in COUNTED_EVENTS
        if kind in kinds
    ]
    noted = f"; in view: {', '.join(counts)}" if counts else ""
    return f"Waveform of the call: the caller {speaks} and {hears}{noted}"


def _is_loud(lane: Any) -> bool:
    recent = lane[-_RECENT_COLUMNS:].astype(int)
    return bool((recent[:, 1] - recent[:, 0]).max() > 2 * LOUD)


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
        # The server knows it too of a mark that it sent only after the clear.
        is_cleared = mark.cleared or self._capture.endings.get(name) == "cleared"
        self._note_mark(at, "mark back", mark, " (cleared)" if is_cleared else "")

    def _reduce_caller(self, first: int) -> NDArray[np.int8]:
        begin = first * COLUMN_BYTES
        lane = self._make_silence()
        _write_sound(lane, self._caller.read_between(begin, begin + len(lane)), begin=begin)
        return reduce_columns(lane)

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
        return reduce_columns(lane)

    def _make_silence(self) -> NDArray[np.int16]:
        return np.zeros(self._columns * COLUMN_BYTES, np.int16)


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


def _draw_now(picture: Mapping[str, Any], summary: str) -> Html:
    """Return the last seconds as they are now, for a page without a kernel.

    Args:
        picture: As `LiveScope.picture` holds it.
        summary: The description of the picture, in words.
    """
    lanes = [np.frombuffer(picture[name], np.int8).reshape(-1, 2) for name in ("caller", "heard")]
    events = [ScopeEvent(at, kind, name) for at, kind, name in picture["events"]]
    begin = picture["first"] * COLUMN_SECONDS
    end = begin + len(lanes[0]) * COLUMN_SECONDS
    words = f"{summary}. A still picture; run the notebook to see it live"
    return draw_still(np.hstack(lanes), events, begin, end, words)
