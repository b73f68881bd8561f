"""The sound around a telephone, as rows of one frame, with a mean square of 1.

Each kind is made once in a process, always the same, in the frequency domain: so its end leads into
its begin without a click, and it may be repeated for as long as a call lasts.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import FRAME_BYTES
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.simulator.line._runs import make_random

NoiseKind = Literal["white", "street", "babble"]
"""``white`` is hiss, ``street`` the rumble of traffic, ``babble`` many voices at once."""

NOISE_KINDS: tuple[str, ...] = get_args(NoiseKind)

_FRAMES = 800
"""How many frames are made, 16 s."""

_TALKERS = 8

_SYLLABLES_HZ = (2.0, 7.0)
"""How fast the voice of a talker rises and falls."""

_PASSING_HZ = 0.4
"""How fast cars come and go, at most."""


@cache
def build_noise(kind: str) -> NDArray[np.float32]:
    """Return the noise of a kind: float32, shape ``(800, 160)``, mean square 1.

    Args:
        kind: One of `NOISE_KINDS`.
    """
    size = _FRAMES * FRAME_BYTES
    random = make_random(len(kind), 20)
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE).astype(np.float64)
    match kind:
        case "street":
            weight = np.where(hz < 80, 0.0, 1 / np.maximum(hz, 80))
            noise = _make_noise(random, weight) * (1 + 0.5 * _make_slow(random, hz, 0, _PASSING_HZ))
        case "babble":
            noise = np.zeros(size)
            weight = _make_speech_weight(hz)
            for _ in range(_TALKERS):
                voice = _make_noise(random, weight)
                noise += voice * np.maximum(0, 0.6 + _make_slow(random, hz, *_SYLLABLES_HZ))
        case _:
            noise = _make_noise(random, (hz > 0).astype(np.float64))
    noise /= np.sqrt(np.mean(noise**2))
    return noise.reshape(_FRAMES, FRAME_BYTES).astype(np.float32)


def _make_noise(random: np.random.Generator, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return noise whose spectrum has that weight in each bin, with a mean square of 1."""
    phases = random.random(len(weight)) * 2 * np.pi
    # White in the mean only: equal bins would sound like one long chirp's echo.
    levels = np.sqrt(-np.log1p(-random.random(len(weight))))
    noise = np.fft.irfft(weight * levels * np.exp(1j * phases))
    return noise / np.sqrt(np.mean(noise**2))  # type: ignore[no-any-return]


def _make_slow(
    random: np.random.Generator, hz: NDArray[np.float64], least: float, most: float
) -> NDArray[np.float64]:
    """Return a movement between two frequencies, with a mean square of 1."""
    return _make_noise(random, ((hz > least) & (hz <= most)).astype(np.float64))


def _make_speech_weight(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a spectrum like that of speech: even to 500 Hz, then 9 dB less an octave."""
    even = np.where(hz < 100, 0.0, 1.0)
    return even * np.minimum(1.0, (500 / np.maximum(hz, 1)) ** 1.5)
