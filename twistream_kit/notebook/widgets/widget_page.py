"""One page of a browser that is connected directly: what is sent to it, and no more than it takes.

A page that does not keep up, because its tab sleeps or its machine is busy, must not be sent more
and more: the sockets on the way hold minutes of telephone sound, all of which would be heard late.
So it says from time to time how far it has come; beyond a second that it has not confirmed, frames
wait here, and of those the oldest are dropped.  Frames are numbered, so that the page can count.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import deque

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

UNCONFIRMED_FRAMES = 50
"""How many frames may be on their way: a second."""

WAITING_FRAMES = 10
"""How many may wait here beyond that: 200 ms."""

NOT_WANTED = 4000
"""The code with which a page is told not to connect again."""

NUMBER = struct.Struct("<I")
"""What goes before the sound, in both directions: the number of the message."""


class Page:
    """A page and its backlog.  It belongs to the loop of the socket.

    Attributes:
        name: Drawn by the page; the same when it connects again.
        dropped: How many frames it was not sent because it did not keep up.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.name = ""
        self.dropped = 0
        self._connection = connection
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._numbered = self._sent = self._confirmed = 0
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Page {self.name}: {self._numbered} frames, {self.dropped} dropped>"

    def send_sound(self, frame: bytes) -> None:
        """Send a frame as soon as the page is ready for it."""
        self._numbered += 1
        if len(self._waiting) >= WAITING_FRAMES:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((self._numbered, frame))
        self._changed.set()

    def takes(self, words: str) -> bool:
        """Take what a page says of itself; False for what is not about that."""
        verb, _, rest = words.partition(" ")
        if verb == "here":
            self.name = rest
        elif verb == "got" and rest.isdecimal():
            self._confirmed = min(int(rest[:10]), self._sent)
            self._changed.set()
        return verb == "got"

    def go_away(self) -> None:
        """Close the connection, soon."""
        if self._closing is None:
            closing = self._connection.close(NOT_WANTED)
            self._closing = asyncio.get_running_loop().create_task(closing)

    async def write(self) -> None:
        """Send what waits, for as long as the page is there."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._changed.wait()
                self._changed.clear()
                while self._waiting and self._sent - self._confirmed < UNCONFIRMED_FRAMES:
                    self._sent, frame = self._waiting.popleft()
                    await self._connection.send(NUMBER.pack(self._sent & 0xFFFFFFFF) + frame)
