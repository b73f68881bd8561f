"""What happened, for widgets to show, and the thread that brings them up to date.

A line printed on a thread lands in somebody else's cell or nowhere, so threads and callbacks never
print.  Everything that the kit has to say goes through Python's logging, under ``twistream_kit``,
and is kept here.

Widgets may be changed from any thread, at some 90 microseconds a change.  The pump looks at the
state ten times a second at most instead of following its changes: what comes faster than a person
can see is left out.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from twistream_kit.pending import Guard, format_error

KEPT_LINES = 500
"""How many lines the log keeps."""

PUMP_SECONDS = 0.1
"""How long the pump sleeps after each turn."""

Update = Callable[[], bool]
"""Brings something up to date; returns False when it has nothing more to show."""


def activity_log() -> ActivityLog:
    """Return the kit's activity log; the first call attaches it to the kit's loggers."""
    logger = logging.getLogger("twistream_kit")
    for handler in logger.handlers:
        if isinstance(handler, ActivityLog):
            return handler
    log = ActivityLog()
    logger.addHandler(log)
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return log


class ActivityLog(logging.Handler):
    """The last lines of what the kit has to say; it keeps them and prints nothing."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[Activity] = deque(maxlen=KEPT_LINES)

    @property
    def lines(self) -> list[Activity]:
        """What was said, oldest first."""
        return list(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, with the traceback's last line where there is one."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {format_error(record.exc_info[1])}"
        self._lines.append(Activity(time.monotonic(), record.levelname, text))

    def about(self, name: str, since: float) -> list[Activity]:
        """Return the lines since a moment that speak of `name`, such as a stream's SID."""
        return [line for line in self.lines if line.at >= since and name in line.text]


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing that happened.

    Attributes:
        at: When, in seconds of the monotonic clock.
        level: ``INFO``, ``WARNING`` or ``ERROR``.
        text: What, in words.
    """

    at: float
    level: str
    text: str


class Pump:
    """Calls its updates until each has nothing more to show; sleeps while there are none."""

    def __init__(self) -> None:
        self._updates: dict[Update, int] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._has_updates = threading.Event()
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, update: Update) -> None:
        """Have `update` called from now on, on the pump's thread; once a turn, if added twice."""
        with self._lock:
            # A new number each time: what is added while it ends is called once more.
            self._updates[update] = next(self._numbers)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="twistream_kit widgets", daemon=True
                )
                self._thread.start()
        self._has_updates.set()

    def remove(self, update: Update) -> None:
        """Have it called no more."""
        with self._lock:
            self._updates.pop(update, None)

    def _run(self) -> None:
        while True:
            self._has_updates.wait()
            with self._lock:
                updates = list(self._updates.items())
                if not updates:
                    self._has_updates.clear()
                    continue
            for update, number in updates:
                self._call(update, number)
            self._pause.wait(PUMP_SECONDS)

    def _call(self, update: Update, number: int) -> None:
        goes_on = False
        # All widgets share the thread: one that fails must not take it from the others.
        with Guard("a widget could not be brought up to date and stays as it is"):
            goes_on = update()
        if goes_on:
            return
        with self._lock:
            if self._updates.get(update) == number:
                del self._updates[update]


PUMP = Pump()
