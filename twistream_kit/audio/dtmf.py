"""Detect the tones of telephone keys (DTMF, ITU-T Q.23) in sound at 8000 Hz.

Each key is one of four low and one of four high frequencies, both at once.  The power at these
eight frequencies is that of Goertzel's algorithm; it is computed as a product with sines and
cosines, which numpy does faster than the recursion.  As ITU-T Q.24 demands, speech and music must
not be taken for keys: both tones together must hold nearly all power of the sound, be about equally
loud, hit their frequencies within 1.8 %, and last for 40 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import COLUMN_HZ, KEYS, ROW_HZ
from twistream_kit.audio.g711 import is_int16
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import WrongType

_PIECE, _STEP = 160, 80
"""The window and its distance to the next, in samples: 20 and 10 ms."""

_FEWEST_PIECES = 3
"""A tone of 40 ms fills three windows."""

_LONGEST_SECONDS = 3.0
"""Nobody holds a key for longer; what sounds longer is another tone."""

_FEWEST_POWER = 160.0**2
"""The least mean square, -46 dBFS: softer tones are no keys (Q.24 demands -25 dBm at most)."""

_SHARE = 0.75
"""The least share of all power in both tones: 0.9 and more in tones that were not cut off."""

_SHARE_OF_A_PIECE = 0.55
"""The same for one window at the nominal frequencies, which the tones may miss by 1.5 %."""

_TWIST = 10**0.9
"""The greatest ratio of the powers of both tones: 9 dB (Q.24: 4 to 8 dB must be accepted)."""

_TIMES_LOUDER = 4.0
"""How much more power the one tone has than the others of its group."""

_DEVIATIONS = np.linspace(-0.018, 0.018, 7)
"""The deviations from the frequencies that are tried; up to 1.5 % must be accepted."""

_MEASURED = 640
"""How much of a tone is measured for its frequencies, in samples: 80 ms resolve 12 Hz."""


@dataclass(frozen=True, slots=True)
class KeyTone:
    """The tone of a key.

    Attributes:
        key: The key, one of ``0123456789*#ABCD``.
        start: When it begins, in seconds.
        end: When it ends, in seconds.
    """

    key: str
    start: float
    end: float


def detect_keys(samples: NDArray[np.int16]) -> list[KeyTone]:
    """Detect the tones of telephone keys.

    Args:
        samples: Mono, int16, shape ``(n,)``, at 8000 Hz.

    Returns:
        The tones in order; the times are exact to about 10 ms.

    Raises:
        TypeError: If `samples` is not int16.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit.audio.dtmf import detect_keys
        >>> tones = detect_keys(kit.Clip.dtmf("42#").samples())
        >>> "".join(tone.key for tone in tones)
        '42#'
        >>> round(tones[1].start, 1), round(tones[1].end, 1)
        (0.2, 0.3)
    """
    *_, tones = detect_keys_in_steps(samples)
    return tones


def detect_keys_in_steps(samples: NDArray[np.int16]) -> Iterator[list[KeyTone]]:
    """Do the same as `detect_keys` in steps of about 0.5 ms; the last is the result."""
    if not is_int16(samples.dtype):
        raise WrongType(f"samples are {samples.dtype}, not int16; kit.Clip.samples() returns them")
    if len(samples) < _PIECE:
        yield []
        return
    values = samples.astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(values, _PIECE)[::_STEP]
    found: list[NDArray[np.int64]] = []
    for at in range(0, len(pieces), _AT_A_TIME):
        found.append(_find_pairs(pieces[at : at + _AT_A_TIME]))
        yield []
    yield list(_join(np.concatenate(found), values))


_AT_A_TIME = 75
"""How many windows are measured in one step."""

_NO_KEY = -1


def _find_pairs(pieces: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each piece ``4 * row + column`` of its key, or `_NO_KEY`."""
    energy = np.einsum("ij,ij->i", pieces, pieces)
    is_loud = energy > _FEWEST_POWER * _PIECE
    pairs = np.full(len(pieces), _NO_KEY)
    if not is_loud.any():
        return pairs
    powers = _measure_powers(pieces[is_loud], _make_waves(_PIECE, (*ROW_HZ, *COLUMN_HZ)))
    rows, columns = powers[:, :4], powers[:, 4:]
    row, column = rows.argmax(axis=1), columns.argmax(axis=1)
    low, high = rows.max(axis=1), columns.max(axis=1)
    is_key = low + high > _SHARE_OF_A_PIECE * energy[is_loud]
    is_key &= (low < _TWIST * high) & (high < _TWIST * low)
    is_key &= np.sort(rows, axis=1)[:, -2] * _TIMES_LOUDER < low
    is_key &= np.sort(columns, axis=1)[:, -2] * _TIMES_LOUDER < high
    pairs[is_loud] = np.where(is_key, 4 * row + column, _NO_KEY)
    return pairs


def _measure_powers(pieces: NDArray[np.float32], waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the energy of each piece at each frequency; a pure sine has all its energy there."""
    # Not a matrix product, because the overhead of the threads of a BLAS exceeds its benefit here.
    parts = np.einsum("ij,kj->ik", pieces, waves)
    half = parts.shape[1] // 2
    energies: NDArray[np.float32] = np.square(parts[:, :half]) + np.square(parts[:, half:])
    return energies * np.float32(2 / pieces.shape[1])


@cache
def _make_waves(size: int, frequencies: tuple[float, ...]) -> NDArray[np.float32]:
    """Return the cosines, then the sines, of these frequencies."""
    angles = 2 * np.pi / SAMPLE_RATE * np.outer(frequencies, np.arange(size))
    return np.concatenate([np.cos(angles), np.sin(angles)]).astype(np.float32)


def _join(pairs: NDArray[np.int64], samples: NDArray[np.float32]) -> Iterator[KeyTone]:
    at = 0
    for pair, group in groupby(pairs.tolist()):
        first, at = at, at + len(list(group))
        if pair == _NO_KEY or at - first < _FEWEST_PIECES:
            continue
        # The windows at both ends are mostly tone, not all: on average, half a step is missing.
        start, end = first * _STEP, (at - 1) * _STEP + _PIECE
        row, column = divmod(pair, 4)
        tone = samples[start:end]
        if (end - start) / SAMPLE_RATE <= _LONGEST_SECONDS and _is_exact(tone, row, column):
            yield KeyTone(KEYS[row][column], start / SAMPLE_RATE, end / SAMPLE_RATE)


def _is_exact(tone: NDArray[np.float32], row: int, column: int) -> bool:
    """Whether both tones are near enough to their frequencies, over more than one window."""
    skipped = max(0, len(tone) - _MEASURED) // 2
    middle = tone[None, skipped : skipped + _MEASURED]
    energy = float(np.square(middle).sum())
    found = sum(
        float(_measure_powers(middle, _make_waves_near(middle.shape[1], hz)).max())
        for hz in (ROW_HZ[row], COLUMN_HZ[column])
    )
    return math.isfinite(found) and found > _SHARE * energy


def _make_waves_near(size: int, hz: float) -> NDArray[np.float32]:
    return _make_waves(size, tuple(hz * (1 + _DEVIATIONS)))
