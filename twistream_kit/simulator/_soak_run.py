"""A soak while it runs: waves of calls, and between them a rest in which the process is read.

It runs on a thread of its own, which only waits: the calls and the faults are on the loop of all
simulated calls.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from twistream_kit.diagnosis.growth import KINDS, UsageReading, find_growth
from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.diagnosis.soak import SoakReport
from twistream_kit.diagnosis.turn_figures import say_number
from twistream_kit.errors import Objection, TwistreamError
from twistream_kit.listing import Series
from twistream_kit.pending import (
    Subject,
    fail,
    fulfil,
)
from twistream_kit.simulator._load_run import LoadRun
from twistream_kit.simulator._load_share import IDLE_SECONDS
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch
from twistream_kit.simulator._soak_children import ChildWatch
from twistream_kit.simulator._soak_faults import FaultsBeside, WaveFaults
from twistream_kit.simulator._soak_tally import SoakTally
from twistream_kit.simulator._stoppable_run import (
    ShowProgress,
    StoppableRun,
    open_bar,
    write_line,
)

LEAST_SAMPLE_SECONDS = 2.0
"""The process is read so often under the calls, and less often in a run of hours …"""

MOST_SAMPLES = 1800
"""… so that there are no more readings than this."""

MOST_FRUITLESS_WAVES = 2
"""So many waves without a call that went well end a run; the first wave ends it alone."""

_REST_STEP_SECONDS = 0.2
_STEP_SECONDS = 0.2
_STOP_SECONDS = 60.0
"""How long an interrupted run may take to end."""


@dataclass(frozen=True, slots=True)
class SoakPlan:
    """What a soak is to do.

    Attributes:
        url: The server's address.
        minutes: How long it lasts.
        calls: How many calls a wave has.
        call_seconds: The length of each.
        ramp_seconds: The time within which those of a wave begin.
        rest_seconds: How long the process rests after a wave, before what it uses is read.
        make_wave: Begins a wave, given what is added to the numbers of its calls.
        limits: What the figures and the growth are held against.
        usage: Reads what the process of the server uses; None if it is not known.
        notes: What is good to know of that process.
        faults: Tries faults beside the calls; None for none.
    """

    url: str
    minutes: float
    calls: int
    call_seconds: float
    ramp_seconds: float
    rest_seconds: float
    make_wave: Callable[[int], LoadRun]
    limits: Mapping[str, float]
    usage: ProcessWatch | None
    notes: tuple[Objection, ...]
    faults: FaultsBeside | None


class SoakProgress:
    """What another thread sees of a soak, and by which it ends it.

    Attributes:
        stop: Set to end the run with what it has.
        seconds: How long it has lasted.
        waves, calls, failed: What has been done.
        usage: What the process used at the last reading.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.seconds = 0.0
        self.waves = self.calls = self.failed = 0
        self.usage: ProcessUsage | None = None

    def __str__(self) -> str:
        failed = f"{self.failed} failed" if self.failed else "none failed"
        used = "" if self.usage is None else f"; {self.usage}"
        calls = say_number(self.calls, "call")
        return f"wave {self.waves}, {calls}, {failed}{used}"


class SoakRun(StoppableRun[SoakReport]):
    """A `SoakReport` that is on its way: `result` shows the progress, `stop` ends the run early.

    Args:
        subject: What it stands for, in words.
        progress: The run, as it is seen from here.
        plan: What it is to do.
        shows: Whether `result` shows how far it is.
    """

    def __init__(
        self, subject: Subject, progress: SoakProgress, plan: SoakPlan, *, shows: bool
    ) -> None:
        super().__init__(subject, progress.stop, stop_seconds=_STOP_SECONDS, progress=shows)
        self._progress = progress
        self._plan = plan
        self._notes = plan.notes  # that are still to be shown

    def stop(self) -> None:
        """Let all callers hang up; the report then says what was seen until now."""
        super().stop()

    def _choose_progress(self) -> ShowProgress:
        """Return a bar, or a line for each wave where there is no terminal."""
        notes, self._notes = self._notes, ()
        for note in notes:
            write_line(str(note))
        progress, minutes = self._progress, self._plan.minutes
        seconds = round(60 * minutes)
        bar = open_bar(seconds, "soak")
        if bar is None:
            return _WaveLines(progress, minutes).show

        def show(is_over: bool) -> None:
            bar.set_postfix_str(str(progress), refresh=False)
            bar.update(min(round(progress.seconds), seconds) - bar.n)
            bar.refresh()
            if is_over:
                bar.close()

        return show


class _WaveLines:
    """Writes a line after each wave."""

    def __init__(self, progress: SoakProgress, minutes: float) -> None:
        self._progress, self._minutes, self._shown = progress, minutes, 0

    def show(self, is_over: bool) -> None:
        progress = self._progress
        if progress.waves == self._shown and not (is_over and not self._shown):
            return
        self._shown = progress.waves
        said = f"{progress.seconds / 60:6.1f} of {self._minutes:g} minutes: {progress}"
        write_line(said)


