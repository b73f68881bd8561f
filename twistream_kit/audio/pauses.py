"""What is speech and what is pause, judged by the power of pieces of 20 ms.

The pieces are those of a `TelephoneMeter`: mean squares without their offset, full scale being 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.measure import PIECE, SILENT, decibels
from twistream_kit.audio.resample import SAMPLE_RATE

MARGIN_DB = 15.9
"""Speech reaches from its level down to so much below it (ITU-T P.56)."""

HANGOVER = 10
"""So many pieces after speech still belong to it: 200 ms (ITU-T P.56)."""

UNHEARD_DB = 30.0
"""What lies so far below the speech of a file is its background."""

HEARD_AT_LEAST_DB = -60.0
"""Below this nothing is heard on a telephone, whose own noise is louder."""

QUIETEST = 0.1
"""The part of a sound that is taken for its noise."""


def speech_level(powers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the level of what is not pause in dBFS, and which part of the time that is.

    The threshold depends on the level that it leads to, so it is sought step by step: what falls
    away each time is quieter than the rest, hence the level only rises and comes to a stand.
    """
    is_speech = powers > 0
    level = _level(powers[is_speech])
    while np.isfinite(level):
        loud = powers > 10 ** ((level - MARGIN_DB) / 10)
        # Ones in front of each piece: it counts if one of the last ten was loud.
        kept = np.convolve(loud, np.ones(HANGOVER + 1, np.int32))[: len(powers)] > 0
        kept &= is_speech
        if (again := _level(powers[kept])) <= level + 1e-6:
            return again, float(kept.mean())
        is_speech, level = kept, again
    return SILENT, 0.0


def noise_db(powers: NDArray[np.float32]) -> float:
    """Return the level of the quietest tenth, in dBFS; digital silence does not count."""
    present = np.sort(powers[powers > 0])
    return _level(present[: max(round(len(present) * QUIETEST), 1)])


def silent_ends(
    powers: NDArray[np.float32], speech_db: float, seconds: float
) -> tuple[float, float]:
    """Return the seconds before the first piece that is heard, and after the last one."""
    threshold = max(speech_db - UNHEARD_DB, HEARD_AT_LEAST_DB)
    heard = np.flatnonzero(powers > 10 ** (threshold / 10))
    if not len(heard):
        return seconds, 0.0
    piece = PIECE / SAMPLE_RATE
    return float(heard[0]) * piece, max(seconds - (float(heard[-1]) + 1) * piece, 0.0)


def _level(powers: NDArray[np.float32]) -> float:
    return decibels(float(powers.mean(dtype=np.float64))) if len(powers) else SILENT
