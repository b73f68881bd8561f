"""The slope of a series with its interval, by Theil and Sen, for readings that hang together.

The slope is the median of the slopes between all pairs of readings, which one odd reading does not
move.  Its interval comes from the ranks of those slopes (Sen, 1968), as for readings that do not
depend on one another.  Those of a process do: a cache that is full stays full.  So the interval is
widened by the autocorrelation of what is left beside the line (after Yue and Wang, 2004), whose
estimate is corrected for few readings, and by the quantile of Student's t for as many as are left
that do not depend on one another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_READINGS = 8
"""With fewer readings, an interval says more of the method than of the series."""

MOST_READINGS = 1000
"""Of more than these, medians of neighbours are taken: all pairs of a week would be too many."""

_NORMAL = 1.959964
"""The 97.5th percentile of the normal distribution."""

_MOST_CORRELATED = 0.95
"""More than this the autocorrelation is not taken to be: the interval would be without end."""

_FALL_NOISES = 8.0
"""A fall by less than so many standard deviations of the noise may be noise, over a long series."""

_CHANGE_OF_NOISE = 0.954
"""The median of the sizes of the changes of normal noise of standard deviation 1."""


@dataclass(frozen=True, slots=True)
class Slope:
    """A slope, and the interval in which it lies with a confidence of 95 %.

    Attributes:
        value: The slope, in the unit of the values for one of the places.
        low: The lower end of its interval.
        high: The upper end.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def widen(self, by: float) -> Slope:
        """Return it with an interval that reaches so much further to both sides."""
        return Slope(self.value, self.low - by, self.high + by)

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"

    def __repr__(self) -> str:
        return f"<Slope {self}>"


def fit_slope(places: Sequence[float], values: Sequence[float]) -> Slope | None:
    """Return the slope of values over their places, which ascend; None for fewer than 8 of them.

    Example:
        >>> from twistream_kit.diagnosis.slope import fit_slope
        >>> slope = fit_slope(range(10), [1, 3, 5, 7, 9, 11, 13, 15, 17, 1000])
        >>> slope.value
        2.0
    """
    x, y = _thin_out(places, values)
    n = len(x)
    if n < LEAST_READINGS or not x[-1] > x[0]:
        return None
    slopes = _list_slopes(x, y)
    slope = float(np.median(slopes))
    reach = _NORMAL * math.sqrt(_compute_rank_variance(y))
    last = len(slopes) - 1
    low = float(slopes[max(0, math.floor((last + 1 - reach) / 2) - 1)])
    high = float(slopes[min(last, math.ceil((last + 1 + reach) / 2))])
    wider = _find_widening(y - slope * x)
    return Slope(slope, slope - wider * (slope - low), slope + wider * (high - slope))


def compute_slope(places: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope alone, also of few values; 0 if there are none at two places."""
    slopes = _list_slopes(*_thin_out(places, values))
    return float(np.median(slopes)) if len(slopes) else 0.0


def find_offset(places: Sequence[float], values: Sequence[float], slope: float) -> float:
    """Return the value at place 0 of the line with this slope: the median of what is left."""
    return float(np.median(np.asarray(values, float) - slope * np.asarray(places, float)))


def remove_largest_step(values: Sequence[float]) -> list[float]:
    """Return the values as if the largest rise from one to the next had not been."""
    if len(values) < 2:
        return list(values)
    rises = np.diff(np.asarray(values, float))
    place = int(np.argmax(rises))
    rise = max(0.0, float(rises[place]))
    return [value - rise * (at > place) for at, value in enumerate(values)]


@dataclass(frozen=True, slots=True)
class Fall:
    """A fall within a series.

    Attributes:
        place: The place of the reading after it.
        before: The highest value until then, but for odd ones.
        after: The value there.
    """

    place: int
    before: float
    after: float

    @property
    def size(self) -> float:
        """By how much it fell."""
        return self.before - self.after


def find_largest_fall(values: Sequence[float]) -> Fall | None:
    """Return the deepest fall below an earlier value that is more than noise; None without one.

    One odd reading between two others is no fall.  The noise is estimated from the median change
    from one reading to the next, which a few falls do not move.

    Example:
        >>> from twistream_kit.diagnosis.slope import find_largest_fall
        >>> find_largest_fall([10, 20, 30, 5, 15, 25])
        Fall(place=3, before=30.0, after=5.0)
    """
    y = np.asarray(values, float)
    if len(y) < 3:
        return None
    smooth = y.copy()
    smooth[1:-1] = np.median(np.stack((y[:-2], y[1:-1], y[2:])), axis=0)
    peaks = np.maximum.accumulate(smooth)
    place = int(np.argmax(peaks - smooth))
    changes = np.diff(y)
    noise = float(np.median(np.abs(changes - np.median(changes)))) / _CHANGE_OF_NOISE
    if not peaks[place] - smooth[place] > _FALL_NOISES * noise:
        return None
    peak = int(np.argmax(smooth[:place]))
    return Fall(place, float(y[peak : min(peak + 2, place)].max()), float(y[place]))


def _thin_out(
    places: Sequence[float], values: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return at most 1,000 readings: all, or the medians of so many neighbours each."""
    x, y = np.asarray(places, float), np.asarray(values, float)
    size = math.ceil(len(x) / MOST_READINGS)
    if size <= 1:
        return x, y
    whole = len(x) // size * size
    kept = [np.median(each[:whole].reshape(-1, size), axis=1) for each in (x, y)]
    return kept[0], kept[1]


def _list_slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the slopes between all pairs of readings, in ascending order."""
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] - x[first]
    slopes: NDArray[np.float64] = np.sort((y[second] - y[first])[apart > 0] / apart[apart > 0])
    return slopes


def _compute_rank_variance(values: NDArray[np.float64]) -> float:
    """Return the variance of Kendall's statistic without a trend, ties taken into account."""
    n = len(values)
    _, ties = np.unique(values, return_counts=True)
    tied = float((ties * (ties - 1) * (2 * ties + 5)).sum())
    return max(0.0, (n * (n - 1) * (2 * n + 5) - tied) / 18)


def _find_widening(left: NDArray[np.float64]) -> float:
    """Return how much wider the interval is, since the readings hang together."""
    n = len(left)
    left = left - left.mean()
    power = float(left @ left)
    # Differences of the rounding of floats are no correlation.
    found = float(left[1:] @ left[:-1]) / power if power > 1e-18 else 0.0
    # The estimate from n readings beside a fitted line is too low by about (3 + 5 rho) / n.
    rho = min(max((n * found + 3) / (n - 5), 0.0), _MOST_CORRELATED) if power > 1e-18 else 0.0
    lags = np.arange(1, n)
    inflation = 1 + 2 * float(((1 - lags / n) * rho**lags).sum())
    return math.sqrt(inflation) * _find_t(max(2.0, n / inflation - 2)) / _NORMAL


def _find_t(freedom: float) -> float:
    """Return the 97.5th percentile of Student's t, by its expansion around the normal one."""
    z = _NORMAL
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom ** (power + 1) for power, term in enumerate(terms))
