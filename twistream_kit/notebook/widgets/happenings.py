"""The story of one stream in lines: what passed on the wire, what was done, what went wrong."""

from __future__ import annotations

import threading
import time

from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.runtime.event_log import EventLog
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome
from twistream_kit.protocol.outbox import is_own_mark, spoken_name

KEPT_LINES = 200


class Happenings:
    """Collects the lines; its methods may be called from any thread.

    Args:
        stream: Whose story it is.
        log: The kit's event log, for warnings and errors about the stream.
    """

    def __init__(self, stream: MediaStream, log: EventLog) -> None:
        self._stream = stream
        self._log = log
        self._read = 0
        self._logged_until = time.monotonic()
        self._new: list[tuple[float, str]] = []
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Add a line of one's own."""
        at = time.monotonic() - self._stream.capture.started
        with self._lock:
            self._new.append((at, text))

    def lines(self) -> list[str]:
        """Return the last lines, with all that has happened since, in the order of their times."""
        with self._lock:
            self._new += self._passed() + self._logged()
            self._new.sort(key=lambda line: line[0])
            self._lines += [f"{max(at, 0):.2f} s: {text}" for at, text in self._new]
            self._new.clear()
            del self._lines[:-KEPT_LINES]
            return list(self._lines)

    def _passed(self) -> list[tuple[float, str]]:
        entries = self._stream.capture.kept_since(self._read)
        self._read += len(entries)
        lines = [(entry.at, _line(entry.message)) for entry in entries]
        return [line for line in lines if line[1]]

    def _logged(self) -> list[tuple[float, str]]:
        since, self._logged_until = self._logged_until, time.monotonic()
        return [
            (line.at - self._stream.capture.started, f"{line.level.capitalize()}: {line.text}")
            for line in self._log.about(self._stream.stream_sid, since)
            if line.level != "INFO" and line.at < self._logged_until
        ]


def in_words(outcome: object, name: str) -> str:
    """Say how something ended, in words.

    Args:
        outcome: A `PlayOutcome`, a `MarkOutcome`, an exception, or what else there is to say.
        name: Of what ended.
    """
    match outcome:
        case PlayOutcome(ending="heard"):
            return f"{name} was heard"
        case PlayOutcome(ending=ending, heard_ms=heard_ms, total_ms=total_ms):
            seconds = f"{heard_ms / 1000:.2f} of {total_ms / 1000:.2f} s"
            return f"{name} was {ending} after {seconds}"
        case MarkOutcome(ending="heard"):
            return f"all before {name} was heard"
        case MarkOutcome(ending=ending):
            return f"{name} was {ending}"
        case BaseException():
            return f"Error: {outcome}"
        case _:
            return f"{name}: {outcome}"


def _line(message: object) -> str:
    match message:
        case from_twilio.Start():
            return "Twilio started the stream"
        case from_twilio.Dtmf(digit=digit):
            return f"the caller pressed {digit}"
        case from_twilio.Mark(name=name) | to_twilio.Mark(name=name) if is_own_mark(name):
            return ""
        case from_twilio.Mark(name=name):
            return f"mark {spoken_name(name)} came back"
        case from_twilio.Stop():
            return "Twilio stopped the stream"
        case from_twilio.Unknown(event=event):
            return f"Twilio said something unknown: {event}"
        case to_twilio.Mark(name=name):
            return f"mark {spoken_name(name)} sent"
        case to_twilio.Clear():
            return "clear sent"
        case _:
            return ""
