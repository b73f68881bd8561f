"""Which coding sound has that is sent as if it were PCMU (PROTOCOL.md §4).

Sound is smooth: two samples tell roughly what the third will be.  Read in the wrong coding it is
not, and that holds for speech, music and noise alike.  So the bytes are read in each coding, each
sample is predicted from the two before it, and the coding in which the error takes the fewest bits
is the right one.  The bits are counted per byte, so that codings of one, two, three and four bytes
can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.alaw import decode_alaw
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.diagnosis.coding_words import FIXES, HEARD
from twistream_kit.protocol.objection import Objection

Coding = Literal[
    "PCM16 little-endian",
    "PCM16 big-endian",
    "PCM8 unsigned",
    "A-law",
    "PCM24 little-endian",
    "float32 little-endian",
]
"""What sound can be recognised as."""

SHORTEST = 4000
"""Half a second of what Twilio plays; of less nothing is said."""

_BLOCK = 240
"""Bytes that are predicted with the same two factors: 30 ms, and a multiple of 2, 3 and 4."""

_HALF_SURE = 0.35
_STEEPNESS = 6.0
"""Bits a byte by which another coding is better, and how fast that convinces.

In the tuning half of the labelled set right PCMU stays below 0.15, and all windows of wrong codings
in speech and music lie above 0.6 but for the digital silence between words.
"""

_REPORTED = 0.8
_CERTAIN = 0.99

_SHIFTED = 0.1
"""What it costs, in bits a sample, to say that sound begins in the middle of a sample."""

_STEREO = 0.6
"""What it costs, in bits a sample, to say that left and right alternate."""

_LEANING = 4.0
"""What a constant part of full scale costs, in bits a byte: no sound has one."""

Block = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recognised:
    """A coding that is not PCMU.

    Attributes:
        coding: Which it is.
        confidence: How sure that is, 0.8 to 1.
        channels: 2 where the samples of left and right alternate, else 1.
    """

    coding: Coding
    confidence: float
    channels: int = 1

    def objection(self, field: str = "media.payload") -> Objection:
        """Say it as an objection: an error only where there is next to no doubt."""
        what = f"{self.coding}, stereo" if self.channels == 2 else self.coding
        severity: Literal["error", "warning"] = (
            "error" if self.confidence >= _CERTAIN else "warning"
        )
        return Objection(
            None,
            field,
            f"is {what}, not PCMU",
            HEARD[self.coding],
            FIXES[self.coding],
            severity,
            self.confidence,
        )


@dataclass(frozen=True, slots=True)
class _Reading:
    coding: Coding | Literal["PCMU"]
    channels: int
    bits: float  # a byte


def recognise_coding(payload: bytes) -> Recognised | None:
    """Say in which coding sound is that is sent as PCMU.

    Args:
        payload: Half a second or more of joined payload, 8000 bytes a second, best 1 s; it is
            best cut where a payload began.

    Returns:
        The coding, or None if it is PCMU, too short, or cannot be told: silence of one byte, square
        waves and tones that repeat exactly look the same in several codings.  For silence
        `look_inside` knows the bytes that are none in PCMU.
    """
    if len(payload) < SHORTEST:
        return None
    codes = np.frombuffer(payload, np.uint8, len(payload) // _BLOCK * _BLOCK).reshape(-1, _BLOCK)
    if _count(codes) < _FEWEST_CODES:
        return None
    pcmu, *others = _readings(codes)
    best = min(others, key=lambda reading: reading.bits)
    confidence = 1 / (1 + math.exp(-_STEEPNESS * (pcmu.bits - best.bits - _HALF_SURE)))
    if confidence < _REPORTED or best.coding == "PCMU" or _repeats(codes.reshape(-1)):
        return None
    return Recognised(best.coding, confidence, best.channels)


def _count(codes: NDArray[np.uint8]) -> int:
    """Return how many codes there are."""
    return int(np.count_nonzero(np.bincount(codes.reshape(-1))))


def _repeats(codes: NDArray[np.uint8]) -> bool:
    """Whether the same few bytes come again and again: that is predictable in every reading.

    A tone at 500 Hz has 16 samples a period, each time the same.  Silence of one byte is not meant.
    """

    def share(period: int) -> float:
        return float(np.mean(codes[period:] == codes[:-period]))

    return share(1) < 0.5 and any(share(period) > 0.9 for period in range(2, _LONGEST_PERIOD + 1))


_LONGEST_PERIOD = 16

_FEWEST_CODES = 3
"""Silence and square waves have fewer; 8-bit sound at -40 dBFS has no more."""


def _readings(codes: NDArray[np.uint8]) -> Iterator[_Reading]:
    """Read `codes`, shape ``(blocks, _BLOCK)``, in every coding; PCMU comes first."""
    for law, (samples, steps) in _tables().items():
        yield _Reading(law, 1, _unlikeliness(samples[codes], steps[codes]))
    yield _Reading("PCM8 unsigned", 1, _unlikeliness(codes.astype(np.float32) - 128, full=128))
    # Where it is all the same, as in digital silence, the first is taken: the most usual.
    for coding, dtype in _PCM16.items():
        for channels in (1, 2):
            yield _Reading(coding, channels, _pcm16(codes, dtype, channels))
    yield _Reading("PCM24 little-endian", 1, _unlikeliness(_pcm24(codes), full=2**23, size=3))
    yield _Reading("float32 little-endian", 1, _float32_bits(codes))


_PCM16: dict[Coding, str] = {"PCM16 little-endian": "<i2", "PCM16 big-endian": ">i2"}


def _pcm16(codes: NDArray[np.uint8], dtype: str, channels: int) -> float:
    # Pieces of odd length shift what follows by a byte, so each block may begin in either place.
    shifted = np.roll(codes.reshape(-1), -1).reshape(codes.shape)
    here, there = (_bits(part.view(dtype), 1.0, channels) for part in (codes, shifted))
    bits = float(np.minimum(here, there + _SHIFTED).mean()) + (_STEREO if channels == 2 else 0.0)
    return bits / 2 + _leaning(codes.view(dtype), 2**15)


def _pcm24(codes: NDArray[np.uint8]) -> Block:
    low, middle = codes[:, ::3].astype(np.float32), codes[:, 1::3].astype(np.float32)
    return codes[:, 2::3].astype(np.int8) * np.float32(65536) + middle * 256 + low


def _float32_bits(codes: NDArray[np.uint8]) -> float:
    if _count(codes) < _FEWEST_CODES_OF_FLOATS:
        return math.inf
    samples = codes.view("<f4")
    size = np.abs(samples)
    # What is no sound in this reading is mostly far too loud, far too soft, or no number at all.
    is_sound = (size < _LOUDEST_FLOAT) & (size > _SOFTEST_FLOAT)
    sounding, silent = np.count_nonzero(is_sound), np.count_nonzero(size == 0)
    if sounding < size.size / 2 or sounding + silent < _SHARE_OF_FLOATS * size.size:
        return math.inf
    loud = np.where(is_sound, samples, np.float32(0)) * np.float32(2**23)
    return _unlikeliness(loud, full=2**23, size=4)


_LOUDEST_FLOAT = 8.0
_SOFTEST_FLOAT = 1e-9
_SHARE_OF_FLOATS = 0.98
_FEWEST_CODES_OF_FLOATS = 32


def _unlikeliness(
    samples: Block, steps: Block | float = 1.0, *, full: float = 2**15, size: int = 1
) -> float:
    """Return the bits a byte that `samples` of `size` bytes take in this reading."""
    return float(_bits(samples, steps).mean()) / size + _leaning(samples, full)


def _leaning(samples: NDArray[Any], full: float) -> float:
    return _LEANING * min(1.0, abs(float(samples.mean(dtype=np.float64))) / full)


def _bits(samples: NDArray[Any], steps: Block | float, apart: int = 1) -> Block:
    """Return for each block the bits that a sample takes, given the two before it.

    Args:
        samples: Shape ``(blocks, n)``, in any unit.
        steps: How far apart the codes lie there, in that unit: an error below it costs nothing.
        apart: How far before it the two lie: the number of channels.
    """
    samples = samples.astype(np.float32, copy=False)
    now = samples[:, 2 * apart :]
    last = samples[:, apart:-apart]
    before = samples[:, : -2 * apart]
    # Least squares with two factors, solved by Cramer's rule for all blocks at once.  A little
    # is added to the diagonal, so that silence and pure tones have a solution too.
    a, b, c = _dot(last, last) * 1.0001 + 1, _dot(last, before), _dot(before, before) * 1.0001 + 1
    d, e = _dot(now, last), _dot(now, before)
    determinant = a * c - b * b
    first = ((d * c - e * b) / determinant)[:, None]
    second = ((e * a - d * b) / determinant)[:, None]
    error = np.abs(now - first * last - second * before)
    if not isinstance(steps, float):
        error /= steps[:, 2 * apart :]
    # The entropy of a Laplace distribution that is cut into steps; 0 for an error of 0.
    bits: Block = np.log2(1 + 2 * math.e * error.mean(axis=1))
    return bits


def _dot(a: Block, b: Block) -> NDArray[np.float64]:
    dot: NDArray[np.float64] = np.einsum("ij,ij->i", a, b).astype(np.float64)
    return dot


@cache
def _tables() -> dict[Literal["PCMU", "A-law"], tuple[Block, Block]]:
    """Return for each code of both laws its sample, and how far from it the next ones lie."""
    return {"PCMU": _table(decode_ulaw), "A-law": _table(decode_alaw)}


def _table(decode: Callable[[bytes], NDArray[np.int16]]) -> tuple[Block, Block]:
    samples = decode(bytes(range(256))).astype(np.float32)
    order = np.argsort(samples, kind="stable")
    steps = np.empty_like(samples)
    steps[order] = np.gradient(samples[order])
    # The two zeros of μ-law lie on one another, but mean a step like their neighbours'.
    return samples, np.maximum(steps, np.float32(8))
