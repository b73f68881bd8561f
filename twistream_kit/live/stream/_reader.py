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
"""How many seconds of items a reader keeps; older items are dropped and counted."""

HELD_BYTES = 8_000_000
"""The limit of their size: sound of ten seconds has 80 kB, other messages have any size."""


class Reader(AsyncIterator[T], Generic[T]):
    """An iterator over the items that arrive on a stream from now on, until the stream ends.

    Iterate with ``async for`` on any event loop, or with ``for`` on any thread except the server's
    own.  The reader keeps the items of the last ten seconds, 8 MB at most, and drops older ones.

    Args:
        finish: Converts a queued item to the item returned; runs in the thread that reads.
        home: The event loop that feeds the reader, or None if the stream has already ended.

    Attributes:
        dropped: How many items were dropped because nobody read them in time.
    """

    def __init__(self, finish: Callable[[Any], T], home: asyncio.AbstractEventLoop | None) -> None:
        self.dropped = 0
        self._finish = finish
        self._home = home
        self._queue: deque[tuple[float, Any]] = deque()
        self._held = 0
        self._changed = threading.Condition()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._ended = home is None

    def __repr__(self) -> str:
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        ended = ", ended" if self._ended else ""
        return f"<Reader: {len(self._queue)} to be read{dropped}{ended}>"

    def _push(self, item: Any, now: float) -> None:
        """Queue one item that arrived at `now`; called by the stream."""
        with self._changed:
            self._queue.append((now, item))
            self._held += _measure(item)
            while now - self._queue[0][0] > HELD_SECONDS or (
                self._held > HELD_BYTES and len(self._queue) > 1
            ):
                self._take()
                self.dropped += 1
            self._wake()

    def _take(self) -> Any:
        _, item = self._queue.popleft()
        self._held -= _measure(item)
        return item

    def _end(self) -> None:
        """End the iteration once the queue is empty; called by the stream."""
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
                    return self._finish(self._take())
                if self._ended:
                    raise StopAsyncIteration
                waiter = loop.create_future()
                self._waiters.append((loop, waiter))
            await waiter

    def __iter__(self) -> Iterator[T]:
        if self._runs_at_home():
            raise WouldDeadlock(
                "`for` over a stream runs on the event loop that feeds the stream",
                consequence="Both would wait for ever",
                fix="Say `async for`, or make the handler an ordinary function",
            )
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._ended)
                if not self._queue:
                    return
                item = self._take()
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
                _release(waiter)  # saves the system calls that wake another thread
            else:
                with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits on it
                    loop.call_soon_threadsafe(_release, waiter)


def _measure(item: Any) -> int:
    """Return the size of an item of the kinds whose length the far end chooses."""
    text = item if isinstance(item, bytes) else getattr(item, "raw", getattr(item, "name", ""))
    return len(text)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
