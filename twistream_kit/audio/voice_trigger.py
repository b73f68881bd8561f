"""Voice activity detection by level.

Time is measured by counting samples, not by a clock, so a recording gives the same result as a
call.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import is_int16
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import WrongType, WrongValue, require_finite, require_type

PIECE_MS = 20
"""The duration over which the level is measured: two periods of the deepest voice."""

THRESHOLD_DB = -35.0
"""The default threshold: speech on a telephone is at -25 to -10 dB, line noise below -50 dB."""

DEBOUNCE_MS = 120
"""Shorter than the shortest word; longer than a click, the onset of a cough or a key."""

RELEASE_MS = 300
"""Longer than the pauses within a word."""

_HYSTERESIS_DB = 6.0
"""How far the level must fall below the threshold before speech ends."""

_PIECE = SAMPLE_RATE * PIECE_MS // 1000
_FLOOR_DB = -96.0


class VoiceTrigger:
    """Detects the moment at which a voice has lasted for a minimum time.

    Each piece of 20 ms above the threshold raises a counter, each other piece lowers it.  So single
    clicks do not trigger, and a short gap does not restart the count.

    Args:
        threshold_db: The level above which a piece is voice; in dB of a full-scale square wave,
            below 0.
        debounce_ms: How long a voice must last, in milliseconds, at least 20.
        release_ms: How long it must be quiet before a new voice can trigger, in milliseconds.

    Attributes:
        speaking: Whether a voice has begun and not ended.
        level_db: The level of the last piece, -96 to 0 dB.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import twistream_kit as kit
        >>> trigger = kit.VoiceTrigger()
        >>> frames = kit.load_clip("sample_audio/greeting.wav").frames()
        >>> [20 * n for n, frame in enumerate(frames, 1) if trigger.push(kit.decode_ulaw(frame))]
        [320]
    """

    def __init__(
        self,
        *,
        threshold_db: float = THRESHOLD_DB,
        debounce_ms: float = DEBOUNCE_MS,
        release_ms: float = RELEASE_MS,
    ) -> None:
        require_type("a number", threshold_db=threshold_db, debounce_ms=debounce_ms)
        require_type("a number", release_ms=release_ms)
        if not _FLOOR_DB < threshold_db < 0:
            raise WrongValue(f"threshold_db is {threshold_db}; it is a level between -96 and 0 dB")
        if not (debounce_ms >= PIECE_MS and release_ms >= PIECE_MS):
            raise WrongValue(
                f"debounce_ms is {debounce_ms}, release_ms {release_ms}; sound is measured in "
                f"pieces of {PIECE_MS} ms, so neither can be shorter"
            )
        require_finite(debounce_ms=debounce_ms, release_ms=release_ms)
        self._threshold_db = threshold_db
        self._debounce = math.ceil(debounce_ms / PIECE_MS)
        self._release = math.ceil(release_ms / PIECE_MS)
        self.reset()

    def reset(self) -> None:
        """Discard all sound so far."""
        self.speaking = False
        self.level_db = _FLOOR_DB
        self._count = 0
        self._rest: NDArray[np.int16] = np.empty(0, np.int16)

    def push(self, samples: NDArray[np.int16]) -> bool:
        """Process the next samples.

        Args:
            samples: Mono, int16, 8000 Hz, shape ``(n,)``, any n.

        Returns:
            True if a voice begins in them; once for each utterance.

        Raises:
            TypeError: If `samples` is not an int16 array.
        """
        if not isinstance(samples, np.ndarray) or not is_int16(samples.dtype):
            raise WrongType(
                "push() takes an int16 array, such as `stream.audio()` gives or "
                f"kit.decode_ulaw(payload) returns, not {_describe_type(samples)}"
            )
        heard = np.concatenate([self._rest, samples])
        whole = len(heard) - len(heard) % _PIECE
        self._rest = heard[whole:]
        begins = False
        for level_db in _measure_levels(heard[:whole]):
            begins = self._count_level(level_db) or begins
        return begins

    def __repr__(self) -> str:
        state = "speaking" if self.speaking else "quiet"
        return f"<VoiceTrigger: {state}, {self.level_db:.0f} dB>"

    def _count_level(self, level_db: float) -> bool:
        """Process the level of the next piece; return whether a voice begins with it."""
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


def _measure_levels(samples: NDArray[np.int16]) -> list[float]:
    """Return the level of each piece, without its DC offset."""
    deviations = samples.reshape(-1, _PIECE).std(axis=1) / 32768
    levels: list[float] = np.maximum(20 * np.log10(deviations + 1e-9), _FLOOR_DB).tolist()
    return levels


def _describe_type(value: Any) -> str:
    return f"one of {value.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
