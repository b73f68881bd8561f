"""Notice speech that was sent as PCMU at another sample rate than 8000 Hz (PROTOCOL.md §4, §9).

Speech at 16 or 24 kHz that was encoded as μ-law without resampling is valid μ-law, but plays low
and slow.  Two things are measured, and both must say so:

- pitch and speed: few people have a voice that is both so low and so slow;
- the formants, the resonances of the vocal tract: slowed down they lie closer together, so that the
  spectrum has finer detail.  Only what changes in the spectrum counts, because the tone of a
  microphone or a line does not.

From five seconds on, more is measured: how the spectrum of friction differs from that of the voice,
since the friction of 4 to 8 kHz moves into the band; and how fast loudness and pitch change.  So
much sound tells a voice that is not low as well, which three seconds do not.

This suffices for a suspicion that speech plays low and slow, never for an error.  At which rate it
was made cannot be decided: a man at 16 kHz and a woman at 24 kHz sound alike, and so do a slow
speaker at 12 kHz and a fast one at 22.05 kHz.  So all usual rates are candidates, and the objection
holds the sound, from which a listener can decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.errors import Objection

SHORTEST_SPEECH_BYTES = 24000
"""Three seconds as Twilio plays them; the rate of shorter sound is not measured."""

MORE_SPEECH_BYTES = 40000
"""Five seconds: from here on, more features are measured, for which three do not suffice."""

CANDIDATE_RATES = (11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"""The rates in Hz at which speech is usually made, besides 8000."""

_PIECE, _PIECE_STEP = 320, 80
"""The window for loudness and spectrum, and the distance of two of them: 40 and 10 ms."""

_SHORT_LAGS = slice(20, 230)
"""The periods in samples that make a window voiced: from 35 to 400 Hz."""

_IS_VOICED = 0.6

_FEWEST_VOICED = 40

_DECIMATION = 4
"""Low pitch needs long windows, but few samples: it is measured at 2000 Hz."""

_LONG_PIECE, _LONG_PIECE_STEP = 240, 20
"""The window for pitch, and the distance of two of them, in samples at 2000 Hz: 120 and 10 ms."""

_LONG_LAGS = slice(5, 125)
"""The periods in which pitch is searched, in samples at 2000 Hz: from 16 to 400 Hz."""

_IS_LOW_VOICED = 0.5

_FEWEST_LOW_VOICED = 6

_HIGHEST_PITCH, _HIGHEST_LOW_PITCH = 80.0, 88.0
"""In Hz, as it is heard, in short and in long windows: above it nothing is suspected."""

_LOWEST_VOICES = (60.0, 66.0)
"""In Hz: hardly anybody speaks below 60, so less evidence is needed there."""

_AT_A_TIME = 40
"""How many windows are measured in one step."""

_BANDS, _BAND_BINS = 32, 16
"""The bands of 125 Hz, whose loudness is the spectrum, and the bins of each."""

_EDGES = (0, 250, 500, 1000, 1700, 2500, 3400)
"""Where the bands begin, in Hz, whose movement measures the speed of articulation."""

_LOUDEST_SILENCE = 1e4
"""How far silence lies below the loud windows, in power: 40 dB; what is quieter counts the same."""

_APART = 4
"""The distance of the windows of which the movement is measured, in windows: 40 ms."""

_MOST_CHANGE_ABOVE = 2.0
"""The most change of the highest 500 Hz while there is a voice: in music they change more."""

_IS_UNVOICED, _FEWEST_UNVOICED = 0.45, 6
"""The clarity below which a loud window is friction, and the fewest of them to have a spectrum."""

_LONGEST_GLIDE = 0.2
"""The most change of a period in 40 ms, a logarithm: what changes more is an error of an octave."""

_MODULATION_WINDOWS, _MODULATION_STEP = 256, 64
"""How much of the loudness is transformed at once, and the distance, in windows of 10 ms."""

_MODULATION_EDGES = (0.3, 1, 1.6, 2.5, 4, 6.3, 10, 16, 25)
"""The bands, in Hz, of the changes of loudness: syllables come some four times a second."""

_IS_SLOW = (3.90, -5.07, -6.07)
"""A logistic regression over 1, the logarithm of pitch in 100 Hz, and the movement of the bands."""

_HAS_CLOSE_FORMANTS = (-2.33, -1.584)
"""A logistic regression over 1, the logarithm of pitch in 100 Hz, and the two lists below."""

_OF_CEPSTRUM = (
    *(-0.854, 1.22, 0.092, -1.024, 1.087, 0.483, 0.781, -0.905, -0.089, -0.091, 0.724, -0.006),
    *(-0.898, 0.695, 0.293, -0.377, 0.068, 0.155, 0.209, 0.108, 0.766, 0.059, -1.28, -0.657),
)
"""Its factors of the variance of each cepstral coefficient, from the coarsest to the finest."""

_OF_BANDS = (3.578, -0.509, 0.757, -0.579, -0.883, -0.703, -0.899, -1.473)
"""Its factors of the change of each 500 Hz."""

_LEAST_SLOW, _LEAST_CLOSE = 2.0, (1.0, 3.1)
"""The values of the two regressions, in logits, from which a rate is suspected; the second grows
from one to the other between `_LOWEST_VOICES`.