def run_waves(
    pending: SoakRun,
    plan: SoakPlan,
    progress: SoakProgress,
    before: ProcessUsage | None,
    wave: LoadRun,
) -> None:
    """Run a soak, whose first wave has begun, to its end; for a thread of its own."""
    try:
        report = _Soak(plan, progress, before).run(wave)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the waiting caller must get it
        fail(pending, error)
    else:
        fulfil(pending, report)


class _Soak:
    """A soak while it runs."""

    def __init__(self, plan: SoakPlan, progress: SoakProgress, before: ProcessUsage | None) -> None:
        self._plan = plan
        self._progress = progress
        self._tally = SoakTally(is_server_here=plan.usage is not None)
        self._began = self._sampled = time.monotonic()
        self._sample_seconds = max(LEAST_SAMPLE_SECONDS, 60 * plan.minutes / MOST_SAMPLES)
        self._readings: list[UsageReading] = []
        self._samples: list[UsageReading] = []
        self._ended = ""
        self._children = ChildWatch()
        self._is_resting = False
        self._over = threading.Event()  # of the wave that is under way, and the faults beside it
        self._longest = 0.0
        if before is not None:
            self._children.add(before.children, 0, self._describe_now, is_at_rest=True)
        if before is not None and (reading := self._build_reading(before, 0)) is not None:
            self._readings.append(reading)

    @property
    def _now(self) -> float:
        return time.monotonic() - self._began

    def run(self, wave: LoadRun) -> SoakReport:
        """Make waves until the time is up, the run is stopped, or the server has ended."""
        offset = 0
        while True:
            begins = self._now
            self._run_wave(wave, begins, offset)
            self._progress.waves = len(self._tally.waves)
            self._progress.calls = self._tally.calls
            self._progress.failed = sum(each.failed for each in self._tally.waves)
            if not self._ended:
                self._is_resting = True
                self._settle()
                self._is_resting = False
            self._longest = max(self._longest, self._now - begins)
            if self._is_over():
                return self._build()
            offset += self._plan.calls
            try:
                wave = self._plan.make_wave(offset)
            except TwistreamError as error:  # no descriptors are left, a worker is gone
                self._ended = f"no further wave could begin: {error}"
                return self._build()

    def _run_wave(self, wave: LoadRun, begins: float, offset: int) -> None:
        faults = self._begin_faults()
        while not wave.done():
            self._step(wave)
            if self._over.is_set() and not wave.watch.stop.is_set():
                wave.stop()
        while faults is not None and not faults.wait(_STEP_SECONDS):
            self._step(wave)
        try:
            report: LoadReport = wave.result(0)
        except TwistreamError as error:
            if not self._tally.waves:
                raise
            self._ended = self._ended or f"wave {len(self._tally.waves) + 1} failed: {error}"
            return
        tried = () if faults is None else tuple(faults.names)
        self._tally.add(report, begins, self._now, offset, tried)
        if self._plan.faults is not None:
            self._plan.faults.count_failed(
                [self._began + begins + call.ends for call in report.calls if not call.ok]
            )
        self._object_to_fruitless_waves(report)

    def _begin_faults(self) -> WaveFaults | None:
        plan = self._plan
        if plan.faults is None:
            return None
        delay = IDLE_SECONDS + plan.ramp_seconds
        until = time.monotonic() + delay + plan.call_seconds
        return plan.faults.begin(delay, until, self._over)

    def _step(self, wave: LoadRun) -> None:
        """Wait for a moment, and see whether the wave has to end; now and then read the process."""
        self._progress.stop.wait(_STEP_SECONDS)
        if self._progress.stop.is_set():
            self._over.set()
            threading.Event().wait(_STEP_SECONDS)
        self._progress.seconds = self._now
        self._watch_process()
        if time.monotonic() - self._sampled >= self._sample_seconds:
            self._sampled = time.monotonic()
            under_way = max(0, wave.watch.begun - wave.watch.ended)
            self._read(under_way, self._tally.calls + wave.watch.ended)

    def _settle(self) -> None:
        """Read the process while no call is under way; of each the least value counts.

        A connection that is just closing is in none of the least ones.
        """
        until = time.monotonic() + self._plan.rest_seconds
        read: list[UsageReading] = []
        while True:
            left = until - time.monotonic()
            if self._progress.stop.wait(max(0.0, min(left, _REST_STEP_SECONDS))) and not read:
                return  # it has not rested
            self._progress.seconds = self._now
            reading = self._read(0, self._tally.calls)
            if reading is not None:
                read.append(reading)
            elif self._ended:
                return
            if left <= _REST_STEP_SECONDS or self._progress.stop.is_set():
                break
        if not read:
            return
        memory, descriptors, threads = (
            min(getattr(reading, name) for reading in read) for name in KINDS
        )
        wave = len(self._tally.waves)
        self._readings.append(
            UsageReading(read[-1].at, self._tally.calls, 0, memory, descriptors, threads, wave)
        )

    def _read(self, under_way: int, calls: int) -> UsageReading | None:
        """Read what the process uses; if it has ended, end the run."""
        usage = self._plan.usage
        if usage is None or self._ended:
            return None
        used = usage.read()
        if used is None:
            self._end_with_process(usage.pid)
            return None
        self._children.add(
            used.children, self._wave_number, self._describe_now, is_at_rest=self._is_resting
        )
        self._progress.usage = used
        reading = self._build_reading(used, calls, under_way)
        if reading is None:
            return None
        if under_way or not self._samples or reading.at - self._samples[-1].at >= 1:
            self._samples.append(reading)
        return reading

    def _watch_process(self) -> None:
        """See whether the process has ended, more often than it is read."""
        usage = self._plan.usage
        if usage is not None and not self._ended and usage.has_ended():
            self._end_with_process(usage.pid)

    def _end_with_process(self, pid: int) -> None:
        faults = self._plan.faults
        now = self._describe_now()
        if faults is not None:
            faults.add_ended(time.monotonic())
        self._ended = (
            f"the process of the server, {pid}, has ended or cannot be read any more, {now}"
        )
        self._over.set()

    @property
    def _wave_number(self) -> int:
        return len(self._tally.waves) + (not self._is_resting)

    def _describe_now(self) -> str:
        """Return when it is, and which fault is near, in words."""
        where = "at rest after" if self._is_resting else "in"
        said = f"{self._now:.0f} s after the beginning, {where} wave {self._wave_number}"
        faults = self._plan.faults
        near = "" if faults is None else faults.describe_near(time.monotonic())
        return f"{said}, {near} (a guess)" if near else said

    def _build_reading(
        self, used: ProcessUsage, calls: int, under_way: int = 0
    ) -> UsageReading | None:
        """Return a reading, or None where a child of the process may not be read."""
        memory, descriptors, threads = used.memory, used.descriptors, used.threads
        if memory is None or descriptors is None or threads is None:
            return None
        wave = self._wave_number if calls or under_way else 0
        return UsageReading(self._now, calls, under_way, memory / 1e6, descriptors, threads, wave)

    def _object_to_fruitless_waves(self, report: LoadReport) -> None:
        """End a run in which no call goes well: the rest of it would say nothing."""
        if self._over.is_set() or self._ended or not report.calls:
            return
        waves = self._tally.fruitless_waves
        if waves >= MOST_FRUITLESS_WAVES or (waves and waves == len(self._tally.waves)):
            why = next(iter(report.failures), "")
            which = "the first wave" if waves == 1 else f"{waves} waves one after the other"
            self._ended = f"no call of {which} went well: {why}"

    def _is_over(self) -> bool:
        if self._ended or self._progress.stop.is_set():
            return True
        return self._now + self._longest > 60 * self._plan.minutes

    def _list_notes(self, *, is_wrong: bool) -> list[Objection]:
        found = [*self._plan.notes, *self._tally.notes]
        if self._children.replaced and not is_wrong:
            found.append(
                Objection(
                    None,
                    "a child process",
                    f"of the server ended and was replaced, {self._children.first}",
                    "What it had kept is gone: growth may not show",
                    "Give the number of the process that serves",
                    "note",
                )
            )
        return found

    def _build(self) -> SoakReport:
        plan, tally = self._plan, self._tally
        found = (
            find_growth(
                name,
                self._readings,
                limit=plan.limits.get(kind.limit),
                replaced=self._children.replaced,
            )
            for name, kind in KINDS.items()
        )
        usage, children = plan.usage, self._children
        failed = any(each.failed for each in tally.waves if each.number in children.waves)
        is_wrong = failed or (plan.faults is not None and children.replaced > 0)
        name = "" if usage is None else f"{usage.pid}{f' ({usage.title})' if usage.title else ''}"
        return SoakReport(
            url=plan.url,
            minutes=plan.minutes,
            seconds=self._now,
            at_once=plan.calls,
            call_seconds=plan.call_seconds,
            waves=Series.of(tally.waves, "waves"),
            times=tally.times,
            late_frames=tally.late_frames,
            heard_frames=tally.heard_frames,
            failures=dict(tally.failures.most_common()),
            failed_calls=Series.of(tally.failed_calls, "calls"),
            limits=plan.limits,
            growth=Series.of((each for each in found if each is not None), "growths"),
            readings=Series.of(self._readings, "readings"),
            samples=Series.of(self._samples, "readings"),
            process=name,
            faults=Series.of([] if plan.faults is None else plan.faults.tally.list(), "faults"),
            fault_scale=1.0 if plan.faults is None else plan.faults.scale,
            notes=Series.of(self._list_notes(is_wrong=is_wrong), "notes"),
            ended=self._ended,
            is_interrupted=self._progress.stop.is_set(),
            own_late_ms=tally.own_late_ms,
            echo_idle_ms=tally.echo_idle_ms,
            echo_loaded_ms=tally.echo_loaded_ms,
            recorded=tally.recorded,
            line=tally.line,
            replaced=children.replaced,
            first_replaced=children.first,
            is_replaced_wrongly=is_wrong,
        )
