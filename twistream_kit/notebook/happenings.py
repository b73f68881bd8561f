"""The story of one stream in lines: what passed on the wire, what was done, what went wrong."""

from __future__ import annotations

import threading
import time

from twistream_kit.live.stream import MediaStream
from twistream_kit.notebook.event_log import EventLog
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.outbox import is_progress_mark

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
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Add a line of one's own."""
        with self._lock:
            self._lines.append(text)

    def lines(self) -> list[str]:
        """Return the last lines, with all that has happened since."""
        with self._lock:
            entries = self._stream.capture.entries[self._read :]
            self._read += len(entries)
            for entry in entries:
                text = _line(entry.message)
                if text:
                    self._lines.append(f"{entry.at:.2f} s: {text}")
            since, self._logged_until = self._logged_until, time.monotonic()
            for line in self._log.about(self._stream.stream_sid, since):
                if line.level != "INFO" and line.at < self._logged_until:
                    self._lines.append(f"{line.level.capitalize()}: {line.text}")
            del self._lines[:-KEPT_LINES]
            return list(self._lines)


def _line(message: object) -> str:
    match message:
        case from_twilio.Start():
            return "Twilio started the stream"
        case from_twilio.Dtmf(digit=digit):
            return f"the caller pressed {digit}"
        case from_twilio.Mark(name=name) | to_twilio.Mark(name=name) if is_progress_mark(name):
            return ""
        case from_twilio.Mark(name=name):
            return f"mark {name} came back"
        case from_twilio.Stop():
            return "Twilio stopped the stream"
        case from_twilio.Unknown(event=event):
            return f"Twilio said something unknown: {event}"
        case to_twilio.Mark(name=name):
            return f"mark {name} sent"
        case to_twilio.Clear():
            return "clear sent"
        case _:
            return ""
