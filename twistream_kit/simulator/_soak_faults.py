"""The faults of a soak: one after the other beside the calls, in seeded order, over and over.

They are tried beside the calls and not between them: a stream that breaks must not disturb the
others, and what a process has at rest is read when the fault is over as well.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from twistream_kit.simulator._calls_loop import SharedLoop, run_call
from twistream_kit.simulator._fault_rows import Fault
from twistream_kit.simulator._fault_run import FaultRun, order_faults
from twistream_kit.simulator._fault_streams import FaultTarget
from twistream_kit.simulator._soak_tally import FaultTally
from twistream_kit.simulator.fault_report import FaultReport

_STEP_SECONDS = 0.1

_OVERHEAD_SECONDS = 4.0
"""A fault that was not tried yet may take so long beside its own time: the calls after it."""

MOST_SECONDS_AFTER = 10.0
"""A process that ends so long after a fault is not said to have ended by it."""

_SHORTLY_SECONDS = 2.0
"""Of a fault that has begun so shortly before, it may be that it has not broken a stream yet."""

_BESIDE_SECONDS = 1.0
"""A call that fails so long after a fault counts as beside it."""


@dataclass(slots=True)
class TriedFault:
    """A fault beside a wave, by the monotonic clock.

    Attributes:
        fault: Which.
        began: When its trial began, with an ordinary call.
        ended: When it ended; None while it is under way.
        is_red: Whether the server did not survive it, as far as it has shown.
    """

    fault: Fault
    began: float
    ended: float | None = None
    is_red: bool = False

    def is_beside(self, at: float) -> bool:
        """Return whether something at that time happened in it, or within a second after."""
        return self.began <= at and (self.ended is None or at <= self.ended + _BESIDE_SECONDS)


class FaultsBeside:
    """Tries faults beside waves of calls, each round of all of them in another order.

    Args:
        target: The server.
        faults: The faults.
        seed: Decides the order of each round.
        scale: What the times that they last are multiplied with.

    Attributes:
        tally: What has come of them.
        scale: As given.
    """

    def __init__(
        self, target: FaultTarget, faults: Sequence[Fault], seed: int, scale: float
    ) -> None:
        self.tally = FaultTally(fault.name for fault in faults)
        self.scale = scale
        self._target = target
        self._took: dict[str, float] = {}
        self._endless = _order_endlessly(faults, seed)
        self._next = next(self._endless)
        self._wave: WaveFaults | None = None

    def begin(self, delay: float, until: float, stop: threading.Event) -> WaveFaults:
        """Try faults on a thread of their own.

        Args:
            delay: How many seconds later the first one begins, when all calls are under way.
            until: When the calls end, by the monotonic clock; but for the first one of a wave, no
                fault begins that would last longer.
            stop: Ends the one that is tried, and tries no other.
        """
        self._wave = WaveFaults(partial(self._try_some, delay, until), stop)
        return self._wave

    def find_near(self, at: float) -> list[TriedFault]:
        """Return the faults by which something may have come about at a time.

        That is the one that was under way, and the one before it if it had just begun; else the
        last one.
        """
        tried = [] if self._wave is None else [*self._wave.tried]
        near = [
            each
            for each in tried[-2:]
            if each.ended is None or at <= each.ended + MOST_SECONDS_AFTER
        ]
        if len(near) == 2 and (near[1].ended is not None or at - near[1].began > _SHORTLY_SECONDS):
            near = near[1:]
        return near

    def describe_near(self, at: float) -> str:
        """Return what `find_near` finds, in words; empty if it finds nothing."""
        said = []
        for each in reversed(self.find_near(at)):
            if each.ended is None:
                since = f"{at - each.began:.1f} s after its beginning"
                said.append(f"while {each.fault.name} was tried, {since}")
            else:
                said.append(f"{max(0.0, at - each.ended):.1f} s after {each.fault.name}")
        return " and ".join(said)

    def add_ended(self, at: float) -> str:
        """Count that the process ended as not survived; return which fault it was, in words.

        It is a guess, and said to be one.
        """
        said = self.describe_near(at)
        for each in self.find_near(at):
            is_new = each.ended is None
            if is_new or not each.is_red:
                each.is_red = True
                why = f"the process of the server ended {said}; that it was this is a guess"
                self.tally.add_ended(each.fault, why, is_new=is_new)
            if is_new and self._wave is not None:
                self._wave.names.append(each.fault.name)
        return said

    def count_failed(self, failed: Sequence[float]) -> None:
        """Count calls of this wave that failed at these times, with the faults beside them."""
        for each in [] if self._wave is None else self._wave.tried:
            if times := sum(map(each.is_beside, failed)):
                self.tally.add_beside(each.fault, times)

    def _try_some(self, delay: float, until: float, wave: WaveFaults) -> None:
        wave.stop.wait(delay)
        while not wave.stop.is_set():
            fault = self._next
            if wave.names and time.monotonic() + self._estimate_seconds(fault) > until:
                return
            tried = TriedFault(fault, time.monotonic())
            wave.tried.append(tried)
            trial = _Trial(partial(FaultRun, self._target, [fault], 0, self.scale, None))
            report = trial.run(wave.stop)
            if tried.is_red or (report is None and trial.error is None):
                return  # the process has ended, or it was stopped; it comes first in no other wave
            wave.names.append(fault.name)
            tried.ended = time.monotonic()
            self._took[fault.name] = tried.ended - tried.began
            self._next = next(self._endless)
            if report is None:
                wave.tried.remove(tried)
                self.tally.add_untried(
                    fault.name, f"no call could be made before it: {trial.error}"
                )
            else:
                tried.is_red = tried.is_red or not report.rows[0].ok
                self.tally.add(report.rows[0])

    def _estimate_seconds(self, fault: Fault) -> float:
        return self._took.get(fault.name, fault.seconds * self.scale + _OVERHEAD_SECONDS)


class WaveFaults:
    """The faults beside one wave; its thread runs from the beginning.

    Args:
        work: Tries them.
        stop: Set to end them.

    Attributes:
        names: Those that were tried.
        tried: The same with their times, and the one that is under way; without those before which
            no call could be made.
        stop: As given.
    """

    def __init__(self, work: partial[None], stop: threading.Event) -> None:
        self.names: list[str] = []
        self.tried: list[TriedFault] = []
        self.stop = stop
        self._thread = threading.Thread(
            target=work, args=(self,), name="faults beside calls", daemon=True
        )
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the one that is tried; return whether it is there."""
        self._thread.join(seconds)
        return not self._thread.is_alive()


