"""Whether speech plays slower than people speak: it was sent at another rate (PROTOCOL.md §4, §9).

Speech of 16 or 24 kHz that was made μ-law without being resampled is good μ-law, only low and slow.
Nothing proves that; but few people have a voice that is both that low and that slow.  So both are
measured, and what comes of it is a suspicion.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.protocol.objection import Objection

SHORTEST = 24000
"""Three seconds of what Twilio plays; of less nothing is said."""

_HOP = 80
_FRAME = 320
_LAGS = slice(20, 230)
"""Samples: every 10 ms a piece of 40 ms, in which pitch is looked for from 35 to 400 Hz."""

_STEP = 40
"""Pieces that are measured at a time."""

_IS_VOICED = 0.6
_FEWEST_VOICED = 40

_EDGES = (0, 250, 500, 1000, 1700, 2500, 3400, 4001)
"""Hz: how the loudness of each of these bands moves tells how fast the mouth does."""

_IS_SLOW = (3.90, -5.07, -6.07)
_IS_24_KHZ = (1.68, -3.38, -6.54)
"""Logistic regressions over 1, the logarithm of pitch in 100 Hz, and the movement of the bands.

They were fitted to 60 synthetic voices, each with another tone control, beside the same voices
played slow; 1 is taken off the first constant, because most speech has the right rate.  The
loudness of the bands itself would tell more, but with it the tone of a microphone is taken for the
length of a mouth.
"""

_REPORTED = 0.95
_LIKELY = 0.98


@dataclass(frozen=True, slots=True)
class SuspectedRate:
    """A suspicion that speech was sent at another sample rate.

    Attributes:
        sample_rate: The more likely one in Hz, 16000 or 24000.
        confidence: How sure it is that it was not 8000 Hz, 0.95 to 1.
    """

    sample_rate: int
    confidence: float

    def objection(self, field: str = "media.payload") -> Objection:
        """Say it as a warning or a note, never an error: a deep slow voice sounds the same."""
        times, low = ("twice", "an octave") if self.sample_rate == 16000 else ("three times", "far")
        return Objection(
            None,
            field,
            f"sounds like speech at {self.sample_rate} Hz that was not resampled to 8000 Hz",
            f"The caller hears a voice {low} too low that takes {times} as long",
            f"Send kit.Clip.from_samples(samples, {self.sample_rate}).payload; sound that comes in"
            f" pieces goes through one kit.Resampler({self.sample_rate})",
            "warning" if self.confidence >= _LIKELY else "note",
            self.confidence,
        )


class _Measured(NamedTuple):
    power: NDArray[Any]  # of each piece, its square
    clarity: NDArray[Any]  # 0 to 1
    lag: NDArray[Any]  # in samples
    bands: NDArray[Any]  # powers of ten, shape (pieces, bands)


class _Speech(NamedTuple):
    pitch: float  # Hz, the median
    movement: float  # of the loudness of each band in 40 ms, powers of ten


def suspect_rate(payload: bytes) -> SuspectedRate | None:
    """Say whether speech that is sent as PCMU plays too slow.

    Args:
        payload: Three seconds or more of joined payload, 8000 bytes a second.

    Returns:
        The suspicion, or None without one, for sound that is no speech, and for less than 3 s.
    """
    *_, suspected = suspect_rate_in_steps(payload)
    return suspected


def suspect_rate_in_steps(payload: bytes) -> Iterator[SuspectedRate | None]:
    """Do what `suspect_rate` does, half a millisecond at a time: the last yield is the answer."""
    if len(payload) < SHORTEST:
        yield None
        return
    pieces = np.lib.stride_tricks.sliding_window_view(
        decode_ulaw(payload).astype(np.float32), _FRAME
    )[::_HOP]
    measured: list[_Measured] = []
    for at in range(0, len(pieces), _STEP):
        measured.append(_measure(pieces[at : at + _STEP]))
        yield None
    speech = _speech(_Measured(*(np.concatenate(each) for each in zip(*measured, strict=True))))
    yield None if speech is None else _suspected(speech)


def _suspected(speech: _Speech) -> SuspectedRate | None:
    confidence = _likelihood(_IS_SLOW, speech)
    if confidence < _REPORTED:
        return None
    is_24_khz = _likelihood(_IS_24_KHZ, speech) > 0.5
    return SuspectedRate(24000 if is_24_khz else 16000, confidence)


def _likelihood(factors: tuple[float, float, float], speech: _Speech) -> float:
    constant, pitch, movement = factors
    logit = constant + pitch * math.log(speech.pitch / 100) + movement * speech.movement
    return 1 / (1 + math.exp(-logit))


def _measure(pieces: NDArray[np.float32]) -> _Measured:
    """Measure pieces of shape ``(n, _FRAME)``."""
    spectra = np.abs(np.fft.rfft(pieces * _window(), 1024)) ** 2
    clarity, lag = _periods(spectra)
    # Not as a product of matrices: for that, numpy would wake threads that cost more than they do.
    bands = np.log10(np.add.reduceat(spectra, _bands(), axis=1) / 2 + 100)
    return _Measured(spectra.sum(axis=1) + 1, clarity, lag, bands)


def _speech(measured: _Measured) -> _Speech | None:
    """Return pitch and movement, or None if what was measured is no speech."""
    power, clarity, lag, bands = measured
    reference = np.percentile(power, 95)
    is_loud = power > reference * 10**-2.5
    is_voiced = is_loud & (clarity > _IS_VOICED)
    if is_voiced.sum() < _FEWEST_VOICED or not _comes_and_goes(power, reference, is_voiced):
        return None
    both_loud = is_loud[4:] & is_loud[:-4]
    if not both_loud.any():
        return None
    movement = float(np.abs(bands[4:] - bands[:-4])[both_loud].mean())
    return _Speech(8000 / float(np.median(lag[is_voiced])), movement)


def _periods(spectra: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each piece how periodic it is, 0 to 1, and its shortest good period."""
    likeness = np.fft.irfft(spectra)[:, : _LAGS.stop]
    likeness = likeness / (likeness[:, :1] + 1) / _window_likeness()
    inside = likeness[:, _LAGS]
    clarity = inside.max(axis=1)
    # A sound of one period has two, three and four of them too: take the first of the good ones.
    lag = (inside >= 0.92 * clarity[:, None]).argmax(axis=1) + _LAGS.start
    return clarity, lag


def _comes_and_goes(
    power: NDArray[np.float32], reference: float, is_voiced: NDArray[np.bool_]
) -> bool:
    """Whether sound and near silence, voiced and voiceless alternate as they do in speech."""
    quiet = float((power < reference / 100).mean())
    unsteady = float(np.std(np.log10(power)))
    return 0.12 < quiet < 0.65 and unsteady > 1.0 and 0.25 < is_voiced.mean() < 0.9


@cache
def _window() -> NDArray[np.float32]:
    return np.hanning(_FRAME).astype(np.float32)


@cache
def _window_likeness() -> NDArray[np.float64]:
    likeness = np.fft.irfft(np.abs(np.fft.rfft(_window(), 1024)) ** 2)[: _LAGS.stop]
    shares: NDArray[np.float64] = likeness / likeness[0]
    return shares


@cache
def _bands() -> NDArray[np.int64]:
    """Return where each band begins in a spectrum; the last one ends with it."""
    return np.searchsorted(np.fft.rfftfreq(1024, 1 / 8000), _EDGES[:-1])
