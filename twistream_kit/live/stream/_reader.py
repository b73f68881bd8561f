"""Independent readers of one stream: each has its own queue, and a slow one delays no other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Generic, TypeVar

from twistream_kit.errors import WouldDeadlock

T = TypeVar("T")

HELD_SECONDS = 10.0
"""How much a reader that does not read keeps; what is older is dropped and counted."""


class Reader(AsyncIterator[T], Generic[T]):
    """What arrives on a stream from now on, in order, until the stream ends.

    Read it with ``async for`` on any loop, or with ``for`` on any thread but the server's own.
    It holds at most ten seconds; then the oldest is dropped.

    Args:
        finish: Turns what was queued into what is read, at the reader's expense.
        home: The loop that feeds it, or None if the stream has ended already.

    Attributes:
        dropped: How many items were dropped because nobody read them in time.
    """

    def __init__(self, finish: Callable[[Any], T], home: asyncio.AbstractEventLoop | None) -> None:
        self.dropped = 0
        self._finish = finish
        self._home = home
        self._queue: deque[tuple[float, Any]] = deque()
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._ended = home is None

    def __repr__(self) -> str:
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        ended = ", ended" if self._ended else ""
        return f"<Reader: {len(self._queue)} to be read{dropped}{ended}>"

    def _push(self, item: Any, now: float) -> None:
        """Queue one item that arrived at `now`; for the stream."""
        with self._changed:
            self._queue.append((now, item))
            while now - self._queue[0][0] > HELD_SECONDS:
                self._queue.popleft()
                self.dropped += 1
            self._wake()

    def _end(self) -> None:
        """Let it end once its queue is empty; for the stream."""
        with self._changed:
            self._ended = True
            self._wake()

    def __aiter__(self) -> Reader[T]:
        return self

    async def __anext__(self) -> T:
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if self._queue:
                    return self._finish(self._queue.popleft()[1])
                if self._ended:
                    raise StopAsyncIteration
                waiter = loop.create_future()
                self._waiters.append((loop, waiter))
            await waiter

    def __iter__(self) -> Iterator[T]:
        if self._runs_at_home():
            raise WouldDeadlock(
                "`for` over a stream was said on the event loop that feeds it",
                consequence="Both would wait for ever",
                fix="Say `async for`, or make the handler an ordinary function",
            )
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                item = self._queue.popleft()[1]
            yield self._finish(item)

    def _runs_at_home(self) -> bool:
        try:
            return self._home is not None and asyncio.get_running_loop() is self._home
        except RuntimeError:
            return False

    def _wake(self) -> None:
        self._changed.notify_all()
        waiters, self._waiters = self._waiters, []
        at_home = bool(waiters) and self._runs_at_home()
        for loop, waiter in waiters:
            if at_home and loop is self._home:
                _release(waiter)  # without the system calls that waking another thread takes
            else:
                with contextlib.suppress(RuntimeError):  # its loop is closed: nobody waits there
                    loop.call_soon_threadsafe(_release, waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
