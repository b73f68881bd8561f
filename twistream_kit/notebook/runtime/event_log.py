"""What happened, for a widget to show: threads and callbacks never print.

A line printed on a thread lands in somebody else's cell or nowhere.  So everything that the kit
has to say goes through Python's logging, under ``twistream_kit``, and is kept here.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass

from twistream_kit.pending import error_text

KEPT_LINES = 500


@dataclass(frozen=True, slots=True)
class LogLine:
    """One thing that happened.

    Attributes:
        at: When, in seconds of the monotonic clock.
        level: ``INFO``, ``WARNING`` or ``ERROR``.
        text: What, in words.
    """

    at: float
    level: str
    text: str


class EventLog(logging.Handler):
    """The last lines of what the kit has to say; it keeps them and prints nothing."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)

    @property
    def lines(self) -> list[LogLine]:
        """What was said, oldest first."""
        return list(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, with the traceback's last line where there is one."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {error_text(record.exc_info[1])}"
        self._lines.append(LogLine(time.monotonic(), record.levelname, text))

    def about(self, name: str, since: float) -> list[LogLine]:
        """Return the lines since a moment that speak of `name`, such as a stream's SID."""
        return [line for line in self.lines if line.at >= since and name in line.text]


def event_log() -> EventLog:
    """Return the kit's event log; the first call attaches it to the kit's loggers."""
    logger = logging.getLogger("twistream_kit")
    for handler in logger.handlers:
        if isinstance(handler, EventLog):
            return handler
    log = EventLog()
    logger.addHandler(log)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return log
