"""What is measured of a sound while it passes, block by block, in constant memory.

All levels are in dBFS: of RMS values, 0 is a full-scale square wave, so a full-scale sine has
-3.01; of peaks, 0 is full scale.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.resample import FULL_SCALE, SAMPLE_RATE

SILENT = -math.inf
"""The level of nothing at all."""

FLAT_SAMPLES = 3
"""So many samples at full scale one after the other are no peak any more but a cut one."""

PIECE = SAMPLE_RATE // 50
"""20 ms at the telephone's sample rate."""


def decibels(power: float) -> float:
    """Return a mean square, or a ratio of two, in dB; `SILENT` for 0."""
    return 10 * math.log10(power) if power > 0 else SILENT


@dataclass(slots=True)
class FlatTops:
    """Counts the samples of one channel at which a wave was cut off at full scale.

    Attributes:
        limit: From which magnitude on a sample is at full scale.
        samples: How many lie in runs of `FLAT_SAMPLES` or more.
        runs: How many such runs there are.
        first: The index of the first of these samples, or None.
    """

    limit: float
    samples: int = 0
    runs: int = 0
    first: int | None = None
    _done: int = 0
    _open: tuple[int, int] = (0, 0)

    def push(self, channel: NDArray[np.float32]) -> None:
        """Look at the next samples, in [-1, 1], shape ``(n,)``, n > 0."""
        if max(float(channel.max()), -float(channel.min())) < self.limit:
            self._open = (0, 0)
        else:
            sides = (channel >= self.limit).astype(np.int8) - (channel <= -self.limit)
            begins = np.flatnonzero(np.diff(sides, prepend=np.int8(2)))
            self._count(sides[begins], begins, np.diff(begins, append=len(sides)))
        self._done += len(channel)

    def _count(
        self, sides: NDArray[np.int8], begins: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> None:
        """Count runs: on which side of zero each lies at full scale, or 0 if it does not."""
        side, before = self._open
        joined = before if side == sides[0] else 0
        lengths[0] += joined
        begins[0] -= joined
        flat = (sides != 0) & (lengths >= FLAT_SAMPLES)
        is_counted = joined >= FLAT_SAMPLES
        self.runs += int(np.count_nonzero(flat)) - is_counted
        self.samples += int(lengths[flat].sum()) - is_counted * joined
        if self.first is None and flat.any():
            self.first = self._done + int(begins[flat][0])
        self._open = (int(sides[-1]), int(lengths[-1]) if sides[-1] else 0)


@dataclass(slots=True)
class ChannelMeter:
    """Level, offset and flat tops of all channels, and what mixing them leaves.

    Args:
        channels: How many there are.
        limit: From which magnitude on a sample is at full scale.
    """

    channels: int
    limit: float
    count: int = 0
    peak: float = 0.0
    mix_square: float = 0.0
    tops: list[FlatTops] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tops = [FlatTops(self.limit) for _ in range(self.channels)]
        self.sums = [0.0] * self.channels
        self.squares = [0.0] * self.channels

    def push(self, block: NDArray[np.float32], mix: NDArray[np.float32]) -> None:
        """Measure samples in [-1, 1], shape ``(n, channels)``, and their mix, shape ``(n,)``."""
        for number, tops in enumerate(self.tops):
            channel = np.ascontiguousarray(block[:, number])
            tops.push(channel)
            self.peak = max(self.peak, float(channel.max()), -float(channel.min()))
            self.sums[number] += float(channel.sum(dtype=np.float64))
            self.squares[number] += _energy(channel)
        self.mix_square += _energy(mix)
        self.count += len(mix)

    @property
    def offset(self) -> float:
        """The mean of the mix, in [-1, 1]."""
        return sum(self.sums) / self.channels / self.count if self.count else 0.0

    @property
    def levels_db(self) -> tuple[float, ...]:
        """The RMS level of each channel, without its offset."""
        pairs = zip(self.squares, self.sums, strict=True)
        return tuple(decibels(_variance(square, total, self.count)) for square, total in pairs)

    @property
    def mix_db(self) -> float:
        """The level of the mix against the mean power of the channels: 0 if all are the same."""
        pairs = zip(self.squares, self.sums, strict=True)
        power = sum(_variance(square, total, self.count) for square, total in pairs) / self.channels
        mixed = self.mix_square / self.count - self.offset**2 if self.count else 0.0
        # Below -100 dB it is the rounding of float32 that is measured.
        return decibels(max(mixed / power, 1e-10)) if power > 0 else 0.0

    @property
    def first_flat(self) -> int | None:
        """The index of the first sample that was cut off, in whatever channel."""
        return min((tops.first for tops in self.tops if tops.first is not None), default=None)


@dataclass(slots=True)
class TelephoneMeter:
    """What is measured of the sound at 8000 Hz, before μ-law: levels in pieces of 20 ms.

    Attributes:
        count: How many samples passed.
        peak: The largest magnitude, 0 to 32768.
        noise: The energy of what μ-law changes.
    """

    count: int = 0
    peak: int = 0
    noise: float = 0.0
    _sum: int = 0
    _square: float = 0.0
    _rest: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    _powers: list[NDArray[np.float32]] = field(default_factory=list)

    def push(self, samples: NDArray[np.int16]) -> None:
        """Measure the next samples, shape ``(n,)``."""
        if not len(samples):
            return
        wide = samples.astype(np.float32)
        self.count += len(samples)
        self.peak = max(self.peak, int(samples.max()), -int(samples.min()))
        self._sum += int(samples.sum(dtype=np.int64))
        self._square += _energy(wide)
        self.noise += _energy(decode_ulaw(encode_ulaw(samples)) - wide)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % PIECE
        self._rest = joined[whole:]
        pieces = joined[:whole].reshape(-1, PIECE).astype(np.float32)
        self._powers.append(pieces.var(axis=1) / np.float32(FULL_SCALE**2))

    @property
    def rms_db(self) -> float:
        """The level of all of it, without the offset."""
        return decibels(_variance(self._square, self._sum, self.count) / FULL_SCALE**2)

    @property
    def peak_db(self) -> float:
        """The level of the largest sample."""
        return decibels((self.peak / FULL_SCALE) ** 2)

    @property
    def quantisation_db(self) -> float:
        """How far what μ-law changes lies below the sound."""
        return decibels(self._square / self.noise) if self.noise else math.inf

    def powers(self) -> NDArray[np.float32]:
        """Return the power of each piece without its offset; a last one may be shorter."""
        last = [self._rest.astype(np.float32).var(keepdims=True)] if len(self._rest) else []
        scaled = [each / np.float32(FULL_SCALE**2) for each in last]
        return np.concatenate([np.empty(0, np.float32), *self._powers, *scaled])


def _energy(samples: NDArray[Any]) -> float:
    # Pieces, because float32 adds up to 7 digits only, and a block of float64 is twice as wide.
    total = 0.0
    for start in range(0, len(samples), 4096):
        piece = samples[start : start + 4096]
        total += float(np.dot(piece, piece))
    return total


def _variance(square: float, total: float, count: int) -> float:
    if not count:
        return 0.0
    power = square / count
    variance = power - (total / count) ** 2
    # A constant leaves rounding behind, and that is no sound.
    return variance if variance > power * 1e-6 else 0.0
