"""The messages of a call as lines: media counted, everything else in full, objections under it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture import Capture
from twistream_kit.protocol.capture_entry import Entry, Sender
from twistream_kit.protocol.objection import Objection
from twistream_kit.protocol.outbox import is_progress_mark
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.protocol.review import review
from twistream_kit.protocol.summary import event_of

KEPT_LINES = 300

MOST_CHARACTERS = 2000
"""Of one message; a bad one may be as long as it likes, and everything is sent to the page."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One message.

    Attributes:
        number: Counts all lines from 1, those no longer kept included.
        at: In seconds since the stream began.
        sender: ``twilio`` or ``server``.
        event: As on the wire.
        text: The message as on the wire.
        is_progress: Whether it is a mark that only measures how far a playback is.
        objections: What `review` says of it.
    """

    number: int
    at: float
    sender: Sender
    event: str
    text: str
    is_progress: bool = False
    objections: tuple[Objection, ...] = ()


@dataclass(slots=True)
class MediaCount:
    """The media messages of one direction.

    Attributes:
        messages: How many there were.
        size: How many bytes of sound they held.
        bad: How many of them `review` objects to.
    """

    messages: int = 0
    size: int = 0
    bad: int = 0

    @property
    def seconds(self) -> float:
        """How much sound they held."""
        return self.size / BYTES_PER_SECOND


class LogLines:
    """Follows one capture; one thread at a time.

    A media message stands in full only where something about it is objected to that was not
    objected to before: the same mistake is often made fifty times a second.

    Args:
        capture: Of a call that goes on, or of one that has ended.

    Attributes:
        media: The count of each direction, by sender.
        unkept: How many more media messages passed, of which the capture kept the size alone.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._read = 0
        self._number = 0
        self._known: set[tuple[object, ...]] = set()
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self.unkept = 0
        self.media: dict[Sender, MediaCount] = {"twilio": MediaCount(), "server": MediaCount()}

    @property
    def lines(self) -> list[LogLine]:
        """The last lines as they stand, oldest first."""
        return list(self._lines)

    def read(self) -> int:
        """Take in what has passed since; return the number of the newest line."""
        passed = len(self._capture)  # before the rest is read, since more may pass meanwhile
        for entry in self._capture.kept_since(self._read):
            self._read += 1
            self._take(entry)
        self.unkept = max(0, passed - self._read)
        return self._number

    def _take(self, entry: Entry) -> None:
        objections = self._objections(entry)
        if isinstance(entry.message, from_twilio.Media | to_twilio.Media):
            count = self.media[entry.sender]
            count.messages += 1
            count.size += entry.size
            count.bad += bool(objections)
            kinds = {(o.code, o.field, o.problem) for o in objections}
            if kinds <= self._known:
                return
            self._known |= kinds
        self._number += 1
        name = getattr(entry.message, "name", "")
        self._lines.append(
            LogLine(
                self._number,
                entry.at,
                entry.sender,
                event_of(entry),
                _shown(entry.message.to_json()),
                is_progress_mark(name),
                tuple(objections),
            )
        )

    def _objections(self, entry: Entry) -> list[Objection]:
        if entry.sender == "twilio":
            return []  # what is reviewed is what *your* server sends
        return review(entry.message.to_json(), stream_sid=self._capture.stream_sid or None)


def _shown(text: str) -> str:
    if len(text) <= MOST_CHARACTERS:
        return text
    return f"{text[:MOST_CHARACTERS]}… ({len(text)} characters)"
