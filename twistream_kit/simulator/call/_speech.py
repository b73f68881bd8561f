"""The sound of Say, Play, keys and application errors, in frames of 20 ms.

There is no speech synthesis here.  Each word is a beep of the length of the word, so that a
sentence can be recognised and measured; an application error is a falling pair of tones
(PROTOCOL.md §5.2: Twilio speaks a stock sentence about an application error).
"""

from __future__ import annotations

import asyncio
from functools import lru_cache

from twistream_kit.audio.clip import Clip
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.simulator.model.assumptions import (
    SENT_GAP_MS,
    SENT_KEY_MS,
    SILENCE,
    SILENT_FRAME,
)

SECONDS_PER_LETTER = 0.06
"""About 150 English words a minute."""

WORD_HZ = 330.0
"""The frequency of a word."""


class VerbAudio:
    """The sound of the running verb, taken a frame at a time.

    It belongs to one loop.  One verb plays at a time.

    Attributes:
        texts: The spoken texts, in order, because all beeps sound alike.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._payload = b""
        self._position = 0
        self._done: asyncio.Future[None] | None = None

    def take_frame(self) -> bytes:
        """Take the next 20 ms; silence if no verb plays."""
        if self._done is None:
            return SILENT_FRAME
        frame = self._payload[self._position : self._position + FRAME_BYTES]
        self._position += FRAME_BYTES
        if self._position >= len(self._payload) and not self._done.done():
            self._done.set_result(None)
        return frame.ljust(FRAME_BYTES, bytes([SILENCE]))

    async def read(self, text: str, times: int = 1) -> None:
        """Play the beeps of `text`, and append it to `texts` when they begin."""
        if text:
            self.texts.append(text)
        await self.say(make_beeps(text), times)

    async def say(self, payload: bytes, times: int = 1) -> None:
        """Play `payload` `times` times, for ever if 0; return when all of it was taken.

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


def make_beeps(text: str) -> bytes:
    """Return the beeps for `text`, as PCMU."""
    # Words longer than 40 letters are cut, so that no beep lasts for minutes.
    return b"".join(_make_word(min(len(word), 40)) for word in text.split())


def make_key_tones(digits: str) -> bytes:
    """Return the sound of keys as PCMU: DTMF, and a pause for each w and W.

    Args:
        digits: Keys, ``w`` for half a second and ``W`` for a second (§6.8); other letters are
            left out.
    """
    return b"".join(
        Clip.silence(PAUSES[letter]).payload
        if letter in PAUSES
        else Clip.dtmf(letter.upper(), tone_ms=SENT_KEY_MS, gap_ms=SENT_GAP_MS).payload
        for letter in digits
        if letter in PAUSES or letter.upper() in "0123456789*#ABCD"
    )


PAUSES = {"w": 0.5, "W": 1.0}
"""The letters among keys that stand for a pause, and its seconds (§6.8)."""


@lru_cache(maxsize=1)
def make_error_tone() -> bytes:
    """Return the tones for "an application error has occurred", as PCMU, 0.3 s."""
    return (Clip.tone(480, 0.15) + Clip.tone(360, 0.15)).payload


@lru_cache(maxsize=64)
def _make_word(letters: int) -> bytes:
    beep = Clip.tone(WORD_HZ, SECONDS_PER_LETTER * letters)
    return (beep + Clip.silence(SECONDS_PER_LETTER)).payload
