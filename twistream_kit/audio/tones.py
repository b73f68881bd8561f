"""Sine tones and the tones of telephone keys (ITU-T Q.23)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.resample import SAMPLE_RATE

KEYS = ("123A", "456B", "789C", "*0#D")
"""The keypad, row by row."""

ROW_HZ = (697, 770, 852, 941)
COLUMN_HZ = (1209, 1336, 1477, 1633)

DTMF_LEVEL_DB = -9.0
"""Of each of the two tones below full scale; -7 dBm0 is usual, and full scale is +3 dBm0."""

_RAMP_SECONDS = 0.004


def tone(frequencies: Sequence[float], seconds: float, level_db: float) -> NDArray[np.int16]:
    """Make sine tones that sound together, with soft ends that do not click.

    Args:
        frequencies: In Hz, each above 0 and below 4000.
        seconds: Their duration.
        level_db: Of each, 0 for a full-scale sine.

    Returns:
        int16, shape ``(n,)``, at 8000 Hz.

    Raises:
        ValueError: If an argument is out of range, or the sum exceeds full scale.
    """
    for hz in frequencies:
        if not 0 < hz < SAMPLE_RATE / 2:
            raise ValueError(
                f"a tone of {hz} Hz is not possible; "
                f"a call carries more than 0 and less than {SAMPLE_RATE // 2} Hz"
            )
    if not seconds >= 0:
        raise ValueError(f"seconds is {seconds}; a tone cannot last less than nothing")
    amplitude = 10 ** (level_db / 20)
    if amplitude * len(frequencies) > 1:
        raise ValueError(f"a level of {level_db} dB is beyond full scale; 0 dB is the most")
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.sum([np.sin(2 * np.pi * hz * time) for hz in frequencies], axis=0)
    ends = np.minimum(time, time[::-1]) / _RAMP_SECONDS
    wave = wave * amplitude * np.minimum(ends, 1.0)
    samples: NDArray[np.int16] = np.rint(wave * 32767).astype(np.int16)
    return samples


def dtmf(digits: str, tone_ms: int, gap_ms: int) -> NDArray[np.int16]:
    """Make the tones of keys; see `Clip.dtmf`."""
    pieces = []
    gap = np.zeros(max(gap_ms, 0) * SAMPLE_RATE // 1000, np.int16)
    for digit in digits.upper():
        row = next((index for index, keys in enumerate(KEYS) if digit in keys), None)
        if row is None:
            raise ValueError(f"{digit!r} is no telephone key; the keys are {' '.join(KEYS)}")
        pair = (ROW_HZ[row], COLUMN_HZ[KEYS[row].index(digit)])
        pieces += [tone(pair, tone_ms / 1000, DTMF_LEVEL_DB), gap]
    if not pieces:
        raise ValueError("digits is empty; give at least one telephone key")
    return np.concatenate(pieces)
