"""The client of a speech service over WebSockets.  REPLACE this file with the client of yours.

`bridge.py` uses the two methods of `SpeechService`, and no more.  Services that stream have this
form, and differ in how they call things:

- to text: one WebSocket for a call.  Sound goes up as binary messages, JSON comes down: the caller
  has begun to speak, and what they said once they pause;
- to speech: text goes up as JSON, sound comes down as binary messages, then the end of it as JSON.
  Closing the socket ends the synthesis.

Most take μ-law of 8000 Hz, the sound of a telephone, as it is.  Most send 16-bit PCM at 16,000 or
24,000 Hz, which `stream.speak(sample_rate=…)` resamples.  Those that can send μ-law save that:
ask for it, and leave `sample_rate` at 8000.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect


@dataclass(frozen=True)
class SpeechStarted:
    """The caller has begun to speak; the sooner it comes, the better an interruption works."""


@dataclass(frozen=True)
class Transcript:
    """What the caller has said, after they have paused."""

    text: str


class TranscriptionSession:
    """The recognition of one call's voice."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, payload: bytes) -> None:
        """Send the next sound of the caller: PCMU, 8000 bytes a second."""
        await self._socket.send(payload)

    async def events(self) -> AsyncIterator[SpeechStarted | Transcript]:
        """Yield what the service finds out, until it closes."""
        async for text in self._socket:
            match json.loads(text):
                case {"type": "speech_started"}:
                    yield SpeechStarted()
                case {"type": "transcript", "is_final": True, "text": str(said)} if said:
                    yield Transcript(said)
                # All else, such as what changes while the caller goes on speaking, is left out.


class SpeechService:
    """Speech to text, and text to speech.

    Args:
        url: The address of the service, ``wss://…``.
        key: What it asks for as a login; from the environment, never from a file of the program.
    """

    sample_rate = 24000
    """That of `synthesise`, in Hz."""

    def __init__(self, url: str, key: str = "") -> None:
        self._url, self._key = url, key

    @asynccontextmanager
    async def transcribe(self) -> AsyncIterator[TranscriptionSession]:
        """Begin the recognition of a call's voice; leaving it ends that."""
        async with self._connect("/transcribe?encoding=mulaw&sample_rate=8000") as socket:
            yield TranscriptionSession(socket)

    async def synthesise(self, text: str) -> AsyncIterator[bytes]:
        """Yield a voice that says `text`, in pieces: 16-bit PCM, little-endian, mono."""
        path = f"/synthesise?encoding=linear16&sample_rate={self.sample_rate}"
        async with self._connect(path) as socket:
            await socket.send(json.dumps({"type": "speak", "text": text}))
            async for message in socket:
                if isinstance(message, str):  # {"type": "done"}
                    return
                yield message

    def _connect(self, path: str) -> AbstractAsyncContextManager[ClientConnection]:
        login = {"Authorization": f"Token {self._key}"} if self._key else {}
        # The stand-in is on this machine, where a proxy does not find it.
        proxy = True if self._url.startswith("wss:") else None
        return connect(self._url + path, additional_headers=login, proxy=proxy)
