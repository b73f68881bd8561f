"""What happened on one call and when, read from a capture and ready to be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND, PlayoutModel
from twistream_kit.protocol.replay import Replay

if TYPE_CHECKING:
    from twistream_kit.protocol.capture_entry import Entry
    from twistream_kit.protocol.outcomes import Ending
    from twistream_kit.protocol.replay import SentMark


@dataclass(slots=True)
class Timeline:
    """All times in seconds since the stream began.

    Attributes:
        sent: For each piece of sound sent, its time and its duration in seconds.
        buffered: Corners of the line of what waits at Twilio: time and seconds of sound.
        marks: The marks that have a name, in the order sent.
        progress: When marks that only measure progress came back.
        clears: When a clear was sent.
        silences: For each clear, from when to when nothing was heard after it.
        keys: The caller's keys and their times.
        seconds: The whole.
    """

    sent: list[tuple[float, float]] = field(default_factory=list)
    buffered: list[tuple[float, float]] = field(default_factory=list)
    marks: list[SentMark] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    keys: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0


def read_timeline(
    entries: Sequence[Entry], endings: Mapping[str, Ending] | None = None
) -> Timeline:
    """Follow a call through the same playout model that measures it live."""
    marks = Replay(entries, endings).marks
    reading = _Reading(marks)
    for entry in entries:
        reading.take(entry)
    line = reading.finished()
    line.marks = [mark for mark in marks if mark.name]
    line.progress = [mark.returned_at for mark in marks if not mark.name and mark.returned_at]
    return line


class _Reading:
    """One pass over the messages, which notes the buffer whenever something happens to it."""

    def __init__(self, marks: Sequence[SentMark]) -> None:
        self._line = Timeline()
        self._model = PlayoutModel()
        self._positions = {
            (mark.wire_name, mark.returned_at): mark.position for mark in marks if not mark.cleared
        }

    def take(self, entry: Entry) -> None:
        at, message, line = entry.at, entry.message, self._line
        line.seconds = max(line.seconds, at)
        match message:
            case to_twilio.Media():
                self._corner(at)
                self._model.sent(entry.size, at)
                self._corner(at)
                line.sent.append((at, entry.size / BYTES_PER_SECOND))
            case to_twilio.Clear():
                self._corner(at)
                self._model.cleared(at)
                self._corner(at)
                line.clears.append(at)
            case from_twilio.Mark() if (message.name, at) in self._positions:
                self._model.returned(self._positions[message.name, at], at)
            case from_twilio.Dtmf():
                line.keys.append((at, message.digit))

    def finished(self) -> Timeline:
        self._corner(self._line.seconds)
        self._line.silences = self._silences()
        return self._line

    def _corner(self, at: float) -> None:
        """Note the buffer at `at`, and the moment before it at which it ran empty, if it did."""
        waiting = self._model.buffered(at) / BYTES_PER_SECOND
        corners = self._line.buffered
        empty_at = self._model.reaches(self._model.sent_bytes)
        if corners and waiting == 0 and corners[-1][1] > 0 and corners[-1][0] < empty_at < at:
            corners.append((empty_at, 0.0))
        corners.append((at, waiting))

    def _silences(self) -> list[tuple[float, float]]:
        """From each clear to the next sound, or to the end."""
        begins = [interval.started for interval in self._model.intervals(self._line.seconds)]
        silences = []
        for clear in self._line.clears:
            following = (begin for begin in begins if begin >= clear)
            silences.append((clear, min(following, default=self._line.seconds)))
        return silences
