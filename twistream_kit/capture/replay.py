"""Replay a capture through the playout model, to find how each piece of sound ended.

`Replay` processes the messages once.  It gives the pieces of sound with their endings, the marks
with the times at which they were expected, and the sound that was heard.  `place_caller` does the
same for the sound of the caller.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Literal, NamedTuple

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.entry import Entry
from twistream_kit.errors import TwistreamError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND, Interval, PlayoutModel, to_milliseconds

SILENCE = b"\xff"
"""PCMU for the sample 0."""

_ZEROS = b"\x7f\xff"
"""Both PCMU codes of the sample 0."""

_FIRST_MEDIA_SECONDS = 0.1
"""Twilio's first media comes within this time of the start (§2.3); a longer time is a gap."""

_SLACK_BYTES = BYTES_PER_SECOND
"""How far the caller's sound may be ahead of the clock: network delays bunch messages."""

_MOST_SPARSE_SECONDS = 3600.0
"""How many seconds of sound are rendered beyond one for each message.  Twilio sends fifty messages
a second; a file of three that claims a day would take 700 MB of silence."""

_FOLLOWS_SECONDS = 0.05
"""The marks that a clear leaves in the outbox are sent within this time; a later one is new."""


class Replay:
    """The messages of a capture, processed by the playout model.

    Args:
        entries: The messages, in order.
        endings: The endings that the server noted, by the names of the marks on the wire.  Without
            them, a mark that was cleared before any of its sound was sent looks like any other.

    Attributes:
        marks: All marks sent, in order.
        sent: For each media message sent, its time and its size in bytes.
        levels: For each media message or clear sent, and for the end: its time, how many bytes
            waited at Twilio before and after it, and since when the buffer was empty, if it was.
        clears: The times of the clears.
        keys: The keys that the caller pressed, each after its time.
        sound: All sound sent.
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
        self.keys: list[tuple[float, str]] = []
        self.sound = SentSound()
        self.seconds = 0.0
        self._n_messages = 0
        self._model = PlayoutModel()
        self._cleared: list[tuple[int, int, float]] = []
        self._waiting: dict[str, deque[SentMark]] = {}
        self._since_clear: list[SentMark] = []
        self._pieces: list[SentPiece] = []
        self._piece: SentPiece | None = None
        self._at_clear: SentPiece | None = None
        self._cleared_at = 0.0
        self._stopped = False
        self._read_all(entries)

    @cached_property
    def intervals(self) -> list[Interval]:
        """The intervals in which sound was played without interruption, in order."""
        return self._model.list_intervals(self.seconds)

    def render_heard(self) -> Clip:
        """Return the sound that was played, with silence before and between the intervals.

        Raises:
            TwistreamError: If there are too few messages for so long a time.
        """
        heard = bytearray()
        for part in self.place_heard():
            heard += SILENCE * (part.start - len(heard))
            heard += self.sound.read(part.first, part.first + part.size)
        return Clip(bytes(heard), "heard")

    def place_heard(self) -> list[PlacedSound]:
        """Return where in the time of the call each interval was played.

        Raises:
            TwistreamError: If there are too few messages for so long a time.
        """
        _check_density(self.seconds, self._n_messages)
        placed, end = [], 0
        for interval in self.intervals:
            start = max(end, round(interval.started * BYTES_PER_SECOND))
            placed.append(PlacedSound(start, interval.first, interval.size))
            end = start + interval.size
        return placed

    @property
    def heard_bytes(self) -> int:
        """How many of the bytes sent were played."""
        return sum(interval.size for interval in self.intervals)

    @cached_property
    def played(self) -> PlayedSound:
        """The intervals, with methods that find times and sizes."""
        return PlayedSound(self.intervals)

    def list_playbacks(self) -> list[Playback]:
        """Return each piece of sound with its ending."""
        return [
            _make_playback(piece, self.played, self._cleared, is_over=self._stopped)
            for piece in self._pieces
        ]

    def get_ending(self, mark: SentMark) -> Ending | Literal["open"]:
        """Return how `mark` ended."""
        known = self._endings.get(mark.wire_name)
        if known is not None:
            return known
        if mark.cleared:
            return "cleared"
        if mark.returned_at is not None:
            return "heard"
        return "lost" if self._stopped else "open"

    def _read_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._n_messages += 1
            if entry.at > self.seconds:
                self.seconds = entry.at
            if type(entry.message) is not from_twilio.Media:  # half of all messages
                self._take(entry)
        self._cut()
        buffered = self._model.count_buffered(self.seconds)
        self._note_level(self.seconds, buffered, buffered)
        for waiting in self._waiting.values():
            for mark in waiting:
                played_at = self.played.find_time(mark.position - 1)
                if mark.expected_at is None and played_at is not None:
                    mark.expected_at = max(mark.sent_at, played_at + 1 / BYTES_PER_SECOND)
                self._expect(mark)

    def _take(self, entry: Entry) -> None:
        message = entry.message
        match message:
            case to_twilio.Media():
                self._take_sound(message, entry)
            case to_twilio.Mark():
                self._take_mark(message.name, entry.at)
            case to_twilio.Clear():
                self._clear(entry.at)
            case from_twilio.Mark():
                self._take_returned(message.name, entry.at)
            case from_twilio.Dtmf():
                self.keys.append((entry.at, message.digit))
            case from_twilio.Stop():
                self._stopped = True

    def _take_sound(self, message: to_twilio.Media, entry: Entry) -> None:
        if self._piece is None:
            self._piece = SentPiece(self._model.sent_bytes, entry.at)
        self._at_clear = None
        self.sound.append(message.payload, entry.size)
        before = self._model.count_buffered(entry.at)
        self._note_level(entry.at, before, before + entry.size)
        self._model.note_sent(entry.size, entry.at)
        self.sent.append((entry.at, entry.size))

    def _note_level(self, at: float, before: int, after: int) -> None:
        empty_at = at
        if not before and self.levels and self.levels[-1][2]:
            empty_at = max(self.levels[-1][0], self._model.find_play_time(self._model.sent_bytes))
        self.levels.append((at, before, after, min(at, empty_at)))

    def _take_mark(self, wire_name: str, at: float) -> None:
        cleared = self._endings.get(wire_name) == "cleared"
        mark = SentMark(wire_name, at, self._model.sent_bytes, cleared)
        self.marks.append(mark)
        self._waiting.setdefault(wire_name, deque()).append(mark)
        self._since_clear.append(mark)
        wire = MarkName.parse(wire_name)
        if wire.is_progress:
            if self._piece is not None:
                self._piece.name = wire.name
        elif self._piece is not None:
            self._piece.name, self._piece.mark = mark.name, mark
            self._cut()
        elif self._at_clear is not None and at - self._cleared_at < _FOLLOWS_SECONDS:
            # The clear removed the sound, and the mark after it was sent at once (see Outbox).
            self._at_clear.name = self._at_clear.name or mark.name
            self._at_clear, mark.cleared = None, True

    def _clear(self, at: float) -> None:
        position = self._model.count_played(at)
        # To the model, all that was sent before a clear has passed: no later one clears it again.
        for mark in self._since_clear:
            if mark.position > position and mark.expected_at is None:
                mark.cleared, mark.expected_at = True, at
        self._since_clear.clear()
        end = self._model.sent_bytes
        self._note_level(at, end - position, 0)
        lost = self._model.note_clear(at)
        if lost:
            self._cleared.append((end - lost, end, at))
        self._at_clear, self._cleared_at = self._piece, at
        self.clears.append(at)
        self._cut()

    def _take_returned(self, wire_name: str, at: float) -> None:
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
        name: The user's name of its mark; ``play`` for a playback without a name; empty if there is
            no mark.
        sent_at: When its first byte was sent, in seconds.
        heard_ms: How much of it was played, by the playout model.
        total_ms: How much of it was sent.
        ending: As in `PlayOutcome`, or ``open`` if the capture ends before it is known.
        heard_from: When its first byte was played, by the model, in seconds; None if none was.
        heard_to: When its last played byte ended, likewise.
        cleared_at: When the clear that removed the rest was sent; None if there was none.
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
    """A mark that was sent after byte `position`, and may have been cleared or returned.

    `expected_at` is when it should come back by the model, independent of when it did: when the
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
        """The user's name; empty for a mark that only measures progress."""
        wire = MarkName.parse(self.wire_name)
        return "" if wire.is_progress else wire.name


