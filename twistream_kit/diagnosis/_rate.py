"""Notice speech that was sent as PCMU at another sample rate than 8000 Hz (PROTOCOL.md §4, §9).

Speech at 16 or 24 kHz that was encoded as μ-law without resampling is valid μ-law, but plays low
and slow.  This cannot be proved; but few people have a voice that is both that low and that slow.
So pitch and speed are measured, and the result is a suspicion, never an error.
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
from twistream_kit.errors import Objection

SHORTEST_SPEECH_BYTES = 24000
"""Three seconds as Twilio plays them; the rate of shorter sound is not measured."""

_PIECE = 320
"""The window of the pitch and loudness measurement in samples: 40 ms."""

_PIECE_STEP = 80
"""The distance of two windows in samples: 10 ms."""

_LAGS = slice(20, 230)
"""The periods in which pitch is searched, in samples: from 35 to 400 Hz."""

_AT_A_TIME = 40
"""How many windows are measured in one step."""

_IS_VOICED = 0.6

_FEWEST_VOICED = 40

_EDGES = (0, 250, 500, 1000, 1700, 2500, 3400, 4001)
"""The frequency bands in Hz: the change of their loudness measures the speed of articulation."""

_IS_SLOW = (3.90, -5.07, -6.07)
_IS_24_KHZ = (1.68, -3.38, -6.54)
"""Logistic regressions over 1, the logarithm of pitch in 100 Hz, and the movement of the bands.

They were fitted to 60 synthetic voices, each with another tone control, and the same voices played
slowly; 1 is subtracted from the first constant, because most speech has the right rate.  The
loudness of the bands itself would be more informative, but the frequency response of a microphone
would then be mistaken for the length of a vocal tract.
"""

_REPORTED_RATE, _LIKELY_RATE = 0.95, 0.98
"""The confidence from which a rate is reported, and from which it is reported as a warning."""


def suspect_rate(payload: bytes) -> SuspectedRate | None:
    """Check whether speech that is sent as PCMU plays too slowly.

    Args:
        payload: At least three seconds of joined payloads, 8000 bytes a second.

    Returns:
        The suspicion; None if there is none, if the sound is not speech, or for less than 3 s.
    """
    *_, suspected = suspect_rate_in_steps(payload)
    return suspected


def suspect_rate_in_steps(payload: bytes) -> Iterator[SuspectedRate | None]:
    """Do the same as `suspect_rate` in steps of 0.5 ms; the last yield is the result."""
    if len(payload) < SHORTEST_SPEECH_BYTES:
        yield None
        return
    pieces = np.lib.stride_tricks.sliding_window_view(
        decode_ulaw(payload).astype(np.float32), _PIECE
    )[::_PIECE_STEP]
    measured: list[_Measured] = []
    for at in range(0, len(pieces), _AT_A_TIME):
        measured.append(_measure(pieces[at : at + _AT_A_TIME]))
        yield None
    speech = _describe_speech(
        _Measured(*(np.concatenate(each) for each in zip(*measured, strict=True)))
    )
    yield None if speech is None else _suspect(speech)


@dataclass(frozen=True, slots=True)
class SuspectedRate:
    """A suspicion that speech was sent at another sample rate.

    Attributes:
        sample_rate: The more likely rate in Hz, 16000 or 24000.
        confidence: The confidence that it was not 8000 Hz, 0.95 to 1.
    """

    sample_rate: int
    confidence: float

    def to_objection(self, field: str = "media.payload") -> Objection:
        """Return a warning or a note, never an error: a deep slow voice sounds the same."""
        times, low = ("twice", "an octave") if self.sample_rate == 16000 else ("three times", "far")
        return Objection(
            None,
            field,
            f"sounds like speech at {self.sample_rate} Hz that was not resampled to 8000 Hz",
            f"The caller hears a voice {low} too low that takes {times} as long",
            f"Send kit.Clip.from_samples(samples, {self.sample_rate}).payload; sound that comes in"
            f" pieces goes through one kit.Resampler({self.sample_rate})",
            "warning" if self.confidence >= _LIKELY_RATE else "note",
            self.confidence,
        )


class _Measured(NamedTuple):
    power: NDArray[Any]  # of each piece, its square
    clarity: NDArray[Any]  # 0 to 1
    lag: NDArray[Any]  # in samples
    bands: NDArray[Any]  # powers of ten, shape (pieces, bands)


class _SpeechFeatures(NamedTuple):
    pitch: float  # Hz, the median
    movement: float  # of the loudness of each band in 40 ms, powers of ten


def _measure(pieces: NDArray[np.float32]) -> _Measured:
    """Measure pieces of shape ``(n, _PIECE)``."""
    spectra = np.abs(np.fft.rfft(pieces * _make_window(), 1024)) ** 2
    clarity, lag = _find_periods(spectra)
    # Not a matrix product, because the overhead of the threads of a BLAS exceeds its benefit here.
    bands = np.log10(np.add.reduceat(spectra, _find_band_starts(), axis=1) / 2 + 100)
    return _Measured(spectra.sum(axis=1) + 1, clarity, lag, bands)


def _find_periods(spectra: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each window how periodic it is, 0 to 1, and its shortest good period."""
    correlation = np.fft.irfft(spectra)[:, : _LAGS.stop]
    correlation = correlation / (correlation[:, :1] + 1) / _correlate_window()
    inside = correlation[:, _LAGS]
    clarity = inside.max(axis=1)
    # Multiples of a period are periods too: take the shortest of the good ones.
    lag = (inside >= 0.92 * clarity[:, None]).argmax(axis=1) + _LAGS.start
    return clarity, lag