They were fitted to 139 speakers, human and synthetic, at the right rate and at eight others, with
music among what is right, and cross-validated by speakers (benchmarks/README.md).  They are no
probabilities that could be stated: most calls have the right rate, and how many is not known.
"""

_PLAYS_SLOWLY = (
    -6.497,  # 1
    *(0.566, -2.243),  # the logarithm of pitch in 100 Hz, in short and long windows
    *(-0.966, -0.572),  # the logarithms of the range and of the change of pitch
    *(-2.089, 4.161, -7.679, 1.144, -2.437, 1.548),  # the movement of each band below 3400 Hz
    # The two lines are of the variances of the cepstral coefficients.
    *(-0.822, 1.524, -0.801, -1.904, 2.003, 0.563, 0.067, -0.517, -0.775, 0.562, 0.65, -0.447),
    *(-0.176, -0.166, 0.708, -0.023, 0.004, -0.546, 0.925, -0.51, 0.263, 0.179, 0.112, 0.579),
    *(3.222, 0.852, 1.603, -1.5, -1.81, 1.111, 0.933, -1.358),  # the change of each 500 Hz
    *(0.023, -0.625, 0.442, 0.537, -0.26, -0.514, 0.36, 0.313),  # the spectrum of friction
    *(0.447, -0.773, 0.306, 0.229, 0.475, 0.197, -0.256, -0.842),  # the spectrum of the voice
    *(0.131, 0.362, -0.135, 0.304, -0.707, -1.051, -0.111, 0.458),  # the modulation of loudness
)
"""A logistic regression for `MORE_SPEECH_BYTES` and more."""

_HIGHEST_PITCH_IN_MORE = 150.0
"""In Hz, as it is heard: few voices are so high that they would be above it when slowed down."""

_LEAST_SLOW_IN_MORE = 5.2
"""Its least value, in logits.

