"""Recognise the coding and the sample rate of sound that is sent as PCMU (PROTOCOL.md §4, §9).

The coding: sound is smooth, so each sample can be predicted roughly from the two before it.
Decoded in the wrong coding it is not smooth; this holds for speech, music and noise.  So the bytes
are decoded in each coding, each sample is predicted from the two before it, and the coding whose
prediction error takes the fewest bits is the right one.  The bits are counted per byte, so that
codings of one, two, three and four bytes can be compared.

The rate: speech at 16 or 24 kHz that was encoded as μ-law without resampling is valid μ-law, but
plays low and slow.  This cannot be proved; but few people have a voice that is both that low and
that slow.  So pitch and speed are measured, and the result is a suspicion, never an error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_alaw, decode_ulaw
from twistream_kit.diagnosis.payload import SHORTEST_BYTES
from twistream_kit.errors import Objection, Severity

Coding = Literal[
    "PCM16 little-endian",
    "PCM16 big-endian",
    "PCM8 unsigned",
    "A-law",
    "PCM24 little-endian",
    "float32 little-endian",
]
"""The codings that can be recognised."""

Block = NDArray[np.float32]

BLOCK = 240
"""The block size in bytes, for one pair of prediction factors: 30 ms, a multiple of 2, 3 and 4."""

_FEWEST_CODES = 3
"""The least number of different codes: silence and square waves have fewer, and 8-bit sound at
-40 dBFS has just as many."""

_LONGEST_PERIOD = 16

_SHIFTED = 0.1
"""The penalty, in bits per sample, for the assumption that sound begins within a sample."""

_STEREO = 0.6
"""The penalty, in bits per sample, for the assumption of stereo sound."""

_OFFSET = 4.0
"""The penalty, in bits per byte, for an offset (DC) of full scale: real sound has none."""

_PCM16_TYPES: dict[Coding, str] = {"PCM16 little-endian": "<i2", "PCM16 big-endian": ">i2"}

_LOUDEST_FLOAT = 8.0

_SOFTEST_FLOAT = 1e-9

_SHARE_OF_FLOATS = 0.98

_FEWEST_CODES_OF_FLOATS = 32

_HALF_SURE, _STEEPNESS = 0.35, 6.0
"""The logistic function of confidence, over the bits per byte by which another coding is better.

In the tuning half of the labelled set, correct PCMU stays below 0.15, and all windows of wrong
codings in speech and music lie above 0.6, except the digital silence between words.
"""

_REPORTED_CODING, _CERTAIN_CODING = 0.8, 0.99
"""The confidence from which a coding is reported, and from which it is reported as an error."""

_SMOOTH_SHARES: dict[str, float] = {"A-law": 0.785, "PCM8 unsigned": 0.52}
"""The share of the bits as PCMU below which a coding of 8 bits explains the sound.

