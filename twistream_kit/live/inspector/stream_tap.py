"""The listener beside a stream: reads a copy of the bytes, after they have passed.

The loop that reads is the one that passes the bytes on, so it reads a little at a time and lets the
traffic go first.  Whatever it makes of them, or fails at, the traffic does not notice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from twistream_kit.capture.entry import Sender
from twistream_kit.live.inspector.message_reader import MessageReader
from twistream_kit.live.inspector.stream import InspectedStream

logger = logging.getLogger("twistream_kit.live")

TURN_SECONDS = 0.001
"""How long it reads before others get their turn."""

MOST_WAITING = 8 << 20
"""Bytes that may wait to be read here, before their sender is asked for patience."""


class StreamTap:
    """Reads both directions of one stream, in the order in which they passed.

    Args:
        stream: Is told what was read.
        on_start: Called when the start message has been read.
    """

    def __init__(self, stream: InspectedStream, on_start: Callable[[], None]) -> None:
        self._stream = stream
        self._on_start = on_start
        self._readers: dict[Sender, MessageReader] = {
            "twilio": MessageReader(masked=True),
            "server": MessageReader(masked=False),
        }
        self._waiting: deque[tuple[Sender, bytes | None, float]] = deque()
        self._n_waiting = 0
        self._work: Iterator[None] = iter(())
        self._is_scheduled = False
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._has_failed = False

    def passed(self, sender: Sender, piece: bytes | None) -> None:
        """Take a copy of what has just passed; None stands for the end of that direction."""
        self._waiting.append((sender, piece, time.monotonic()))
        self._n_waiting += len(piece or b"")
        if self._n_waiting > MOST_WAITING:
            self._has_room.clear()
        self._is_idle.clear()
        self._schedule()

    async def has_room(self) -> None:
        """Wait until what has passed was read, or most of it."""
        await self._has_room.wait()

    async def finish(self) -> None:
        """Wait until all that has passed was read."""
        await self._is_idle.wait()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_scheduled = False
        end = time.perf_counter() + TURN_SECONDS
        while time.perf_counter() < end:
            if not self._step():
                self._is_idle.set()
                return
        self._schedule()

    def _step(self) -> bool:
        """Read one frame; return False if there is nothing left to read."""
        try:
            for _ in self._work:
                return True
        except Exception:
            # A fault of this program's; the call must not suffer for it.
            self._has_failed = True
            logger.exception("%s can no longer be read; it goes on unread", self._stream)
        if not self._waiting:
            return False
        sender, piece, at = self._waiting.popleft()
        self._n_waiting -= len(piece or b"")
        if self._n_waiting <= MOST_WAITING // 2:
            self._has_room.set()
        self._work = iter(()) if self._has_failed else self._read(sender, piece, at)
        return True

    def _read(self, sender: Sender, piece: bytes | None, at: float) -> Iterator[None]:
        if piece is None:
            self._stream.gone(sender)
            return
        reader = self._readers[sender]
        reader.feed(piece)
        for passed in reader.read():
            if passed is not None:
                had_started = self._stream.start is not None
                self._stream.take(sender, passed, at)
                if not had_started and self._stream.start is not None:
                    self._on_start()
            yield
