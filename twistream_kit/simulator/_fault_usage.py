"""What a fault leaves in the process of a server, beyond what an ordinary call leaves there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch, count
from twistream_kit.simulator.fault_report import ORDINARY_CALL, FaultRow

MEMORY_BYTES = 16_000_000
"""So much more memory after a fault, and again after the same fault, is taken for a leak."""

SETTLE_SECONDS = 2.0
"""So long what a stream used may take to be given back."""

CALLS = 3
"""So many ordinary calls are made at a time to see what they leave."""


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What each stream without a fault leaves behind, on average.

    Attributes:
        memory: Bytes.
        descriptors: Open files and sockets.
        threads: Threads.
    """

    memory: float = 0.0
    descriptors: float = 0.0
    threads: float = 0.0

    def __bool__(self) -> bool:
        return any((self.memory, self.descriptors, self.threads))

    def __str__(self) -> str:
        said = [
            f"{number:.2g} {what}{'' if number == 1 else 's'}"
            for number, what in ((self.descriptors, "descriptor"), (self.threads, "thread"))
            if number
        ]
        if self.memory:
            said.append(f"{self.memory / 1e6:.0f} MB")
        return " and ".join(said)


class UsageMeter:
    """Compares what a process uses before and after some streams.

    Args:
        watch: Reads it.

    Attributes:
        each: What each stream without a fault leaves behind.
    """

    def __init__(self, watch: ProcessWatch) -> None:
        self.watch = watch
        self.each = CallUsage()

    async def measure_calls(self, make_call: Callable[[], Awaitable[int]]) -> FaultRow | None:
        """Find out what ordinary calls leave behind; return a row if it is anything.

        What grows once may be a pool or a cache that was filled, so it has to grow twice.

        Args:
            make_call: Makes one, and returns how many streams it took.
        """
        await make_call()  # which loads and fills what is made once
        begun = time.monotonic()
        first = await self._measure_some(make_call)
        if not first:
            return None
        second = await self._measure_some(make_call)
        self.each = CallUsage(
            min(first.memory, second.memory),
            min(first.descriptors, second.descriptors),
            min(first.threads, second.threads),
        )
        if not self.each:
            return None
        return FaultRow(
            ORDINARY_CALL,
            "Calls are made and ended as usual, without any fault.",
            "red",
            f"Each of {2 * CALLS} ordinary calls left {self.each} in process {self.watch.pid}, "
            "without any fault. Other rows count only what is left beyond that.",
            "Keeps nothing of a call that has ended.",
            "Close at the end of a stream what it has opened, end the threads and tasks that it "
            "has begun, and take it out of every list and table: in the `finally` of the function "
            "that handles its WebSocket.",
            "measured before all faults",
            round(time.monotonic() - begun, 3),
            (2 * CALLS + 1) * SETTLE_SECONDS * 2,
        )

    async def _measure_some(self, make_call: Callable[[], Awaitable[int]]) -> CallUsage:
        before = await self.read_settled()
        streams = 0
        for _ in range(CALLS):
            streams += await make_call()
        after = before and await self.wait_for_less(before, 0)
        if not before or not after:
            return CallUsage()
        memory, descriptors, threads = _subtract(before, after)
        return CallUsage(
            memory / streams if memory > MEMORY_BYTES else 0.0,
            descriptors / streams if descriptors >= CALLS else 0.0,
            threads / streams if threads >= CALLS else 0.0,
        )

    def find_growth(self, before: ProcessUsage, after: ProcessUsage, streams: int) -> str:
        """Return what has grown by more than so many ordinary streams leave, in words, or empty."""
        memory, descriptors, threads = _subtract(before, after)
        grown = [
            count(more, what)
            for more, what in (
                (round(descriptors - streams * self.each.descriptors), "descriptor"),
                (round(threads - streams * self.each.threads), "thread"),
            )
            if more > 0
        ]
        if (more := memory - streams * self.each.memory) > MEMORY_BYTES:
            grown.append(f"{more / 1e6:.0f} MB")
        return " and ".join(grown)

    async def wait_for_less(self, before: ProcessUsage, streams: int) -> ProcessUsage | None:
        """Return what is used once no more than before is, or after a while."""
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            now = self.watch.read()
            if now is None or not self.find_growth(before, now, streams):
                return now
            if time.monotonic() > until:
                return now
            await asyncio.sleep(0.1)

    async def read_settled(self) -> ProcessUsage | None:
        """Return what is used once connections before have closed, or a second later."""
        now = self.watch.read()
        for _ in range(10):
            last = now
            if last is None:
                break
            await asyncio.sleep(0.1)
            now = self.watch.read()
            if now is not None and now.descriptors == last.descriptors:
                break
        return now


def _subtract(before: ProcessUsage, after: ProcessUsage) -> tuple[int, int, int]:
    def find(sooner: int | None, later: int | None) -> int:
        return 0 if sooner is None or later is None else later - sooner

    return (
        find(before.memory, after.memory),
        find(before.descriptors, after.descriptors),
        find(before.threads, after.threads),
    )


def say_usage(before: ProcessUsage, after: ProcessUsage | None) -> str:
    """Say what a process used before and after a fault."""
    if after is None:
        return f"{before}, then nothing"
    pairs = zip(str(before).split(", "), str(after).split(", "), strict=True)
    return ", ".join(new if old == new else f"{old.split()[0]} → {new}" for old, new in pairs)