In the tuning half, speech takes up to 0.76 as A-law and 0.29 as PCM8; bytes of μ-law that were
encoded again take 0.81 or more as A-law, and 0.54 or more as PCM8.
"""

_LOAD = "Send kit.load_clip(sound, sample_rate=…, encoding={!r}).payload"

_NOISE = "The caller hears loud noise in the rhythm of the sound, drawn out to {} its length"

_HEARD = {
    "PCM16 little-endian": _NOISE.format("twice"),
    "PCM16 big-endian": _NOISE.format("twice"),
    "PCM8 unsigned": (
        "The caller hears the sound crushed to a loud crackle, loudest where it should be silent"
    ),
    "A-law": "The caller hears the words, but harsh, and a loud buzz in every pause",
    "PCM24 little-endian": _NOISE.format("three times"),
    "float32 little-endian": _NOISE.format("four times"),
}
"""What the caller hears for each coding; the lengths are those of sound at 8000 Hz."""

_FIXES = {
    "PCM16 little-endian": (
        "Send kit.Clip.from_samples(samples, sample_rate).payload; sound that arrives in pieces"
        " goes through one kit.Resampler(sample_rate), then kit.encode_ulaw(samples)"
    ),
    "PCM16 big-endian": _LOAD.format("PCM_S16BE"),
    "PCM8 unsigned": _LOAD.format("PCM_U8"),
    "A-law": f"{_LOAD.format('PCMA')}, or ask the source for μ-law instead of A-law",
    "PCM24 little-endian": _LOAD.format("PCM_S24LE"),
    "float32 little-endian": "Send kit.Clip.from_samples(samples, sample_rate).payload",
}
"""The fix for each coding."""

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


def recognise_coding(payload: bytes) -> RecognisedCoding | None:
    """Recognise the coding of sound that is sent as PCMU.

    Args:
        payload: At least half a second of joined payloads, 8000 bytes a second; 1 s is best, cut
            where a payload begins.

    Returns:
        The coding, or None if it is PCMU, too short, or not recognisable: silence of one byte,
        square waves and tones that repeat exactly look the same in several codings.  `look_inside`
        finds the bytes of silence that are not silence in PCMU.
    """
    if len(payload) < SHORTEST_BYTES:
        return None
    codes = np.frombuffer(payload, np.uint8, len(payload) // BLOCK * BLOCK).reshape(-1, BLOCK)
    if _count_codes(codes) < _FEWEST_CODES:
        return None
    pcmu, *others = _try_each_coding(codes)
    best = min(others, key=lambda reading: reading.bits)
    confidence = 1 / (1 + math.exp(-_STEEPNESS * (pcmu.bits - best.bits - _HALF_SURE)))
    if confidence < _REPORTED_CODING or best.coding == "PCMU" or _repeats(codes.reshape(-1)):
        return None
    is_smooth = best.bits < _SMOOTH_SHARES.get(best.coding, 1.0) * pcmu.bits
    return RecognisedCoding(best.coding, confidence, best.channels, best.bits, is_smooth)


@dataclass(frozen=True, slots=True)
class RecognisedCoding:
    """The coding of sound that is sent as PCMU but is not PCMU.

    Attributes:
        coding: The recognised coding.
        confidence: The confidence, 0.8 to 1.
        channels: 2 if the samples of left and right alternate, else 1.
        bits: The bits of prediction error per byte in this coding; the fewer, the smoother.
        is_smooth: Whether they are so much fewer than as PCMU that this coding explains the sound;
            what was damaged before it was encoded is just a little smoother in another coding.
    """

    coding: Coding
    confidence: float
    channels: int = 1
    bits: float = 0.0
    is_smooth: bool = True

    def to_objection(self, field: str = "media.payload") -> Objection:
        """Return an objection: an error if the confidence is high, else a warning."""
        what = f"{self.coding}, stereo" if self.channels == 2 else self.coding
        severity: Severity = "error" if self.confidence >= _CERTAIN_CODING else "warning"
        return Objection(
            None,
            field,
            f"is {what}, not PCMU",
            _HEARD[self.coding],
            _FIXES[self.coding],
            severity,
            self.confidence,
        )


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


@dataclass(frozen=True, slots=True)
class _Reading:
    coding: Coding | Literal["PCMU"]
    channels: int
    bits: float  # a byte


def _count_codes(codes: NDArray[np.uint8]) -> int:
    """Return the number of different codes."""
    return int(np.count_nonzero(np.bincount(codes.reshape(-1))))


def _repeats(codes: NDArray[np.uint8]) -> bool:
    """Whether the bytes repeat periodically, which is predictable in every coding.

    A tone at 500 Hz has the same 16 samples in each period.  Silence of one byte does not count.
    """

    def share(period: int) -> float:
        return float(np.mean(codes[period:] == codes[:-period]))

    return share(1) < 0.5 and any(share(period) > 0.9 for period in range(2, _LONGEST_PERIOD + 1))


def _try_each_coding(codes: NDArray[np.uint8]) -> Iterator[_Reading]:
    """Decode `codes`, shape ``(blocks, BLOCK)``, in every coding; PCMU comes first."""
    for law, (samples, steps) in make_tables().items():
        yield _Reading(law, 1, _count_bits_a_byte(samples[codes], steps[codes]))
    yield _Reading("PCM8 unsigned", 1, _count_bits_a_byte(codes.astype(np.float32) - 128, full=128))
    # If all are equal, as for digital silence, the first is taken: it is the most usual.
    for coding, dtype in _PCM16_TYPES.items():
        for channels in (1, 2):
            yield _Reading(coding, channels, _count_pcm16_bits(codes, dtype, channels))
    yield _Reading(
        "PCM24 little-endian", 1, _count_bits_a_byte(_decode_pcm24(codes), full=2**23, size=3)
    )
    yield _Reading("float32 little-endian", 1, _count_float32_bits(codes))


def _count_pcm16_bits(codes: NDArray[np.uint8], dtype: str, channels: int) -> float:
    # A piece of odd length shifts the following ones by a byte, so try both alignments.
    shifted = np.roll(codes.reshape(-1), -1).reshape(codes.shape)
    here, there = (count_bits(part.view(dtype), 1.0, channels) for part in (codes, shifted))
    bits = float(np.minimum(here, there + _SHIFTED).mean()) + (_STEREO if channels == 2 else 0.0)
    return bits / 2 + _compute_offset_cost(codes.view(dtype), 2**15)


def _decode_pcm24(codes: NDArray[np.uint8]) -> Block:
    low, middle = codes[:, ::3].astype(np.float32), codes[:, 1::3].astype(np.float32)
    return codes[:, 2::3].astype(np.int8) * np.float32(65536) + middle * 256 + low


def _count_float32_bits(codes: NDArray[np.uint8]) -> float:
    if _count_codes(codes) < _FEWEST_CODES_OF_FLOATS:
        return math.inf
    samples = codes.view("<f4")
    size = np.abs(samples)
    # Other bytes, decoded as floats, are mostly far too loud, far too soft, or not numbers.
    is_sound = (size < _LOUDEST_FLOAT) & (size > _SOFTEST_FLOAT)
    sounding, silent = np.count_nonzero(is_sound), np.count_nonzero(size == 0)
    if sounding < size.size / 2 or sounding + silent < _SHARE_OF_FLOATS * size.size:
        return math.inf
    loud = np.where(is_sound, samples, np.float32(0)) * np.float32(2**23)
    return _count_bits_a_byte(loud, full=2**23, size=4)


def _count_bits_a_byte(
    samples: Block, steps: Block | float = 1.0, *, full: float = 2**15, size: int = 1
) -> float:
    """Return the bits per byte that `samples` of `size` bytes take in this coding."""
    return float(count_bits(samples, steps).mean()) / size + _compute_offset_cost(samples, full)


def _compute_offset_cost(samples: NDArray[Any], full: float) -> float:
    return _OFFSET * min(1.0, abs(float(samples.mean(dtype=np.float64))) / full)


def count_bits(samples: NDArray[Any], steps: Block | float, apart: int = 1) -> Block:
    """Return for each block the bits per sample of the prediction error.

    Args:
        samples: Shape ``(blocks, n)``, in any unit.
        steps: The distance of neighbouring codes, in that unit: a smaller error takes no bits.
        apart: The distance of a sample from the one before it: the number of channels.
    """
    error = find_prediction_errors(samples, apart)
    if not isinstance(steps, float):
        error /= steps[:, 2 * apart :]
    # The entropy of a Laplace distribution that is cut into steps; 0 for an error of 0.
    bits: Block = np.log2(1 + 2 * math.e * error.mean(axis=1))
    return bits


def find_prediction_errors(samples: NDArray[Any], apart: int = 1) -> Block:
    """Return the magnitude of each sample's error, predicted from the two before it.

    Args:
        samples: Shape ``(blocks, n)``; each block has its own two factors.
        apart: The distance of a sample from the one before it: the number of channels.

    Returns:
        The errors from the third sample of each block on, shape ``(blocks, n - 2 * apart)``.
    """
    samples = samples.astype(np.float32, copy=False)
    now = samples[:, 2 * apart :]
    last = samples[:, apart:-apart]
    before = samples[:, : -2 * apart]
    # Least squares with two factors, solved by Cramer's rule for all blocks at once.  A little
    # is added to the diagonal, so that silence and pure tones have a solution too.
    a, b, c = (
        _multiply_rows(last, last) * 1.0001 + 1,
        _multiply_rows(last, before),
        _multiply_rows(before, before) * 1.0001 + 1,
    )
    d, e = _multiply_rows(now, last), _multiply_rows(now, before)
    determinant = a * c - b * b
    first = ((d * c - e * b) / determinant)[:, None]
    second = ((e * a - d * b) / determinant)[:, None]
    errors: Block = np.abs(now - first * last - second * before)
    return errors


def _multiply_rows(a: Block, b: Block) -> NDArray[np.float64]:
    dot: NDArray[np.float64] = np.einsum("ij,ij->i", a, b).astype(np.float64)
    return dot


@cache
def make_tables() -> dict[Literal["PCMU", "A-law"], tuple[Block, Block]]:
    """Return for each code of both laws its sample and the distance to its neighbours."""
    return {"PCMU": _make_table(decode_ulaw), "A-law": _make_table(decode_alaw)}


def _make_table(decode: Callable[[bytes], NDArray[np.int16]]) -> tuple[Block, Block]:
    samples = decode(bytes(range(256))).astype(np.float32)
    order = np.argsort(samples, kind="stable")
    steps = np.empty_like(samples)
    steps[order] = np.gradient(samples[order])
    # The two zeros of μ-law lie on one another, but mean a step like their neighbours'.
    return samples, np.maximum(steps, np.float32(8))


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
