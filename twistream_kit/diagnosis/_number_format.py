"""Recognise sound in numbers of which the bytes show the format: floats and wide integers.

What stands at the same place of each number is alike.  The first byte of a float holds its sign
and the size of its exponent, so it has a few values only; a wide integer with a small value begins
with bytes that are all 0x00 or all 0xFF, its sign.  PCMU has neither, and no other coding has it at
every fourth or eighth byte only.  Of the formats that the places allow, the right one is smooth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_PERIOD = 8
"""The size of the largest number in bytes."""

_SHARE = 0.98
"""The share of numbers that must have the mark of their format."""

_FEWEST_OF_A_SIGN = 0.05
"""The least share of numbers of each sign: sound has no offset of full scale."""

_FEWEST_ROWS, _FEWEST_NUMBERS = 16, 128
"""How many bytes of eight are needed to suspect numbers, and how many numbers to be sure."""

_NOISE = 1.05
"""The prediction error of white noise, as a share of its size."""

_ROUGHEST = 0.85
"""The greatest prediction error of sound, as a share of its size; that of noise is 1.

Speech, music and tones lie below 0.4."""

_SMOOTHER = 0.9
"""The prediction error below which the lower halves are sound; the least that is no sound is 0.9.
"""

_LOUDEST_FLOAT = 8.0

_INT16, _INT24 = 2**15, 2**23

_FEWEST_VALUES = 32
"""How many different values floats of sound have at least."""

_NAMES = {
    "f2": "float16",
    "f4": "float32",
    "f8": "float64",
    "i4": "int32",
    "i8": "int64",
    "i1": "int8",
}

_ORDERS = {"<": "little-endian", ">": "big-endian"}

Numbers = NDArray[np.float64]


class Undecided(Enum):
    """The answer if the bytes may be numbers of a format, but too few are no silence."""

    UNDECIDED = "undecided"


UNDECIDED = Undecided.UNDECIDED


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The format of numbers that are sent as PCMU.

    Attributes:
        dtype: The type in the words of NumPy: ``<f8``.
        scale: What the numbers are divided by to lie within [-1, 1].
        is_half_zero: Whether the lower half of each integer is zero; two channels of 16 bits, of
            which one is silent, are the same bytes.
    """

    dtype: str
    scale: int = 1
    is_half_zero: bool = False

    @property
    def size(self) -> int:
        """The size of a number in bytes."""
        return int(self.dtype[-1])

    @property
    def name(self) -> str:
        """The name of the format, with the range of its values if that is not the usual one."""
        bare = _NAMES[self.dtype.lstrip("<>|")]
        name = f"{bare} {_ORDERS[self.dtype[0]]}" if self.dtype[0] in _ORDERS else bare
        is_float = "f" in self.dtype
        if self.scale == (1 if is_float else 2 ** (8 * self.size - 1)):
            return f"{name}, or PCM16 of two channels, one silent" if self.is_half_zero else name
        return f"{name} with values of {16 if self.scale == _INT16 else 24} bits"

    @property
    def fix(self) -> str:
        """The line that converts the bytes."""
        samples = f"np.frombuffer(sound, '{self.dtype}')"
        if self.scale == _INT16:
            samples += ".astype(np.int16)"
        elif self.scale != 1:
            samples = f"{samples} / {self.scale}"
        return f"Send kit.Clip.from_samples({samples}, sample_rate).payload"

    @property
    def heard(self) -> str:
        """What the caller hears, of sound at 8000 Hz."""
        times = {1: "", 2: "twice", 4: "four times", 8: "eight times"}[self.size]
        length = f", drawn out to {times} its length" if times else ""
        return f"The caller hears loud noise in the rhythm of the sound{length}"


