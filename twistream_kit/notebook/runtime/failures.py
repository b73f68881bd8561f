"""Prints what the user's handlers, done-callbacks and listeners raise: once, into a cell.

That code runs on threads of the kit, where nobody catches what it raises, and a bot that ends in
its first line looks like one that hears nothing.  So it is the one exception to the rule that
threads never print.

What a thread prints appears, from ipykernel 7.3 on, in the output of whatever the kernel does last,
often nowhere.  The stream of ipykernel finds its cell by a context variable.  So the context of
each cell is kept when it begins, and what is printed is written in the context of the newest: in
the cell that runs, or that ran last.  Outside of a kernel it goes to stderr.
"""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from twistream_kit.guard import OF_USER, format_error
from twistream_kit.notebook.runtime.kernel import find_kernel
from twistream_kit.user_frames import find_shell, render

FLOOD_SECONDS = 1.0
"""Within this time of a printed error the same one is only counted."""


class CellOutput:
    """Writes into the output of the cell that runs, or that ran last."""

    def __init__(self) -> None:
        self._shell: Any = None
        self._context: contextvars.Context | None = None

    def attach(self) -> None:
        """Follow the cells of the kernel of this process, if there is one; repeatable."""
        if find_kernel() is None or (shell := find_shell()) is self._shell:
            return
        self._shell = shell
        shell.events.register("pre_run_cell", self._note_cell)
        if threading.current_thread() is threading.main_thread():
            self._note_cell()  # this is said in a cell, which has begun already

    def write(self, text: str) -> None:
        """Write `text` to stderr, without waiting; from any thread."""
        with suppress(Exception):  # stderr may be anybody's, and may be closed
            if self._context is None:
                sys.stderr.write(text)
            else:
                # A copy, because a context cannot be entered on two threads at once.
                self._context.copy().run(_write_to_stderr, text)

    def _note_cell(self, *_: object) -> None:
        self._context = contextvars.copy_context()


def _write_to_stderr(text: str) -> None:
    # In the context, because ipykernel's stream reads its variable in `write`.
    sys.stderr.write(text)


CELL_OUTPUT = CellOutput()
"""The output of the cells of this process."""


@dataclass(slots=True)
class _Printed:
    """An error that was printed, in one line, and how many times it came again since."""

    at: float
    text: str
    again: int = 0


class FailurePrinter(logging.Handler):
    """A logging handler that prints the errors of the user's code, and nothing else.

    Args:
        output: Where they are printed.
    """

    def __init__(self, output: CellOutput = CELL_OUTPUT) -> None:
        super().__init__(logging.ERROR)
        self._output = output
        self._printed: dict[object, _Printed] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Print the error of `record` with the user's frames, unless it was printed just now."""
        error = record.exc_info[1] if record.exc_info else None
        if not getattr(record, OF_USER, False) or error is None or _is_printed_elsewhere(record):
            return
        key, now = _find_key(record, error), time.monotonic()
        printed = self._printed.get(key)
        if printed is not None and now - printed.at < FLOOD_SECONDS:
            printed.again += 1
            if printed.again == 1:
                self._count_until(printed.at + FLOOD_SECONDS - now, key)
            return
        self._printed = {k: p for k, p in self._printed.items() if now - p.at < FLOOD_SECONDS}
        self._printed[key] = _Printed(now, format_error(error))
        text = "\n".join([f"{record.getMessage()}:", *render(error)])
        self._output.write(f"{text}\n")

    def _count_until(self, seconds: float, key: object) -> None:
        timer = threading.Timer(seconds, self._tell_rest, (key,))
        timer.daemon = True
        with suppress(RuntimeError):  # no thread can be started; the number is left out
            timer.start()

    def _tell_rest(self, key: object) -> None:
        with self.lock or threading.Lock():
            printed = self._printed.pop(key, None)
        if printed is not None:
            times = "once more" if printed.again == 1 else f"{printed.again} more times"
            self._output.write(f"({times} within {FLOOD_SECONDS:g} s: {printed.text})\n")


def _find_key(record: logging.LogRecord, error: BaseException) -> object:
    """Return what two errors of the same handler at the same line have in common."""
    frames: TracebackType | None = record.exc_info[2] if record.exc_info else None
    line: object = None
    while frames is not None:
        line = frames.tb_frame.f_code.co_filename, frames.tb_lineno
        frames = frames.tb_next
    return type(error), line


def _is_printed_elsewhere(record: logging.LogRecord) -> bool:
    """Whether a handler of the user's logging writes the record to the terminal.

    In a kernel such a handler writes on the thread of the kit, and thus often nowhere.
    """
    if find_kernel() is not None:
        return False
    terminal = (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__)
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            if getattr(handler, "stream", None) in terminal and handler.level <= record.levelno:
                return True
        logger = logger.parent if logger.propagate else None
    return False
