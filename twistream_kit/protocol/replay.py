"""What became of the sound in a capture: the call once more, through the playout model."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from twistream_kit.audio.clip import Clip
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture_entry import Entry
from twistream_kit.protocol.listening import SILENCE
from twistream_kit.protocol.outbox import is_progress_mark, measured_by, spoken_name
from twistream_kit.protocol.outcomes import Ending
from twistream_kit.protocol.playout import BYTES_PER_SECOND, PlayoutModel

_FOLLOWS_SECONDS = 0.05
"""The marks that a clear leaves in the outbox are sent at once; a later mark is a new one."""


@dataclass(frozen=True, slots=True)
class Playback:
    """A piece of sound that was sent, up to a mark or a clear.

    Attributes:
        name: Of its mark as the user gave it; ``play`` for a playback without one; empty where no
            mark tells.
        sent_at: When its first byte was sent, in seconds since the start of the capture.
        heard_ms: How much of it was played, by the playout model.
        total_ms: How much of it was sent.
        ending: As in `PlayOutcome`, or ``open`` if the capture stops before it is known.
    """

    name: str
    sent_at: float
    heard_ms: int
    total_ms: int
    ending: Ending | Literal["open"]


@dataclass(slots=True)
class SentMark:
    """A mark on its way: sent behind byte `position`, perhaps cleared, perhaps returned."""

    wire_name: str
    sent_at: float
    position: int
    cleared: bool = False
    returned_at: float | None = None

    @property
    def name(self) -> str:
        """As the user gave it; empty for a mark that only measures progress."""
        return "" if is_progress_mark(self.wire_name) else spoken_name(self.wire_name)


@dataclass(slots=True)
class _Piece:
    first: int
    sent_at: float
    end: int = 0
    name: str = ""
    mark: SentMark | None = None


class Replay:
    """The messages of a capture, gone through once.

    Args:
        entries: In the order in which they passed.
        endings: What the server knew of its marks, by their names on the wire.  A mark that a
            clear overtook before any of its sound was sent looks like any other.
    """

    def __init__(
        self, entries: Iterable[Entry], endings: Mapping[str, Ending] | None = None
    ) -> None:
        self._endings = endings or {}
        self.marks: list[SentMark] = []
        self._model = PlayoutModel()
        self._sound = bytearray()
        self._cleared: list[tuple[int, int]] = []
        self._waiting: dict[str, deque[SentMark]] = {}
        self._pieces: list[_Piece] = []
        self._piece: _Piece | None = None
        self._at_clear: _Piece | None = None
        self._cleared_at = 0.0
        self._now = 0.0
        self._stopped = False
        for entry in entries:
            self._now = max(self._now, entry.at)
            self._take(entry)
        self._cut()

    def heard(self) -> Clip:
        """Return what was played, in time, with silence before and between."""
        heard = bytearray()
        for interval in self._model.intervals(self._now):
            begin = round(interval.started * BYTES_PER_SECOND)
            heard += SILENCE * max(0, begin - len(heard))
            heard += self._sound[interval.first : interval.first + interval.size]
        return Clip(bytes(heard), "heard")

    @property
    def heard_bytes(self) -> int:
        """How many bytes of all that was sent were played."""
        return sum(interval.size for interval in self._model.intervals(self._now))

    def playbacks(self) -> list[Playback]:
        """Return what became of each piece of sound."""
        intervals = [(i.first, i.first + i.size) for i in self._model.intervals(self._now)]
        return [self._playback(piece, intervals) for piece in self._pieces]

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

    def _take(self, entry: Entry) -> None:
        message = entry.message
        if isinstance(message, to_twilio.Media):
            self._sent(message, entry)
        elif isinstance(message, to_twilio.Mark):
            self._marked(message.name, entry.at)
        elif isinstance(message, to_twilio.Clear):
            self._clear(entry.at)
        elif isinstance(message, from_twilio.Mark):
            self._returned(message.name, entry.at)
        elif isinstance(message, from_twilio.Stop):
            self._stopped = True

    def _sent(self, message: to_twilio.Media, entry: Entry) -> None:
        if self._piece is None:
            self._piece = _Piece(self._model.sent_bytes, entry.at)
        self._at_clear = None
        self._sound += message.payload if entry.is_kept else SILENCE * entry.size
        self._model.sent(entry.size, entry.at)

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
        for waiting in self._waiting.values():
            for mark in waiting:
                mark.cleared = mark.position > self._model.position(at) or mark.cleared
        end = self._model.sent_bytes
        lost = self._model.cleared(at)
        if lost:
            self._cleared.append((end - lost, end))
        self._at_clear, self._cleared_at = self._piece, at
        self._cut()

    def _returned(self, wire_name: str, at: float) -> None:
        waiting = self._waiting.get(wire_name)
        if not waiting:
            return
        mark = waiting.popleft()
        mark.returned_at = at
        self._model.returned(mark.position, at)

    def _cut(self) -> None:
        if self._piece is not None:
            self._piece.end = self._model.sent_bytes
            self._pieces.append(self._piece)
        self._piece = None

    def _playback(self, piece: _Piece, intervals: list[tuple[int, int]]) -> Playback:
        size = piece.end - piece.first
        heard = sum(max(0, min(piece.end, b) - max(piece.first, a)) for a, b in intervals)
        ending: Ending | Literal["open"]
        if any(begin < piece.end and piece.first < end for begin, end in self._cleared):
            ending = "cleared"
        elif piece.mark is not None and piece.mark.returned_at is not None:
            ending, heard = "heard", size
        elif heard == size:
            ending = "heard"
        else:
            ending = "lost" if self._stopped else "open"
        return Playback(
            piece.name, piece.sent_at, _milliseconds(heard), _milliseconds(size), ending
        )


def _milliseconds(size: int) -> int:
    return round(size * 1000 / BYTES_PER_SECOND)
