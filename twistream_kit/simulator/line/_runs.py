"""Bursts: runs of frames to which something happens, between runs to which nothing does.

This is the model of Gilbert and Elliott with a good state in which nothing is lost and a bad state
in which everything is: the lengths of both runs are geometric.  The numbers are drawn in blocks,
always in the same order, so that a seed gives the same frames however they are asked for.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

_PAIRS = 32
"""How many pairs of runs are drawn at a time."""


def make_random(seed: int, *purpose: int) -> np.random.Generator:
    """Return the generator of random numbers for one purpose, independent of all others."""
    return np.random.Generator(np.random.PCG64([seed, *purpose]))


class Runs:
    """Draws runs of frames: a free one, a burst, and so on.

    Args:
        random: The random numbers.
        share: The share of frames in bursts, above 0.
        mean: The mean length of a burst in frames.
        least: The shortest burst in frames.
    """

    def __init__(
        self, random: np.random.Generator, share: float, mean: float, least: int = 1
    ) -> None:
        self._random = random
        self._free_mean = mean * (1 - share) / share
        self._burst_mean = mean - (least - 1)
        self._least = least

    def draw(self) -> NDArray[np.int64]:
        """Return the lengths of the next runs: int64, shape ``(n, 2)``, free run and burst."""
        free = _draw_geometric(self._random, self._free_mean)
        bursts = _draw_geometric(self._random, self._burst_mean) + (self._least - 1)
        return np.stack([free, bursts], axis=1)


class Losses:
    """Says of each frame whether it is lost.

    Args:
        runs: The runs; None loses nothing.
    """

    def __init__(self, runs: Runs | None) -> None:
        self._runs = runs
        self._lengths: deque[int] = deque()
        self._is_lost = False
        self._left = 1 if runs is None else self._draw()

    def take(self) -> tuple[bool, bool]:
        """Return whether the next frame is lost, and whether the one after it will be."""
        if self._runs is None:
            return False, False
        is_lost = self._is_lost
        self._left -= 1
        if not self._left:
            self._is_lost = not is_lost
            self._left = self._lengths.popleft() if self._lengths else self._draw()
        return is_lost, self._is_lost

    def _draw(self) -> int:
        if self._runs is not None:
            self._lengths.extend(self._runs.draw().ravel().tolist())
        return self._lengths.popleft()


def _draw_geometric(random: np.random.Generator, mean: float) -> NDArray[np.int64]:
    """Return lengths of at least 1 with that mean, int64; by `random()` alone, as all is here.

    Its numbers are the same in each version of numpy, which is not promised of other methods.
    """
    drawn = random.random(_PAIRS)
    if mean <= 1:
        return np.ones(_PAIRS, np.int64)
    return 1 + np.floor(np.log1p(-drawn) / math.log1p(-1 / mean)).astype(np.int64)
