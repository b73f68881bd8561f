"""The messages of a call as the lines of a log: counted, reviewed, and what is wrong with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Entry, Sender
from twistream_kit.capture.message_text import get_event, quote_message
from twistream_kit.diagnosis.sound import identify_mistake
from twistream_kit.diagnosis.stream import CaptureReview, OddMessage, Reviewed
from twistream_kit.errors import Objection
from twistream_kit.live.inspector.stream import Violation
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND

KEPT_LINES = 300
"""How many lines the log keeps, and as many marks that only measure progress."""

SOUND = "sound"
"""The event of a line about the sound of many messages."""

INVALID = "invalid"
"""The event of an invalid message, which a capture does not hold as a message."""

SEVERITIES = ("error", "warning", "note")

_Mistakes: TypeAlias = tuple[str, str]


class LogLines:
    """The messages of one capture as lines of a log; not thread-safe.

    A media message is shown in full only if there is a new objection to it, because the same
    mistake is often made fifty times a second.  What is equal to an earlier line is counted there:
    a message with the same mistakes, and one that repeats the line before.

    Marks that only measure progress are kept apart, so that they push nothing else out.

    Args:
        capture: The capture of a call that is in progress or has ended.

    Attributes:
        media: The count of each direction, by sender.
        unkept: How many more media messages there were, of which the capture kept only the size.
        revision: Changes with every new line, and with every one that is counted.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._review = CaptureReview(capture)
        self._read = self._number = 0
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._progress: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self._by_mistake: dict[_Mistakes, LogLine] = {}
        self._last: LogLine | None = None
        self.unkept = self.revision = 0
        self.media: dict[Sender, MediaCount] = {"twilio": MediaCount(), "server": MediaCount()}

    @property
    def lines(self) -> list[LogLine]:
        """The last lines, oldest first; among them the last marks of progress."""
        return sorted([*self._lines, *self._progress], key=lambda line: line.number)

    @property
    def problems(self) -> list[Problem]:
        """What is objected to in these lines, each once: causes before symptoms."""
        found: dict[tuple[str, str], Problem] = {}
        for line in self._lines:
            for objection in line.objections:
                mistake = identify_mistake(objection)
                if mistake in found:
                    found[mistake].count += line.count
                else:
                    found[mistake] = Problem(objection, line.number, line.event, line.count)
        return sorted(found.values(), key=Problem.rank)

    def read(self, *, is_over: bool = False) -> int:
        """Review the messages since the last call; return the number of the newest line.

        Args:
            is_over: Whether no more messages will come.
        """
        passed = len(self._capture)  # counted first, because more messages may come meanwhile
        for each, reviewed in self._review.read_new():
            if isinstance(each, OddMessage):
                self._take_odd(each, reviewed)
            else:
                self._take(each, reviewed)
            if reviewed.sound:
                self._add_sound(each.at, reviewed.sound)
        if is_over and (found := self._review.finish()):
            self._add_sound(self._capture.seconds, found)
        self.unkept = max(0, passed - self._read)
        return self._number

    def read_reviewed(self, violations: Iterable[Violation], *, bad_media: int) -> int:
        """Read the messages of an inspector, which reviews them; return as `read` does.

        Args:
            violations: The violations since the last call, oldest first.
            bad_media: How many media messages have objections of their own, in all.
        """
        waiting = deque(violations)
        passed = len(self._capture)  # before the rest is read, since more may pass meanwhile
        for entry in self._capture.kept_since(self._read):
            while waiting and waiting[0].place <= self._read:
                self._add_violation(waiting.popleft())
            if (
                waiting
                and waiting[0].place == self._read + 1
                and waiting[0].event not in ("", "media")
            ):
                self._take(entry, Reviewed(None, form=waiting.popleft().objections))
            else:
                self._take(entry, _NOT_REVIEWED)
        for violation in waiting:
            self._add_violation(violation)
        self.unkept = max(0, passed - self._read)
        self.media["server"].bad = bad_media
        return self._number

    def _take(self, entry: Entry, reviewed: Reviewed) -> None:
        self._read += 1
        if not isinstance(entry.message, from_twilio.Media | to_twilio.Media):
            self._add_message(entry, reviewed.objections)
            return
        count = self.media[entry.sender]
        count.messages += 1
        count.size += entry.size
        if reviewed.form or reviewed.inside:
            count.bad += 1
            if reviewed.new:
                self._add_message(entry, reviewed.objections)
            else:
                self._count_again(reviewed.objections)

    def _take_odd(self, odd: OddMessage, reviewed: Reviewed) -> None:
        if reviewed.is_obeyed and isinstance(odd.message, to_twilio.Media):
            self.media["server"].bad += 1
        if reviewed.new:
            # What was found before is counted at its own line, not said again here.
            self._count_again([each for each in reviewed.form if each not in reviewed.new])
            self._add(odd.at, "server", INVALID, quote_message(odd.text), reviewed.new)
        else:
            self._count_again(reviewed.objections)

    def _add_violation(self, violation: Violation) -> None:
        if not violation.in_capture:
            self._add(violation.at, violation.sender, INVALID, violation.text, violation.objections)
        elif violation.event:
            self._add(violation.at, "server", violation.event, violation.text, violation.objections)
        else:
            self._add_sound(violation.at, violation.objections)

    def _add_sound(self, at: float, found: Sequence[Objection]) -> None:
        text = f"all media to Twilio so far, {self.media['server'].seconds:.2f} s"
        self._add(at, "server", SOUND, text, found)

    def _add_message(self, entry: Entry, objections: Sequence[Objection]) -> None:
        name = getattr(entry.message, "name", "")
        self._add(
            entry.at,
            entry.sender,
            get_event(entry.message),
            quote_message(entry.message.to_json()),
            objections,
            is_progress=MarkName.parse(name).is_progress,
        )

    def _add(
        self,
        at: float,
        sender: Sender,
        event: str,
        text: str,
        objections: Sequence[Objection],
        *,
        is_progress: bool = False,
    ) -> None:
        self.revision += 1
        last = self._last
        if last is not None and not is_progress and last.is_equal(sender, event, text, objections):
            last.count += 1
            last.last_at = at
            return
        self._number += 1
        line = LogLine(
            self._number, at, sender, event, text, is_progress, tuple(objections), last_at=at
        )
        if is_progress:
            self._progress.append(line)
            return
        self._lines.append(line)
        self._last = line
        for objection in objections:
            self._by_mistake.setdefault(identify_mistake(objection), line)

    def _count_again(self, objections: Iterable[Objection]) -> None:
        """Count a message at the lines that show its mistakes already."""
        lines = {
            line.number: line
            for each in objections
            if (line := self._by_mistake.get(identify_mistake(each))) is not None
        }
        for line in lines.values():
            line.count += 1
            self.revision += 1


