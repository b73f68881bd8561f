"""What the caller hears of Say, Play and faults: frames of sound, one each 20 ms.

There is no voice here.  A word is a beep, as long as the word, so that a sentence is heard as one
and can be measured; a fault is a falling pair of tones (PROTOCOL.md §5.2: Twilio says a stock
sentence about an application error).
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from twistream_kit.audio.clip import Clip
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.simulator.model.assumptions import SILENCE, SILENT_FRAME

SECONDS_PER_LETTER = 0.06
"""About 150 English words a minute."""

WORD_HZ = 330.0
"""The pitch of a word."""


class Speech:
    """The sound that the running verb makes, taken a frame at a time.

    It belongs to one loop.  One verb speaks at a time.

    Attributes:
        texts: What was read aloud, in order, since one beep sounds like another.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._payload = b""
        self._position = 0
        self._done: asyncio.Future[None] | None = None

    def next_frame(self) -> bytes:
        """Take the next 20 ms, silence when no verb speaks."""
        if self._done is None:
            return SILENT_FRAME
        frame = self._payload[self._position : self._position + FRAME_BYTES]
        self._position += FRAME_BYTES
        if self._position >= len(self._payload) and not self._done.done():
            self._done.set_result(None)
        return frame.ljust(FRAME_BYTES, bytes([SILENCE]))

    async def read(self, text: str, times: int = 1) -> None:
        """Speak `text`, as `say` does its beeps, and note it when it begins."""
        if text:
            self.texts.append(text)
        await self.say(spoken(text), times)

    async def say(self, payload: bytes, times: int = 1) -> None:
        """Speak until `payload` was taken `times` times, 0 being without end.

        Cancelling it ends the sound at once.
        """
        count = 0
        while payload and (times == 0 or count < times):
            self._payload, self._position = payload, 0
            self._done = asyncio.get_running_loop().create_future()
            try:
                await self._done
            finally:
                self._done = None
            count += 1


def spoken(text: str) -> bytes:
    """Return the beeps that stand for `text`, as PCMU."""
    # Nobody listens to a beep of minutes; 40 letters are the longest that a word may sound.
    return b"".join(_word(min(len(word), 40)) for word in text.split())


@lru_cache(maxsize=1)
def error_tone() -> bytes:
    """Return the sound of "an application error has occurred", as PCMU, 0.3 s."""
    return (Clip.tone(480, 0.15) + Clip.tone(360, 0.15)).payload


@lru_cache(maxsize=64)
def _word(letters: int) -> bytes:
    beep = Clip.tone(WORD_HZ, SECONDS_PER_LETTER * letters)
    return (beep + Clip.silence(SECONDS_PER_LETTER)).payload
