"""Callers for the measurements: light enough for a hundred of them in one process.

A caller does what Twilio does as far as a server can notice it: it sends a frame when asked, plays
what comes at the rate of sound, and returns a mark when all sound before it was played or cleared.
It knows which sound must come, and checks every byte of it: a byte that is missing, doubled or
changed raises `WrongSound`.

The messages are read by ``json`` and the frames of WebSocket here, so that no code is measured with
its own parser.  What is sent is masked with zeros, which costs the server as much as another mask.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from binascii import a2b_base64
from collections import deque
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

import numpy as np

from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.protocol import from_twilio, signature
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

AUTH_TOKEN = "0123456789abcdef0123456789abcdef"
"""The token of the measured servers, so that they check the signature of each handshake."""

LIMIT_SECONDS = 20.0
"""How long anything may take that is waited for, on a busy machine."""

BYTES_PER_SECOND = 8000

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89


class WrongSound(Exception):
    """What came is not what had to come."""


class Sound:
    """A sound without end, which begins anew after its last byte.

    Args:
        payload: Its bytes.
        begin: The byte at which it begins.
    """

    def __init__(self, payload: bytes, begin: int = 0) -> None:
        self._payload = payload * 2
        self._size = len(payload)
        self._position = begin

    def take(self, size: int) -> bytes:
        """Return the next bytes, no more than the sound has."""
        taken = self._payload[self._position : self._position + size]
        self._position = (self._position + size) % self._size
        return taken


@cache
def make_speech(seconds: float = 20.0) -> bytes:
    """Return PCMU in which each frame differs from the others, and that survives PCMU to int16."""
    times = np.arange(int(seconds * BYTES_PER_SECOND)) / BYTES_PER_SECOND
    sweep = np.sin(2 * np.pi * (200 + 1400 * times / seconds) * times)
    loudness = 6000 + 5000 * np.sin(2 * np.pi * 2.7 * times)
    payload = encode_ulaw((sweep * loudness).astype(np.int16))
    return payload.replace(b"\x7f", b"\xff")  # both are zero; an encoder has one of them


class Caller(asyncio.Protocol):
    """One stream.

    Args:
        number: Its number, from which its SID is made.
        spoken: The sound of the caller.
        expected: The sound that has to come.
        echoes: Whether what comes can only be what was sent.

    Attributes:
        frames: How many frames were sent.
        media: How many media messages came.
        received: How many bytes of sound came.
        marks: The names of the marks that came.
        clears: At how many bytes of sound each clear came.
        delays: From the sending of a frame to the arrival of its last byte, in seconds.
        started_at: When `start` was sent.
        first_sound_at: When the first media message came.
        closed: Done when the connection is closed.
        after_clear: The sound that has to come after a clear, if it is another.
    """

    def __init__(self, number: int, spoken: Sound, expected: Sound, *, echoes: bool) -> None:
        self.sid = f"MZ{number:032x}"
        self.frames = self.media = self.received = 0
        self.marks: list[str] = []
        self.clears: list[int] = []
        self.delays: list[float] = []
        self.started_at = 0.0
        self.first_sound_at: float | None = None
        self.after_clear: Sound | None = None
        self.failure: Exception | None = None
        self._spoken, self._expected, self._echoes = spoken, expected, echoes
        self._sequence = 1
        self._under_way: deque[float] = deque()
        self._answered = 0
        self._played_until = 0.0
        self._due: dict[str, asyncio.TimerHandle] = {}
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._something_came = asyncio.Event()
        self.transport: asyncio.Transport

    # What the measurement asks for.

    async def connect(self, url: str, signed_url: str) -> None:
        """Open the WebSocket, with a signature over `signed_url`."""
        parts = urlsplit(url)
        await self._loop.create_connection(lambda: self, parts.hostname, parts.port)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.transport.write(
            f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            f"X-Twilio-Signature: {signature.sign(AUTH_TOKEN, signed_url)}\r\n\r\n".encode()
        )
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._opened

    def begin(self) -> None:
        """Send `connected` and `start`."""
        start = from_twilio.Start(self.sid, "AC" + self.sid[2:], "CA" + self.sid[2:]).to_json()
        self.started_at = time.monotonic()
        self.transport.write(_frame(from_twilio.Connected().to_json()) + _frame(start))

    def speak(self) -> None:
        """Send one frame."""
        self._sequence += 1
        self.frames += 1
        payload = self._spoken.take(FRAME_BYTES)
        text = from_twilio.Media(
            self.sid, payload, self._sequence, "inbound", self.frames, self.frames * PTIME_MS
        ).to_json()
        if self._echoes:
            self._under_way.append(time.monotonic())
        self.transport.write(_frame(text))

    async def wait_received(self, size: int) -> None:
        """Wait until `size` bytes of sound have come.

        Raises:
            WrongSound: If they do not come, or are others.
        """
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                while self.received < size:
                    self.check()
                    self._something_came.clear()
                    await self._something_came.wait()
        except TimeoutError:
            missing = size - self.received
            raise WrongSound(f"{self.sid}: {missing} of {size} bytes are missing") from None
        self.check()

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.failure is not None:
            raise self.failure

    async def end(self) -> None:
        """Send `stop` and a Close frame; wait until the connection is closed."""
        for timer in self._due.values():
            timer.cancel()
        if not self.transport.is_closing():
            self._sequence += 1
            stop = from_twilio.Stop(self.sid, sequence_number=self._sequence).to_json()
            self.transport.write(_frame(stop) + _frame(b"\x03\xe8", _CLOSE))
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await self.closed
        finally:
            self.transport.abort()
        self.check()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self._opened, self.closed):
            if not future.done():
                future.set_result(None)
        if error is not None:
            self._fail(error)
        self._something_came.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            if not self._opened.done():
                self._read_handshake()
            else:
                self._read_frames()
        except Exception as error:  # noqa: BLE001 - raised by `check`
            self._fail(error)
        self._something_came.set()

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or error
        self.transport.abort()

    def _read_handshake(self) -> None:
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"the handshake was refused: {head[:200]!r} {rest[:200]!r}")
        self._buffer[:] = rest
        self._opened.set_result(None)
        self._read_frames()

    def _read_frames(self) -> None:
        buffer, position = self._buffer, 0
        now = time.monotonic()
        while (head := _read_head(buffer, position)) is not None:
            opcode, begin, end = head
            if end > len(buffer):
                break
            position = end
            if opcode == _TEXT:
                self._receive(json.loads(buffer[begin:end]), now)
            elif opcode == _CLOSE:
                self.transport.close()
            elif opcode != _PING:
                raise ConnectionError(f"a frame of WebSocket begins with {opcode:#x}")
        del buffer[:position]

    def _receive(self, message: dict, now: float) -> None:
        event = message["event"]
        if event == "media":
            self._receive_sound(a2b_base64(message["media"]["payload"], strict_mode=True), now)
        elif event == "mark":
            self._receive_mark(message["mark"]["name"], now)
        elif event == "clear":
            self.clears.append(self.received)
            self._expected = self.after_clear or self._expected
            self._played_until = now
            for name in list(self._due):
                self._due.pop(name).cancel()
                self._return(name)

    def _receive_sound(self, payload: bytes, now: float) -> None:
        if self.first_sound_at is None:
            self.first_sound_at = now
        self.media += 1
        if payload != self._expected.take(len(payload)):
            raise WrongSound(f"{self.sid}: other bytes came from byte {self.received} on")
        self.received += len(payload)
        self._played_until = max(now, self._played_until) + len(payload) / BYTES_PER_SECOND
        if not self._echoes:
            return
        if self.received > self.frames * FRAME_BYTES:
            raise WrongSound(f"{self.sid}: more came than was sent: byte {self.received}")
        while self._answered < self.received // FRAME_BYTES:
            self._answered += 1
            self.delays.append(now - self._under_way.popleft())

    def _receive_mark(self, name: str, now: float) -> None:
        if name in self._due:
            raise WrongSound(f"{self.sid}: the mark {name!r} came again before it was returned")
        self.marks.append(name)
        due = max(now, self._played_until)
        self._due[name] = self._loop.call_at(due, self._return_due, name)

    def _return_due(self, name: str) -> None:
        del self._due[name]
        self._return(name)

    def _return(self, name: str) -> None:
        self._sequence += 1
        if not self.transport.is_closing():
            text = from_twilio.Mark(self.sid, name, self._sequence).to_json()
            self.transport.write(_frame(text))


async def speak(callers: Sequence[Caller], seconds: float) -> int:
    """Send the frames of all callers, spread over the 20 ms; return the number of messages."""
    began, count = time.monotonic(), 0
    while count * PTIME_MS / 1000 / len(callers) < seconds:
        due = began + count * PTIME_MS / 1000 / len(callers)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        callers[count % len(callers)].speak()
        count += 1
    for caller in callers:
        caller.check()
    return count


def _frame(text: str | bytes, opcode: int = _TEXT) -> bytes:
    payload = text.encode() if isinstance(text, str) else text
    size = len(payload)
    head = bytes((opcode, 0x80 | size)) if size < 126 else bytes((opcode, 0xFE)) + size.to_bytes(2)
    return head + b"\0\0\0\0" + payload


def _read_head(buffer: bytearray, position: int) -> tuple[int, int, int] | None:
    """Return the first byte of a frame, and where its payload begins and ends; None for less."""
    have = len(buffer) - position
    if have < 2:
        return None
    opcode, size = buffer[position], buffer[position + 1]
    begin = position + 2
    if size >= 126:
        width = 2 if size == 126 else 8
        if have < 2 + width:
            return None
        size = int.from_bytes(buffer[begin : begin + width])
        begin += width
    return opcode, begin, begin + size