def recognise_numbers(codes: NDArray[np.uint8]) -> NumberFormat | Undecided | None:
    """Recognise floats of 4 and 8 bytes and integers of 4 and 8 bytes by their bytes.

    Args:
        codes: The bytes, shape ``(n,)``; half a second or more.

    Returns:
        The format; None if the bytes are no such numbers; `UNDECIDED` if they may be, but too few
        of them are no silence.
    """
    rows = codes[: len(codes) // _PERIOD * _PERIOD].reshape(-1, _PERIOD)
    rows = rows[((rows != 0) & (rows != 0xFF)).any(axis=1)]  # silence is the same in most formats
    if len(rows) < _FEWEST_ROWS:
        return None
    is_undecided = False
    for _, group in groupby(_find_candidates(rows), key=lambda each: each.dtype[1:]):
        best: tuple[float, NumberFormat] | None = None
        for dtype, roughest in group:
            numbers = codes[: len(codes) // _PERIOD * _PERIOD].view(dtype)
            found = _find_scale(numbers, dtype)
            if not isinstance(found, NumberFormat):
                is_undecided |= found is UNDECIDED
                continue
            if "i" in dtype and found.scale != _INT16 and _is_stereo(numbers):
                continue
            rough = measure_roughness(numbers.astype(np.float64) / found.scale)
            if rough < roughest and (best is None or rough < best[0]):
                best = rough, found
        if best is not None:
            return best[1]
        if is_undecided:
            return UNDECIDED
    return None


class _Candidate(NamedTuple):
    dtype: str
    roughest: float  # the greatest prediction error that leaves it possible


def _find_candidates(rows: NDArray[np.uint8]) -> Iterator[_Candidate]:
    """Yield the formats that are possible by the places of their bytes, the largest first."""
    is_sign = ((rows == 0) | (rows == 0xFF)).mean(axis=0) >= _SHARE
    is_zero = (rows == 0).mean(axis=0) >= _SHARE
    for size, firsts in ((8, _FIRSTS_OF_DOUBLES), (4, _FIRSTS_OF_FLOATS)):
        is_first = _fold(firsts[rows].mean(axis=0) >= _SHARE, size)
        signs, zeros = _fold(is_sign, size), _fold(is_zero, size)
        if size == 8:
            # What two floats of 4 bytes begin with is no double; its lower bytes may be zeros.
            is_first &= np.logical_not(np.roll(is_first & ~zeros, 4))
        for order, places in _PLACES.items():
            if is_first[places][0] and not is_first.all():
                yield _Candidate(f"{order}f{size}", _NOISE)
        for order, places in _PLACES.items():
            roughest = _find_roughest_integer(signs[places], zeros[places])
            if roughest:
                yield _Candidate(f"{order}i{size}", roughest)
    if not is_sign.any():
        for order, low in (("<", (0, 1)), (">", (3, 2))):
            if all(_is_low_noise(rows[:, place]) for place in low):
                yield _Candidate(f"{order}i4", _ROUGHEST)


_PLACES = {"<": slice(None, None, -1), ">": slice(None)}
"""The bytes of a number, the one with the sign first, by the byte order."""


def _find_roughest_integer(sign: NDArray[np.bool_], zero: NDArray[np.bool_]) -> float:
    """Return how rough integers may be by the marks of their bytes; 0 if they are none."""
    size = len(sign)
    if sign[0] and sign[1 : size // 2].all() and not sign.all():
        return _NOISE
    is_padded = zero[3] or (sign[0] and not sign[1:].any())
    return _ROUGHEST if size == 4 and is_padded and not zero[:2].any() else 0.0


def _fold(marks: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """Return which places within a number of `size` bytes have the mark in all numbers."""
    folded: NDArray[np.bool_] = np.asarray(marks.reshape(-1, size).all(axis=0))
    return folded


def _is_low_noise(plane: NDArray[np.uint8]) -> bool:
    """Whether all values are about equally frequent, as those of the lowest bytes."""
    shares = np.bincount(plane >> 4, minlength=16) / len(plane)
    return float(np.abs(shares - 1 / 16).max()) < _EVENNESS


_EVENNESS = 0.03
"""A thousand bytes drawn by chance deviate by 0.02 from a sixteenth."""


def _is_stereo(numbers: NDArray[np.generic]) -> bool:
    """Whether the lower half of wide integers is sound by itself: that of another channel."""
    low = numbers.astype(np.int64).astype(np.int16).astype(np.float64)
    return bool(low.any()) and measure_roughness(low) < _SMOOTHER


def _find_scale(numbers: NDArray[np.generic], dtype: str) -> NumberFormat | Undecided | None:
    """Return the format with the range of the numbers, or None if they are no sound."""
    with np.errstate(invalid="ignore", over="ignore"):
        values = numbers.astype(np.float64)
        size = np.abs(values)
    if not np.isfinite(size).all():
        return None
    sounding = np.count_nonzero(size > 1e-9)
    if sounding < _FEWEST_NUMBERS:
        return UNDECIDED if sounding and size.max() < 2**31 else None
    is_whole = np.count_nonzero(values == np.rint(values)) > _SHARE * len(values)
    loudest = float(size.max())
    if "f" in dtype and is_whole and loudest <= _LOUDEST_FLOAT:
        return UNDECIDED  # whole numbers, so far as soft as the noise of int16
    least = min(np.count_nonzero(values > 0), np.count_nonzero(values < 0))
    is_varied = least >= _FEWEST_OF_A_SIGN * sounding
    if "f" in dtype and loudest <= 2 * _INT16:
        is_varied &= np.unique(values).size >= _FEWEST_VALUES
        if not is_varied:
            return UNDECIDED  # it may be a quiet beginning
    if not is_varied:
        return None
    return _find_range(values, loudest, dtype, is_whole=bool(is_whole))


def _find_range(
    values: Numbers, loudest: float, dtype: str, *, is_whole: bool
) -> NumberFormat | None:
    if "f" in dtype:
        if loudest <= _LOUDEST_FLOAT:
            return NumberFormat(dtype)
        # Floats in the range of int16 are whole or nearly so; others are no sound.
        is_int16 = loudest <= 1.05 * _INT16 and (is_whole or loudest > 100)
        return NumberFormat(dtype, _INT16) if is_int16 else None
    if loudest <= _INT24:
        return NumberFormat(dtype, _INT16 if loudest <= _INT16 else _INT24)
    if dtype.endswith("8"):
        return None
    return NumberFormat(dtype, 2**31, is_half_zero=not np.any(values % 2**16))


def measure_roughness(values: Numbers) -> float:
    """Return the error of predicting each value from the two before it, as a share of its size."""
    size = 30
    blocks = values[: len(values) // size * size].reshape(-1, size)
    now, last, before = blocks[:, 2:], blocks[:, 1:-1], blocks[:, :-2]
    small = 1e-12 + 1e-4 * np.square(blocks).sum(axis=1)
    a = np.square(last).sum(axis=1) + small
    b = (last * before).sum(axis=1)
    c = np.square(before).sum(axis=1) + small
    d, e = (now * last).sum(axis=1), (now * before).sum(axis=1)
    determinant = a * c - b * b
    first, second = (d * c - e * b) / determinant, (e * a - d * b) / determinant
    errors = np.abs(now - first[:, None] * last - second[:, None] * before)
    return float(errors.sum() / (np.abs(now).sum() + 1e-12))


def _mark_firsts(low: int, high: int) -> NDArray[np.bool_]:
    """Return which bytes a float may begin with: from `low` to `high`, of both signs, or 0."""
    firsts = np.zeros(256, np.bool_)
    for sign in (0, 0x80):
        firsts[sign] = True
        firsts[sign + low : sign + high + 1] = True
    return firsts


_FIRSTS_OF_FLOATS = _mark_firsts(0x30, 0x47)
"""Of 1e-9 to 2**16."""

_FIRSTS_OF_DOUBLES = _mark_firsts(0x3A, 0x40)
"""Of 1e-29 to 2**17: what a filter leaves of silence is smaller than what a float of 4 bytes is."""


def is_periodic(codes: NDArray[np.uint8], size: int) -> bool:
    """Whether the bytes change, or may change, in a longer period than that of such numbers.

    Bytes of one place of a number are of the same kind.  If they are not, the numbers are larger.

    Args:
        codes: The bytes, shape ``(n,)``.
        size: The size of a number, or of a pair of two channels, in bytes.
    """
    period = 2 * size if size == 3 else _PERIOD
    rows = codes[: len(codes) // period * period].reshape(-1, period)
    rows = rows[((rows != 0) & (rows != 0xFF)).any(axis=1)]
    if len(rows) < _FEWEST_ROWS:
        return True
    shares = _count_shares(rows)
    return _compare(shares, size) > _UNLIKE + 2 / math.sqrt(len(rows))


def has_unlike_halves(codes: NDArray[np.uint8]) -> bool:
    """Whether the bytes at even places are of another kind than those at odd places."""
    planes = codes[: len(codes) // 2 * 2].reshape(-1, 2)
    return _compare(_count_shares(planes), 1) > _UNLIKE + 2 / math.sqrt(len(planes))


def _count_shares(rows: NDArray[np.uint8]) -> Numbers:
    return np.stack([np.bincount(plane >> 4, minlength=16) / len(rows) for plane in rows.T])


def _compare(shares: Numbers, size: int) -> float:
    same = shares.reshape(-1, size, 16)
    return float(np.abs(same - same.mean(axis=0)).sum(axis=2).max())


_UNLIKE = 0.4
"""How far the frequencies of the high halves of bytes differ in speech, besides by chance."""
