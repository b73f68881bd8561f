"""A run of faults as its user holds it: how far it is, and the way to end it."""

from __future__ import annotations

import sys
import time

from twistream_kit.errors import NoResultYet
from twistream_kit.pending import Pending, ReentrantLoop, Subject, get_running_loop
from twistream_kit.simulator._fault_run import FaultWatch
from twistream_kit.simulator.fault_report import FaultReport

_STEP_SECONDS = 0.25

_STOP_SECONDS = 20.0
"""How long an interrupted run may take to end."""

_SHOWN_SECONDS = 10.0
"""Where there is nothing new to say, what is tried now is said again so much later."""


class FaultInjection(Pending[FaultReport]):
    """A `FaultReport` that is on its way: `result` shows the progress, `stop` ends the run early.

    Args:
        subject: What it stands for, in words.
        watch: The run, as it is seen from here.
        progress: Whether `result` shows how far it is.

    Attributes:
        watch: The run, as it is seen from here.
    """

    def __init__(self, subject: Subject, watch: FaultWatch, *, progress: bool) -> None:
        super().__init__(None, subject)
        self.watch = watch
        self._progress = progress

    def stop(self) -> None:
        """Break no more streams; the report then has the faults that were tried until now."""
        self.watch.stop.set()

    def result(self, timeout: float | None = None) -> FaultReport:
        """Wait for the report, and say meanwhile what was tried.

        An interrupt (Ctrl-C, the stop button of a notebook) ends the run: the report of what it has
        is returned, and says so.  A second one ends the wait.

        Args:
            timeout: In seconds; None waits without limit.  The run goes on after it.

        Raises:
            NoResultYet: If there is no report within `timeout`; it is a TimeoutError.
        """
        try:
            is_nested = isinstance(get_running_loop(), ReentrantLoop)
            if not self.done() and self._progress and not is_nested and timeout != 0:
                self._show_progress(timeout)
                timeout = 0 if timeout is not None else None
            return super().result(timeout)
        except KeyboardInterrupt:
            if self.watch.stop.is_set():
                raise
            self.stop()
            return super().result(_STOP_SECONDS)

    def _show_progress(self, timeout: float | None) -> None:
        lines = _RowLines(self.watch)
        until = None if timeout is None else time.monotonic() + timeout
        while not self.done() and (until is None or time.monotonic() < until):
            left = _STEP_SECONDS if until is None else until - time.monotonic()
            try:
                super().result(max(0.0, min(_STEP_SECONDS, left)))
            except NoResultYet:
                lines.show()
            except Exception:  # noqa: BLE001 - `result` raises it
                return
        lines.show()


class _RowLines:
    """Writes a line for each row that is there, and for what takes long."""

    def __init__(self, watch: FaultWatch) -> None:
        self._watch = watch
        self._began = self._shown = time.monotonic()
        self._n_rows = 0

    def show(self) -> None:
        rows = self._watch.rows[self._n_rows :]
        now = time.monotonic()
        seconds = f"{now - self._began:4.0f} s: "
        lines = [
            f"{seconds}{row.outcome}  {row.name}" for row in rows if row.outcome != "not tried"
        ]
        self._n_rows += len(rows)
        if not lines and now - self._shown >= _SHOWN_SECONDS:
            lines = [f"{seconds}trying {self._watch.now}"]
        if not lines:
            return
        self._shown = now
        try:
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):
            pass  # there is no stderr, or nobody reads it: the report is what matters
