"""The activity log that the widgets show, and the thread that updates the widgets.

A line printed on a thread appears in the output of another cell or nowhere, so threads and
callbacks never print, except for errors in the user's code (`failures`).  Every message of the kit
goes through Python's logging, under ``twistream_kit``, and is kept here.

Widgets may be changed from any thread, at some 90 microseconds a change.  The pump reads the state
at most ten times a second instead of following every change: changes faster than a person can see
are left out.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from twistream_kit.guard import Guard, format_error
from twistream_kit.notebook.runtime.failures import CELL_OUTPUT, FailurePrinter

KEPT_LINES = 500
"""The number of lines that the log keeps."""

PUMP_SECONDS = 0.1
"""How long the pump sleeps after each turn."""

Update = Callable[[], bool]
"""Updates a widget; returns False when the widget will not change any more."""


def get_activity_log() -> ActivityLog:
    """Return the kit's activity log; the first call attaches it to the kit's loggers."""
    CELL_OUTPUT.attach()
    logger = logging.getLogger("twistream_kit")
    for handler in logger.handlers:
        if isinstance(handler, ActivityLog):
            return handler
    log = ActivityLog()
    logger.addHandler(log)
    # Python prints what no handler takes; now that one does, this prints what the user must see.
    logger.addHandler(FailurePrinter())
    if logger.getEffectiveLevel() > logging.INFO:
        logger.setLevel(logging.INFO)
    return log


class ActivityLog(logging.Handler):
    """A logging handler that keeps the last log lines of the kit and prints nothing."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[Activity] = deque(maxlen=KEPT_LINES)

    @property
    def lines(self) -> list[Activity]:
        """The kept lines, oldest first."""
        return list(self._lines)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record, with the last line of its traceback if it has one."""
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text = f"{text}: {format_error(record.exc_info[1])}"
        self._lines.append(Activity(time.monotonic(), record.levelname, text))

    def find_lines(self, name: str, since: float) -> list[Activity]:
        """Return the lines since the time `since` that contain `name`, such as a stream's SID."""
        return [line for line in self.lines if line.at >= since and name in line.text]


@dataclass(frozen=True, slots=True)
class Activity:
    """One line of the activity log.

    Attributes:
        at: The time, in seconds of the monotonic clock.
        level: ``INFO``, ``WARNING`` or ``ERROR``.
        text: The message.
    """

    at: float
    level: str
    text: str


def is_interrupt(error: BaseException | None) -> bool:
    """Whether `error` is the user's interrupt of a cell: Python raises it on the main thread."""
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and isinstance(error, KeyboardInterrupt)


class WidgetGuard(Guard):
    """A `Guard` around what a cell may run, too: an interrupt of the cell is propagated.

    Args:
        message: The message to log with the traceback.
    """

    __slots__ = ()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if is_interrupt(error):
            return False
        return super().__exit__(kind, error, traceback)


class Pump:
    """Calls each update until it returns False; sleeps while there are none."""

    def __init__(self) -> None:
        self._updates: dict[Update, int] = {}
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._has_updates = threading.Event()
        self._pause = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, update: Update) -> None:
        """Call `update` from now on, on the pump's thread; once a turn, even if added twice."""
        with self._lock:
            # A new number each time: an update that is added while it ends is called once more.
            self._updates[update] = next(self._numbers)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="twistream_kit widgets", daemon=True
                )
                self._thread.start()
        self._has_updates.set()

    def remove(self, update: Update) -> None:
        """Stop calling `update`."""
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
            self._call_all(updates)
            del updates  # while this thread sleeps, it must not keep a widget that was closed
            self._pause.wait(PUMP_SECONDS)

    def _call_all(self, updates: list[tuple[Update, int]]) -> None:
        for update, number in updates:
            self._call(update, number)

    def _call(self, update: Update, number: int) -> None:
        continues = False
        # All widgets share the thread: an error in one must not stop the updates of the others.
        with Guard("a widget could not be updated, and will not be updated again"):
            continues = update()
        if continues:
            return
        with self._lock:
            if self._updates.get(update) == number:
                del self._updates[update]


PUMP = Pump()