def render_caller(entries: Iterable[Entry]) -> Clip:
    """Join the caller's media, as `place_caller` does."""
    sound = place_caller(entries)
    return Clip(bytes(sound.read(0, sound.size)), "caller")


def place_caller(entries: Iterable[Entry]) -> SentSound:
    """Join the caller's media, from the start of the capture.

    Messages that are missing by their chunk numbers, or whose sound was not kept, become silence.

    Raises:
        TwistreamError: If there are too few messages for so long a time.
    """
    sound = SentSound()
    expected = 0
    for number, entry in enumerate(entries, start=1):
        message = entry.message
        if not isinstance(message, from_twilio.Media) or message.track != "inbound":
            continue
        here = int(entry.at * BYTES_PER_SECOND)
        _check_density(entry.at, number)
        if not expected and entry.at > _FIRST_MEDIA_SECONDS:
            sound.append(b"", max(0, here - sound.size))
        elif message.chunk > expected > 0:
            # Limited to the time of the message, because an invalid chunk number may be huge.
            missing = (message.chunk - expected) * entry.size
            sound.append(b"", max(0, min(missing, here - sound.size)))
        if message.payload:
            sound.append(message.payload, len(message.payload))
        else:  # no longer than the time that has passed: the size was read from a file
            room = max(0, here - sound.size) + _SLACK_BYTES
            sound.append(b"", min(entry.size, room))
        expected = message.chunk + 1
    return sound