Both were fitted to 540 speakers, human and synthetic, in windows of 3 to 10 s with music, tones and
noise among what is right, through several tones of a line and in noise; cross-validation, with
languages and people left out, gave a least value of 3.4.  It was raised because people who speak
single words, at the right rate, reached 4.4, and one 6.5 (benchmarks/README.md).
benchmarks/rate_fit.py fits the factors again.
"""


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
    """Do the same as `suspect_rate` in steps of less than 1 ms; the last yield is the result."""
    if len(payload) < SHORTEST_SPEECH_BYTES:
        yield None
        return
    speech, measured = yield from _describe_in_steps(payload)
    if speech is None:
        is_slow = False
    elif len(payload) < MORE_SPEECH_BYTES:
        is_slow = _plays_slowly(speech)
    else:
        yield None
        features = _list_features(speech, measured)
        is_slow = speech.pitch < _HIGHEST_PITCH_IN_MORE and (
            float(features @ np.array(_PLAYS_SLOWLY)) > _LEAST_SLOW_IN_MORE
        )
    yield SuspectedRate(payload[:SHORTEST_SPEECH_BYTES]) if is_slow else None


def list_features(payload: bytes) -> NDArray[np.float64] | None:
    """Return the features by which five seconds or more are decided.

    Args:
        payload: Joined payloads; what is shorter than three seconds has no features.

    Returns:
        The features in a fixed order, of which the first is 1; None if the sound is not speech.
    """
    if len(payload) < SHORTEST_SPEECH_BYTES:
        return None
    steps = _describe_in_steps(payload)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            speech, measured = end.value
            return None if speech is None else _list_features(speech, measured)


@dataclass(frozen=True, slots=True)
class SuspectedRate:
    """A suspicion that speech was sent at a higher sample rate than 8000 Hz.

    Attributes:
        payload: The first three seconds of the sound in which it was found.
    """

    payload: bytes

    def to_objection(self, field: str = "media.payload") -> Objection:
        """Return a warning, never an error: a deep slow voice sounds the same."""
        *others, last = map(str, CANDIDATE_RATES)
        return Objection(
            None,
            field,
            "sounds like speech that plays slow and low: made at a higher sample rate, and not"
            " resampled to 8000 Hz",
            "If so, the caller hears a voice too deep and too slow, by the ratio of the rates; only"
            " a very deep and slow voice sounds like this at the right rate",
            f"The rate cannot be decided from the sound: it may be {', '.join(others)} or {last}"
            " Hz. Look it up where the sound comes from (the documentation of its source, or"
            " kit.inspect_wav(path)), or hear what each would be: kit.load_clip(objection.sound,"
            " sample_rate=rate, encoding='PCMU') for each rate of objection.sample_rates. Then"
            " send kit.Clip.from_samples(samples, rate).payload; sound that comes in pieces goes"
            " through one kit.Resampler(rate)",
            "warning",
            sound=self.payload,
            sample_rates=CANDIDATE_RATES,
        )


class _Measured(NamedTuple):
    power: NDArray[Any]  # of each window
    clarity: NDArray[Any]  # how periodic it is, 0 to 1
    lag: NDArray[Any]  # the shortest good period, in samples
    bands: NDArray[Any]  # between _EDGES, powers of ten
    spectrum: NDArray[Any]  # of 32 equal bands, a logarithm


class _Periods(NamedTuple):
    power: NDArray[Any]
    clarity: NDArray[Any]
    lag: NDArray[Any]  # in samples at 2000 Hz


class _SpeechFeatures(NamedTuple):
    pitch: float  # the median in Hz, in short windows
    low_pitch: float  # the same in long windows
    movement: NDArray[Any]  # of the loudness of each band in 40 ms, powers of ten
    variances: NDArray[Any]  # of each cepstral coefficient, logarithms in relation to their mean
    changes: NDArray[Any]  # the standard deviation of each 500 Hz, a logarithm


def _describe_in_steps(
    payload: bytes,
) -> Generator[None, None, tuple[_SpeechFeatures | None, _Measured]]:
    """Measure all of the sound in steps; return its features, and what they were taken from."""
    samples = decode_ulaw(payload).astype(np.float32)
    measured = _Measured(*(yield from _measure_all(samples, _PIECE, _PIECE_STEP, _measure)))
    low = samples[: len(samples) // _DECIMATION * _DECIMATION].reshape(-1, _DECIMATION)
    periods = yield from _measure_all(
        low.mean(axis=1), _LONG_PIECE, _LONG_PIECE_STEP, _measure_periods
    )
    yield None
    return _describe_speech(measured, _Periods(*periods)), measured


def _measure_all(
    samples: NDArray[np.float32],
    size: int,
    step: int,
    measure: Callable[[NDArray[np.float32]], tuple[NDArray[Any], ...]],
) -> Generator[None, None, tuple[NDArray[Any], ...]]:
    """Measure all windows, some in each step; return the joined results."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::step]
    measured = []
    for at in range(0, len(windows), _AT_A_TIME):
        measured.append(measure(windows[at : at + _AT_A_TIME]))
        yield None
    return tuple(np.concatenate(each) for each in zip(*measured, strict=True))