_NOT_REVIEWED = Reviewed(None)


@dataclass(slots=True)
class LogLine:
    """One line: a message, or objections to the sound of many.

    Attributes:
        number: The number of the line, counted from 1 over all lines.
        at: The time in seconds since the stream began.
        sender: ``twilio`` or ``server``.
        event: The event as on the wire; ``sound`` for the sound of many messages, ``invalid`` for
            an invalid message.
        text: The message as on the wire; for the sound, its duration so far.
        is_progress: Whether it is a mark that only measures the progress of a playback.
        objections: The objections of `StreamReviewer` to it, or to the sound so far.
        count: How many messages it stands for.
        last_at: The time of the last of those that repeat it.
    """

    number: int
    at: float
    sender: Sender
    event: str
    text: str
    is_progress: bool = False
    objections: tuple[Objection, ...] = ()
    count: int = 1
    last_at: float = 0.0

    def is_equal(
        self, sender: Sender, event: str, text: str, objections: Sequence[Objection]
    ) -> bool:
        """Whether a message would make the same line."""
        mine = self.sender, self.event, self.text, self.objections
        return mine == (sender, event, text, tuple(objections))


@dataclass(slots=True)
class Problem:
    """One thing that is objected to, in one or more messages.

    Attributes:
        objection: The first objection to it.
        number: The number of the line that shows it.
        event: The event of that line.
        count: How many messages it applies to.
    """

    objection: Objection
    number: int
    event: str
    count: int

    def rank(self) -> tuple[int, int, int]:
        """Causes before symptoms: the form of a message, its payload, then the sound of many."""
        form, payload, sound = 0, 1, 2
        kind = form if self.objection.code is not None else payload
        if self.event == SOUND:
            kind = sound
        return kind, SEVERITIES.index(self.objection.severity), self.number


@dataclass(slots=True)
class MediaCount:
    """The media messages of one direction.

    Attributes:
        messages: How many there were.
        size: How many bytes of sound they held.
        bad: How many of them have objections of their own.
    """

    messages: int = 0
    size: int = 0
    bad: int = 0

    @property
    def seconds(self) -> float:
        """How much sound they held."""
        return self.size / BYTES_PER_SECOND