@cache
def _make_window() -> NDArray[np.float32]:
    return np.hanning(_PIECE).astype(np.float32)


@cache
def _correlate_window() -> NDArray[np.float64]:
    correlation = np.fft.irfft(np.abs(np.fft.rfft(_make_window(), 1024)) ** 2)[: _LAGS.stop]
    shares: NDArray[np.float64] = correlation / correlation[0]
    return shares


@cache
def _find_band_starts() -> NDArray[np.int64]:
    """Return the index in a spectrum at which each band begins."""
    return np.searchsorted(np.fft.rfftfreq(1024, 1 / 8000), _EDGES[:-1])


def _describe_speech(measured: _Measured) -> _SpeechFeatures | None:
    """Return pitch and movement, or None if the sound is not speech."""
    power, clarity, lag, bands = measured
    reference = np.percentile(power, 95)
    is_loud = power > reference * 10**-2.5
    is_voiced = is_loud & (clarity > _IS_VOICED)
    if is_voiced.sum() < _FEWEST_VOICED or not _is_like_speech(power, reference, is_voiced):
        return None
    both_loud = is_loud[4:] & is_loud[:-4]
    if not both_loud.any():
        return None
    movement = float(np.abs(bands[4:] - bands[:-4])[both_loud].mean())
    return _SpeechFeatures(8000 / float(np.median(lag[is_voiced])), movement)


def _is_like_speech(
    power: NDArray[np.float32], reference: float, is_voiced: NDArray[np.bool_]
) -> bool:
    """Whether sound and near silence, voiced and unvoiced sound alternate as in speech."""
    quiet = float((power < reference / 100).mean())
    unsteady = float(np.std(np.log10(power)))
    return 0.12 < quiet < 0.65 and unsteady > 1.0 and 0.25 < is_voiced.mean() < 0.9


def _suspect(speech: _SpeechFeatures) -> SuspectedRate | None:
    confidence = _estimate_likelihood(_IS_SLOW, speech)
    if confidence < _REPORTED_RATE:
        return None
    is_24_khz = _estimate_likelihood(_IS_24_KHZ, speech) > 0.5
    return SuspectedRate(24000 if is_24_khz else 16000, confidence)


def _estimate_likelihood(factors: tuple[float, float, float], speech: _SpeechFeatures) -> float:
    constant, pitch, movement = factors
    logit = constant + pitch * math.log(speech.pitch / 100) + movement * speech.movement
    return 1 / (1 + math.exp(-logit))
