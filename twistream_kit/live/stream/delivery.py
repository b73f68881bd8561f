"""Deliver short text messages as they arrive, and leave every other frame to `websockets`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection
from websockets.frames import (  # type: ignore[attr-defined]
    DATA_OPCODES,
    Frame,
    apply_mask,  # in C, where that is built
)
from websockets.protocol import Event, State

CLOSE_SECONDS = 2.0
"""How long a peer may leave the connection open after the Close frames, if no limit was set."""

MOST_DELIVERED_BYTES = 4096
"""The longest message that is not left to `websockets`; Twilio's media have some 400 bytes."""


class DeliveringConnection(ServerConnection):
    """A connection that can give each text message to a function as it arrives.

    `websockets` parses a frame in a dozen calls, queues the message, and wakes the task that waits
    for it.  That is most of what a media message costs a server.  So a short text message in one
    frame, as Twilio sends them, is unmasked here and delivered.  Every other frame is passed to
    `websockets` as it is: control frames, fragments, long ones, and those that break a rule.  What
    is delivered and what is queued keep their order.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._take: Callable[[str], None] | None = None
        self._is_queueing = True
        self._beginning = b""  # of a frame that is not complete
        self._n_passing = 0  # how many bytes of a frame are still to be passed on
        self._abort: asyncio.TimerHandle | None = None

    def deliver_to(self, take: Callable[[str], None] | None) -> None:
        """Call `take` with each text message that arrives, once the queue is empty."""
        self._take = take

    async def take_queued(self) -> str | bytes:
        """Return the next message of the queue.

        Raises:
            ConnectionClosed: If the connection has ended.
        """
        message: str | bytes = await self.recv()
        self._is_queueing = len(self.recv_messages.frames) > 0
        return message

    def receive_frames(self, data: bytes) -> None:
        """Deliver or pass on the frames in `data`, which arrived after the handshake."""
        size = len(data) - 8
        if (  # the usual: one media message, whole; as `_receive_any` would take it
            126 <= size <= MOST_DELIVERED_BYTES
            and data[0] == _WHOLE_TEXT
            and data[1] == _MASKED_16_BIT
            and int.from_bytes(data[2:4]) == size
            and not self._beginning
            and not self._n_passing
            and not self._is_queueing
            and (take := self._take) is not None
            and self.protocol.state is State.OPEN
        ):
            try:
                text = str(apply_mask(data[8:], data[4:8]), "utf-8")
            except UnicodeDecodeError:
                pass
            else:
                take(text)
                return
        self._receive_any(data)

    def _receive_any(self, data: bytes) -> None:
        if self._beginning:
            data, self._beginning = self._beginning + data, b""
        place = 0
        while place < len(data):
            if self._n_passing:
                piece = data[place : place + self._n_passing]
                self._n_passing -= len(piece)
                place += len(piece)
                super().data_received(piece)
                self._limit_close()
                continue
            frame = _measure_frame(data, place)
            if frame is not None and not self._can_deliver(data[place], frame):
                self._n_passing = frame.end - place
                continue
            if frame is None or frame.end > len(data):
                self._beginning = data[place:]
                return
            text = _unmask(data, frame)
            if text is None or self._take is None:
                self._n_passing = frame.end - place  # `recv` ends the connection for it
                continue
            place = frame.end
            self._take(text)

    def _limit_close(self) -> None:
        """Give a peer whose Close frame was answered some time to close the connection, too.

        `websockets` waits for that only when something is sent by its own means.
        """
        if self._abort is None and self.protocol.close_expected():
            seconds = self.close_timeout or CLOSE_SECONDS
            self._abort = self.loop.call_later(seconds, self._abort_transport)

    def _abort_transport(self) -> None:
        self.transport.abort()

    def _can_deliver(self, first: int, frame: _FrameSize) -> bool:
        is_whole = first == _WHOLE_TEXT and frame.is_masked and frame.size <= MOST_DELIVERED_BYTES
        is_next = self._take is not None and not self._is_queueing
        return is_whole and is_next and self.protocol.state is State.OPEN

    def process_event(self, event: Event) -> None:
        """Process a frame or the handshake; `websockets` calls this for each."""
        if isinstance(event, Frame) and event.opcode in DATA_OPCODES:
            self._is_queueing = True
        super().process_event(event)


class _FrameSize(NamedTuple):
    """Where the payload of a frame begins and ends (RFC 6455, 5.2)."""

    begin: int
    end: int
    is_masked: bool

    @property
    def size(self) -> int:
        return self.end - self.begin


_WHOLE_TEXT = 0x81
"""The first byte of a frame with a whole text message."""


_MASKED_16_BIT = 0xFE
"""The second byte of a masked frame whose length, 126 to 65,535, follows in two bytes."""


def _measure_frame(data: bytes, place: int) -> _FrameSize | None:
    """Measure the frame that begins at `place`; return None if its head is not complete."""
    if len(data) < place + 2:
        return None
    length, begin = data[place + 1], place + 2
    is_masked, size = length >= 0x80, length & 0x7F
    if size >= 126:
        begin += 2 if size == 126 else 8
        if len(data) < begin:
            return None
        size = int.from_bytes(data[place + 2 : begin])
    if is_masked:
        begin += 4
    return _FrameSize(begin, begin + size, is_masked)


def _unmask(data: bytes, frame: _FrameSize) -> str | None:
    """Return the text of a whole frame; None if it is not UTF-8."""
    mask = data[frame.begin - 4 : frame.begin]
    try:
        return str(apply_mask(data[frame.begin : frame.end], mask), "utf-8")
    except UnicodeDecodeError:
        return None
