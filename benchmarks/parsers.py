"""How the time of every reader of outside input grows with the size of the input.

Each reader of `readers` reads each of its hostile shapes at n, 2n, 4n and 8n.  The time may grow
like n log n; the benchmark fails for what grows faster.  n is raised until 8n takes long enough to
be measured, or has a quarter of a megabyte.  Only the time of the processor counts, and of several
runs the shortest, because other programs can only add to it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from measuring import Figure
from readers import Reader, Shape, list_readers

FIRST_SIZE = 1024
LARGEST_SIZE = 1 << 18
ENOUGH_SECONDS = 0.02
"""How long the largest input takes that is judged; below, the clock and the caches rule."""

MOST_GROWTH = 1.45
"""The exponent from which growth counts as faster than n log n: from 2 kB to 256 kB, n log n has
1.1, caches and the allocator add 0.1 to 0.2, and n² has 2."""

ROUNDS = 3
TINY_READERS = ("request head", "address", "message to Twilio", "capture", "header of a sound")


@dataclass(frozen=True, slots=True)
class Growth:
    """How the time of a reader grew.

    Attributes:
        exponent: The slope of the time over the size, both logarithmic; 0 if it is too short.
        size: The size of the largest input, in bytes.
        seconds: Its time.
    """

    exponent: float
    size: int
    seconds: float

    @property
    def is_too_fast(self) -> bool:
        """Whether it is faster than n log n."""
        return self.exponent > MOST_GROWTH


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure the readers; one line for each, with its worst shape."""
    logging.disable(logging.CRITICAL)
    figures = []
    for name, reader in list_readers().items():
        if tiny and name not in TINY_READERS:
            continue
        shapes = list(reader.shapes.items())[:3] if tiny else reader.shapes.items()
        found = {shape: grow(reader, build, tiny=tiny) for shape, build in shapes}
        shape = max(found, key=lambda each: found[each].exponent)
        slow = [f"{each} {one.exponent:.2f}" for each, one in found.items() if one.is_too_fast]
        figures.append(_describe(name, shape, found[shape], len(found), slow, tiny=tiny))
    logging.disable(logging.NOTSET)
    return figures


def grow(reader: Reader, build: Shape, *, tiny: bool = False) -> Growth:
    """Measure how the time of a reader grows with the size of a shape."""
    size = FIRST_SIZE // 8 if tiny else FIRST_SIZE
    largest = FIRST_SIZE if tiny else LARGEST_SIZE

    def take(raw: bytes) -> None:
        with contextlib.suppress(*reader.raises):
            reader.read(raw)

    while 8 * size < largest and time_once(partial(take, build(8 * size))) < ENOUGH_SECONDS:
        size *= 2
    return fit(take, build, size)


def fit(take: Callable[[bytes], None], build: Shape, size: int) -> Growth:
    """Time a function at `size`, and at 2, 4 and 8 times as much."""
    inputs = [build(size * factor) for factor in (1, 2, 4, 8)]
    times = [math.inf] * len(inputs)
    for attempt in range(3):
        for place, raw in enumerate(inputs):
            for _ in range(ROUNDS if times[-1] < 1 else 1):
                times[place] = min(times[place], time_once(partial(take, raw)))
        growth = Growth(_find_exponent(inputs, times), len(inputs[-1]), times[-1])
        if not growth.is_too_fast or (attempt and times[-1] > 10):
            break  # what is not too fast once was not disturbed; what is gets more tries
    return growth


def time_once(work: Callable[[], None]) -> float:
    """Return the seconds of the processor that `work` takes."""
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            began = time.process_time()
            work()
            return time.process_time() - began
    finally:
        gc.enable()


def _find_exponent(inputs: list[bytes], times: list[float]) -> float:
    """Return the median slope between all pairs of sizes, which one odd time does not change."""
    if times[-1] < ENOUGH_SECONDS / 2:
        return 0.0
    sizes = [math.log(len(raw)) for raw in inputs]
    logs = [math.log(max(seconds, 1e-6)) for seconds in times]
    slopes = [
        (logs[b] - logs[a]) / (sizes[b] - sizes[a])
        for a in range(len(logs))
        for b in range(a + 1, len(logs))
        if sizes[b] > sizes[a]
    ]
    return statistics.median(slopes) if slopes else 0.0


def _describe(
    name: str, shape: str, growth: Growth, count: int, slow: list[str], *, tiny: bool
) -> Figure:
    figure = f"n^{growth.exponent:.2f} ({shape}: {growth.size / 1000:.0f} kB in "
    figure += f"{1000 * growth.seconds:.0f} ms; {count} shapes)"
    if slow:
        figure += f"; too fast: {', '.join(slow)}"
    reached = None if tiny else not slow
    return Figure(f"reader, {name}: grows like", figure, f"< n^{MOST_GROWTH:g}", reached)
