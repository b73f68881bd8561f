"""The timer of the simulator: it serves every call once in 20 ms until the call ends.

Deadlines are absolute, so that a late frame does not delay the following ones: after a stall the
missed frames come in a burst, as they do with Twilio (PROTOCOL.md §3), and the cadence continues.
The lateness of the timer is measured, because the timings of a late simulator say nothing about the
server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.guard import Guard
from twistream_kit.protocol.from_twilio import PTIME_MS

Tick = Callable[[float], None]
"""Called every 20 ms with the monotonic time in seconds; it must not block and not raise."""

SLOTS = 10
"""The calls are spread over this many slots of the 20 ms; real calls are not in phase either."""

LATE_MS = 20.0
"""A frame that is later than this comes after the deadline of the next frame."""

MOST_PATIENCE_SECONDS = 0.02
"""How long work that can wait gives way to frames that are due."""

_STEP_SECONDS = PTIME_MS / 1000 / SLOTS
_MAX_BEHIND_SECONDS = 30.0
_BUCKETS_PER_MS = 10
_BUCKETS_PER_SECOND = 1000 * _BUCKETS_PER_MS
_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class LatenessReport:
    """How late the simulator itself was.

    Attributes:
        frames: How many frames were measured.
        p50_ms, p95_ms, p99_ms, max_ms: Time from a frame's deadline to its turn.
        late: How many frames were more than `LATE_MS` late.
    """

    frames: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    late: int

    @property
    def believable(self) -> bool:
        """Whether timings measured meanwhile are reliable.

        They are if at most one frame in a hundred was late, and none by 200 ms or more.
        """
        return self.late * 100 <= self.frames and self.max_ms < 10 * LATE_MS

    def __str__(self) -> str:
        return (
            f"{self.frames} frames, late by {self.p50_ms:.1f} ms (median), "
            f"{self.p99_ms:.1f} ms (99th percentile), {self.max_ms:.1f} ms (worst)"
        )

    def __repr__(self) -> str:
        return f"<LatenessReport {self}>"


class Lateness:
    """A histogram of delays in tenths of a millisecond, up to one second, in constant memory."""

    def __init__(self) -> None:
        self._counts = [0] * (_BUCKETS + 1)
        self._max = 0.0

    def __repr__(self) -> str:
        return f"<Lateness {self.report()}>"

    def record(self, seconds: float) -> None:
        """Count one frame that came `seconds` after its deadline."""
        if seconds > self._max:
            self._max = seconds
        bucket = int(seconds * _BUCKETS_PER_SECOND)
        if bucket < 0:  # no min() and max(), whose calls would cost more than the rest
            bucket = 0
        elif bucket > _BUCKETS:
            bucket = _BUCKETS
        self._counts[bucket] += 1

    def make_histogram(self) -> Histogram:
        """Return the delays so far in milliseconds, to be merged with those of other processes."""
        histogram = Histogram()
        for bucket, count in enumerate(list(self._counts)):
            if count:  # the upper edge, as in `report`
                histogram.record(min((bucket + 1) / _BUCKETS_PER_MS, self._max * 1000), count)
        return histogram

    def report(self) -> LatenessReport:
        """Return the figures so far; callable from any thread."""
        counts = list(self._counts)
        frames = sum(counts)
        return LatenessReport(
            frames,
            self._compute_percentile(counts, frames, 0.50),
            self._compute_percentile(counts, frames, 0.95),
            self._compute_percentile(counts, frames, 0.99),
            self._max * 1000,
            sum(counts[int(LATE_MS * _BUCKETS_PER_MS) + 1 :]),
        )

    def _compute_percentile(self, counts: list[int], frames: int, share: float) -> float:
        seen = 0
        for bucket, count in enumerate(counts):
            seen += count
            if count and seen >= share * frames:
                # The upper edge of the bucket, so that the estimate is never too low.
                return min((bucket + 1) / _BUCKETS_PER_MS, self._max * 1000)
        return 0.0


class Pacer:
    """One task that calls every tick once in 20 ms; an asynchronous context manager.

    The constructor touches no loop.  `add` and `remove` belong to the loop it was entered on; a
    tick may add and remove others, or itself.

    Args:
        least_gap: The least time between two frames of a call that come late, as a share of the
            20 ms.  With 0 all that was missed comes at once.

    Attributes:
        lateness: How late the ticks were.
    """

    def __init__(self, *, least_gap: float = 0.0) -> None:
        self.lateness = Lateness()
        self._least_gap = least_gap
        self._slots: list[list[tuple[Tick, Lateness | None, float]]] = [[] for _ in range(SLOTS)]
        self._wanted: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._deadline: float | None = None

    def __repr__(self) -> str:
        state = "not running" if self._task is None else "running"
        return f"<Pacer: {state}, {self.lateness.report()}>"

    def add(
        self, tick: Tick, lateness: Lateness | None = None, *, after_seconds: float = 0.0
    ) -> None:
        """Call `tick` every 20 ms from now on; the first time within 40 ms.

        Args:
            tick: The function.
            lateness: Counts also how late this one is, if not None.
            after_seconds: What passes before the first time at least, whatever its slot; up to
                20 ms.
        """
        begin = time.monotonic() + after_seconds if after_seconds else float("-inf")
        min(self._slots, key=len).append((tick, lateness, begin))
        if self._wanted is not None:
            self._wanted.set()

    def remove(self, tick: Tick) -> None:
        """Call `tick` no more; nothing happens if it is not there."""
        for slot in self._slots:
            for each in slot:
                if each[0] == tick:
                    slot.remove(each)
                    return

    async def wait_for_spare_time(self) -> None:
        """Wait until no frame is due, for work of about a millisecond that can wait.

        It waits for `MOST_PATIENCE_SECONDS` at most, so that such work is done beside too many
        calls, too.
        """
        until = time.monotonic() + MOST_PATIENCE_SECONDS
        await asyncio.sleep(0)
        # An event for each frame would cost every call more than these waits.
        while self._is_frame_due() and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_STEP_SECONDS)

    def _is_frame_due(self) -> bool:
        return self._deadline is not None and self._deadline <= time.monotonic()

    async def __aenter__(self) -> Self:
        self._wanted = asyncio.Event()
        if any(self._slots):
            self._wanted.set()
        self._task = asyncio.create_task(self._run(self._wanted), name="simulator pacer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task, self._wanted = self._task, None, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, wanted: asyncio.Event) -> None:
        while True:
            await wanted.wait()
            try:
                await self._beat()
            finally:
                self._deadline = None
            wanted.clear()

    async def _beat(self) -> None:
        """Keep the cadence until no tick is left."""
        start, step = time.monotonic(), 0
        # For each slot by itself: a sleep for each of them would take longer than it should.
        earliest = [start] * SLOTS
        while any(self._slots):
            step += 1
            while not (slot := self._slots[step % SLOTS]):
                step += 1
            deadline = self._deadline = start + step * _STEP_SECONDS
            now = time.monotonic()
            behind = now - deadline
            # A sleep of zero yields to the sockets even while it catches up after a stall.
            await asyncio.sleep(max(0.0, -behind, earliest[step % SLOTS] - now))
            earliest[step % SLOTS] = time.monotonic() + self._least_gap * PTIME_MS / 1000
            if behind > _MAX_BEHIND_SECONDS:
                # The machine was suspended: skip the missed frames instead of sending them all.
                start += behind
                deadline += behind
            self._call_all(iter(tuple(slot)), deadline)

    def _call_all(
        self, entries: Iterator[tuple[Tick, Lateness | None, float]], deadline: float
    ) -> None:
        """Call the ticks of a slot; an error in one of them does not stop the others."""
        loop, of_all = asyncio.get_running_loop(), self.lateness
        tick: Tick | None = None
        while True:
            # One for all, which is entered again after an error: this is done for every frame.
            with Guard("a call of the simulator failed and was dropped", loop=loop) as guard:
                for tick, lateness, begin in entries:
                    if deadline < begin:
                        continue
                    now = time.monotonic()
                    of_all.record(now - deadline)
                    if lateness is not None:
                        lateness.record(now - deadline)
                    tick(now)
            if guard.error is None or tick is None:
                return
            self.remove(tick)
