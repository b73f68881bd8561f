"""An async context manager on a thread and a loop of its own, for code that has no loop.

`anyio.from_thread.start_blocking_portal` would do most of it, but joins its thread without a limit,
so that what never enters or leaves hangs the test; and it raises an exit there as an exit here,
which ends the whole test run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar

from twistream_kit.errors import TwistreamError
from twistream_kit.pending import format_error

T = TypeVar("T")

LIMIT_SECONDS = 10.0
"""How long entering and leaving may take."""


@contextmanager
def on_own_thread(
    thing: AbstractAsyncContextManager[T, bool | None], *, limit: float = LIMIT_SECONDS
) -> Iterator[T]:
    """Keep `thing` entered while the block lasts, on a daemon thread beside it.

    Args:
        thing: What is entered and left, both by the same task of its own loop.
        limit: How many seconds entering may take, and leaving.

    Raises:
        Exception: What entering or leaving it raised.
        TwistreamError: If either takes longer than `limit`, or an exit ended its loop.
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
    """One stay in a context manager, begun and ended from another thread."""

    def __init__(self, thing: AbstractAsyncContextManager[Any, bool | None]) -> None:
        self.entered: Future[Any] = Future()
        self.left: Future[None] = Future()
        self._thing = thing
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    def run(self) -> None:
        """Stay until `leave` is called; the work of the thread."""
        try:
            asyncio.run(self._stay())
        except BaseException as raised:  # noqa: BLE001 - it is raised in the thread that waits
            error = _as_error(raised, self._thing)
            if not self.entered.done():
                self.entered.set_exception(error)
                self.left.set_result(None)  # it was never in, so leaving it went well
            else:
                self.left.set_exception(error)
        else:
            self.left.set_result(None)

    def leave(self) -> None:
        """Ask for the end; from any thread, and more than once."""
        loop, task = self._loop, self._task
        if loop is None or task is None or self.left.done():
            return
        try:
            # What hangs while it is entered hears of nothing but a cancellation.
            end = self._over.set if self.entered.done() else task.cancel
            loop.call_soon_threadsafe(end)
        except RuntimeError:  # the loop has ended meanwhile, which was the wish
            pass

    async def _stay(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        async with self._thing as value:
            self.entered.set_result(value)
            await self._over.wait()


def _as_error(raised: BaseException, thing: object) -> Exception:
    """Return what may be raised on another thread, which must not exit for this one."""
    if isinstance(raised, Exception):
        return raised
    ended = TwistreamError(
        f"{format_error(raised)} ended the loop of {type(thing).__name__}",
        consequence="All that ran on it was stopped",
        fix="Raise an exception that is an Exception in what runs there, not sys.exit()",
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
            fix="Look at what else keeps this machine busy, then try again",
        ) from error
