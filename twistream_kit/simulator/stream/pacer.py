"""The beat of the simulator: every call is served once in 20 ms, for as long as it lasts.

Deadlines are absolute, so that a late one does not make the following ones late: after a stall the
missed frames come in a burst, as they do with Twilio (PROTOCOL.md §3), and the cadence is as it
was.  How late the beat itself was is measured, because timings taken by a late simulator say
nothing about the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from twistream_kit.pending import Guard
from twistream_kit.protocol.from_twilio import PTIME_MS

Tick = Callable[[float], None]
"""Called every 20 ms with the monotonic time in seconds; it must not block and not raise."""

SLOTS = 10
"""The calls are spread over this many moments of the 20 ms; real ones are not in step either."""

LATE_MS = 20.0
"""A frame that is later than this was overtaken by the moment of the next one."""

_STEP_SECONDS = PTIME_MS / 1000 / SLOTS
_MAX_BEHIND_SECONDS = 30.0
_BUCKETS_PER_MS = 10
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
        """Whether timings taken meanwhile say something about the server.

        They do when at most one frame in a hundred was late, and none by 200 ms or more.
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
    """A histogram of delays: tenths of a millisecond up to a second, in constant memory."""

    def __init__(self) -> None:
        self._counts = [0] * (_BUCKETS + 1)
        self._max = 0.0

    def __repr__(self) -> str:
        return f"<Lateness {self.report()}>"

    def record(self, seconds: float) -> None:
        """Count one frame that came `seconds` after its deadline."""
        if seconds > self._max:
            self._max = seconds
        bucket = int(seconds * 1000 * _BUCKETS_PER_MS)
        self._counts[0 if bucket < 0 else min(bucket, _BUCKETS)] += 1

    def report(self) -> LatenessReport:
        """Return the figures so far; callable from any thread."""
        counts = list(self._counts)
        frames = sum(counts)
        return LatenessReport(
            frames,
            self._percentile(counts, frames, 0.50),
            self._percentile(counts, frames, 0.95),
            self._percentile(counts, frames, 0.99),
            self._max * 1000,
            sum(counts[int(LATE_MS * _BUCKETS_PER_MS) + 1 :]),
        )

    def _percentile(self, counts: list[int], frames: int, share: float) -> float:
        seen = 0
        for bucket, count in enumerate(counts):
            seen += count
            if count and seen >= share * frames:
                # The upper edge of the bucket: an estimate that never flatters.
                return min((bucket + 1) / _BUCKETS_PER_MS, self._max * 1000)
        return 0.0


class Pacer:
    """One task that calls every tick once in 20 ms; an asynchronous context manager.

    The constructor touches no loop.  `add` and `remove` belong to the loop it was entered on; a
    tick may add and remove others, or itself.

    Attributes:
        lateness: How late the ticks were.
    """

    def __init__(self) -> None:
        self.lateness = Lateness()
        self._slots: list[list[Tick]] = [[] for _ in range(SLOTS)]
        self._wanted: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "not running" if self._task is None else "running"
        return f"<Pacer: {state}, {self.lateness.report()}>"

    def add(self, tick: Tick) -> None:
        """Call `tick` every 20 ms from now on; the first time within 40 ms."""
        min(self._slots, key=len).append(tick)
        if self._wanted is not None:
            self._wanted.set()

    def remove(self, tick: Tick) -> None:
        """Call `tick` no more; nothing happens if it is not there."""
        for slot in self._slots:
            if tick in slot:
                slot.remove(tick)
                return

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
            await self._beat()
            wanted.clear()

    async def _beat(self) -> None:
        """Keep the cadence until no tick is left."""
        start, step = time.monotonic(), 0
        while any(self._slots):
            step += 1
            while not (slot := self._slots[step % SLOTS]):
                step += 1
            deadline = start + step * _STEP_SECONDS
            behind = time.monotonic() - deadline
            # Zero lets the sockets have their turn even while a stall is made up for.
            await asyncio.sleep(max(0.0, -behind))
            if behind > _MAX_BEHIND_SECONDS:
                # The machine slept.  A minute of frames at once would help nobody.
                start += behind
                deadline += behind
            for tick in tuple(slot):
                self._call(slot, tick, deadline)

    def _call(self, slot: list[Tick], tick: Tick, deadline: float) -> None:
        now = time.monotonic()
        self.lateness.record(now - deadline)
        loop = asyncio.get_running_loop()
        # One broken call must not silence all others.
        with Guard("a call of the simulator failed and was dropped", loop=loop) as guard:
            tick(now)
        if guard.error is not None and tick in slot:
            slot.remove(tick)