def _measure(windows: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """Measure windows of shape ``(n, _PIECE)``."""
    spectra = np.abs(np.fft.rfft(windows * _make_window(_PIECE), 1024)) ** 2
    clarity, lag = _find_periods(spectra, _PIECE, _SHORT_LAGS, 0.92)
    bands = np.log10(np.add.reduceat(spectra, _find_band_starts(), axis=1) / 2 + 100)
    equal = spectra[:, : _BANDS * _BAND_BINS].reshape(len(spectra), _BANDS, _BAND_BINS)
    # The constant is the noise of a quiet line: what is below it does not count as a change.
    return spectra.sum(axis=1) + 1, clarity, lag, bands, np.log(equal.mean(axis=2) + 200)


def _measure_periods(windows: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    """Measure windows of shape ``(n, _LONG_PIECE)``."""
    spectra = np.abs(np.fft.rfft(windows * _make_window(_LONG_PIECE), 512)) ** 2
    return spectra.sum(axis=1), *_find_periods(spectra, _LONG_PIECE, _LONG_LAGS, 0.85)


def _find_periods(
    spectra: NDArray[np.float32], size: int, lags: slice, good: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each window how periodic it is, 0 to 1, and its shortest good period."""
    correlation = np.fft.irfft(spectra)[:, : lags.stop]
    correlation = correlation / (correlation[:, :1] + 1) / _correlate_window(size, lags.stop)
    inside = correlation[:, lags]
    clarity = inside.max(axis=1)
    # Multiples of a period are periods too: take the shortest of the good ones.
    return clarity, (inside >= good * clarity[:, None]).argmax(axis=1) + lags.start


@cache
def _make_window(size: int) -> NDArray[np.float32]:
    return np.hanning(size).astype(np.float32)


@cache
def _correlate_window(size: int, stop: int) -> NDArray[np.float64]:
    correlation = np.fft.irfft(np.abs(np.fft.rfft(_make_window(size), 4 * stop + size)) ** 2)
    shares: NDArray[np.float64] = correlation[:stop] / correlation[0]
    return shares


@cache
def _find_band_starts() -> NDArray[np.int64]:
    """Return the index in a spectrum at which each band begins."""
    return np.searchsorted(np.fft.rfftfreq(1024, 1 / 8000), _EDGES)


@cache
def _make_cosines() -> NDArray[np.float64]:
    """Return the cosines that make cepstral coefficients of a spectrum in equal bands."""
    order = np.arange(1, len(_OF_CEPSTRUM) + 1)
    return np.cos(np.pi * (np.arange(_BANDS)[:, None] + 0.5) * order / _BANDS)


def _describe_speech(measured: _Measured, periods: _Periods) -> _SpeechFeatures | None:
    """Return the features of speech, or None if the sound is not speech."""
    power, clarity, lag, bands, spectrum = measured
    reference = np.percentile(power, 95)
    is_loud = power > reference * 10**-2.5
    is_voiced = is_loud & (clarity > _IS_VOICED)
    if is_voiced.sum() < _FEWEST_VOICED or not _is_like_speech(power, reference, is_voiced):
        return None
    is_low_loud = periods.power > np.percentile(periods.power, 95) / 100
    is_low_voiced = is_low_loud & (periods.clarity > _IS_LOW_VOICED)
    both_loud = is_loud[_APART:] & is_loud[:-_APART]
    if is_low_voiced.sum() < _FEWEST_LOW_VOICED or not both_loud.any():
        return None
    # Not a matrix product, because the overhead of the threads of a BLAS exceeds its benefit here.
    cepstra = np.einsum("ij,jk->ik", spectrum[is_voiced], _make_cosines())
    variances = np.log(cepstra.var(axis=0) + 1e-9)
    return _SpeechFeatures(
        8000 / float(np.median(lag[is_voiced])),
        8000 / _DECIMATION / float(np.median(periods.lag[is_low_voiced])),
        np.abs(bands[_APART:] - bands[:-_APART])[both_loud].mean(axis=0),
        variances - variances.mean(),
        spectrum[is_voiced].std(axis=0).reshape(len(_OF_BANDS), -1).mean(axis=1),
    )


def _is_like_speech(
    power: NDArray[Any], reference: np.floating[Any], is_voiced: NDArray[np.bool_]
) -> bool:
    """Whether sound and near silence, voiced and unvoiced sound alternate as in speech."""
    quiet = float((power < reference / 100).mean())
    # Digital silence is no quieter than the noise of a line.
    unsteady = float(np.std(np.log10(np.maximum(power, reference / _LOUDEST_SILENCE))))
    return 0.08 < quiet < 0.65 and unsteady > 0.6 and 0.22 < is_voiced.mean() < 0.85


def _plays_slowly(speech: _SpeechFeatures) -> bool:
    """Whether pitch, speed and formants are those of speech that plays too slowly."""
    if speech.pitch > _HIGHEST_PITCH or speech.low_pitch > _HIGHEST_LOW_PITCH:
        return False
    if speech.changes[-1] > _MOST_CHANGE_ABOVE:
        return False
    constant, pitch, movement = _IS_SLOW
    slow = (
        constant + pitch * math.log(speech.pitch / 100) + movement * float(speech.movement.mean())
    )
    constant, pitch = _HAS_CLOSE_FORMANTS
    close = constant + pitch * math.log(speech.low_pitch / 100)
    close += float(speech.variances @ np.array(_OF_CEPSTRUM))
    close += float(speech.changes @ np.array(_OF_BANDS))
    least = np.interp(speech.pitch, _LOWEST_VOICES, _LEAST_CLOSE)
    return bool(slow > _LEAST_SLOW and close > least)


def _list_features(speech: _SpeechFeatures, measured: _Measured) -> NDArray[np.float64]:
    """Return the features of five seconds or more, in the order of `_PLAYS_SLOWLY`."""
    power, clarity, lag, _, spectrum = measured
    reference = np.percentile(power, 95)
    is_loud = power > reference * 10**-2.5
    is_voiced, is_unvoiced = is_loud & (clarity > _IS_VOICED), is_loud & (clarity < _IS_UNVOICED)
    periods = np.log(lag)
    both = is_voiced[_APART:] & is_voiced[:-_APART]
    changes = np.abs(periods[_APART:] - periods[:-_APART])[both]
    changes = changes[changes < _LONGEST_GLIDE]
    low, high = np.percentile(periods[is_voiced], (15, 85))
    voice = _average_spectrum(spectrum[is_voiced])
    has_friction = is_unvoiced.sum() >= _FEWEST_UNVOICED
    return np.concatenate(
        [
            [1.0, math.log(speech.pitch / 100), math.log(speech.low_pitch / 100)],
            [math.log(high - low + 0.02), math.log((changes.mean() if len(changes) else 0) + 5e-3)],
            speech.movement[:-1],  # a line may end at 3400 Hz
            speech.variances,
            speech.changes,
            _average_spectrum(spectrum[is_unvoiced]) if has_friction else voice,
            voice,
            _measure_modulation(np.log10(np.maximum(power, reference / _LOUDEST_SILENCE))),
        ]
    )


def _average_spectrum(spectra: NDArray[Any]) -> NDArray[Any]:
    """Return the mean loudness of each 500 Hz in relation to all."""
    levels = spectra.mean(axis=0).reshape(len(_OF_BANDS), -1).mean(axis=1)
    spectrum: NDArray[Any] = levels - levels.mean()
    return spectrum


def _measure_modulation(loudness: NDArray[Any]) -> NDArray[Any]:
    """Return how much of the changes of loudness is in each band, logarithms around 0."""
    pieces = np.lib.stride_tricks.sliding_window_view(
        loudness - loudness.mean(), _MODULATION_WINDOWS
    )[::_MODULATION_STEP]
    spectra = np.abs(np.fft.rfft(pieces * np.hanning(_MODULATION_WINDOWS))) ** 2
    frequencies = np.fft.rfftfreq(_MODULATION_WINDOWS, _PIECE_STEP / 8000)
    edges = np.searchsorted(frequencies, _MODULATION_EDGES)
    power = spectra.mean(axis=0)
    levels = np.log([power[a:b].mean() + 1e-6 for a, b in pairwise(edges)])
    modulation: NDArray[Any] = levels - levels.mean()
    return modulation
