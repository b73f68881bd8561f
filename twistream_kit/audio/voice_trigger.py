"""Voice activity detection: when somebody begins to speak, by loudness alone.

Time is the sound's own: samples are counted and no clock is asked, so a recording gives the same
answer as a call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import is_int16
from twistream_kit.audio.resample import SAMPLE_RATE

PIECE_MS = 20
"""Loudness is measured over so much sound: two periods of the deepest voice."""

THRESHOLD_DB = -35.0
"""Speech on a telephone lies at -25 to -10 dB, the noise of a quiet line below -50 dB."""

DEBOUNCE_MS = 120
"""Shorter than the shortest word; longer than a click, a cough's edge or a key."""

RELEASE_MS = 300
"""Longer than the pauses within a word."""

_HYSTERESIS_DB = 6.0
"""It takes so much less loudness to go on speaking than to begin."""

_PIECE = SAMPLE_RATE * PIECE_MS // 1000
_FLOOR_DB = -96.0


class VoiceTrigger:
    """Tells the moment at which a voice has lasted long enough to be meant.

    Each loud piece of 20 ms counts for, each quiet one against, so neither one click nor many far
    apart are taken for a voice, and a short gap does not begin the count anew.

    Args:
        threshold_db: What is louder is voice; in dB of a full-scale square wave, below 0.
        debounce_ms: How long it must last, in milliseconds, at least 20.
        release_ms: How long it must be quiet before it can begin once more, in milliseconds.

    Attributes:
        speaking: Whether a voice has begun and not ended.
        level_db: How loud the last piece was, -96 to 0 dB.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        *,
        threshold_db: float = THRESHOLD_DB,
        debounce_ms: float = DEBOUNCE_MS,
        release_ms: float = RELEASE_MS,
    ) -> None:
        if not _FLOOR_DB < threshold_db < 0:
            raise ValueError(f"threshold_db is {threshold_db}; it is a level between -96 and 0 dB")
        if not (debounce_ms >= PIECE_MS and release_ms >= PIECE_MS):
            raise ValueError(
                f"debounce_ms is {debounce_ms}, release_ms {release_ms}; sound is judged in pieces "
                f"of {PIECE_MS} ms, so neither can be shorter"
            )
        self._threshold_db = threshold_db
        self._debounce = math.ceil(debounce_ms / PIECE_MS)
        self._release = math.ceil(release_ms / PIECE_MS)
        self.reset()

    def reset(self) -> None:
        """Forget what was heard so far."""
        self.speaking = False
        self.level_db = _FLOOR_DB
        self._count = 0
        self._rest: NDArray[np.int16] = np.empty(0, np.int16)

    def push(self, samples: NDArray[np.int16]) -> bool:
        """Listen to the next samples.

        Args:
            samples: Mono, int16, 8000 Hz, shape ``(n,)``, any n.

        Returns:
            True when a voice begins in them: once for each time that somebody speaks.

        Raises:
            TypeError: If `samples` is not an int16 array.
        """
        if not isinstance(samples, np.ndarray) or not is_int16(samples.dtype):
            raise TypeError(
                "push() takes an int16 array, such as `stream.audio()` gives or "
                f"kit.decode_ulaw(payload) returns, not {_kind(samples)}"
            )
        heard = np.concatenate([self._rest, samples])
        whole = len(heard) - len(heard) % _PIECE
        self._rest = heard[whole:]
        begins = False
        for level_db in _levels(heard[:whole]):
            begins = self._count_level(level_db) or begins
        return begins

    def __repr__(self) -> str:
        state = "speaking" if self.speaking else "quiet"
        return f"<VoiceTrigger: {state}, {self.level_db:.0f} dB>"

    def _count_level(self, level_db: float) -> bool:
        """Take in the loudness of the next piece; return whether a voice begins with it."""
        self.level_db = level_db
        if self.speaking:
            is_quiet = level_db <= self._threshold_db - _HYSTERESIS_DB
            self._count = self._count + 1 if is_quiet else 0
            if self._count >= self._release:
                self.speaking, self._count = False, 0
            return False
        self._count = max(0, self._count + (1 if level_db > self._threshold_db else -1))
        if self._count < self._debounce:
            return False
        self.speaking, self._count = True, 0
        return True


def _levels(samples: NDArray[np.int16]) -> list[float]:
    """Return the loudness of each piece; a constant offset of the line is no sound."""
    deviations = samples.reshape(-1, _PIECE).std(axis=1) / 32768
    levels: list[float] = np.maximum(20 * np.log10(deviations + 1e-9), _FLOOR_DB).tolist()
    return levels


def _kind(value: Any) -> str:
    return f"one of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
