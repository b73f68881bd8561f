"""Calls of libsndfile, which calls Python back while it reads and writes a file.

Python handles a signal in whatever runs next on the main thread.  An exception that it raises in
such a callback, KeyboardInterrupt above all, is printed by cffi and lost, and libsndfile goes on
with a file that seems to end there.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_STEP_SECONDS = 0.25
"""How long each wait is at most: on Windows, Ctrl-C does not interrupt a longer one."""


def call_apart(work: Callable[[], T], stop: Callable[[], object] | None = None) -> T:
    """Return ``work()``; what a signal raises meanwhile comes out of here.

    On the main thread, the only one that handles signals, the work is done on a thread of its own.
    An interrupt is raised when that has ended, so nothing writes to a file that is being removed.

    Args:
        work: Calls libsndfile.
        stop: Tells `work` to end soon; called from another thread than that of `work`.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    results: list[T] = []
    errors: list[BaseException] = []
    ended, abandoned = threading.Event(), threading.Event()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            if not abandoned.is_set():  # interrupted before it had begun
                results.append(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)
        finally:
            ended.set()

    worker = threading.Thread(target=run, name="twistream-sound-file", daemon=True)
    try:
        if not _start(worker):
            return work()
        while not ended.wait(_STEP_SECONDS):
            pass
    except BaseException:
        abandoned.set()
        if stop is not None:
            stop()
        _wait_for_end(worker)
        raise
    try:
        if errors:
            raise errors[0]
        return results[0]
    finally:
        errors.clear()  # an error that refers to this frame, and is referred to by it, would stay


def _start(thread: threading.Thread) -> bool:
    """Start a thread; return False if there is none to be had, as at the interpreter's exit."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def _wait_for_end(thread: threading.Thread) -> None:
    while thread.is_alive():
        with suppress(BaseException):  # a second Ctrl-C says no more than the first
            thread.join(_STEP_SECONDS)
