"""Recognise the coding of sound that is sent as PCMU (PROTOCOL.md §4, §9).

Sound is smooth, so each sample can be predicted roughly from the two before it.
Decoded in the wrong coding it is not smooth; this holds for speech, music and noise.  So the bytes
are decoded in each coding, each sample is predicted from the two before it, and the coding whose
prediction error takes the fewest bits is the right one.  The bits are counted per byte, so that
codings of one, two, three and four bytes can be compared.  Numbers of which the bytes themselves
show the format are recognised before by `recognise_numbers`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_alaw, decode_ulaw
from twistream_kit.diagnosis._number_format import (
    UNDECIDED,
    NumberFormat,
    has_unlike_halves,
    is_periodic,
    recognise_numbers,
)
from twistream_kit.diagnosis.payload import SHORTEST_BYTES
from twistream_kit.errors import Objection, Severity

Coding = Literal[
    "PCM16 little-endian",
    "PCM16 big-endian",
    "PCM8 unsigned",
    "A-law",
    "PCM24 little-endian",
    "float32 little-endian",
    "float16 little-endian",
    "float16 big-endian",
    "int8",
]
"""The codings that can be recognised by their smoothness."""

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

_FLOAT16_TYPES: dict[Coding, str] = {"float16 little-endian": "<f2", "float16 big-endian": ">f2"}

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

_SIZES: dict[str, int] = {
    "PCM16 little-endian": 2,
    "PCM16 big-endian": 2,
    "float16 little-endian": 2,
    "float16 big-endian": 2,
    "PCM24 little-endian": 3,
    "float32 little-endian": 4,
}
"""The size of a sample in bytes, where it is not 1."""

_CONFIDENCE_BY_BYTES = 0.999

_SMOOTH_SHARES: dict[str, float] = {"A-law": 0.785, "PCM8 unsigned": 0.52}
"""The share of the bits as PCMU below which a coding of 8 bits explains the sound.

In the tuning half, speech takes up to 0.76 as A-law and 0.29 as PCM8; bytes of μ-law that were
encoded again take 0.81 or more as A-law, and 0.54 or more as PCM8.
"""

_LOAD = "Send kit.load_clip(sound, sample_rate=…, encoding={!r}).payload"

_FROM_BUFFER = (
    "Send kit.Clip.from_samples(np.frombuffer(sound, '{}').astype(np.{}){}, sample_rate).payload"
)

_NOISE = "The caller hears loud noise in the rhythm of the sound, drawn out to {} its length"

_HEARD: dict[str, str] = {
    "PCM16 little-endian": _NOISE.format("twice"),
    "PCM16 big-endian": _NOISE.format("twice"),
    "PCM8 unsigned": (
        "The caller hears the sound crushed to a loud crackle, loudest where it should be silent"
    ),
    "A-law": "The caller hears the words, but harsh, and a loud buzz in every pause",
    "PCM24 little-endian": _NOISE.format("three times"),
    "float32 little-endian": _NOISE.format("four times"),
    "float16 little-endian": _NOISE.format("twice"),
    "float16 big-endian": _NOISE.format("twice"),
    "int8": "The caller hears the sound crushed to a loud crackle",
}
"""What the caller hears for each coding; the lengths are those of sound at 8000 Hz."""

_FIXES: dict[str, str] = {
    "PCM16 little-endian": (
        "Send kit.Clip.from_samples(samples, sample_rate).payload; sound that arrives in pieces"
        " goes through one kit.Resampler(sample_rate), then kit.encode_ulaw(samples)"
    ),
    "PCM16 big-endian": _LOAD.format("PCM_S16BE"),
    "PCM8 unsigned": _LOAD.format("PCM_U8"),
    "A-law": f"{_LOAD.format('PCMA')}, or ask the source for μ-law instead of A-law",
    "PCM24 little-endian": _LOAD.format("PCM_S24LE"),
    "float32 little-endian": "Send kit.Clip.from_samples(samples, sample_rate).payload",
    "float16 little-endian": _FROM_BUFFER.format("<f2", "float32", ""),
    "float16 big-endian": _FROM_BUFFER.format(">f2", "float32", ""),
    "int8": _FROM_BUFFER.format("i1", "int16", " * 256"),
}
"""The fix for each coding."""


def recognise_coding(payload: bytes, whole: bytes = b"") -> RecognisedCoding | None:
    """Recognise the coding of sound that is sent as PCMU.

    Args:
        payload: At least half a second of joined payloads, 8000 bytes a second; 1 s is best, cut
            where a payload begins.
        whole: More of the same sound, in which the format of numbers is looked for: of floats of
            8 bytes, a second of payload holds an eighth of a second.

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
    numbers = recognise_numbers(np.frombuffer(whole or payload, np.uint8))
    if numbers is UNDECIDED:
        return None
    if numbers is not None and numbers.name != "float32 little-endian":
        return RecognisedCoding(numbers.name, _CONFIDENCE_BY_BYTES, numbers=numbers)
    pcmu, *others = _try_each_coding(codes)
    best = min(others, key=lambda reading: reading.bits)
    if _is_larger(codes, best):
        # One channel may be silent so far; no other coding is better than a guess.
        same = [each for each in others if each.coding == best.coding and each.channels == 2]
        if not same or _is_larger(codes, same[0]):
            return None
        best = same[0]
    confidence = 1 / (1 + math.exp(-_STEEPNESS * (pcmu.bits - best.bits - _HALF_SURE)))
    if confidence < _REPORTED_CODING or best.coding == "PCMU" or _repeats(codes.reshape(-1)):
        return None
    is_smooth = best.bits < _SMOOTH_SHARES.get(best.coding, 1.0) * pcmu.bits
    return RecognisedCoding(best.coding, confidence, best.channels, best.bits, is_smooth)


