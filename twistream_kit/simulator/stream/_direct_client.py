"""Text messages that are taken as they arrive and written at once, and all else by `websockets`.

`websockets` parses a frame in a dozen calls, queues the message and wakes the task that waits for
it; a frame that is sent takes as many.  That is half of what a simulated call costs, so calls that
are made by the hundred do without.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from websockets.asyncio.client import ClientConnection
from websockets.frames import apply_mask  # type: ignore[attr-defined]  # in C, where that is built
from websockets.protocol import State


class DirectClient(ClientConnection):
    """A client's connection that can give each text message to a function as it arrives."""

    _take: Callable[[str], None] | None = None
    _answer = b""  # what has come of the answer to the handshake
    _is_read = False  # whether anything came after it
    _beginning = b""  # of a frame that is not complete
    _masks = b""

    def deliver_to(self, take: Callable[[str], None]) -> None:
        """Call `take` with each text message as it arrives, in place of the queue.

        That is so until a frame comes that is left to `websockets`: a fragment, one of 64 KiB or
        more, or a wrong one; and for a server that waits for the first message.
        """
        self._take = None if self._is_read else take

    def data_received(self, data: bytes) -> None:
        """Take what arrives; `websockets` takes a dozen calls and a task to do it for a message."""
        if self._take is None:
            if self.response is not None:
                self._is_read = True
            else:
                self._answer += data
                self._is_read = bool(self._answer.partition(b"\r\n\r\n")[2])
            super().data_received(data)
            return
        if self._beginning:
            data, self._beginning = self._beginning + data, b""
        place = 0
        while place < len(data):
            begin, end = _measure_frame(data, place)
            take = self._take
            if take is None or begin < 0 or self.protocol.state is not State.OPEN:
                self._take = None  # from here on all is left to `websockets`
                super().data_received(data[place:])
                return
            if not begin or end > len(data):
                self._beginning = data[place:]
                return
            # What is queued was sent before this; its reader has its turn soon.
            if data[place] == _WHOLE_TEXT and not len(self.recv_messages.frames):
                try:
                    text = str(data[begin:end], "utf-8")
                except UnicodeDecodeError:
                    super().data_received(data[place:end])  # it ends the connection for it
                else:
                    take(text)
            else:
                super().data_received(data[place:end])
            place = end

    def write_texts(self, texts: Iterable[bytes]) -> None:
        """Send text messages of less than 64 KiB, each in a frame of its own (RFC 6455 §5.2)."""
        frames = []
        for text in texts:
            if not self._masks:
                self._masks = os.urandom(1024)
            mask, self._masks = self._masks[:4], self._masks[4:]
            size = len(text)
            head = b"\x81\xfe%c%c" % divmod(size, 256) if size > 125 else b"\x81%c" % (128 + size)
            frames.append(head + mask + apply_mask(text, mask))
        self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss; no message comes any more, so the listener is not kept."""
        super().connection_lost(exc)
        self._take = None


_WHOLE_TEXT = 0x81
"""The first byte of a frame with a whole text message (RFC 6455 §5.2)."""

_CONTROL = (0x88, 0x89, 0x8A)
"""Those of Close, Ping and Pong, which may stand between other frames."""


def _measure_frame(data: bytes, place: int) -> tuple[int, int]:
    """Return where the payload of the frame at `place` begins and ends.

    The begin is 0 if its head is not complete, and -1 for a frame that `websockets` has to look at:
    a fragment, a masked one, one of 64 KiB or more, or a wrong one.
    """
    if len(data) < place + 4 and (len(data) < place + 2 or data[place + 1] == 126):
        is_usual = data[place] == _WHOLE_TEXT or data[place] in _CONTROL
        return (0, 0) if is_usual else (-1, 0)
    first, length = data[place], data[place + 1]
    if first == _WHOLE_TEXT and length == 126:
        begin = place + 4
        return begin, begin + (data[place + 2] << 8 | data[place + 3])
    if length < 126 and (first == _WHOLE_TEXT or first in _CONTROL):
        return place + 2, place + 2 + length
    return -1, 0
