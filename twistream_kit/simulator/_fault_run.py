"""One run of faults against a server: an ordinary call first, and again after every fault."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from twistream_kit.errors import hide_user
from twistream_kit.listing import Series
from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator._fault_rows import Fault
from twistream_kit.simulator._fault_scene import FaultScene
from twistream_kit.simulator._fault_streams import (
    BrokeAtItsEnd,
    CannotTry,
    EndedBefore,
    EndedByItself,
    FaultTarget,
    KnownServer,
    NotSurvived,
)
from twistream_kit.simulator._fault_usage import UsageMeter, say_usage
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch
from twistream_kit.simulator.fault_report import FaultOutcome, FaultReport, FaultRow
from twistream_kit.simulator.stream.pacer import Lateness
from twistream_kit.simulator.stream.refusal import StreamFailed

_MEND_FIRST = "Mend that first: twistream call, or kit.simulate_call, says more."

LATER_SECONDS = 1.0
"""After a fault a second ordinary call is made so much later."""

MOST_TRIES = 4
"""So often a fault is tried on a server that ends calls by itself, now sooner and now later."""

_RECOVERY_SECONDS = 3.0
"""How long a server that no longer works is waited for, before the run ends."""

_LOOK_SECONDS = 0.1

_Result = TypeVar("_Result")


@dataclass
class FaultWatch:
    """A run, as it is seen from other threads.

    Attributes:
        faults: How many faults there are.
        limit: After so many seconds no other fault is begun.
        stop: Ends the run.
        rows: What was tried until now.
        now: What is tried now.
    """

    faults: int
    limit: float
    stop: threading.Event = field(default_factory=threading.Event)
    rows: list[FaultRow] = field(default_factory=list)
    now: str = "an ordinary call"


class _Stopped(Exception):
    """The run is to end; the text is why the faults that are left were not tried."""


@dataclass
class _Tried:
    """What was seen of one fault."""

    outcome: FaultOutcome = "green"
    seen: str = ""
    next_call_ms: float | None = None
    works_after: bool = True
    late_ms: float = 0.0
    ended: str = ""
    is_chance: bool = False
    remark: str = ""

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
        usage: Reads what the process of the server uses; None if it is not known.
        shared: The loop of all simulated calls, with its timer.
        watch: The run, as it is seen from other threads; None if nobody looks.
        notes: What the report is to say besides.
    """

    def __init__(
        self,
        target: FaultTarget,
        faults: Sequence[Fault],
        seed: int,
        scale: float,
        usage: ProcessWatch | None,
        shared: SharedLoop,
        *,
        watch: FaultWatch | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self._target = target
        self._faults = order_faults(faults, seed)
        self._seed = seed
        self._scale = scale
        self._meter = None if usage is None else UsageMeter(usage)
        self._watch = watch or FaultWatch(len(faults), math.inf)
        self._notes = list(notes)
        self._shared = shared
        self._lateness = Lateness()
        self._known = KnownServer()
        self._begun = time.monotonic()

    async def run(self) -> FaultReport:
        """Try them all, as long as the server lives and nobody stops it.

        Raises:
            StreamFailed: If the first ordinary call cannot be made.
        """
        gone = is_over = ""
        try:
            gone = await self._run_until_stopped(self._measure_server())
        except _Stopped as stopped:
            is_over = str(stopped)
        rows = self._watch.rows
        for place, fault in enumerate(self._faults):
            if gone or is_over:
                rows.append(self._leave_out(fault, gone or is_over))
                continue
            self._watch.now = f"{fault.name} ({place + 1} of {len(self._faults)})"
            try:
                row, gone = await self._run_until_stopped(self._try(fault))
            except _Stopped as stopped:
                is_over = str(stopped)
                row = self._leave_out(fault, f"It was under way. {is_over}")
            rows.append(row)
        return FaultReport(
            hide_user(self._target.url),
            Series.of(rows, "faults"),
            self._seed,
            self._scale,
            time.monotonic() - self._begun,
            str(self._known.ordinary) if self._known.opened else "none was made",
            self._lateness.report(),
            tuple(self._notes),
            is_interrupted=bool(is_over),
        )

    def _leave_out(self, fault: Fault, why: str) -> FaultRow:
        return _build_row(fault, self._scale, _Tried("not tried", why))

    async def _run_until_stopped(self, work: Awaitable[_Result]) -> _Result:
        """Return what `work` returns, or end it when the run is to end."""
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                if self._watch.stop.is_set():
                    raise _Stopped("The run was interrupted.")
                if time.monotonic() - self._begun > self._watch.limit:
                    raise _Stopped(f"The run had taken {self._watch.limit:.0f} s, its limit.")
                await asyncio.wait([task], timeout=_LOOK_SECONDS)
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    async def _measure_server(self) -> str:
        """Make ordinary calls; return why no fault can be tried, or empty."""
        async with self._build_scene() as scene:
            ordinary = self._known.ordinary = await scene.measure_ordinary_call()
        if ordinary.ended is not None:
            self._known.ends_calls = True
        if ordinary.problem:
            return f"An ordinary call does not work, before any fault: {ordinary.problem}. " + (
                _MEND_FIRST
            )
        if self._meter is not None:
            row = await self._meter.measure_calls(self._make_call)
            if row is not None:
                self._watch.rows.append(row)
        return ""

    async def _make_call(self) -> int:
        """Make an ordinary call; return how many streams it took."""
        before = self._known.opened
        async with self._build_scene() as scene:
            await scene.find_problem_of_next_call()
        return self._known.opened - before

    def _build_scene(self) -> FaultScene:
        return FaultScene(self._target, self._shared, self._lateness, self._scale, self._known)

    async def _try(self, fault: Fault) -> tuple[FaultRow, str]:
        """Try one fault; return its row, and why no other can be tried, or empty."""
        begun = time.monotonic()
        before = None if self._meter is None else await self._meter.read_settled()
        opened = self._known.opened
        tried = await self._act_until_it_is_no_chance(fault)
        gone = "" if tried.works_after else await self._find_end(fault, tried)
        process = ""
        if before is not None and not gone and tried.outcome != "not tried":
            process = await self._compare(fault, before, self._known.opened - opened, tried)
        if self._meter is not None and self._meter.watch.read() is None:
            pid = self._meter.watch.pid
            gone = f"Process {pid} has ended, after {fault.name}: start it again."
            tried.fail(f"The process of the server, {pid}, has ended.")
        seconds = time.monotonic() - begun
        return _build_row(fault, self._scale, tried, seconds=seconds, process=process), gone

    async def _act_until_it_is_no_chance(self, fault: Fault) -> _Tried:
        """Do a fault; again, if the server ends calls by itself and has done so in it.

        One that closes when the talk is over does so sooner or later.  If it closes each
        time, then because of the fault.
        """
        tries, first = 0, ""
        while True:
            tries += 1
            tried = await self._act(fault)
            first = first or tried.ended
            if not tried.ended or not tried.works_after:
                break
            if tries == MOST_TRIES:
                tried.seen += f" So it was in each of {tries} tries."
                break
            if not tried.is_chance and not await self._ends_calls():
                break
        if tries > 1 and not tried.ended:
            tried.seen += f" (So it was in the last of {tries} tries: {first})"
        return tried

    async def _ends_calls(self) -> bool:
        async with self._build_scene() as scene:
            try:
                return await scene.find_whether_calls_end()
            except StreamFailed:
                return False

    async def _act(self, fault: Fault) -> _Tried:
        """Do a fault once, and make an ordinary call after it."""
        tried = _Tried()
        async with self._build_scene() as scene:
            try:
                tried.seen = await scene.finish(fault.act(scene), fault.find_timeout(self._scale))
                scene.require_own_sids()
            except EndedBefore as reason:
                tried = _Tried("not tried", str(reason), ended=str(reason))
            except CannotTry as reason:
                return _Tried("not tried", str(reason))
            except NotSurvived as error:
                tried.fail(f"{str(error)[0].upper()}{str(error)[1:]}")
                tried.ended = str(error) if isinstance(error, EndedByItself) else ""
                tried.is_chance = isinstance(error, BrokeAtItsEnd)
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

    async def _find_end(self, fault: Fault, tried: _Tried) -> str:
        """Return why no other fault can be tried, or empty if the server works again.

        What broken streams use up adds up, and the last of them is not always the one to blame.
        """
        until = time.monotonic() + _RECOVERY_SECONDS
        while time.monotonic() < until:
            async with self._build_scene() as scene:
                problem = await scene.find_problem_of_next_call()
            if not problem:
                return ""
            await asyncio.sleep(0.2)
        tried.remark = self._say_what_came_before(fault)
        return (
            f"The server has not worked since {fault.name} ({problem}). Start it again; "
            f"only= (--only) then chooses the faults that are left."
        )

    def _say_what_came_before(self, fault: Fault) -> str:
        names = [
            row.name for row in self._watch.rows if row.is_fault and row.outcome != "not tried"
        ]
        if not names:
            return ""
        return (
            f"That {fault.name} did it is a guess: on the same server {', '.join(names)} came "
            "before, each of which may have left something, and after it no call works any more. "
            f"Start the server anew and try it alone: --only {fault.name} (only={fault.name!r})."
        )

    async def _compare(
        self, fault: Fault, before: ProcessUsage, streams: int, tried: _Tried
    ) -> str:
        """Object to what a fault leaves in the process each time that it is done.

        What grows once may be a pool or a cache that was filled, so the fault is done again.
        """
        meter = self._meter
        if meter is None:
            return ""
        after = await meter.wait_for_less(before, streams)
        if after is None or not meter.find_growth(before, after, streams):
            return say_usage(before, after)
        opened = self._known.opened
        again = await self._act(fault)
        streams = self._known.opened - opened
        last = await meter.wait_for_less(after, streams)
        grown = "" if last is None else meter.find_growth(after, last, streams)
        if grown and again.works_after:
            beyond = " beyond what ordinary calls leave" if meter.each else ""
            tried.fail(
                f"Each time it leaves something in process {meter.watch.pid}{beyond}: {grown}. "
                "A stream that has ended is kept."
            )
        return say_usage(before, last)


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
        tried.remark,
    )
