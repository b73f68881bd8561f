"""A report that takes long: `result` shows how far it is, and its first interrupt ends the run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from threading import Event
from typing import Any, TypeVar

from twistream_kit.errors import NoResultYet
from twistream_kit.pending import Pending, ReentrantLoop, Subject, get_running_loop

Report = TypeVar("Report")

ShowProgress = Callable[[bool], None]
"""Shows how far a run is; it is given whether the wait has ended."""

STEP_SECONDS = 0.25


class StoppableRun(Pending[Report]):
    """A report that is on its way.

    Args:
        subject: What it stands for, in words.
        stop: What is set to end the run with what it has.
        stop_seconds: How long an interrupted run may take to end.
        progress: Whether `result` shows how far it is.
    """

    def __init__(
        self, subject: Subject, stop: Event, *, stop_seconds: float, progress: bool
    ) -> None:
        super().__init__(None, subject)
        self._stop = stop
        self._stop_seconds = stop_seconds
        self._shows = progress

    def stop(self) -> None:
        """End the run; the report then says what was seen until now."""
        self._stop.set()

    def result(self, timeout: float | None = None) -> Report:
        """Wait for the report, and show meanwhile how far the run is.

        An interrupt (Ctrl-C, the stop button of a notebook) ends the run: the report of what it has
        is returned, and says so.  A second one ends the wait.

        Args:
            timeout: In seconds; None waits without limit.  The run goes on after it.

        Raises:
            NoResultYet: If there is no report within `timeout`; it is a TimeoutError.
        """
        try:
            if self._shows and not self.done() and _can_show(timeout):
                self._show_progress(timeout)
                if timeout is not None and not self.done():
                    raise self._build_late_error(timeout, blocks=False)
            return super().result(timeout)
        except KeyboardInterrupt:
            if self._stop.is_set():
                raise
            self.stop()
            return super().result(self._stop_seconds)

    def _show_progress(self, timeout: float | None) -> None:
        show = self._choose_progress()
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while not self.done() and (until is None or time.monotonic() < until):
                left = STEP_SECONDS if until is None else until - time.monotonic()
                try:
                    super().result(max(0.0, min(STEP_SECONDS, left)))
                except NoResultYet:
                    show(False)
                except Exception:  # noqa: BLE001 - `result` raises it
                    return
        finally:
            show(True)

    def _choose_progress(self) -> ShowProgress:
        """Return what shows how far this run is."""
        raise NotImplementedError


def _can_show(timeout: Any) -> bool:
    """Whether there is time to show anything; what is no time is refused by `result`."""
    if isinstance(get_running_loop(), ReentrantLoop):
        return False
    return timeout is None or (isinstance(timeout, int | float) and timeout > 0)


def open_bar(total: float, name: str) -> Any:
    """Return a bar of tqdm, or None where there is neither a terminal nor a notebook."""
    from tqdm.auto import tqdm

    is_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    if not is_notebook and not _is_terminal():
        return None
    return tqdm(total=total, desc=name, bar_format="{l_bar}{bar}| {elapsed}{postfix}")


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is no stderr, or it is closed
        return False


def write_line(line: str) -> None:
    """Write a line to stderr, if anybody reads it: the report is what matters."""
    try:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        pass
