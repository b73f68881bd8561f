"""Whether what came out of a loudspeaker is what should have: compared piece by piece."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

RATE = 8000
WINDOW = RATE // 10
NEAR = RATE // 20
"""How far a page's clock may drift from the sound's, in samples, and a busy machine shift it."""

AUDIBLE = 0.01
ALIKE = 0.95
"""Of a tenth of a second of speech and the same sound resampled twice; others reach a half."""


def share_heard(expected: np.ndarray, heard: np.ndarray, rate: int, *, of: int = RATE) -> float:
    """Return how much of a sound was heard, as a share of its audible tenths of a second.

    Each of them must be at its place, and alike in form; the volume is anybody's.

    Args:
        expected: Samples between -1 and 1.
        heard: What went to the loudspeaker.
        rate: The sample rate of that.
        of: The sample rate of what is expected.
    """
    return float(np.mean(tenths_heard(expected, heard, rate, of=of)))


def tenths_heard(
    expected: np.ndarray, heard: np.ndarray, rate: int, *, of: int = RATE
) -> np.ndarray:
    """Return of each audible tenth of a second whether it was heard, as `share_heard` says.

    Args:
        expected: Samples between -1 and 1.
        heard: What went to the loudspeaker.
        rate: The sample rate of that.
        of: The sample rate of what is expected.
    """
    expected = soxr.resample(expected, of, RATE) if of != RATE else expected
    sound = soxr.resample(heard, rate, RATE) if rate != RATE else heard
    offset = _offset(expected, sound)
    found = []
    for start in range(0, expected.size - WINDOW + 1, WINDOW):
        window = expected[start : start + WINDOW]
        if np.sqrt(np.mean(window**2)) < AUDIBLE:
            continue
        begin = max(0, start + offset - NEAR)
        place = sound[begin : start + offset + WINDOW + NEAR]
        found.append(_likeness(window, place) >= ALIKE)
    assert len(found) >= 5, "there is next to no sound to compare"
    return np.array(found)


def _offset(expected: np.ndarray, sound: np.ndarray) -> int:
    """Return where in a sound another begins, at best."""
    size = 1 << int(np.ceil(np.log2(expected.size + sound.size)))
    spectrum = np.fft.rfft(sound, size) * np.conj(np.fft.rfft(expected, size))
    lags = np.fft.irfft(spectrum, size)
    best = int(np.argmax(lags))
    return best - size if best > sound.size else best


def _likeness(window: np.ndarray, place: np.ndarray) -> float:
    """Return the greatest normalised correlation of a window with any part of a place."""
    if place.size < window.size:
        return 0.0
    parts = np.lib.stride_tricks.sliding_window_view(place, window.size)
    energy = np.sqrt((parts**2).sum(axis=1) * (window**2).sum())
    return float(np.max(parts @ window / np.maximum(energy, 1e-9)))


def load_expected(path: Path) -> np.ndarray:
    """Load a sound file as the caller of a telephone hears it, but for the coding."""
    samples, rate = soundfile.read(path, always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate, RATE)
