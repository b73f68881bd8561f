"""Whether sound that looked like a tone is one, and how long, loud and exact it is.

The sound is measured once more when all of it is there.  Of a tone nearly all energy is at its one
or two frequencies, with the same amplitude from begin to end; speech and music have harmonics, and
change within hundredths of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._goertzel import (
    Samples,
    find_peak,
    fit_sines,
    follow_amplitude,
    make_waves,
    measure_energies,
)

AROUND = 400
"""How many samples before and after the sound are measured with it: 50 ms."""

FULL_SCALE = 32767.0

_EDGE = 80
"""The begin and the end are where the amplitude of 10 ms passes half of its usual value."""

_INSIDE = 40
"""So many samples after the begin and before the end are not measured: a tone is switched on
softly."""

_SHORTEST_CORE = 160
"""An interrupted key needs a part of 20 ms by which it is measured."""

_MEASURED = 640
"""How much of a tone is measured for its frequencies, in samples: 80 ms resolve 12 Hz."""

_SECTION = 480
"""The sections in which a tone is fitted are about that long; in longer ones a small error of the
frequency would count."""

_DEVIATION = 0.022
"""How far a key may be off: ITU-T Q.24 demands 1.5 % (and 2 Hz), and that 3.5 % is refused."""

_DEVIATIONS = np.linspace(-0.032, 0.032, 17)

_TWIST_DB = 8.0
"""The greatest difference of the levels of both frequencies: Q.24 demands 4 to 8 dB."""

_HARMONIC = 0.05
"""The most power at twice a frequency of a key, or at the harmonics beside them if they are two
neighbouring ones of a voice; relative to the louder frequency: -13 dB."""

_RELATED = (1 / 2, 1 / 3, 2 / 3, 3 / 2, 4 / 3)
"""If a tone is a harmonic of a voice, its neighbours are at these multiples."""

_RELATED_POWER = 0.02

_LOWEST_HZ, _HIGHEST_HZ = 100.0, 3900.0
"""What else is heard of a tone is looked for between these."""


class _Limits(NamedTuple):
    """What a tone must keep.

    Attributes:
        share: The least share of the energy that the sines explain, in all sections together.
        share_of_a_section: The same in each.
        unsteady: The greatest ratio of the amplitudes of a sine in the sections.
    """

    share: float
    share_of_a_section: float
    unsteady: float


_KEY = _Limits(0.72, 0.55, 1.6)
"""The sines explain 0.91 in noise 10 dB below the tone, and 0.76 in noise 5 dB below it."""

_BEEP = _Limits(0.82, 0.6, 1.35)
"""Stricter, because a single note is more like a beep than a chord is like a key."""

_LEAST_KEY = 256
"""A key of 40 ms whose begin and end are soft for 4 ms each measures 36 ms at half amplitude, less
some in noise; so 32 ms."""

_LEAST_BEEP = 720
"""A beep of 100 ms, in the same way: 90 ms."""

_BEEP_RANGE_HZ, _BEEP_STEP_HZ = 30.0, 2.5

_LEAST_LEVEL_DB = -48.0


class Checked(NamedTuple):
    """A tone as it was measured.

    Attributes:
        frequencies: One or two, in Hz, the lower one first.
        begin: Its first sample, counted from the first one given.
        end: The first sample after it.
        levels_db: The level of each frequency, in dB relative to a full-scale sine.
    """

    frequencies: tuple[float, ...]
    begin: float
    end: float
    levels_db: tuple[float, ...]


def check_key(samples: Samples, nominal: tuple[float, float]) -> Checked | None:
    """Measure what looked like a key; return None if it is none.

    Args:
        samples: The sound, with `AROUND` samples before and after what looked like the key.
        nominal: Its frequencies in Hz by ITU-T Q.23.
    """
    shape = _find_edges(samples, nominal)
    if shape.end - shape.begin < _LEAST_KEY:
        return None
    core = samples[shape.core]
    found = [find_peak(_take_middle(core), hz * (1 + _DEVIATIONS)) for hz in nominal]
    if any(abs(hz / at - 1) > _DEVIATION for hz, at in zip(found, nominal, strict=True)):
        return None
    checked = _check(core, shape, tuple(found), _KEY)
    if checked is None:
        return None
    low, high = checked.levels_db
    if abs(high - low) > _TWIST_DB:
        return None
    apart = found[1] - found[0]
    others = [2 * found[0], 2 * found[1], apart, found[0] - apart, found[1] + apart]
    return None if _has_power_at(core, found, others, _HARMONIC) else checked


def check_beep(samples: Samples, near_hz: float) -> Checked | None:
    """Measure what looked like a beep; return None if it is none.

    Args:
        samples: The sound, with `AROUND` samples before and after what looked like the beep.
        near_hz: Its frequency, to a few Hz.
    """
    shape = _find_edges(samples, (near_hz,))
    if shape.end - shape.begin < _LEAST_BEEP:
        return None
    core = samples[shape.core]
    steps = np.arange(-_BEEP_RANGE_HZ, _BEEP_RANGE_HZ + 1, _BEEP_STEP_HZ)
    hz = find_peak(_take_middle(core), near_hz + steps)
    checked = _check(core, shape, (hz,), _BEEP)
    others = [hz * ratio for ratio in _RELATED]
    if checked is None or _has_power_at(core, [hz], others, _RELATED_POWER):
        return None
    return checked


def _take_middle(samples: Samples) -> Samples:
    size = min(len(samples), _MEASURED)
    skipped = (len(samples) - size) // 2
    return samples[skipped : skipped + size]


def _check(
    core: Samples, shape: _Shape, frequencies: tuple[float, ...], limits: _Limits
) -> Checked | None:
    if len(core) < _SHORTEST_CORE:
        return None
    core = core[_INSIDE:-_INSIDE]
    # Two sections at least, which differ where a tone fades.
    sections = np.array_split(core, max(2, round(len(core) / _SECTION)))
    fits = [fit_sines(section, frequencies) for section in sections]
    if sum(fit.explained for fit in fits) <= limits.share * sum(fit.energy for fit in fits):
        return None
    if any(fit.explained < limits.share_of_a_section * fit.energy for fit in fits):
        return None
    amplitudes = np.array([fit.amplitudes for fit in fits])
    if np.any(amplitudes.max(axis=0) > limits.unsteady * amplitudes.min(axis=0)):
        return None
    usual = (
        fit_sines(core, frequencies).amplitudes if len(fits) == 2 else _compute_average(amplitudes)
    )
    levels = tuple(float(20 * np.log10(max(each, 1e-3) / FULL_SCALE)) for each in usual)
    if max(levels) < _LEAST_LEVEL_DB:
        return None
    return Checked(frequencies, shape.begin, shape.end, levels)


def _compute_average(amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    average: NDArray[np.float64] = np.sqrt(np.square(amplitudes).mean(axis=0))
    return average


class _Shape(NamedTuple):
    """Where a tone begins and ends, in samples, and its longest part without an interruption."""

    begin: float
    end: float
    core: slice


def _find_edges(samples: Samples, frequencies: tuple[float, ...]) -> _Shape:
    """Find where the amplitude is above half of its usual value."""
    amplitudes = follow_amplitude(samples, frequencies, _EDGE)
    first, last = AROUND, len(amplitudes) - AROUND
    is_below = amplitudes < float(np.median(amplitudes[first:last])) / 2
    before = np.flatnonzero(is_below[: first + _EDGE])
    after = np.flatnonzero(is_below[last - _EDGE :])
    begin = int(before[-1]) + 1 if len(before) else 0
    end = int(after[0]) + last - _EDGE if len(after) else len(amplitudes)
    breaks = [begin - 1, *(begin + np.flatnonzero(is_below[begin:end])).tolist(), end]
    longest = int(np.diff(breaks).argmax())
    # The middle of a window is where half of it is tone.
    half = _EDGE // 2
    core = slice(breaks[longest] + 1 + half, breaks[longest + 1] + half)
    return _Shape(begin + half, end + half, core)


def _has_power_at(
    core: Samples, tone: Sequence[float], frequencies: list[float], share: float
) -> bool:
    """Whether one of these frequencies has more than a `share` of the power of the tone."""
    fit = fit_sines(_take_middle(core[_INSIDE:-_INSIDE]), tone)
    heard = [hz for hz in frequencies if _LOWEST_HZ < hz < _HIGHEST_HZ]
    # Of what remains, because twice the low frequency of a key may be close to its high one.
    rest = fit.rest[None, :].astype(np.float32)
    others = measure_energies(rest, make_waves(rest.shape[1], heard))
    most = 0.5 * float(fit.amplitudes.max()) ** 2 * rest.shape[1]
    return bool(np.any(others > share * most))
