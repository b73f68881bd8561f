"""Independent readers of one stream: each has its own queue, and a slow one delays no other."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
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
        self._ended = home is None
        self._lock = threading.Lock()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[Any]]] = []
        # Of a task on the loop that feeds the reader, if one waits: it gets the next item at once.
        self._at_home: list[asyncio.Future[tuple[float, Any] | None]] = []
        self._home_thread = 0
        # Made when the first thread waits: most streams are read on their own loop, once for each
        # frame, and a condition costs more than all the rest.
        self._changed: threading.Condition | None = None
        self._waiting_threads = 0

    def __repr__(self) -> str:
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        ended = ", ended" if self._ended else ""
        return f"<Reader: {len(self._queue)} to be read{dropped}{ended}>"

    def _push(self, item: Any, now: float) -> None:
        """Queue one item that arrived at `now`; called by the stream."""
        with self._lock:
            if self._at_home:
                waiter = self._at_home.pop()
                is_at_home = threading.get_ident() == self._home_thread
                if is_at_home and not waiter.done():  # it is, if the wait was given up
                    waiter.set_result((now, item))
                    return
                self._waiters.append((waiter.get_loop(), waiter))
            queue = self._queue
            queue.append((now, item))
            self._held += len(item) if type(item) is bytes else _measure(item)
            if len(queue) > 1:
                self._drop_old(now)
            if self._waiters or self._waiting_threads:
                self._wake()

    def _drop_old(self, now: float) -> None:
        while now - self._queue[0][0] > HELD_SECONDS or (
            self._held > HELD_BYTES and len(self._queue) > 1
        ):
            self._take()
            self.dropped += 1

    def _take(self) -> Any:
        _, item = self._queue.popleft()
        self._held -= len(item) if type(item) is bytes else _measure(item)
        return item

    def _end(self) -> None:
        """End the iteration once the queue is empty; called by the stream."""
        with self._lock:
            self._ended = True
            while self._at_home:
                waiter = self._at_home.pop()
                self._waiters.append((waiter.get_loop(), waiter))
            self._wake()

    def __aiter__(self) -> Reader[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            with self._lock:
                if self._queue:
                    item = self._take()
                    break
                if self._ended:
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                # As `create_future` of both loops, without its call: for each frame of a call.
                waiter: asyncio.Future[tuple[float, Any] | None] = asyncio.Future(loop=loop)
                if loop is self._home and not self._at_home:
                    self._at_home.append(waiter)
                    self._home_thread = threading.get_ident()
                else:
                    self._waiters.append((loop, waiter))
            try:
                given = await waiter
            except asyncio.CancelledError:
                self._give_up(loop, waiter)
                raise
            if given is not None:
                item = given[1]
                break
        return self._finish(item)

    def _give_up(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[Any]) -> None:
        """Forget a waiter; keep the item that it was given and that nobody gets now."""
        with self._lock:
            # Otherwise one that waits with a timeout would leave a waiter each time.
            with contextlib.suppress(ValueError):
                self._waiters.remove((loop, waiter))
            with contextlib.suppress(ValueError):
                self._at_home.remove(waiter)
            given = waiter.result() if waiter.done() and not waiter.cancelled() else None
            if given is not None:
                self._queue.appendleft(given)
                self._held += _measure(given[1])
                self._wake()

    def __iter__(self) -> Iterator[T]:
        if self._runs_at_home():
            raise WouldDeadlock(
                "`for` over a stream runs on the event loop that feeds the stream",
                consequence="Both would wait for ever",
                fix="Say `async for`, or make the handler an ordinary function",
            )
        while True:
            with self._lock:
                while not self._queue and not self._ended:
                    self._wait_on_thread()
                if not self._queue:
                    return
                item = self._take()
            yield self._finish(item)

    def _wait_on_thread(self) -> None:
        if self._changed is None:
            self._changed = threading.Condition(self._lock)
        self._waiting_threads += 1
        try:
            self._changed.wait()
        finally:
            self._waiting_threads -= 1

    def _runs_at_home(self) -> bool:
        try:
            return self._home is not None and asyncio.get_running_loop() is self._home
        except RuntimeError:
            return False

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.notify_all()
        waiters = self._waiters[:]
        self._waiters.clear()  # the same list: the stream holds it
        for loop, waiter in waiters:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits on it
                loop.call_soon_threadsafe(_release, waiter)


def _measure(item: Any) -> int:
    """Return the size of an item of the kinds whose length the far end chooses."""
    text = item if isinstance(item, bytes) else getattr(item, "raw", getattr(item, "name", ""))
    return len(text)


def _release(waiter: asyncio.Future[Any]) -> None:
    if not waiter.done():
        waiter.set_result(None)


HeldReader = tuple[weakref.ref[Reader[Any]], list[Any], list[Any]]
"""How a stream holds a reader: weakly, so that one to which nobody refers any more takes nothing;
but its waiters are held, as the loop itself holds a task that waits only weakly."""


def push(item: Any, now: float, readers: tuple[HeldReader, ...]) -> None:
    """Queue an item that arrived at `now` for each reader that is still in use."""
    for find_reader, *_ in readers:
        if (reader := find_reader()) is not None:
            reader._push(item, now)  # noqa: SLF001 - the same module


def attach(reader: Reader[Any], readers: tuple[HeldReader, ...]) -> tuple[HeldReader, ...]:
    """Return the readers that are still in use, and one more."""
    held = (weakref.ref(reader), reader._waiters, reader._at_home)  # noqa: SLF001 - the same module
    return (*(each for each in readers if each[0]() is not None), held)
