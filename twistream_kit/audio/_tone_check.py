"""Whether sound that looked like a tone is one, and how long, loud and exact it is.

The sound is measured once more when all of it is there.  Of a tone nearly all energy is at its one
or two frequencies, with the same amplitude from begin to end; speech and music have harmonics, and
change within hundredths of a second.
"""

from __future__ import annotations

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
from twistream_kit.audio.resample import SAMPLE_RATE

AROUND = 400
"""How many samples before and after the sound are measured with it: 50 ms."""

FULL_SCALE = 32767.0

_EDGE = 80
"""The begin and the end are where the amplitude of 10 ms passes half of its usual value."""

_INSIDE = 40
"""So many samples after the begin and before the end are not measured: a tone is switched on
softly."""

_MEASURED = 640
"""How much of a tone is measured for its frequencies, in samples: 80 ms resolve 12 Hz."""

_SECTION = 480
"""The sections in which a tone is fitted are about that long; in longer ones a small error of the
frequency would count."""

_SHARE = 0.78
"""The least share of the energy that the sines explain: 0.91 in noise 10 dB below the tone."""

_SHARE_OF_A_SECTION = 0.6

_DEVIATION = 0.024
"""How far a key may be off: ITU-T Q.24 demands 1.5 % (and 2 Hz), and that 3.5 % is refused."""

_DEVIATIONS = np.linspace(-0.032, 0.032, 17)

_TWIST_DB = 9.0
"""The greatest difference of the levels of both frequencies: Q.24 demands 4 to 8 dB."""

_HARMONIC = 0.06
"""The most power at twice a frequency, relative to that frequency: -12 dB."""

_RELATED = (1 / 2, 1 / 3, 2 / 3, 3 / 2, 4 / 3)
"""If a tone is a harmonic of a voice, its neighbours are at these multiples."""

_RELATED_POWER = 0.02

_KEY_UNSTEADY, _BEEP_UNSTEADY = 1.6, 1.35
"""The greatest ratio of the amplitudes in the sections of a tone, 4 and 2.6 dB."""

_LEAST_KEY, _MOST_KEY = 256, int(3.05 * SAMPLE_RATE)
"""A key of 40 ms whose begin and end are soft for 4 ms each measures 36 ms at half amplitude, less
some in noise; so 32 ms.  Nobody holds a key for more than 3 s."""

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
    middle = _take_middle(samples[AROUND:-AROUND])
    found = [find_peak(middle, hz * (1 + _DEVIATIONS)) for hz in nominal]
    if any(abs(hz / at - 1) > _DEVIATION for hz, at in zip(found, nominal, strict=True)):
        return None
    checked = _check(samples, tuple(found), _LEAST_KEY, _KEY_UNSTEADY)
    if checked is None or checked.end - checked.begin > _MOST_KEY:
        return None
    low, high = checked.levels_db
    if abs(high - low) > _TWIST_DB:
        return None
    doubles = [2 * hz for hz in found]
    return None if _has_power_at(samples, checked, doubles, _HARMONIC) else checked


def check_beep(samples: Samples, near_hz: float) -> Checked | None:
    """Measure what looked like a beep; return None if it is none.

    Args:
        samples: The sound, with `AROUND` samples before and after what looked like the beep.
        near_hz: Its frequency, to a few Hz.
    """
    steps = np.arange(-_BEEP_RANGE_HZ, _BEEP_RANGE_HZ + 1, _BEEP_STEP_HZ)
    hz = find_peak(_take_middle(samples[AROUND:-AROUND]), near_hz + steps)
    checked = _check(samples, (hz,), _LEAST_BEEP, _BEEP_UNSTEADY)
    if checked is None:
        return None
    others = [hz * ratio for ratio in _RELATED]
    return None if _has_power_at(samples, checked, others, _RELATED_POWER) else checked


def _take_middle(samples: Samples) -> Samples:
    size = min(len(samples), _MEASURED)
    skipped = (len(samples) - size) // 2
    return samples[skipped : skipped + size]


def _check(
    samples: Samples, frequencies: tuple[float, ...], least: int, unsteady: float
) -> Checked | None:
    begin, end = _find_edges(samples, frequencies)
    if end - begin < least:
        return None
    core = samples[round(begin) + _INSIDE : round(end) - _INSIDE]
    # Two sections at least, by which one that fades is told from one that lasts.
    sections = np.array_split(core, max(2, round(len(core) / _SECTION)))
    fits = [fit_sines(section, frequencies) for section in sections]
    energy, explained = (sum(each) for each in zip(*[fit[1:] for fit in fits], strict=True))
    if explained <= _SHARE * energy:
        return None
    if any(fit.explained < _SHARE_OF_A_SECTION * fit.energy for fit in fits):
        return None
    amplitudes = np.array([fit.amplitudes for fit in fits])
    if np.any(amplitudes.max(axis=0) > unsteady * amplitudes.min(axis=0)):
        return None
    usual = fit_sines(core, frequencies).amplitudes if len(fits) == 2 else _average(amplitudes)
    levels = tuple(float(20 * np.log10(max(each, 1e-3) / FULL_SCALE)) for each in usual)
    return Checked(frequencies, begin, end, levels) if max(levels) > _LEAST_LEVEL_DB else None


def _average(amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    average: NDArray[np.float64] = np.sqrt(np.square(amplitudes).mean(axis=0))
    return average


def _find_edges(samples: Samples, frequencies: tuple[float, ...]) -> tuple[float, float]:
    """Return where the amplitude rises above half of its usual value, and where it falls below."""
    amplitudes = follow_amplitude(samples, frequencies, _EDGE)
    first, last = AROUND, len(amplitudes) - AROUND
    half = float(np.median(amplitudes[first:last])) / 2
    is_below = amplitudes < half
    before = np.flatnonzero(is_below[: first + _EDGE])
    after = np.flatnonzero(is_below[last - _EDGE :])
    begin = float(before[-1] + 1) if len(before) else 0.0
    end = float(after[0] + last - _EDGE) if len(after) else float(len(amplitudes))
    # The middle of the window is where half of it is tone.
    return begin + _EDGE / 2, end + _EDGE / 2


def _has_power_at(
    samples: Samples, checked: Checked, frequencies: list[float], share: float
) -> bool:
    """Whether one of these frequencies has more than a `share` of the power of the tone."""
    core = samples[round(checked.begin) + _INSIDE : round(checked.end) - _INSIDE]
    core = _take_middle(core)
    heard = tuple(hz for hz in frequencies if 100 < hz < SAMPLE_RATE / 2 - 100)
    waves = make_waves(len(core), (*checked.frequencies, *heard))
    energies = measure_energies(core[None, :] - core.mean(), waves)[0]
    ours, others = energies[: len(checked.frequencies)], energies[len(checked.frequencies) :]
    return bool(np.any(others > share * ours.max()))
