"""A capture once more, through the playout model: what became of the sound that was sent.

`Replay` goes through the messages once.  From it come the pieces of sound with how each ended, the
marks with when they should have been back, and what was heard; `render_caller` and `write_stereo`
make sound of the two voices.
"""

from __future__ import annotations

import wave
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from twistream_kit.audio.clip import Clip, write_file
from twistream_kit.capture.entry import Entry
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND, Interval, PlayoutModel, to_milliseconds

SILENCE = b"\xff"
"""PCMU for the sample 0."""

_LEAD_IN_SECONDS = 0.1
"""Twilio's first media comes within this of the start message (§2.3); more is a real gap."""

_FOLLOWS_SECONDS = 0.05
"""The marks that a clear leaves in the outbox are sent at once; a later mark is a new one."""


class Replay:
    """The messages of a capture, gone through once.

    Args:
        entries: In the order in which they passed.
        endings: What the server knew of its marks, by their names on the wire.  A mark that a
            clear overtook before any of its sound was sent looks like any other.

    Attributes:
        marks: All marks sent, in order.
        sent: For each media message sent its time and its size in bytes.
        levels: For each media message or clear sent, and for the end: its time, how many bytes
            waited at Twilio before and behind it, and if none did before, since when.
        clears: When clears were sent.
        sound: All that was sent; silence where it was not kept.
        seconds: The time of the last message.
    """

    def __init__(
        self, entries: Iterable[Entry], endings: Mapping[str, Ending] | None = None
    ) -> None:
        self._endings = endings or {}
        self.marks: list[SentMark] = []
        self.sent: list[tuple[float, int]] = []
        self.levels: list[tuple[float, int, int, float]] = []
        self.clears: list[float] = []
        self.sound = bytearray()
        self.seconds = 0.0
        self._model = PlayoutModel()
        self._cleared: list[tuple[int, int, float]] = []
        self._waiting: dict[str, deque[SentMark]] = {}
        self._pieces: list[SentPiece] = []
        self._piece: SentPiece | None = None
        self._at_clear: SentPiece | None = None
        self._cleared_at = 0.0
        self._stopped = False
        self._go_through(entries)

    @cached_property
    def intervals(self) -> list[Interval]:
        """What was played, each without a break, in order."""
        return self._model.list_intervals(self.seconds)

    def render_heard(self) -> Clip:
        """Put together what was played, in time, with silence before and between."""
        heard = bytearray()
        for interval in self.intervals:
            begin = round(interval.started * BYTES_PER_SECOND)
            heard += SILENCE * max(0, begin - len(heard))
            heard += self.sound[interval.first : interval.first + interval.size]
        return Clip(bytes(heard), "heard")

    @property
    def heard_bytes(self) -> int:
        """How many bytes of all that was sent were played."""
        return sum(interval.size for interval in self.intervals)

    @cached_property
    def played(self) -> PlayedSound:
        """The same, to be asked when and how much."""
        return PlayedSound(self.intervals)

    def playbacks(self) -> list[Playback]:
        """Return what became of each piece of sound."""
        return [
            _make_playback(piece, self.played, self._cleared, is_over=self._stopped)
            for piece in self._pieces
        ]

    def ending_of(self, mark: SentMark) -> Ending | Literal["open"]:
        """Return how `mark` ended."""
        known = self._endings.get(mark.wire_name)
        if known is not None:
            return known
        if mark.cleared:
            return "cleared"
        if mark.returned_at is not None:
            return "heard"
        return "lost" if self._stopped else "open"

    def _go_through(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.at > self.seconds:
                self.seconds = entry.at
            if type(entry.message) is not from_twilio.Media:  # half of them all
                self._take(entry)
        self._cut()
        buffered = self._model.count_buffered(self.seconds)
        self._note_level(self.seconds, buffered, buffered)
        for waiting in self._waiting.values():
            for mark in waiting:
                played_at = self.played.at(mark.position - 1)
                if mark.expected_at is None and played_at is not None:
                    mark.expected_at = max(mark.sent_at, played_at + 1 / BYTES_PER_SECOND)
                self._expect(mark)

    def _take(self, entry: Entry) -> None:
        message = entry.message
        match message:
            case to_twilio.Media():
                self._sent(message, entry)
            case to_twilio.Mark():
                self._marked(message.name, entry.at)
            case to_twilio.Clear():
                self._clear(entry.at)
            case from_twilio.Mark():
                self._returned(message.name, entry.at)
            case from_twilio.Stop():
                self._stopped = True

    def _sent(self, message: to_twilio.Media, entry: Entry) -> None:
        if self._piece is None:
            self._piece = SentPiece(self._model.sent_bytes, entry.at)
        self._at_clear = None
        self.sound += message.payload or SILENCE * entry.size
        before = self._model.count_buffered(entry.at)
        self._note_level(entry.at, before, before + entry.size)
        self._model.note_sent(entry.size, entry.at)
        self.sent.append((entry.at, entry.size))

    def _note_level(self, at: float, before: int, after: int) -> None:
        empty_at = at
        if not before and self.levels and self.levels[-1][2]:
            empty_at = max(self.levels[-1][0], self._model.find_play_time(self._model.sent_bytes))
        self.levels.append((at, before, after, min(at, empty_at)))

    def _marked(self, wire_name: str, at: float) -> None:
        cleared = self._endings.get(wire_name) == "cleared"
        mark = SentMark(wire_name, at, self._model.sent_bytes, cleared)
        self.marks.append(mark)
        self._waiting.setdefault(wire_name, deque()).append(mark)
        wire = MarkName.parse(wire_name)
        if wire.is_progress:
            if self._piece is not None:
                self._piece.name = wire.name
        elif self._piece is not None:
            self._piece.name, self._piece.mark = mark.name, mark
            self._cut()
        elif self._at_clear is not None and at - self._cleared_at < _FOLLOWS_SECONDS:
            # Its sound was cut off by the clear, and the mark behind it followed (see Outbox).
            self._at_clear.name = self._at_clear.name or mark.name
            self._at_clear, mark.cleared = None, True

    def _clear(self, at: float) -> None:
        position = self._model.count_played(at)
        for waiting in self._waiting.values():
            for mark in waiting:
                if mark.position > position and mark.expected_at is None:
                    mark.cleared, mark.expected_at = True, at
        end = self._model.sent_bytes
        self._note_level(at, end - position, 0)
        lost = self._model.note_clear(at)
        if lost:
            self._cleared.append((end - lost, end, at))
        self._at_clear, self._cleared_at = self._piece, at
        self.clears.append(at)
        self._cut()

    def _returned(self, wire_name: str, at: float) -> None:
        waiting = self._waiting.get(wire_name)
        if not waiting:
            return
        mark = waiting.popleft()
        mark.returned_at = at
        self._expect(mark)
        self._model.note_mark(mark.position, at)

    def _expect(self, mark: SentMark) -> None:
        if mark.expected_at is None:
            mark.expected_at = max(mark.sent_at, self._model.find_play_time(mark.position))

    def _cut(self) -> None:
        if self._piece is not None:
            self._piece.end = self._model.sent_bytes
            self._pieces.append(self._piece)
        self._piece = None


@dataclass(frozen=True, slots=True)
class Playback:
    """A piece of sound that was sent, up to a mark or a clear.  Times count from the start.

    Attributes:
        name: Of its mark as the user gave it; ``play`` for a playback without one; empty where no
            mark tells.
        sent_at: When its first byte was sent, in seconds.
        heard_ms: How much of it was played, by the playout model.
        total_ms: How much of it was sent.
        ending: As in `PlayOutcome`, or ``open`` if the capture stops before it is known.
        heard_from: When its first byte was played, by the model, in seconds; None if none was.
        heard_to: When the last byte of it that was played had been.
        cleared_at: When the clear was sent that took the rest away; None if none did.
    """

    name: str
    sent_at: float
    heard_ms: int
    total_ms: int
    ending: Ending | Literal["open"]
    heard_from: float | None = None
    heard_to: float | None = None
    cleared_at: float | None = None

    def __repr__(self) -> str:
        name = f" {self.name!r}" if self.name else ""
        heard = f"{self.ending}, {self.heard_ms} of {self.total_ms} ms heard"
        return f"<Playback{name} sent at {self.sent_at:.2f} s: {heard}>"


@dataclass(slots=True)
class SentMark:
    """A mark on its way: sent behind byte `position`, perhaps cleared, perhaps returned.

    `expected_at` is when the model would have it back, without looking at its own return: when the
    last byte before it was played, or when it was cleared.
    """

    wire_name: str
    sent_at: float
    position: int
    cleared: bool = False
    returned_at: float | None = None
    expected_at: float | None = None

    @property
    def name(self) -> str:
        """As the user gave it; empty for a mark that only measures progress."""
        wire = MarkName.parse(self.wire_name)
        return "" if wire.is_progress else wire.name


def render_caller(entries: Iterable[Entry]) -> Clip:
    """Put the caller's media together, in time from the start of the capture.

    Messages that are missing by their chunk numbers, or whose sound was not kept, are silence.
    """
    sound = bytearray()
    expected = 0
    for entry in entries:
        message = entry.message
        if not isinstance(message, from_twilio.Media) or message.track != "inbound":
            continue
        here = int(entry.at * BYTES_PER_SECOND)
        if not expected and entry.at > _LEAD_IN_SECONDS:
            sound += SILENCE * here
        elif message.chunk > expected > 0:
            # Never beyond the present, however wild the numbers of a broken sender are.
            missing = (message.chunk - expected) * entry.size
            sound += SILENCE * max(0, min(missing, here - len(sound)))
        sound += message.payload if entry.is_kept else SILENCE * entry.size
        expected = message.chunk + 1
    return Clip(bytes(sound), "caller")


def write_stereo(path: Path, left: Clip, right: Clip) -> Path:
    """Write two clips side by side as 16-bit PCM at 8000 Hz, the shorter one filled up."""
    n_samples = max(len(left.payload), len(right.payload))
    columns = np.zeros((n_samples, 2), dtype="<i2")
    for column, clip in enumerate((left, right)):
        columns[: len(clip.payload), column] = clip.samples()
    with write_file(path) as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(BYTES_PER_SECOND)
        wav.writeframes(columns.tobytes())
    return path


@dataclass(slots=True)
class SentPiece:
    """A piece of the sound that was sent, up to a mark or a clear: from it a `Playback` is made.

    Attributes:
        first: The number of its first byte, counted over all bytes sent.
        sent_at: When that byte was sent, in seconds.
        end: The number of the byte behind its last.
        name: As in `Playback`.
        mark: The mark behind it, if there is one.
    """

    first: int
    sent_at: float
    end: int = 0
    name: str = ""
    mark: SentMark | None = None


class PlayedSound:
    """What was played by the model, to be asked when and how much.

    Args:
        intervals: In order.
    """

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._intervals = intervals
        self._firsts = [interval.first for interval in intervals]

    def at(self, position: int) -> float | None:
        """Return when byte `position`, counted from 0, was played, in seconds; None if never."""
        place = bisect_right(self._firsts, position) - 1
        if place < 0:
            return None
        interval = self._intervals[place]
        offset = position - interval.first
        return interval.started + offset / BYTES_PER_SECOND if offset < interval.size else None

    def of(self, piece: SentPiece) -> tuple[int, float | None, float | None]:
        """Return how many bytes of a piece were played, from when and to when."""
        heard, begin, end = 0, None, None
        place = max(0, bisect_right(self._firsts, piece.first) - 1)
        while place < len(self._firsts) and self._firsts[place] < piece.end:
            interval = self._intervals[place]
            low = max(piece.first, interval.first)
            high = min(piece.end, interval.first + interval.size)
            if low < high:
                heard += high - low
                if begin is None:
                    begin = interval.started + (low - interval.first) / BYTES_PER_SECOND
                end = interval.started + (high - interval.first) / BYTES_PER_SECOND
            place += 1
        return heard, begin, end


def _make_playback(
    piece: SentPiece,
    played: PlayedSound,
    cleared: Sequence[tuple[int, int, float]],
    *,
    is_over: bool,
) -> Playback:
    """Say what became of a piece.

    Args:
        piece: What was sent.
        played: What was played of all that was sent.
        cleared: For each clear that took something away its first byte, its end, and when.
        is_over: Whether the stream has stopped.
    """
    size = piece.end - piece.first
    heard, begin, end = played.of(piece)
    cleared_at = next((at for a, b, at in cleared if a < piece.end and piece.first < b), None)
    ending: Ending | Literal["open"]
    if cleared_at is not None:
        ending = "cleared"
    elif piece.mark is not None and piece.mark.returned_at is not None:
        ending = "heard"
        if heard < size:  # the mark was quicker than the model
            heard, end = size, piece.mark.returned_at
            begin = end if begin is None else begin
    elif heard == size:
        ending = "heard"
    else:
        ending = "lost" if is_over else "open"
    return Playback(
        piece.name,
        piece.sent_at,
        to_milliseconds(heard),
        to_milliseconds(size),
        ending,
        begin,
        end,
        cleared_at,
    )
