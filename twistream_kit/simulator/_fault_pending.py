"""A run of faults as its user holds it: how far it is, and the way to end it."""

from __future__ import annotations

import time

from twistream_kit.pending import Subject
from twistream_kit.simulator._fault_run import FaultWatch
from twistream_kit.simulator._stoppable_run import ShowProgress, StoppableRun, write_line
from twistream_kit.simulator.fault_report import FaultReport

_STOP_SECONDS = 20.0
"""How long an interrupted run may take to end."""

_SHOWN_SECONDS = 10.0
"""Where there is nothing new to say, what is tried now is said again so much later."""


class FaultInjection(StoppableRun[FaultReport]):
    """A `FaultReport` that is on its way: `result` shows the progress, `stop` ends the run early.

    Args:
        subject: What it stands for, in words.
        watch: The run, as it is seen from here.
        progress: Whether `result` shows how far it is.

    Attributes:
        watch: The run, as it is seen from here.
    """

    def __init__(self, subject: Subject, watch: FaultWatch, *, progress: bool) -> None:
        super().__init__(subject, watch.stop, stop_seconds=_STOP_SECONDS, progress=progress)
        self.watch = watch

    def stop(self) -> None:
        """Break no more streams; the report then has the faults that were tried until now."""
        super().stop()

    def _choose_progress(self) -> ShowProgress:
        return _RowLines(self.watch).show


class _RowLines:
    """Writes a line for each row that is there, and for what takes long."""

    def __init__(self, watch: FaultWatch) -> None:
        self._watch = watch
        self._began = self._shown = time.monotonic()
        self._n_rows = 0

    def show(self, _is_over: bool) -> None:
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
        for line in lines:
            write_line(line)
