"""One run of faults against a server: an ordinary call first, and again after every fault."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from twistream_kit.listing import Series
from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator._fault_rows import Fault
from twistream_kit.simulator._fault_scene import (
    NEXT_CALL_SECONDS,
    UNKNOWN,
    CannotTry,
    FaultScene,
    FaultTarget,
    NotSurvived,
)
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch
from twistream_kit.simulator.fault_report import FaultOutcome, FaultReport, FaultRow
from twistream_kit.simulator.stream.pacer import Lateness
from twistream_kit.simulator.stream.refusal import StreamFailed

_MEND_FIRST = "Mend that first: twistream call, or kit.simulate_call, says more."

MEMORY_BYTES = 16_000_000
"""So much more memory after a fault, and again after the same fault, is taken for a leak."""

LATER_SECONDS = 1.0
"""After a fault a second ordinary call is made so much later."""

_RECOVERY_SECONDS = 3.0
"""How long a server that no longer works is waited for, before the run ends."""


@dataclass
class _Tried:
    """What was seen of one fault."""

    outcome: FaultOutcome = "green"
    seen: str = ""
    next_call_ms: float | None = None
    works_after: bool = True
    late_ms: float = 0.0

    def fail(self, text: str) -> None:
        self.seen = text if self.outcome == "green" else f"{self.seen} {text}"
        self.outcome = "red"


def order_faults(faults: Sequence[Fault], seed: int) -> list[Fault]:
    """Return the faults in the order that `seed` decides."""
    return random.Random(seed).sample(faults, len(faults))  # noqa: S311 - an order, no secret


class FaultRun:
    """Faults against one server, one after the other; used on the loop of `shared`.

    Args:
        target: The server.
        faults: The faults, in the order of the documentation.
        seed: Decides the order in which they are tried.
        scale: What the times that faults last are multiplied with.
        watch: Reads what the process of the server uses; None if it is not known.
        shared: The loop of all simulated calls, with its timer.
    """

    def __init__(
        self,
        target: FaultTarget,
        faults: Sequence[Fault],
        seed: int,
        scale: float,
        watch: ProcessWatch | None,
        shared: SharedLoop,
    ) -> None:
        self._target = target
        self._faults = order_faults(faults, seed)
        self._seed = seed
        self._scale = scale
        self._watch = watch
        self._shared = shared
        self._lateness = Lateness()
        self._ordinary = UNKNOWN

    async def run(self) -> FaultReport:
        """Try them all, as long as the server lives.

        Raises:
            StreamFailed: If the first ordinary call cannot be made.
        """
        begun = time.monotonic()
        async with self._build_scene() as scene:
            self._ordinary = await scene.measure_ordinary_call()
        rows: list[FaultRow] = []
        gone = ""
        if problem := self._ordinary.problem:
            gone = f"An ordinary call does not work, before any fault: {problem}. {_MEND_FIRST}"
        for fault in self._faults:
            if gone:
                rows.append(_build_row(fault, self._scale, _Tried("not tried", gone)))
                continue
            row, gone = await self._try(fault)
            rows.append(row)
        return FaultReport(
            self._target.url,
            Series.of(rows, "faults"),
            self._seed,
            self._scale,
            time.monotonic() - begun,
            str(self._ordinary),
            self._lateness.report(),
        )

    def _build_scene(self) -> FaultScene:
        return FaultScene(self._target, self._shared, self._lateness, self._scale, self._ordinary)

    async def _try(self, fault: Fault) -> tuple[FaultRow, str]:
        """Try one fault; return its row, and why no other can be tried, or empty."""
        begun, before = time.monotonic(), await self._read_settled_usage()
        tried = await self._act(fault)
        gone = "" if tried.works_after else await self._find_end(fault)
        process = ""
        if before is not None and not gone and tried.outcome != "not tried":
            process = await self._compare(fault, before, tried)
        if self._watch is not None and self._watch.read() is None:
            gone = f"Process {self._watch.pid} has ended, after {fault.name}: start it again."
            tried.fail(f"The process of the server, {self._watch.pid}, has ended.")
        seconds = time.monotonic() - begun
        return _build_row(fault, self._scale, tried, seconds=seconds, process=process), gone

    async def _act(self, fault: Fault) -> _Tried:
        """Do a fault once, and make an ordinary call after it."""
        tried = _Tried()
        async with self._build_scene() as scene:
            try:
                tried.seen = await scene.finish(fault.act(scene), fault.find_timeout(self._scale))
            except CannotTry as reason:
                return _Tried("not tried", str(reason))
            except NotSurvived as error:
                tried.fail(f"{str(error)[0].upper()}{str(error)[1:]}")
            except StreamFailed as error:
                tried.fail(f"The server did not take the stream: {error.problem}.")
            except TimeoutError:
                tried.fail(f"It was not over after {fault.find_timeout(self._scale):.0f} s.")
            problem = await self._find_problem_after(tried)
            if scene.is_late:
                tried.late_ms = max(tried.late_ms, scene.worst_ms)
        tried.works_after = not problem
        if problem:
            tried.fail(problem)
        if tried.late_ms:
            tried.seen += f" (This process was late by up to {tried.late_ms:.0f} ms.)"
        return tried

    async def _find_problem_after(self, tried: _Tried) -> str:
        """Make ordinary calls after a fault; return what is wrong with them, or empty.

        The first comes at once.  The second finds what comes of the fault later, such as a login
        that a stream began and that goes on without it.
        """
        async with self._build_scene() as scene:
            problem = await scene.find_problem_of_next_call()
            tried.next_call_ms = scene.next_call_ms
            if problem:
                return f"The next ordinary call did not work: {problem}."
            seconds = max(0.3, min(LATER_SECONDS, self._scale))
            await asyncio.sleep(seconds)
            if problem := await scene.find_problem_of_next_call():
                return f"An ordinary call {seconds:.1f} s later did not work: {problem}."
            if scene.is_late:
                tried.late_ms = max(tried.late_ms, scene.worst_ms)
        return ""

    async def _find_end(self, fault: Fault) -> str:
        """Return why no other fault can be tried, or empty if the server works again."""
        until = time.monotonic() + _RECOVERY_SECONDS
        while time.monotonic() < until:
            async with self._build_scene() as scene:
                problem = await scene.find_problem_of_next_call()
            if not problem:
                return ""
            await asyncio.sleep(0.2)
        return (
            f"The server has not worked since {fault.name} ({problem}). Start it again; "
            f"only= (--only) then chooses the faults that are left."
        )

    async def _compare(self, fault: Fault, before: ProcessUsage, tried: _Tried) -> str:
        """Object to what a fault leaves in the process each time that it is done.

        What grows once may be a pool or a cache that was filled, so the fault is done again.
        """
        after = await self._wait_for_less(before)
        if after is None or not _find_growth(before, after):
            return _say_usage(before, after)
        again = await self._act(fault)
        last = await self._wait_for_less(after)
        if last is not None and again.works_after and (grown := _find_growth(after, last)):
            tried.fail(
                f"Each time it leaves something in process {self._watch_pid}: {grown}. A stream "
                "that has ended is kept."
            )
        return _say_usage(before, last)

    @property
    def _watch_pid(self) -> int:
        return self._watch.pid if self._watch is not None else 0

    async def _wait_for_less(self, before: ProcessUsage) -> ProcessUsage | None:
        until = time.monotonic() + NEXT_CALL_SECONDS
        while True:
            now = self._read_usage()
            if now is None or not _find_growth(before, now) or time.monotonic() > until:
                return now
            await asyncio.sleep(0.1)

    async def _read_settled_usage(self) -> ProcessUsage | None:
        """Return what the process uses once connections before have closed, or a second later."""
        now = self._read_usage()
        for _ in range(10):
            last = now
            if last is None:
                break
            await asyncio.sleep(0.1)
            now = self._read_usage()
            if now is not None and now.descriptors == last.descriptors:
                break
        return now

    def _read_usage(self) -> ProcessUsage | None:
        return None if self._watch is None else self._watch.read()


def _find_growth(before: ProcessUsage, after: ProcessUsage) -> str:
    """Return what has grown, in words, or empty."""
    grown = []
    if (more := after.descriptors - before.descriptors) > 0:
        grown.append(f"{more} descriptor{'s' * (more > 1)}")
    if (more := after.threads - before.threads) > 0:
        grown.append(f"{more} thread{'s' * (more > 1)}")
    if (more := after.memory - before.memory) > MEMORY_BYTES:
        grown.append(f"{more / 1e6:.0f} MB")
    return " and ".join(grown)


def _say_usage(before: ProcessUsage, after: ProcessUsage | None) -> str:
    if after is None:
        return f"{before}, then nothing"
    counts = (
        (f"{before.memory / 1e6:.1f}", f"{after.memory / 1e6:.1f}", "MB"),
        (str(before.descriptors), str(after.descriptors), "descriptors"),
        (str(before.threads), str(after.threads), "threads"),
    )
    return ", ".join(f"{a if a == b else f'{a} → {b}'} {what}" for a, b, what in counts)


def _build_row(
    fault: Fault, scale: float, tried: _Tried, *, seconds: float = 0.0, process: str = ""
) -> FaultRow:
    return FaultRow(
        fault.name,
        fault.title,
        tried.outcome,
        tried.seen,
        fault.good,
        fault.repair,
        fault.source,
        round(seconds, 3),
        fault.find_timeout(scale),
        None if tried.next_call_ms is None else round(tried.next_call_ms, 1),
        process,
    )
