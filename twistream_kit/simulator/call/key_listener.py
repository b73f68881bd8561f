"""The keys that a telephone hears in the sound of its call: those of SendDigits, and all others.

`ToneDetector` finds them.  Each telephone listens during the whole of each call, and most of that
is silence or speech, so the detector gets only what is around frames that may belong to a key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import COLUMN_HZ, ROW_HZ
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.audio.tone_detector import Tone, ToneDetector
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.simulator.call.handset import Ear
from twistream_kit.simulator.stream.leg import is_audible

FRAMES_BEFORE, FRAMES_AFTER = 5, 10
"""So many frames, 100 and 200 ms, are listened to around a frame that may belong to a key: a key is
certain 80 ms after its end."""

_LEAST_SHARE, _LEAST_SHARE_OF_EACH = 0.2, 0.02
"""The least share of the power of such a frame at the two strongest frequencies, and at each.  Most
frames of a key that is off by 1.5 %, with a twist of 9 dB and noise 10 dB below it, have 0.3 and
0.03 (measured)."""


class KeyListener:
    """Listens for the tones of keys in one call.  It belongs to the loop of the call.

    Args:
        ear: What hears the call.
        on_key: Called with no argument after each key.

    Attributes:
        keys: The keys so far, in order; any thread may read them.
    """

    def __init__(self, ear: Ear, on_key: Callable[[], None]) -> None:
        self.keys = ""
        self._ear = ear
        self._on_key = on_key
        self._detector = ToneDetector()
        self._before: deque[bytes] = deque(maxlen=FRAMES_BEFORE)
        self._wanted = 0
        self._is_over = False
        ear.on_frame.append(self._hear)

    def end(self) -> None:
        """Note that the call is over: a tone that has not ended is a key nevertheless."""
        self._is_over = True
        if self._hear in self._ear.on_frame:
            self._ear.on_frame.remove(self._hear)
        self._note(self._detector.finish())

    def _hear(self, frame: bytes, _now: float) -> None:
        if self._is_over:  # another listener has ended the call within this frame
            return
        if may_be_key(frame):
            self._wanted = FRAMES_AFTER + 1
        self._before.append(frame)
        if self._wanted:
            self._wanted -= 1
            self._note(self._detector.feed(b"".join(self._before)))
            self._before.clear()

    def _note(self, tones: list[Tone]) -> None:
        for tone in tones:
            if tone.kind == "key":
                self.keys += tone.key
                self._on_key()


def may_be_key(frame: bytes) -> bool:
    """Whether 20 ms of PCMU may belong to the tone of a key; hardly any frame of speech may."""
    if not is_audible(frame):
        return False
    samples = decode_ulaw(frame).astype(np.float32)
    energy = float(samples @ samples)
    waves = _make_waves() @ samples
    half = len(waves) // 2
    powers = (np.square(waves[:half]) + np.square(waves[half:])) * (2 / FRAME_BYTES)
    row, column = float(powers[:4].max()), float(powers[4:].max())
    least = _LEAST_SHARE_OF_EACH * energy
    return row + column > _LEAST_SHARE * energy and row > least and column > least


@cache
def _make_waves() -> NDArray[np.float32]:
    """Return the cosines, then the sines, of the frequencies of the keys."""
    angles = 2 * np.pi / SAMPLE_RATE * np.outer((*ROW_HZ, *COLUMN_HZ), np.arange(FRAME_BYTES))
    return np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32)
