"""The last events of one stream as lines of text: messages, pressed buttons, outcomes, errors.

Each event has one line.  A button that is pressed leads to messages, and to an outcome that says
more than they do; so the messages of what the buttons did have no lines of their own.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from html import escape

from twistream_kit.capture.entry import Message
from twistream_kit.capture.message_text import describe_message
from twistream_kit.live.stream.state import Playing, find_handle
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.runtime.activity_log import ActivityLog
from twistream_kit.notebook.widgets.live_text import Severity, add_sign
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.marks import MarkName, MarkOutcome, PlayOutcome

KEPT_LINES = 200
"""The number of lines that are kept."""

_SEVERITIES: dict[str, Severity] = {"Error: ": "error", "Warning: ": "warning"}
"""By the beginning of the text of a line."""


class ActivityLines:
    """Collects the activity of one stream in lines; any thread may call its methods.

    Args:
        stream: The stream.
        log: The kit's activity log, for warnings and errors about the stream.
    """

    def __init__(self, stream: MediaStream, log: ActivityLog) -> None:
        self._stream = stream
        self._log = log
        self._read = 0
        self._logged_until = time.monotonic()
        self._new: list[tuple[float, str]] = []
        self._sent: list[tuple[float, str, Playing]] = []
        self._lines: list[str] = []
        self._expected: Counter[tuple[type[Message], str]] = Counter()
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Add a line."""
        at = time.monotonic() - self._stream.capture.started
        with self._lock:
            self._new.append((at, text))

    def note_sent(self, text: str, playing: Playing) -> None:
        """Add a line about a playback, with its name on the wire once it has one."""
        at = time.monotonic() - self._stream.capture.started
        with self._lock:
            self._sent.append((at, text, playing))

    def expect_clear(self) -> None:
        """Leave out the next clear that is sent; say it before.

        It is sent by the server's loop, some time after the button was pressed, and would stand
        behind what the same button does after it.
        """
        with self._lock:
            self._expected[to_twilio.Clear, ""] += 1

    def expect_mark(self, name: str) -> None:
        """Leave out the next mark of this name that is sent, and its return; say it before."""
        with self._lock:
            self._expected[to_twilio.Mark, name] += 1
            self._expected[from_twilio.Mark, name] += 1

    def note_outcome(self, outcome: object, name: str) -> None:
        """Add the line of an outcome; the mark of one that was lost does not come back."""
        if isinstance(outcome, PlayOutcome | MarkOutcome) and outcome.ending == "lost":
            with self._lock:
                self._take_expected(from_twilio.Mark, name)
                if not outcome.handle:
                    self._take_expected(to_twilio.Mark, name)
        self.note(describe_outcome(outcome, name))

    def read_lines(self) -> list[str]:
        """Add the lines of everything new, in the order of time, and return the last lines."""
        with self._lock:
            self._new += self._read_messages() + self._read_log() + self._take_sent()
            self._new.sort(key=lambda line: line[0])
            self._lines += [f"{max(at, 0):.2f} s: {text}" for at, text in self._new]
            self._new.clear()
            del self._lines[:-KEPT_LINES]
            return list(self._lines)

    def _read_messages(self) -> list[tuple[float, str]]:
        entries = self._stream.capture.kept_since(self._read)
        self._read += len(entries)
        return [
            (entry.at, describe_message(entry.message))
            for entry in entries
            if self._is_shown(entry.message)
        ]

    def _take_sent(self) -> list[tuple[float, str]]:
        waiting, self._sent = self._sent, []
        lines = []
        for at, text, playing in waiting:
            if handle := find_handle(playing):
                lines.append((at, f"{text} as {handle}"))
            elif playing.done():
                lines.append((at, text))
            else:
                self._sent.append((at, text, playing))
        return lines

    def _is_shown(self, message: Message) -> bool:
        """Whether a message gets a line: media and progress marks arrive all the time."""
        if isinstance(message, from_twilio.Mark | to_twilio.Mark):
            mark = MarkName.parse(message.name)
            return not (mark.is_own or self._take_expected(type(message), mark.name))
        if isinstance(message, to_twilio.Clear):
            return not self._take_expected(to_twilio.Clear, "")
        return not isinstance(message, from_twilio.Media | to_twilio.Media | from_twilio.Connected)

    def _take_expected(self, kind: type[Message], name: str) -> bool:
        if not self._expected[kind, name]:
            return False
        self._expected[kind, name] -= 1
        return True

    def _read_log(self) -> list[tuple[float, str]]:
        since, self._logged_until = self._logged_until, time.monotonic()
        return [
            (line.at - self._stream.capture.started, f"{line.level.capitalize()}: {line.text}")
            for line in self._log.find_lines(self._stream.stream_sid, since)
            if line.level != "INFO" and line.at < self._logged_until
        ]


def list_lines(newest: Iterable[str]) -> str:
    """Return lines of the log as HTML, errors and warnings with their signs."""
    return f"<ul>{''.join(map(_make_item, newest))}</ul>"


def _make_item(line: str) -> str:
    at, _, text = line.partition(": ")
    for beginning, severity in _SEVERITIES.items():
        if text.startswith(beginning):
            return f"<li>{escape(at)}: {add_sign(severity, escape(text))}</li>"
    return f"<li>{escape(line)}</li>"


def describe_outcome(outcome: object, name: str) -> str:
    """Return a sentence that says how something ended.

    Args:
        outcome: A `PlayOutcome`, a `MarkOutcome`, an exception, or another result.
        name: The name of the clip, the mark or the command that ended.
    """
    match outcome:
        case PlayOutcome(ending="heard"):
            return f"{name} was heard{_name_on_the_wire(outcome)}"
        case PlayOutcome(ending=ending, heard_ms=heard_ms, total_ms=total_ms):
            seconds = f"{heard_ms / 1000:.2f} of {total_ms / 1000:.2f} s"
            said = f"{name} was {ending} after {seconds}{_name_on_the_wire(outcome)}"
            return ": ".join(filter(None, (said, explain_loss(outcome))))
        case MarkOutcome(ending="heard"):
            return f"all before {name} was heard"
        case MarkOutcome(ending=ending):
            return ": ".join(filter(None, (f"{name} was {ending}", explain_loss(outcome))))
        case BaseException():
            return f"Error: {outcome}"
        case _:
            return f"{name}: {outcome}"


def _name_on_the_wire(outcome: PlayOutcome) -> str:
    """Return what tells a playback from another of the same sound, as the log of messages does."""
    return f" ({outcome.handle})" if outcome.handle else ""


def explain_loss(outcome: PlayOutcome | MarkOutcome, known: EndCause | None = None) -> str:
    """Return why a playback or a mark was lost, and whether it came too late; else empty.

    Args:
        outcome: The outcome, with the cause that was known when it ended.
        known: Why the stream ended, as far as it is known now.
    """
    why = outcome.why if outcome.cause is None or known is None else known.in_words
    return f"it came too late, {why}" if why and not outcome.handle else why
