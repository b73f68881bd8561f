"""A stand-in for a speech service: a WebSocket server of the same form, which knows no language.

It "recognises" for how long the caller has spoken, and "speaks" a tone for each word.  It is for
trying the bridge and for its tests, without an account; a real service takes its place.
"""

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

import twistream_kit as kit

PAUSE_MS = 400
"""After so long a pause the caller has finished a sentence."""

SAMPLE_RATE = 24000
WORD_SECONDS = 0.25
PIECE = SAMPLE_RATE // 10
SPEED = 5
"""How much faster than speech a voice is made."""


class StandIn:
    """The server; an async context manager.

    Attributes:
        url: Its address, once it has been entered.
        asked: The texts that it was to say, in order.
        synthesising: How many texts it is saying now.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.synthesising = 0
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0)
        host, port = next(iter(self._server.sockets)).getsockname()
        self.url = f"ws://{host}:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, socket: ServerConnection) -> None:
        request = socket.request
        # The bridge leaves in the middle of a sentence whenever it is interrupted.
        with contextlib.suppress(ConnectionClosed):
            if request is not None and request.path.startswith("/transcribe"):
                await self._transcribe(socket)
            else:
                await self._synthesise(socket)

    async def _transcribe(self, socket: ServerConnection) -> None:
        trigger, spoken = kit.VoiceTrigger(release_ms=PAUSE_MS), 0
        async for payload in socket:
            was_speaking = trigger.speaking
            if trigger.push(kit.decode_ulaw(payload)):
                spoken = 0
                await self._send(socket, type="speech_started")
            spoken += len(payload)
            if was_speaking and not trigger.speaking:
                seconds = spoken / 8000 - PAUSE_MS / 1000
                text = f"a voice of {seconds:.1f} seconds"
                await self._send(socket, type="transcript", is_final=True, text=text)

    async def _synthesise(self, socket: ServerConnection) -> None:
        text = json.loads(await socket.recv())["text"]
        self.asked.append(text)
        self.synthesising += 1
        try:
            voice = np.concatenate([make_word(word) for word in text.split()])
            for at in range(0, len(voice), PIECE):
                await socket.send(voice[at : at + PIECE].tobytes())
                await asyncio.sleep(PIECE / SAMPLE_RATE / SPEED)
            await self._send(socket, type="done")
        finally:
            self.synthesising -= 1

    @staticmethod
    async def _send(socket: ServerConnection, **message: object) -> None:
        await socket.send(json.dumps(message))


def make_word(word: str) -> NDArray[np.int16]:
    """Return a tone, the lower the longer the word: int16, `SAMPLE_RATE`."""
    seconds = np.arange(int(SAMPLE_RATE * WORD_SECONDS)) / SAMPLE_RATE
    fade = np.minimum(1, 40 * np.minimum(seconds, WORD_SECONDS - seconds))
    hertz = 700 - 40 * min(len(word), 10)
    return (12000 * fade * np.sin(2 * np.pi * hertz * seconds)).astype("<i2")
