"""The relay of a stream's bytes in both directions, and the tap that reads a copy of them.

`relay` writes bytes as soon as it reads them, and waits for a slow receiver before it reads more.
So back-pressure reaches the sender as it would without an inspector, and no buffer grows here.

`StreamTap` parses the copy after the bytes were relayed.  It runs on the same event loop, so it
works for a millisecond at a time and yields to the traffic.  An error in the tap never changes the
traffic.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from twistream_kit.capture.entry import Sender
from twistream_kit.live.inspector._frames import FrameViolation, MessageReader
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.pending import end_tasks

logger = logging.getLogger("twistream_kit.live")

PIECE_BYTES = 65_536
"""How many bytes are read at a time."""

CLOSE_SECONDS = 2.0
"""How long one side may take to close after the other has closed."""

HALF_CLOSED_SECONDS = 10.0
"""How long a half-closed connection is kept: the other side's last messages take less."""

TURN_SECONDS = 0.001
"""How long a tap reads before it yields to the other work of the loop."""

MOST_WAITING = 8 << 20
"""How many bytes may wait for a tap before the relay stops reading from their sender."""

_OTHER: dict[Sender, Sender] = {"twilio": "server", "server": "twilio"}

OnPassed = Callable[[bytes | None], None]
"""A callback for each piece that was relayed, and for None at the end of the direction."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a relay: the client's connection, or the server's.

    Attributes:
        reader: Gives what this side sends.
        writer: Takes what is for this side.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def address(self) -> str:
        """The IP address of the peer; ``unknown`` if it has disconnected."""
        peer = self.writer.get_extra_info("peername")
        return str(peer[0]) if peer else "unknown"

    async def send(self, piece: bytes) -> None:
        """Write `piece`, and wait while the write buffer is full."""
        self.writer.write(piece)
        await self.writer.drain()

    def end_sending(self) -> None:
        """Send EOF if the connection can be half-closed; else close it."""
        with contextlib.suppress(OSError):
            if self.writer.is_closing():
                return
            if self.writer.can_write_eof():
                self.writer.write_eof()
            else:
                self.writer.close()  # TLS cannot be half-closed

    async def close(self) -> None:
        """Close the connection within `CLOSE_SECONDS`; abort it if that fails or is cancelled."""
        self.writer.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.writer.wait_closed()
        except OSError as error:
            if isinstance(error, TimeoutError):
                self.writer.transport.abort()
        except BaseException:
            self.writer.transport.abort()
            raise
        # Not after it has closed: asyncio may have taken the transport apart by then.

    async def read_out(self) -> None:
        """Read and discard the rest: closing over unread bytes would reset the connection."""
        with contextlib.suppress(OSError):
            while await self.reader.read(PIECE_BYTES):
                pass


async def relay(
    one: Peer,
    other: Peer,
    on_passed_one: OnPassed,
    on_passed_other: OnPassed,
    has_room: Callable[[], Awaitable[None]],
) -> None:
    """Relay bytes in both directions until both have ended, or either connection is lost.

    The connections stay open.  Cancelling is safe.
    """
    there = asyncio.create_task(
        _relay_one_way(one, other, on_passed_one, on_passed_other, has_room)
    )
    back = asyncio.create_task(_relay_one_way(other, one, on_passed_other, on_passed_one, has_room))
    both = {there, back}
    try:
        done, left = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if left and not any(task.exception() for task in done):
            # One side has ended normally; the other may still send something.
            await asyncio.wait(left, timeout=HALF_CLOSED_SECONDS)
    finally:
        await end_tasks({there, back})
    if any(has_failed(task) for task in both):
        await end_gracefully(one, other)


async def _relay_one_way(
    source: Peer,
    to: Peer,
    on_passed: OnPassed,
    on_passed_back: OnPassed,
    has_room: Callable[[], Awaitable[None]],
) -> None:
    """Relay all bytes of `source`, then its EOF.

    Raises:
        OSError: If either connection is lost.
    """
    while piece := await _read(source, on_passed):
        try:
            to.writer.write(piece)
            on_passed(piece)
            await to.writer.drain()
        except OSError:
            on_passed_back(None)
            raise
        await has_room()
    to.end_sending()


async def _read(source: Peer, on_passed: OnPassed) -> bytes:
    try:
        piece = await source.reader.read(PIECE_BYTES)
    except OSError:
        on_passed(None)
        raise
    if not piece:
        on_passed(None)
    return piece


def has_failed(task: asyncio.Task[None]) -> bool:
    """Whether a finished task raised; this also marks its exception as retrieved."""
    return not task.cancelled() and task.exception() is not None


async def end_gracefully(*ends: Peer) -> None:
    """Send EOF to each peer, and read and discard what it still sends.

    This is how a peer learns that the other connection is lost.  It takes `CLOSE_SECONDS` at most
    and leaves closing to the calling code.
    """
    for end in ends:
        end.end_sending()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await asyncio.gather(*(end.read_out() for end in ends))


class StreamTap:
    """Parses both directions of one stream, in the order in which the bytes were relayed.

    Args:
        stream: Gets each message that was parsed.
        on_start: Called when the start message has been parsed.
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

    def note_passed(self, sender: Sender, piece: bytes | None) -> None:
        """Queue a copy of a piece that was relayed; None is the end of that direction."""
        self._waiting.append((sender, piece, time.monotonic()))
        self._n_waiting += len(piece or b"")
        if self._n_waiting > MOST_WAITING:
            self._has_room.clear()
        self._is_idle.clear()
        self._schedule()

    async def has_room(self) -> None:
        """Wait until the tap has read at least half of what may wait for it."""
        await self._has_room.wait()

    async def finish(self) -> None:
        """Wait until everything that was relayed has been read."""
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
        """Read one WebSocket frame; return False if there is nothing left to read."""
        try:
            for _ in self._work:
                return True
        except Exception:
            # A bug here must not end the call.
            self._has_failed = True
            logger.exception("%s can no longer be read; it is relayed unread", self._stream)
        if not self._waiting:
            return False
        sender, piece, at = self._waiting.popleft()
        self._n_waiting -= len(piece or b"")
        if self._n_waiting <= MOST_WAITING // 2:
            self._has_room.set()
        self._work = iter(()) if self._has_failed else self._read(sender, piece, at)
        return True

    def _read(self, sender: Sender, piece: bytes | None, at: float) -> Iterator[None]:
        reader = self._readers[sender]
        if piece is None:
            for violation in reader.finish():
                if not self._stream.has_ended_at(_OTHER[sender]):
                    self._stream.take(sender, violation, at)
            self._stream.gone(sender)
            return
        reader.feed(piece)
        for passed in reader.read():
            if isinstance(passed, FrameViolation) and self._stream.has_ended_at(_OTHER[sender]):
                # The other side reads no more.  Some frameworks answer its Close frame with an HTTP
                # response, which would be parsed as frames, one of them with a close code.
                reader.finish()
                return
            if passed is not None:
                had_started = self._stream.start is not None
                self._stream.take(sender, passed, at)
                if not had_started and self._stream.start is not None:
                    self._on_start()
            yield