class _Trial:
    """One fault, tried on the loop of all simulated calls.

    Args:
        make_run: Makes its run on that loop.

    Attributes:
        error: Why it could not be tried.
    """

    def __init__(self, make_run: partial[FaultRun]) -> None:
        self.error: BaseException | None = None
        self._make_run = make_run
        self._report: FaultReport | None = None
        self._is_over = threading.Event()
        self._is_cancelled = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[FaultReport] | None = None

    def run(self, stop: threading.Event) -> FaultReport | None:
        """Try it; return None if it was stopped, or could not be tried."""
        run_call(self._act, self._is_over.set)
        while not self._is_over.wait(_STEP_SECONDS):
            if stop.is_set() and not self._is_cancelled and self._loop is not None:
                self._is_cancelled = True
                self._loop.call_soon_threadsafe(self._cancel)
        return self._report

    async def _act(self, shared: SharedLoop) -> None:
        self._task = asyncio.ensure_future(self._make_run(shared).run())
        self._loop = asyncio.get_running_loop()
        try:
            self._report = await self._task
        except asyncio.CancelledError:
            if not self._is_cancelled:
                self._task.cancel()
                raise
        except BaseException as error:  # noqa: BLE001 - it is what came of the fault
            self.error = error
        finally:
            self._is_over.set()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _order_endlessly(faults: Sequence[Fault], seed: int) -> Iterator[Fault]:
    rounds = random.Random(seed)  # noqa: S311 - an order, no secret
    while True:
        yield from order_faults(faults, rounds.randrange(2**32))
