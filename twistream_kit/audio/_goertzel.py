"""The power of sound at single frequencies, as Goertzel's algorithm gives it.

It is computed as a product with cosines and sines, which numpy does faster than the recursion, and
not as a matrix product: the threads of a BLAS cost more than they save on so few samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.resample import SAMPLE_RATE

Samples = NDArray[np.float32]

_PEAK = 1e-12


def make_waves(size: int, frequencies: Sequence[float]) -> Samples:
    """Return the cosines, then the sines, of these frequencies in Hz: shape ``(2 * n, size)``."""
    angles = 2 * np.pi / SAMPLE_RATE * np.outer(frequencies, np.arange(size))
    return np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32)


def measure_energies(windows: Samples, waves: Samples) -> Samples:
    """Return the energy of each window at each frequency.

    Args:
        windows: Shape ``(windows, size)``.
        waves: Those of `make_waves` for this size.

    Returns:
        Shape ``(windows, frequencies)``; a pure sine has its whole energy at its frequency.
    """
    parts = np.einsum("ij,kj->ik", windows, waves)
    half = parts.shape[1] // 2
    energies: Samples = np.square(parts[:, :half]) + np.square(parts[:, half:])
    return energies * np.float32(2 / windows.shape[1])


def find_peak(samples: Samples, frequencies: NDArray[np.float64]) -> float:
    """Return the frequency in Hz at which the sound has most energy.

    Args:
        samples: Shape ``(n,)``; they are weighted with a Hann window, so that another tone that is
            two of its resolutions away does not move the peak.
        frequencies: Where to look, in Hz, ascending and evenly spaced.

    Returns:
        A frequency between those of `frequencies`; the first or last where no peak is inside.
    """
    turns = np.exp(-2j * np.pi / SAMPLE_RATE * np.outer(frequencies, np.arange(len(samples))))
    powers = np.abs(np.einsum("j,kj->k", samples * np.hanning(len(samples) + 2)[1:-1], turns))
    best = int(powers.argmax())
    if best in (0, len(powers) - 1):
        return float(frequencies[best])
    before, peak, after = np.log(powers[best - 1 : best + 2] + _PEAK)
    bend = before - 2 * peak + after
    offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return float(frequencies[best] + offset * (frequencies[1] - frequencies[0]))


def follow_amplitude(
    samples: Samples, frequencies: Sequence[float], size: int
) -> NDArray[np.float64]:
    """Return the amplitude of sines over time.

    Args:
        samples: Shape ``(n,)``, n at least `size`.
        frequencies: The frequencies of the sines in Hz.
        size: How many samples are measured at once.

    Returns:
        Shape ``(n - size + 1,)``: the root of the sum of the squares of all amplitudes, in the
        window that begins with each sample.
    """
    time = np.arange(len(samples))
    squares = np.zeros(len(samples) - size + 1)
    for hz in frequencies:
        sums = np.cumsum(samples * np.exp(-2j * np.pi / SAMPLE_RATE * hz * time))
        sums = np.concatenate([[0.0], sums])
        squares += np.square(np.abs(sums[size:] - sums[:-size]) * 2 / size)
    amplitudes: NDArray[np.float64] = np.sqrt(squares)
    return amplitudes


class Fit(NamedTuple):
    """Sines fitted to sound.

    Attributes:
        amplitudes: Of each, in the unit of the samples.
        energy: Of the sound, without its DC offset.
        explained: How much of that the sines explain.
        rest: The sound without the sines and the offset.
    """

    amplitudes: NDArray[np.float64]
    energy: float
    explained: float
    rest: NDArray[np.float64]


def fit_sines(samples: Samples, frequencies: Sequence[float]) -> Fit:
    """Fit sines of known frequencies, and an offset, by least squares.

    Args:
        samples: Shape ``(n,)``.
        frequencies: In Hz, further apart than ``8000 / n``.
    """
    angles = 2 * np.pi / SAMPLE_RATE * np.outer(frequencies, np.arange(len(samples)))
    waves = np.concatenate([np.ones((1, len(samples))), np.cos(angles), np.sin(angles)])
    alike = np.einsum("ij,kj->ik", waves, waves)
    shares = np.einsum("ij,j->i", waves, samples)
    weights = np.linalg.solve(alike, shares)
    whole = float(np.square(samples, dtype=np.float64).sum())
    offset = float(samples.sum(dtype=np.float64)) ** 2 / len(samples)
    explained = float(np.einsum("i,i->", weights, shares))
    count = len(frequencies)
    amplitudes = np.hypot(weights[1 : 1 + count], weights[1 + count :])
    rest = samples - np.einsum("i,ij->j", weights, waves)
    return Fit(amplitudes, max(0.0, whole - offset), max(0.0, explained - offset), rest)