def _check_density(seconds: float, n_messages: int) -> None:
    if seconds > _MOST_SPARSE_SECONDS + n_messages:
        raise TwistreamError(
            f"the capture claims {seconds:.0f} s with {n_messages} messages; Twilio sends fifty a "
            "second",
            consequence="Its sound is not rendered: nearly all of it would be silence",
            fix="Give the times in seconds since the start of the stream; Capture(started=…) is "
            "subtracted from those that are not",
        )


class PlacedSound(NamedTuple):
    """Sound that was played without interruption.

    Attributes:
        start: The position of its first byte, counted from the start of the capture.
        first: The same, counted over all bytes sent.
        size: How many bytes were played.
    """

    start: int
    first: int
    size: int


@dataclass(slots=True)
class SentPiece:
    """A piece of the sound that was sent, up to a mark or a clear; it becomes a `Playback`.

    Attributes:
        first: The position of its first byte, counted over all bytes sent.
        sent_at: When that byte was sent, in seconds.
        end: The position after its last byte.
        name: As in `Playback`.
        mark: The mark after it, if there is one.
    """

    first: int
    sent_at: float
    end: int = 0
    name: str = ""
    mark: SentMark | None = None


class SentSound:
    """All sound of one side, in the messages as they were; silence where it was not kept.

    The silence is not stored, because a message may claim any size.

    Attributes:
        size: How many bytes there are, silence included.
    """

    def __init__(self) -> None:
        self.size = 0
        self._payloads: list[bytes] = []
        self._starts: list[int] = []

    def append(self, payload: bytes, size: int) -> None:
        """Add `size` bytes; `payload` is empty if they were not kept."""
        if payload:
            self._payloads.append(payload)
            self._starts.append(self.size)
        self.size += size

    @property
    def is_audible(self) -> bool:
        """Whether any sample is not 0."""
        return self.find_audible() is not None

    def read(self, begin: int, end: int) -> bytearray:
        """Return the bytes from the position `begin` up to `end`."""
        found = bytearray()
        for start, payload in self._list_pieces(begin, end):
            found += SILENCE * (max(begin, start) - begin - len(found))
            found += payload[max(0, begin - start) : end - start]
        found += SILENCE * (end - begin - len(found))
        return found

    def find_audible(self, begin: int = 0, end: int | None = None) -> int | None:
        """Return the position of the first sample that is not 0 from `begin` up to `end`."""
        for start, payload in self._list_pieces(begin, self.size if end is None else end):
            first = max(0, begin - start)
            stop = None if end is None else end - start
            if audible := payload[first:stop].translate(None, _ZEROS):
                return start + payload.index(audible[:1], first)
        return None

    def _list_pieces(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield the kept payloads that reach into these bytes, with their positions."""
        place = max(0, bisect_right(self._starts, begin) - 1)
        while place < len(self._starts) and self._starts[place] < end:
            if self._payloads[place]:
                yield self._starts[place], self._payloads[place]
            place += 1


class PlayedSound:
    """The sound that was played, by the model; it finds times and sizes.

    Args:
        intervals: The intervals of uninterrupted playing, in order.
    """

    def __init__(self, intervals: Sequence[Interval]) -> None:
        self._intervals = intervals
        self._firsts = [interval.first for interval in intervals]

    def find_time(self, position: int) -> float | None:
        """Return when byte `position`, counted from 0, was played, in seconds, or None."""
        place = bisect_right(self._firsts, position) - 1
        if place < 0:
            return None
        interval = self._intervals[place]
        offset = position - interval.first
        return interval.started + offset / BYTES_PER_SECOND if offset < interval.size else None

    def measure(self, piece: SentPiece) -> tuple[int, float | None, float | None]:
        """Return how many bytes of a piece were played, and the times of the first and last."""
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
    """Determine the ending of a piece.

    Args:
        piece: The piece that was sent.
        played: All sound that was played.
        cleared: For each clear that removed sound, its first byte, its end, and the time.
        is_over: Whether the stream has stopped.
    """
    size = piece.end - piece.first
    heard, begin, end = played.measure(piece)
    place = bisect_right(cleared, piece.first, key=itemgetter(1))
    is_cleared = place < len(cleared) and cleared[place][0] < piece.end
    cleared_at = cleared[place][2] if is_cleared else None
    ending: Ending | Literal["open"]
    if cleared_at is not None:
        ending = "cleared"
    elif piece.mark is not None and piece.mark.returned_at is not None:
        ending = "heard"
        if heard < size:  # the mark came back earlier than the model expects
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
