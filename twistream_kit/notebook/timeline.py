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

EARLY_SHARE, EARLY_SECONDS = 0.5, 1.0
"""How far before the stream the picture begins, in lengths of the stream or in seconds, whichever
is more: a call that waited for an hour must not squash what was said on it."""

LATE_SHARE, LATE_SECONDS = 0.15, 0.5
"""The same for what was reported behind the end."""


@dataclass(frozen=True, slots=True)
class Report:
    """What Twilio reported of the call.

    Attributes:
        at: Where it stands in the picture, in seconds since the stream began.
        name: Twilio's word.
        text: The same, with the time if it lies beyond the picture.
    """

    at: float
    name: str
    text: str


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
        reports: What Twilio reported of the call, in the order of time.
        seconds: The whole.
        begins: Where the picture begins: 0, or before it if something was reported earlier.
        ends: Where it ends: at `seconds`, or behind it if something was reported later.
    """

    sent: list[tuple[float, float]] = field(default_factory=list)
    buffered: list[tuple[float, float]] = field(default_factory=list)
    marks: list[SentMark] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    keys: list[tuple[float, str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    seconds: float = 0.0
    begins: float = 0.0
    ends: float = 0.0


def read_timeline(
    entries: Sequence[Entry],
    endings: Mapping[str, Ending] | None = None,
    statuses: Sequence[tuple[float, str]] = (),
) -> Timeline:
    """Follow a call through the same playout model that measures it live."""
    marks = Replay(entries, endings).marks
    reading = _Reading(marks)
    for entry in entries:
        reading.take(entry)
    line = reading.finished()
    line.marks = [mark for mark in marks if mark.name]
    line.progress = [mark.returned_at for mark in marks if not mark.name and mark.returned_at]
    line.reports = [_report(at, name, line.seconds) for at, name in statuses]
    line.begins = min([0.0, *(report.at for report in line.reports)])
    line.ends = max([line.seconds, *(report.at for report in line.reports)])
    return line


def _report(at: float, name: str, seconds: float) -> Report:
    earliest = -max(EARLY_SHARE * seconds, EARLY_SECONDS)
    latest = seconds + max(LATE_SHARE * seconds, LATE_SECONDS)
    if at < earliest:
        return Report(earliest, name, f"‹ {name} {_duration(-at)} before")
    if at > latest:
        return Report(latest, name, f"{name} {_duration(at - seconds)} later ›")
    return Report(at, name, name)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


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
