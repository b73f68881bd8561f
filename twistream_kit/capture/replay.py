"""What became of the sound in a capture: the call once more, through the playout model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture_playback import Piece, Playback, Played, playback
from twistream_kit.capture.entry import Entry
from twistream_kit.capture.listening import SILENCE
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending
from twistream_kit.protocol.outbox import is_progress_mark, measured_by, spoken_name
from twistream_kit.protocol.playout import BYTES_PER_SECOND, Interval, PlayoutModel

_FOLLOWS_SECONDS = 0.05
"""The marks that a clear leaves in the outbox are sent at once; a later mark is a new one."""


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
        return "" if is_progress_mark(self.wire_name) else spoken_name(self.wire_name)


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
        self._pieces: list[Piece] = []
        self._piece: Piece | None = None
        self._at_clear: Piece | None = None
        self._cleared_at = 0.0
        self._stopped = False
        self._go_through(entries)

    @cached_property
    def intervals(self) -> list[Interval]:
        """What was played, each without a break, in order."""
        return self._model.intervals(self.seconds)

    def heard(self) -> Clip:
        """Return what was played, in time, with silence before and between."""
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
    def played(self) -> Played:
        """The same, to be asked."""
        return Played(self.intervals)

    def playbacks(self) -> list[Playback]:
        """Return what became of each piece of sound."""
        return [
            playback(piece, self.played, self._cleared, is_over=self._stopped)
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
        buffered = self._model.buffered(self.seconds)
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
            self._piece = Piece(self._model.sent_bytes, entry.at)
        self._at_clear = None
        self.sound += message.payload or SILENCE * entry.size
        before = self._model.buffered(entry.at)
        self._note_level(entry.at, before, before + entry.size)
        self._model.sent(entry.size, entry.at)
        self.sent.append((entry.at, entry.size))

    def _note_level(self, at: float, before: int, after: int) -> None:
        empty_at = at
        if not before and self.levels and self.levels[-1][2]:
            empty_at = max(self.levels[-1][0], self._model.reaches(self._model.sent_bytes))
        self.levels.append((at, before, after, min(at, empty_at)))

    def _marked(self, wire_name: str, at: float) -> None:
        cleared = self._endings.get(wire_name) == "cleared"
        mark = SentMark(wire_name, at, self._model.sent_bytes, cleared)
        self.marks.append(mark)
        self._waiting.setdefault(wire_name, deque()).append(mark)
        if (handle := measured_by(wire_name)) is not None:
            if self._piece is not None:
                self._piece.name = spoken_name(handle)
        elif self._piece is not None:
            self._piece.name, self._piece.mark = mark.name, mark
            self._cut()
        elif self._at_clear is not None and at - self._cleared_at < _FOLLOWS_SECONDS:
            # Its sound was cut off by the clear, and the mark behind it followed (see Outbox).
            self._at_clear.name = self._at_clear.name or mark.name
            self._at_clear, mark.cleared = None, True

    def _clear(self, at: float) -> None:
        position = self._model.position(at)
        for waiting in self._waiting.values():
            for mark in waiting:
                if mark.position > position and mark.expected_at is None:
                    mark.cleared, mark.expected_at = True, at
        end = self._model.sent_bytes
        self._note_level(at, end - position, 0)
        lost = self._model.cleared(at)
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
        self._model.returned(mark.position, at)

    def _expect(self, mark: SentMark) -> None:
        if mark.expected_at is None:
            mark.expected_at = max(mark.sent_at, self._model.reaches(mark.position))

    def _cut(self) -> None:
        if self._piece is not None:
            self._piece.end = self._model.sent_bytes
            self._pieces.append(self._piece)
        self._piece = None
