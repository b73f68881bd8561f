"""How the energy of a sound is spread over pitches, measured block by block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CARRIED_HZ = (300, 3400)
"""What a telephone call is planned to carry (ITU-T G.712); handsets reproduce little else."""

WHOLE_SECONDS = 300
"""The spectrum of so much sound is taken without gaps, of what follows one window of eight."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """How the power of a sound is spread over pitches.

    Attributes:
        frequencies: In Hz, evenly spaced from above 0, shape ``(n,)``.
        power: Mean square at each, full scale being 1, shape ``(n,)``; the sum is that of the
            sound.
    """

    frequencies: NDArray[np.float64]
    power: NDArray[np.float64]

    def share(self, low: float, high: float) -> float:
        """Return which part of the power, 0 to 1, lies from `low` up to `high` Hz."""
        inside = (self.frequencies >= low) & (self.frequencies < high)
        total = float(self.power.sum())
        return float(self.power[inside].sum()) / total if total > 0 else 0.0


class SpectrumMeter:
    """The average spectrum: windows of 32 to 64 ms, half over each other, without their offset."""

    def __init__(self, sample_rate: int) -> None:
        self._size = 1 << round(math.log2(sample_rate / 22))
        self._rate = sample_rate
        self._window = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._rest = np.empty(0, np.float32)
        self._power = np.zeros(self._size // 2 + 1)
        self._weight = 0.0

    def push(self, samples: NDArray[np.float32]) -> None:
        """Measure the next samples, in [-1, 1], shape ``(n,)``."""
        samples = np.concatenate([self._rest, samples])
        hop = self._size // 2
        count = max((len(samples) - self._size) // hop + 1, 0)
        self._rest = samples[count * hop :]
        if count:
            views = np.lib.stride_tricks.sliding_window_view(samples, self._size)
            is_long = self._weight * hop > WHOLE_SECONDS * self._rate
            self._add(views[: count * hop : hop * (8 if is_long else 1)], count)

    def result(self) -> Spectrum:
        """Return what was measured so far."""
        if not self._weight and len(self._rest):
            short = np.zeros((1, self._size), np.float32)
            short[0, : len(self._rest)] = self._rest
            self._add(short, 1)
        power = self._power / max(self._weight, 1)
        frequencies = np.arange(len(power), dtype=np.float64) * (self._rate / self._size)
        return Spectrum(frequencies[1:], power[1:])

    def _add(self, windows: NDArray[np.float32], weight: int) -> None:
        """Add windows, shape ``(m, size)``, that stand for `weight` of them."""
        level = windows - windows.mean(axis=1, keepdims=True)
        found = np.fft.rfft(level * self._window, axis=1)
        square = (found.real**2 + found.imag**2).sum(axis=0, dtype=np.float64)
        square[1:-1] *= 2  # the other half of a spectrum of real numbers
        scale = self._size * float(np.square(self._window, dtype=np.float64).sum())
        self._power += square * (weight / len(windows) / scale)
        self._weight += weight
