"""`Histogram`: counts of times in bins that grow, which are merged without loss.

Averages of percentiles are no percentiles; the counts of several processes can be added.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from twistream_kit.errors import WrongState

GROWTH = 1.01
"""Each bin ends this much higher than it begins, so a percentile is at most 1 % too high."""

LEAST_MS = 0.01
"""All that is not longer, on either side of zero, is in one bin; those below it mirror those above.
"""

_LOG_GROWTH = math.log(GROWTH)


class Histogram:
    """Times in milliseconds, counted in bins whose width grows by 1 %; in little memory.

    Attributes:
        never: How many of the times are infinite.

    Example:
        >>> from twistream_kit.diagnosis.histogram import Histogram
        >>> one, other = Histogram([10, 20, 30]), Histogram([40])
        >>> one.merge(other)
        >>> len(one), one.max, round(one.find(0.5))
        (4, 40.0, 20)
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.never = 0
        self._counts: Counter[int] = Counter()
        self._min, self._max = math.inf, -math.inf
        for value in values:
            self.record(value)

    def __len__(self) -> int:
        """Return how many times were counted, infinite ones included."""
        return sum(self._counts.values()) + self.never

    def __eq__(self, other: object) -> bool:
        """Whether the same was counted."""
        return isinstance(other, Histogram) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    @property
    def min(self) -> float:
        """The least time; infinite without one."""
        return self._min

    @property
    def max(self) -> float:
        """The greatest time; infinite if one is, minus infinite without one."""
        return math.inf if self.never else self._max

    @property
    def longest(self) -> float:
        """The greatest time that is not infinite; minus infinite without one."""
        return self._max

    @property
    def below_zero(self) -> int:
        """How many of the times are below zero, by more than `LEAST_MS`."""
        return sum(count for place, count in self._counts.items() if place < 0)

    def record(self, milliseconds: float, times: int = 1) -> None:
        """Count a time, or the same time several times."""
        if math.isinf(milliseconds):
            self.never += times
            return
        self._counts[_find_bin(milliseconds)] += times
        self._min = min(self._min, float(milliseconds))
        self._max = max(self._max, float(milliseconds))

    def merge(self, other: Histogram) -> None:
        """Add what another one has counted."""
        self._counts.update(other._counts)
        self.never += other.never
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)

    def find(self, share: float) -> float:
        """Return the time that a share of all do not exceed, too high by 1 % of its size at most.

        Args:
            share: From 0 to 1; 0.95 for the 95th percentile.

        Raises:
            WrongState: If nothing was counted.
        """
        if not len(self):
            raise WrongState("nothing was counted; look at len(…) first")
        wanted, seen = max(1, math.ceil(share * len(self))), 0
        for place in sorted(self._counts):
            seen += self._counts[place]
            if seen >= wanted:
                # The upper edge of the bin, so that it is never too low.
                return max(self._min, min(_find_end(place), self._max))
        return math.inf

    def list_bins(self) -> list[tuple[float, float, int]]:
        """Return the begin, the end and the count of each bin that holds something, in order."""
        return [
            (_find_begin(place), _find_end(place), count)
            for place, count in sorted(self._counts.items())
        ]

    def __repr__(self) -> str:
        if not len(self):
            return "<Histogram: empty>"
        return f"<Histogram: {len(self)} times, {self.min:.3g} to {self.max:.3g} ms>"


def _find_bin(milliseconds: float) -> int:
    """Return the number of the bin, whose upper edge is `LEAST_MS` × `GROWTH` to its power.

    A time below zero is in the bin with the negative number of that of its size.
    """
    size = abs(milliseconds)
    if size <= LEAST_MS:
        return 0
    place = math.ceil(math.log(size / LEAST_MS) / _LOG_GROWTH - 1e-9)
    return place if milliseconds > 0 else -place


def _find_begin(place: int) -> float:
    if place > 0:
        return LEAST_MS * GROWTH ** (place - 1)
    return -LEAST_MS * GROWTH**-place if place else 0.0


def _find_end(place: int) -> float:
    return LEAST_MS * GROWTH**place if place >= 0 else -LEAST_MS * GROWTH ** (-place - 1)
