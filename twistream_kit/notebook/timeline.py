"""What happened on one call and when, read from a capture and ready to be drawn."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND, PlayoutModel

if TYPE_CHECKING:
    from twistream_kit.protocol.capture import Entry

_PROGRESS = re.compile(r"@\d+s$")
"""What the outbox adds to the marks that it places with each second of sound."""

_NUMBER = re.compile(r"#\d+$")
"""What the conversation adds to make a name unique."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that the user named, from sending to return.

    Attributes:
        name: As the user gave it.
        sent: In seconds since the stream began.
        returned: The same, or None if it never came back.
        cleared: Whether a clear had been sent before it came back.
    """

    name: str
    sent: float
    returned: float | None = None
    cleared: bool = False


@dataclass(slots=True)
class Timeline:
    """All times in seconds since the stream began.

    Attributes:
        sent: For each piece of sound sent, its time and its duration in seconds.
        buffered: Corners of the line of what waits at Twilio: time and seconds of sound.
        marks: The marks with a name, in the order sent.
        progress: When marks of our own came back.
        clears: When a clear was sent.
        silences: For each clear, from when to when nothing was heard after it.
        keys: The caller's keys and their times.
        seconds: The whole.
    """

    sent: list[tuple[float, float]] = field(default_factory=list)
    buffered: list[tuple[float, float]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    progress: list[float] = field(default_factory=list)
    clears: list[float] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    keys: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0


def spoken_name(wire_name: str) -> str:
    """Return the name of a mark as its user gave it, or empty for one of our own."""
    return "" if _PROGRESS.search(wire_name) else _NUMBER.sub("", wire_name)


def read_timeline(entries: Iterable[Entry]) -> Timeline:
    """Follow a call through the same playout model that measures it live."""
    reader = _Reader()
    for entry in entries:
        reader.take(entry.at, entry.message, entry.size)
    return reader.finished()


class _Reader:
    def __init__(self) -> None:
        self.line = Timeline()
        self._model = PlayoutModel()
        self._open: dict[str, tuple[float, int]] = {}
        self._order: dict[str, Mark] = {}

    def take(self, at: float, message: from_twilio.Message | to_twilio.Message, size: int) -> None:
        self.line.seconds = max(self.line.seconds, at)
        match message:
            case to_twilio.Media():
                self._corner(at)
                self._model.sent(size, at)
                self._corner(at)
                self.line.sent.append((at, size / BYTES_PER_SECOND))
            case to_twilio.Clear():
                self._corner(at)
                self._model.cleared(at)
                self._corner(at)
                self.line.clears.append(at)
            case to_twilio.Mark():
                self._open[message.name] = (at, self._model.sent_bytes)
                self._order[message.name] = Mark(spoken_name(message.name), at)
            case from_twilio.Mark():
                self._returned(message.name, at)
            case from_twilio.Dtmf():
                self.line.keys.append((at, message.digit))

    def finished(self) -> Timeline:
        self._corner(self.line.seconds)
        self.line.marks = [mark for mark in self._order.values() if mark.name]
        self.line.silences = self._silences()
        return self.line

    def _returned(self, name: str, at: float) -> None:
        if name not in self._open:
            return
        sent, position = self._open.pop(name)
        cleared = any(sent <= clear <= at for clear in self.line.clears)
        if not cleared:
            self._model.returned(position, at)
        mark = Mark(spoken_name(name), sent, at, cleared)
        self._order[name] = mark
        if not mark.name:
            self.line.progress.append(at)

    def _corner(self, at: float) -> None:
        """Note the buffer at `at`, and the moment before it at which it ran empty, if it did."""
        waiting = self._model.buffered(at) / BYTES_PER_SECOND
        corners = self.line.buffered
        empty_at = self._model.reaches(self._model.sent_bytes)
        if corners and waiting == 0 and corners[-1][1] > 0 and corners[-1][0] < empty_at < at:
            corners.append((empty_at, 0.0))
        corners.append((at, waiting))

    def _silences(self) -> list[tuple[float, float]]:
        """From each clear to the next sound, or to the end."""
        begins = [interval.started for interval in self._model.intervals(self.line.seconds)]
        silences = []
        for clear in self.line.clears:
            following = (begin for begin in begins if begin >= clear)
            silences.append((clear, min(following, default=self.line.seconds)))
        return silences