@dataclass(frozen=True, slots=True)
class RecognisedCoding:
    """The coding of sound that is sent as PCMU but is not PCMU.

    Attributes:
        coding: The recognised coding, a `Coding` or the name of `numbers`.
        confidence: The confidence, 0.8 to 1.
        channels: 2 if the samples of left and right alternate, else 1.
        bits: The bits of prediction error per byte in this coding; the fewer, the smoother.
        is_smooth: Whether they are so much fewer than as PCMU that this coding explains the sound;
            what was damaged before it was encoded is just a little smoother in another coding.
        numbers: The format of the numbers, if their bytes show it.
    """

    coding: str
    confidence: float
    channels: int = 1
    bits: float = 0.0
    is_smooth: bool = True
    numbers: NumberFormat | None = None

    def to_objection(self, field: str = "media.payload") -> Objection:
        """Return an objection: an error if the confidence is high, else a warning.

        Only a high confidence is stated in percent; a lower one is not calibrated
        (benchmarks/README.md).
        """
        what = f"{self.coding}, stereo" if self.channels == 2 else self.coding
        is_certain = self.confidence >= _CERTAIN_CODING
        severity: Severity = "error" if is_certain else "warning"
        return Objection(
            None,
            field,
            f"is {what}, not PCMU" if is_certain else f"is probably {what}, not PCMU",
            self.numbers.heard if self.numbers else _HEARD[self.coding],
            self.numbers.fix if self.numbers else _FIXES[self.coding],
            severity,
            self.confidence if is_certain else None,
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    coding: Coding | Literal["PCMU"]
    channels: int
    bits: float  # a byte


def _is_larger(codes: NDArray[np.uint8], reading: _Reading) -> bool:
    """Whether the bytes are of numbers that are larger than those of `reading`."""
    return is_periodic(codes.reshape(-1), _SIZES.get(reading.coding, 1) * reading.channels)


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
    yield _Reading("int8", 1, _count_bits_a_byte(codes.view(np.int8).astype(np.float32), full=128))
    # If all are equal, as for digital silence, the first is taken: it is the most usual.
    for coding, dtype in _PCM16_TYPES.items():
        for channels in (1, 2):
            yield _Reading(coding, channels, _count_pcm16_bits(codes, dtype, channels))
    yield _Reading(
        "PCM24 little-endian", 1, _count_bits_a_byte(_decode_pcm24(codes), full=2**23, size=3)
    )
    yield _Reading("float32 little-endian", 1, _count_float32_bits(codes))
    for coding, dtype in _FLOAT16_TYPES.items():
        yield _Reading(coding, 1, _count_float16_bits(codes.view(dtype), codes))


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


def _count_float16_bits(samples: NDArray[np.float16], codes: NDArray[np.uint8]) -> float:
    if not has_unlike_halves(codes.reshape(-1)):
        return math.inf
    with np.errstate(invalid="ignore"):
        wide = samples.astype(np.float32)
        # Half of all pairs of bytes are larger than 1.
        is_sound = np.abs(wide) <= 1
    if np.mean(is_sound) < _SHARE_OF_FLOATS or np.unique(wide).size < _FEWEST_CODES_OF_FLOATS:
        return math.inf
    return _count_bits_a_byte(np.where(is_sound, wide, np.float32(0)) * np.float32(2**15), size=2)


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
