"""When each frame comes: how much later than the beat of 20 ms, in the order in which it was sent.

A frame is late by a random time, exponential, and no frame overtakes another.  Bunches are frames
that are held and then come all together.  `Arrivals` is the queue of what is on its way; the time
is an argument.
"""

from __future__ import annotations

from collections import deque
from functools import lru_cache
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.simulator.line._parameters import Parameters
from twistream_kit.simulator.line._runs import Runs, make_random

_BLOCK = 2048
"""How many frames are drawn at a time, and the rest of a bunch that begins among them."""

_REFERENCE_FRAMES = 1 << 16
"""How many frames are drawn to find the scale of a jitter."""

T = TypeVar("T")


class Jitter:
    """Draws how much later than the beat each frame comes, in milliseconds.

    Args:
        random: The random numbers.
        jitter_ms: The mean lateness of frames that are in no bunch.
        bunches: The bunches; None for none.
    """

    def __init__(self, random: np.random.Generator, jitter_ms: float, bunches: Runs | None) -> None:
        self._random = random
        self._scale = find_scale(jitter_ms)
        self._bunches = bunches
        self._runs: deque[list[int]] = deque()  # of `bunches`, drawn and not used yet
        self._last = 0.0  # when the frame before came, after its own beat
        self._drawn: NDArray[np.float64] = np.zeros(0)
        self._at = 0

    def take(self) -> float:
        """Return how late the next frame is, in milliseconds."""
        if self._at >= len(self._drawn):
            self._drawn, self._at = self._draw(), 0
        self._at += 1
        return float(self._drawn[self._at - 1])

    def take_many(self, frames: int) -> NDArray[np.float64]:
        """Return how late the next frames are: float64, shape ``(frames,)``, in milliseconds."""
        while len(self._drawn) - self._at < frames:
            self._drawn = np.concatenate([self._drawn[self._at :], self._draw()])
            self._at = 0
        self._at += frames
        return self._drawn[self._at - frames : self._at]

    def _draw(self) -> NDArray[np.float64]:
        held = np.zeros(_BLOCK) if self._bunches is None else self._count_held(self._bunches)
        own = -np.log1p(-self._random.random(len(held))) * self._scale
        own[held > 0] = 0  # of a bunch, the last frame decides
        late = _keep_order(held * PTIME_MS + own, self._last)
        if self._bunches is not None:
            _join_bunches(late, held)
        self._last = float(late[-1])
        return late

    def _count_held(self, bunches: Runs) -> NDArray[np.float64]:
        """Return for how many frames more each of the next frames is held, bunches as a whole."""
        parts: list[NDArray[np.float64]] = []
        left = _BLOCK
        while left > 0:
            if not self._runs:
                self._runs.extend(bunches.draw().tolist())
            free, bunch = self._runs.popleft()
            if free >= left:  # a share near 0 has free runs of hours
                self._runs.appendleft([free - left, bunch])
                free, bunch = left, 0
            parts += [np.zeros(free), np.arange(bunch - 1, -1, -1, dtype=np.float64)]
            left -= free + bunch
        return np.concatenate(parts)


def _keep_order(late: NDArray[np.float64], last: float) -> NDArray[np.float64]:
    """Let no frame come before the one sent before it, the last of which was `last` ms late."""
    beats = np.arange(1, len(late) + 1) * float(PTIME_MS)
    come: NDArray[np.float64] = np.maximum.accumulate(np.concatenate([[last], beats + late]))[1:]
    return come - beats


def _join_bunches(late: NDArray[np.float64], held: NDArray[np.float64]) -> None:
    """Let every frame of a bunch come when its last one does."""
    numbers = np.arange(len(held))
    lasts = numbers + held.astype(np.int64)
    late[:] = late[lasts] + held * PTIME_MS


@lru_cache(maxsize=64)
def find_scale(jitter_ms: float) -> float:
    """Return the mean of what is drawn so that frames which keep their order are late by this."""
    if not jitter_ms:
        return 0.0
    drawn = -np.log1p(-make_random(0, 30).random(_REFERENCE_FRAMES))
    low, high = 0.0, jitter_ms
    for _ in range(24):
        scale = (low + high) / 2
        if float(np.mean(_keep_order(drawn * scale, 0.0))) < jitter_ms:
            low = scale
        else:
            high = scale
    return high


def make_jitter(line: Parameters, seed: int) -> Jitter:
    """Return what draws the lateness of frames for the parameters of a line."""
    bunches = None
    if line.bunching:
        bunches = Runs(make_random(seed, 2), line.bunching, line.bunch, least=2)
    return Jitter(make_random(seed, 3), line.jitter_ms, bunches)


class Arrivals(Generic[T]):
    """What is on its way, in order; it never looks at a clock.

    Args:
        jitter: Draws how late each thing is.
    """

    def __init__(self, jitter: Jitter) -> None:
        self._jitter = jitter
        self._waiting: deque[tuple[float, T]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_at(self) -> float | None:
        """When the next one comes, in seconds; None if nothing is on its way."""
        return self._waiting[0][0] if self._waiting else None

    def put(self, thing: T, now: float) -> None:
        """Send one off at a time in seconds."""
        at = now + self._jitter.take() / 1000
        if self._waiting:  # the caller's beat may be late, and then early
            at = max(at, self._waiting[-1][0])
        self._waiting.append((at, thing))

    def take(self, now: float) -> list[T]:
        """Return all that has come by then, in order."""
        come = []
        while self._waiting and self._waiting[0][0] <= now:
            come.append(self._waiting.popleft()[1])
        return come

    def take_all(self) -> list[T]:
        """Return all that is on its way, whenever it would come."""
        come = [thing for _, thing in self._waiting]
        self._waiting.clear()
        return come
