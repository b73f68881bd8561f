"""The `StreamSocket` of a WebSocket that an ASGI server has accepted."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    MutableMapping,
)
from typing import Any

from twistream_kit.live.server.stream_host import MAX_MESSAGE_BYTES
from twistream_kit.live.stream.session import SERVICE_RESTART, SocketEnd
from twistream_kit.protocol.ending import ABNORMAL_CLOSURE

logger = logging.getLogger("twistream_kit.live")

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

HIGH_WATER_BYTES = 16_384
"""With so much waiting here, no more is written: a clear reaches only what is in the outbox."""

LOW_WATER_BYTES = 4_096
"""From here on there is room again after the high-water mark was reached."""

CLOSE_SECONDS = 2.0
"""How long a close may take: sending what was written, the Close frame, and its answer."""

NO_STATUS = 1005
_CODES_OF_SERVERS = (1002, 1003, 1007, 1009, SERVICE_RESTART)
"""The codes with which the ASGI server itself closes: a rule of WebSocket was broken, or it stops.
Twilio closes with none of them (PROTOCOL.md §2.3)."""

TOO_BIG = 1009


class ASGISocket:
    """The `StreamSocket` over the two callables of an ASGI server.

    `send` of ASGI is a coroutine, so what is written waits in a short queue, from which one task
    sends it.  The ASGI server awaits room in its transport, so its back-pressure fills that queue.

    Args:
        receive: Receives an event.
        send: Sends an event; the WebSocket is accepted.

    Attributes:
        is_full: Whether there is no room, not even for one message.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._loop = asyncio.get_running_loop()
        self._take: Callable[[str], None] | None = None
        self._end: SocketEnd | None = None
        self._texts: deque[bytes] = deque()
        self._is_closing = False
        self._is_lost = False
        self.is_full = False
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._work: asyncio.Future[None] | None = None
        self._writer = self._loop.create_task(self._send_written())

    async def receive(self) -> str | bytes | None:
        """Return the next message; None once the connection has ended (see `end`)."""
        while self._end is None:
            event = await self._receive()
            text: str | None = event.get("text")
            if text is None or len(text) > MAX_MESSAGE_BYTES:
                return await self._receive_other(event)
            if self._take is None:
                return text
            self._take(text)
        return None

    async def _receive_other(self, event: Event) -> bytes | None:
        """Return the message of an event that is no text of the usual length, or None."""
        if event["type"] == "websocket.disconnect":
            self._lose(_describe_end(event))
            return None
        message: str | bytes = event.get("text") or bytes(event.get("bytes") or b"")
        if isinstance(message, str) or len(message) > MAX_MESSAGE_BYTES:
            self._end = SocketEnd(TOO_BIG, "the message is too long", is_ours=True)
            await self.close(TOO_BIG)
            return None
        return message

    def deliver_to(self, take: Callable[[str], None]) -> None:
        """Call `take` with each text message that arrives while `receive` is awaited."""
        self._take = take

    @property
    def end(self) -> SocketEnd:
        """How the connection ended; defined once `receive` has returned None."""
        return self._end or SocketEnd(ABNORMAL_CLOSURE)

    def write(self, texts: Iterable[bytes]) -> None:
        """Send text messages in order, without waiting; on a closed connection they are lost."""
        if self._is_lost or self._is_closing:
            return
        self._texts.extend(texts)
        # As `_wake_writer` and `_count_held`: fifty times a second and call.
        if (work := self._work) is not None and not work.done():
            work.set_result(None)
        if sum(map(len, self._texts)) >= HIGH_WATER_BYTES:
            self.is_full = True
            self._has_room.clear()

    @property
    def room(self) -> int:
        """How many bytes may be written until the high-water mark is reached; 0 if it was."""
        return 0 if self.is_full else HIGH_WATER_BYTES - self._count_held()

    async def wait_for_room(self) -> None:
        """Wait until there is room, or the connection has ended; return at once if there is."""
        await self._has_room.wait()

    async def close(self, code: int) -> None:
        """Close the connection, if it is open, and wait, within a limit, until it is closed."""
        if self._is_closing:
            return
        self._is_closing = True
        self._wake_writer()
        self._take = None  # it refers to the session, which refers to this socket
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.wait([self._writer])
                if not self._is_lost:
                    await self._close(code)
        except TimeoutError:
            logger.info("a WebSocket was not closed by its peer within %g s", CLOSE_SECONDS)
        finally:
            self._writer.cancel()
            self._lose(SocketEnd(ABNORMAL_CLOSURE))

    async def _close(self, code: int) -> None:
        """Send the Close frame, and read until it is answered.

        A server that closes while something has arrived that nobody read resets the connection,
        and the peer may then not see the Close frame.
        """
        try:
            await self._send({"type": "websocket.close", "code": code})
            while (await self._receive())["type"] != "websocket.disconnect":
                pass
        except Exception as error:  # noqa: BLE001 - servers raise what they like once it is closed
            logger.debug("a WebSocket was closed by its peer meanwhile: %r", error)

    def _wake_writer(self) -> None:
        # A future and not an `asyncio.Event`, which makes one for each wait, too.
        if self._work is not None and not self._work.done():
            self._work.set_result(None)

    async def _send_written(self) -> None:
        texts, send = self._texts, self._send
        try:
            while True:
                while texts:
                    await send({"type": "websocket.send", "text": texts.popleft().decode()})
                    if self.is_full and self._count_held() <= LOW_WATER_BYTES:
                        self._make_room()
                if self._is_closing or self._is_lost:
                    return
                self._work = asyncio.Future(loop=self._loop)
                await self._work
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - each server has its own
            logger.info("a WebSocket was lost while something was sent: %r", error)
            self._drop()  # `receive` says how it ended

    def _make_room(self) -> None:
        self.is_full = False
        self._has_room.set()

    def _count_held(self) -> int:
        return sum(map(len, self._texts))

    def _lose(self, end: SocketEnd) -> None:
        if self._end is None:
            self._end = end
        self._drop()

    def _drop(self) -> None:
        """Send nothing more."""
        self._is_lost = True
        self._texts.clear()
        self._make_room()
        self._wake_writer()


def _describe_end(event: Event) -> SocketEnd:
    code = NO_STATUS if event.get("code") is None else int(event["code"])
    return SocketEnd(code, event.get("reason") or "", is_ours=code in _CODES_OF_SERVERS)
