"""A peer that does not read: how much of a long clip the server keeps in the transport.

The buffers of both sockets are made small, and the stream may send ten minutes ahead, so only the
high-water mark of the transport holds the server back.  What the transport holds is read after each
write to it.  Then the peer reads again, and every byte has to arrive; in a second trial a clear
is given before: it has to come right after the sound that was in the transport by then.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from callers import AUTH_TOKEN, LIMIT_SECONDS, Caller, Sound, WrongSound, make_speech
from measuring import Figure
from websockets.asyncio.server import ServerConnection

from twistream_kit.audio.clip import Clip
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES

SOCKET_BYTES = 32_768
STILL_SECONDS = 0.3
"""How long nothing must have been written until the server counts as held back."""


class Watch:
    """What is written to a transport, and what it holds.

    Attributes:
        most_held: The most bytes that it held after a write.
        frames: How many media messages were written.
    """

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.most_held = self.frames = 0
        self._write = transport.write
        transport.write = self._note_write

    def _note_write(self, data: bytes) -> None:
        self._write(data)
        self.frames += data.count(b'"event":"media"')
        self.most_held = max(self.most_held, self.transport.get_write_buffer_size())


def measure(*, tiny: bool = False) -> list[Figure]:
    """Stop reading, and read again, with and without a clear."""
    seconds, rounds = (60.0, 1) if tiny else (240.0, 3)
    return asyncio.run(_measure(Clip(make_speech(seconds)), rounds))


async def _measure(clip: Clip, rounds: int) -> list[Figure]:
    held, kept, limit, message = [], [], 0, 0
    for _ in range(rounds):
        for clears in (False, True):
            async with _hold_stream(clip) as (caller, stream, watch):
                await _wait_held_back(watch, clip)
                sent = watch.frames * FRAME_BYTES
                if clears:
                    await _clear(caller, stream, sent)
                else:
                    await _read_again(caller, clip)
                held.append(watch.most_held)
                kept.append((len(clip.payload) - sent) / len(clip.payload))
                limit = watch.transport.get_write_buffer_limits()[1]
                message = _measure_message(stream.stream_sid)
    what = "a peer that does not read"
    figure = f"{max(held)} bytes, high-water mark {limit}; {min(kept):.0%} of the clip in our queue"
    return [
        Figure(
            f"{what}: most bytes in the transport",
            figure,
            f"≤ {limit + message} bytes",
            max(held) <= limit + message,
        ),
        Figure(f"{what}: reads again", f"every byte arrived in {rounds} of {rounds}"),
        Figure(
            f"{what}: a clear meanwhile",
            f"came before all unsent sound, the next clip behind it, in {rounds} of {rounds}",
        ),
    ]


@asynccontextmanager
async def _hold_stream(clip: Clip) -> AsyncIterator[tuple[Caller, MediaStream, Watch]]:
    """Play `clip` on a stream whose peer does not read."""
    watches: asyncio.Queue[tuple[MediaStream, Watch]] = asyncio.Queue()

    async def play(stream: MediaStream) -> None:
        connections = [o for o in gc.get_objects() if issubclass(type(o), ServerConnection)]
        transport = next(c.transport for c in connections if not c.transport.is_closing())
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES
        )
        watches.put_nowait((stream, Watch(transport)))
        stream.play(clip)

    async with StreamServer(play, auth_token=AUTH_TOKEN, send_ahead_seconds=590) as server:
        caller = Caller(1, Sound(clip.payload), Sound(clip.payload), echoes=False)
        await caller.connect(server.url, server.url)
        caller.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES
        )
        caller.transport.pause_reading()
        caller.begin()
        async with asyncio.timeout(LIMIT_SECONDS):
            stream, watch = await watches.get()
        try:
            yield caller, stream, watch
        finally:
            await caller.end()


async def _wait_held_back(watch: Watch, clip: Clip) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        written = -1
        while written != watch.frames:
            written = watch.frames
            await asyncio.sleep(STILL_SECONDS)
    if not 0 < watch.frames < len(clip.payload) // FRAME_BYTES:
        raise WrongSound(f"{watch.frames} frames were written, so the server was not held back")


async def _read_again(caller: Caller, clip: Clip) -> None:
    caller.transport.resume_reading()
    await caller.wait_received(len(clip.payload))
    await asyncio.sleep(STILL_SECONDS)  # nothing may come twice
    if caller.received != len(clip.payload) or caller.clears:
        raise WrongSound(f"{caller.received} bytes came of {len(clip.payload)}")


async def _clear(caller: Caller, stream: MediaStream, sent: int) -> None:
    """Clear, and play another clip; `sent` bytes of the first are in the transport or past it.

    Raises:
        WrongSound: If more of the first comes before the clear, or anything after it.
    """
    second = Clip(make_speech(20.0)[::-1])
    caller.after_clear = Sound(second.payload)
    stream.clear()
    stream.play(second)
    caller.transport.resume_reading()
    await caller.wait_received(sent + len(second.payload))
    if caller.clears != [sent]:
        raise WrongSound(f"{sent} bytes were sent before the clear, which came at {caller.clears}")


def _measure_message(sid: str) -> int:
    """Return how many bytes a media message has in its frame of WebSocket."""
    return len(to_twilio.Media(sid, bytes(FRAME_BYTES)).to_json()) + 4
