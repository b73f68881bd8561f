"""Run an async context manager in a thread with an event loop of its own, for synchronous code.

`anyio.from_thread.start_blocking_portal` does most of this, but it joins its thread without a
timeout, so that a context manager that never enters or exits hangs the test.  It also re-raises a
SystemExit of its thread in the calling thread, which ends the whole test run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from twistream_kit.errors import TwistreamError
from twistream_kit.guard import format_error

T = TypeVar("T")

LIMIT_SECONDS = 10.0
"""The timeout for entering and for leaving."""


@contextmanager
def on_own_thread(
    thing: AbstractAsyncContextManager[T, bool | None], *, limit: float = LIMIT_SECONDS
) -> Iterator[T]:
    """Enter `thing` in a daemon thread, and leave it at the end of the block.

    Args:
        thing: The context manager; one task of the thread's event loop enters and leaves it.
        limit: The timeout in seconds for entering, and for leaving.

    Raises:
        Exception: The exception that entering or leaving raised.
        TwistreamError: If either takes longer than `limit`, or a SystemExit ended the loop.
    """
    visit = _Visit(thing)
    thread = threading.Thread(target=visit.run, name=type(thing).__name__, daemon=True)
    thread.start()
    try:
        yield _wait_in_time(visit.entered, limit, thing, "start")
    finally:
        visit.leave()
        _wait_in_time(visit.left, limit, thing, "stop")
        thread.join(limit)


class _Visit:
    """Enters and leaves a context manager on behalf of another thread."""

    def __init__(self, thing: AbstractAsyncContextManager[Any, bool | None]) -> None:
        self.entered: Future[Any] = Future()
        self.left: Future[None] = Future()
        self._thing = thing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    def run(self) -> None:
        """Stay in the context manager until `leave` is called; the target of the thread."""
        try:
            asyncio.run(self._stay())
        except BaseException as raised:  # noqa: BLE001 - it is raised in the thread that waits
            error = _as_error(raised, self._thing)
            if not self.entered.done():
                self.entered.set_exception(error)
                self.left.set_result(None)  # it was never entered, so leaving it succeeds
            else:
                self.left.set_exception(error)
        else:
            self.left.set_result(None)

    def leave(self) -> None:
        """Request the end; callable from any thread, and more than once."""
        loop, task = self._loop, self._task
        if loop is None or task is None or self.left.done():
            return
        try:
            # Only a cancellation can end a context manager that hangs while it is entered.
            end = self._over.set if self.entered.done() else task.cancel
            loop.call_soon_threadsafe(end)
        except RuntimeError:  # the loop has already ended
            pass

    async def _stay(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with self._thing as value:
            self.entered.set_result(value)
            await self._over.wait()


def _as_error(raised: BaseException, thing: object) -> Exception:
    """Return an exception to raise in the calling thread, which must not exit."""
    if isinstance(raised, Exception):
        return raised
    ended = TwistreamError(
        f"{format_error(raised)} ended the loop of {type(thing).__name__}",
        consequence="Everything that ran on it was stopped",
        fix="Raise an Exception in the code that runs there; do not call sys.exit()",
    )
    ended.__cause__ = raised
    return ended


def _wait_in_time(
    future: Future[T], limit: float, thing: AbstractAsyncContextManager[Any, Any], verb: str
) -> T:
    try:
        return future.result(limit)
    except TimeoutError as error:
        if future.done():
            raise
        raise TwistreamError(
            f"{type(thing).__name__} did not {verb} within {limit:g} s",
            fix="Check what else keeps this machine busy, then try again",
        ) from error
