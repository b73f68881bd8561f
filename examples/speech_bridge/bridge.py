"""A call between a caller and a speech service: their voice becomes text, and text becomes a voice.

The caller may interrupt: as soon as they speak, the bot stops (barge-in).

    python examples/speech_bridge/bridge.py
    twistream call ws://127.0.0.1:8080/media --say sample_audio/question.wav --seconds 12

This needs no account: `stand_in.py` plays the service, on this machine.  What to replace:

1. `speech_service.py`, the client of the service: its URLs, its key, its messages.
2. `write_reply`, which answers the caller: here goes a language model or your own rules.
3. `stand_in.py` and `find_service`, which are for trying only.

The rest of this file knows nothing of any service, and stays.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from speech_service import SpeechService, Transcript, TranscriptionSession
from stand_in import StandIn
from websockets.exceptions import WebSocketException

import twistream_kit as kit

logger = logging.getLogger("bridge")

GREETING = "Hello, this is the bridge. How can I help?"
SORRY = kit.Clip.tone(300, 0.5) + kit.Clip.silence(0.2) + kit.Clip.tone(300, 0.5)
"""What a caller hears when the service fails, which sends no voice then."""


async def write_reply(text: str) -> str:
    """Return what the bot says to `text`.  Replace it with yours."""
    return f"I heard {text}"


async def talk(stream: kit.MediaStream, service: SpeechService) -> None:
    """Hold one conversation, until the caller hangs up or the service fails."""
    voice = stream.audio()  # before the first await, so that nothing the caller says is missed
    try:
        async with service.transcribe() as session, asyncio.TaskGroup() as tasks:
            tasks.create_task(send_voice(voice, session))
            answering = tasks.create_task(say(stream, service, GREETING))
            async for event in session.events():
                # Both say that the bot is to be quiet: the caller speaks, or has spoken.
                answering.cancel()
                stream.clear()
                if isinstance(event, Transcript):
                    answering = tasks.create_task(reply(stream, service, event.text))
    except* (OSError, WebSocketException) as failures:
        causes = "; ".join(map(str, failures.exceptions))
        logger.error("the speech service failed in call %s: %s", stream.call_sid, causes)
        stream.clear()
        stream.play(SORRY)
        stream.close()


async def send_voice(
    voice: AsyncIterator[NDArray[np.int16]], session: TranscriptionSession
) -> None:
    """Send the voice of the caller to the service: 20 ms at a time, as it comes."""
    async for samples in voice:
        await session.send(kit.encode_ulaw(samples))


async def reply(stream: kit.MediaStream, service: SpeechService, text: str) -> None:
    """Find an answer, and say it."""
    await say(stream, service, await write_reply(text))


async def say(stream: kit.MediaStream, service: SpeechService, text: str) -> None:
    """Play a voice while it is being synthesised, until its end or an interruption."""
    speech = stream.speak(sample_rate=service.sample_rate, mark="reply")
    # `aclosing` ends the synthesis at once where this is left early; it would cost money.
    async with contextlib.aclosing(service.synthesise(text)) as pieces:
        async for piece in pieces:
            if not speech.write(piece):  # discarded by a clear: the caller speaks
                return
            await speech.drained()  # a service is faster than speech
    speech.end()


@contextlib.asynccontextmanager
async def find_service() -> AsyncIterator[SpeechService]:
    """Give the service at `SPEECH_URL`, or the stand-in where that is not set."""
    if url := os.environ.get("SPEECH_URL"):
        yield SpeechService(url, os.environ.get("SPEECH_KEY", ""))
        return
    async with StandIn() as stand_in:
        yield SpeechService(stand_in.url)


async def main() -> None:
    """Serve until Ctrl-C."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    port = int(os.environ.get("PORT", "8080"))
    async with (
        find_service() as service,
        kit.StreamServer(partial(talk, service=service), port=port) as server,
    ):
        print(server.url, flush=True)
        await server.stopped


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
