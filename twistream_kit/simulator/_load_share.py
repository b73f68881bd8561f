"""One share of a run of many calls: those that one process makes, and how well it did so.

`run_share` is a function of the module with an argument and a result that can be pickled, so any
executor may run it, on any machine.  It blocks its thread until its calls have ended; the calls run
on the loop of all simulated calls of the process (`_calls_loop`).  What the calls have said is
evaluated after the last one has ended, so that it delays none.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadCall, LoadShare
from twistream_kit.errors import (
    CallRefused,
    Objection,
    TwistreamError,
    join_sentences,
    sort_by_severity,
)
from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.simulator._calls_loop import SharedLoop, run_call
from twistream_kit.simulator._load_link import LinkAddress, ShareLink
from twistream_kit.simulator._load_machine import check_descriptors, measure_machine, read_wait
from twistream_kit.simulator._load_validity import note_link, object_to
from twistream_kit.simulator._short_collections import leave_out_what_is_there, shorten_collections
from twistream_kit.simulator.caller import Script
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.simulate_call import CallerPlan, CallRun, make_plan
from twistream_kit.simulator.stream.pacer import Lateness
from twistream_kit.simulator.stream.refusal import StreamFailed

IDLE_SECONDS = 0.4
"""How long the loopback is measured before the first call."""

_IDLE_GAP_SECONDS = 0.02
_LOADED_GAP_SECONDS = 0.05
_STEP_SECONDS = 0.1
_GRACE_SECONDS = 30.0
"""How much longer than planned calls may take to end; each has limits of its own."""


@dataclass(frozen=True, slots=True)
class ShareOrder:
    """What one share is to do; it can be pickled.

    Attributes:
        number: The number of the share, from 1.
        run: A random number of the run, of which the SIDs are made.
        url: The server's address.
        starts: When each call begins, in seconds of the run, by its number.
        seconds: The length of each call.
        begin_at: The begin of the run by the wall clock of the one who asks; None begins at once.
        offsets: By how much the wall clock of each machine is fast, in seconds.
        recorded: The numbers of the calls that are recorded and reviewed.
        script: What each caller does, or None.
        seed: Decides with a call's number what the script leaves to chance.
        parameters: The custom parameters, or a function that returns them for a call's number.
        behaviour: The switches for behaviour of Twilio that is not known, with the lines of all
            calls.
        options: Further arguments of `make_plan`.
        link: Where the one who asks listens for counts and says stop; None if nowhere.
    """

    number: int
    run: int
    url: str = field(repr=False)  # it may hold a password
    starts: Mapping[int, float]
    seconds: float
    begin_at: float | None
    offsets: Mapping[str, float]
    recorded: frozenset[int]
    script: Script | None
    seed: int
    parameters: Mapping[str, str] | Callable[[int], Mapping[str, str]] | None
    behaviour: Behaviour
    options: Mapping[str, Any] = field(repr=False)
    link: LinkAddress | None = None

    def make_plan(self, number: int) -> CallerPlan:
        """Return what the caller of one call does."""
        parameters = self.parameters
        plan = make_plan(
            self.url,
            script=self.script,
            seed=None if self.script is None else self.seed + number,
            seconds=self.seconds,
            parameters=parameters(number) if callable(parameters) else parameters,
            behaviour=_vary_lines(self.behaviour, number),
            is_recorded=number in self.recorded,
            **self.options,
        )
        return replace(plan, number=self.run << 32 | number)


def _vary_lines(behaviour: Behaviour, number: int) -> Behaviour:
    """Add the number of a call to the seeds of its lines: not all calls lose the same frames."""
    return replace(
        behaviour, line=_vary(behaviour.line, number), line_back=_vary(behaviour.line_back, number)
    )


def _vary(line: Line | str | None, number: int) -> Line | str | None:
    return replace(line, seed=line.seed + number) if isinstance(line, Line) else line


@dataclass(frozen=True, slots=True)
class ShareResult:
    """What one share has done and measured; it can be pickled.

    Attributes:
        share: The process, and how busy it was.
        calls: The calls that were begun.
        invalid: What makes its figures unreliable.
        own_late_ms: How late its own frames were.
        echo_idle_ms, echo_loaded_ms: The loopback, there and back.
        recorded: The reports of its recorded calls.
        seconds: From the beginning of the run to the end of the last call.
        is_interrupted: Whether it was ended early.
        notes: What its user should know, and its figures do not suffer from.
        refused: How many of the calls were refused, or found no server.
        refusal: Why the first of them was.
    """

    share: LoadShare
    calls: tuple[LoadCall, ...]
    invalid: tuple[Objection, ...]
    own_late_ms: Histogram
    echo_idle_ms: Histogram
    echo_loaded_ms: Histogram
    recorded: Mapping[int, CallReport]
    seconds: float
    is_interrupted: bool
    notes: tuple[Objection, ...] = ()
    refused: int = 0
    refusal: CallRefusal | None = None


@dataclass(frozen=True, slots=True)
class CallRefusal:
    """Why a call was refused; it can be pickled, which `CallRefused` cannot.

    Attributes:
        code: The code with which Twilio would end the stream; 0 for none.
        problem, fix: What is wrong, and what to do.
    """

    code: int
    problem: str
    fix: str

    def build_error(self) -> CallRefused:
        """Return it as an error."""
        if self.code:
            return StreamFailed(self.code, self.problem, fix=self.fix)
        return CallRefused(self.problem, fix=self.fix)


class Watch:
    """What another thread sees of a running share, and by which it ends it.

    Attributes:
        stop: Set to end the run with what it has.
        begun, ended, refused: How many calls have got so far.
        lateness: How late the frames were.
        is_server_missing: Whether the run is to end because no call has found a server.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.begun = self.ended = self.refused = 0
        self.lateness = Lateness()
        self.is_server_missing = False

    def look_for_server(self) -> None:
        """End the run if each call that was begun has been refused, and none is on its way."""
        if self.begun and self.begun == self.ended == self.refused:
            self.is_server_missing = True
            self.stop.set()


def run_share(order: ShareOrder, watch: Watch | None = None) -> ShareResult:
    """Make the calls of a share, and return what was measured; an interrupt ends it early."""
    with shorten_collections():
        return _ShareRun(order, watch or Watch()).run()


class _PartOf(Lateness):
    """How late the frames of one call were, which are counted with those of all calls as well."""

    def __init__(self, whole: Lateness) -> None:
        super().__init__()
        self._whole = whole

    def record(self, seconds: float) -> None:
        super().record(seconds)
        self._whole.record(seconds)


@dataclass(slots=True)
class _BegunCall:
    """A call that was begun."""

    number: int
    plan: CallerPlan
    begins: float
    beside: int
    run: CallRun | None = None
    task: asyncio.Task[Any] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    ends: float | None = None
    is_cut_short: bool = False
    failure: str = ""
    repair: str = ""
    make_report: Callable[[], CallReport] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the server has taken it."""
        return self.run is not None and self.run.started_at is not None


class _ShareRun:
    """A share while it runs."""

    def __init__(self, order: ShareOrder, watch: Watch) -> None:
        self._order = order
        self._watch = watch
        self._link = None if order.link is None else ShareLink(order.link, order.number, watch)
        self._link_fault = ""
        self._calls: list[_BegunCall] = []
        self._host = socket.gethostname()
        self._idle, self._loaded = Histogram(), Histogram()
        self._is_echo_over = threading.Event()
        self._has_begun = False
        self._cpu: list[tuple[float, float]] = []
        self._machine: list[tuple[float, float]] = []
        self._calls_thread: int | None = None
        self._waited: float | None = None
        self._began = 0.0
        self._is_interrupted = False
        self._refusal: CallRefusal | None = None

    def run(self) -> ShareResult:
        order = self._order
        check_descriptors(len(order.starts))
        for line in (order.behaviour.line, order.behaviour.line_back):
            if isinstance(line, Line):
                line.prepare()  # in the process of a pool, before it is in a hurry
        if self._link is not None:
            self._link.begin()
        run_call(self._measure_echo, self._is_echo_over.set)
        late, waited_before = 0.0, None
        self._began = time.monotonic()
        clock = time.time() - self._began
        try:
            try:
                late = self._wait_for_begin()
                clock = time.time() - time.monotonic()
                self._began = time.monotonic() - late
                self._has_begun = True
                waited_before = read_wait(self._calls_thread)
                self._begin_calls()
                self._wait_for_ends()
            except KeyboardInterrupt:  # in a process of a pool, which a terminal interrupts, too
                self._watch.stop.set()
            except BaseException:
                self._watch.stop.set()
                self._end_early()  # no caller stays behind whom nobody waits for
                raise
            self._end_early()
            jump = time.time() - time.monotonic() - clock
            seconds = time.monotonic() - self._began
            waited = read_wait(self._calls_thread)  # while the echo keeps the thread alive
            if waited is not None and seconds > 0:
                self._waited = (waited - (waited_before or 0.0)) / seconds
        finally:
            self._is_echo_over.set()
            if self._link is not None:
                self._link_fault = self._link.end()
        busy = self._find_busy()
        return self._build(seconds, late, jump, busy)

    def _wait_for_begin(self) -> float:
        """Wait for the agreed time; return by how much it is past."""
        order = self._order
        if order.begin_at is None:
            self._watch.stop.wait(IDLE_SECONDS)
            return 0.0
        begin_at = order.begin_at + order.offsets.get(self._host, 0.0)
        self._watch.stop.wait(max(0.0, begin_at - time.time()))
        return max(0.0, time.time() - begin_at)

    def _begin_calls(self) -> None:
        for number, start in sorted(self._order.starts.items(), key=lambda item: item[1]):
            while (left := self._began + start - time.monotonic()) > 0:
                if self._watch.stop.wait(min(left, _STEP_SECONDS)):
                    break
                self._note_cpu()
            if self._watch.stop.is_set():
                return
            call = _BegunCall(
                number,
                self._make_plan(number),
                time.monotonic() - self._began,
                self._watch.begun - self._watch.ended,
            )
            self._calls.append(call)
            self._watch.begun += 1
            run_call(partial(self._make_call, call), partial(self._give_up, call))

    def _make_plan(self, number: int) -> CallerPlan:
        """Return what the caller of one call does.

        Raises:
            TwistreamError: If the user's function of the parameters fails.
        """
        try:
            return self._order.make_plan(number)
        except Exception as error:
            raise TwistreamError(
                f"call {number} could not be made: {type(error).__name__}: {error}",
                consequence="The run was ended, all its callers have hung up, and there is no "
                "report",
                fix="Let parameters= return a dict of names and values for the number of each call",
            ) from error

    def _wait_for_ends(self) -> None:
        leave_out_what_is_there()  # all calls, which are many objects
        starts = self._order.starts.values()
        until = self._began + max(starts, default=0.0) + self._order.seconds + _GRACE_SECONDS
        while self._watch.ended < self._watch.begun and time.monotonic() < until:
            if self._watch.stop.wait(_STEP_SECONDS):
                return
            self._note_cpu()

    def _end_early(self) -> None:
        """Let all callers hang up that are still there, and wait until they have."""
        if not self._watch.stop.is_set() and self._watch.ended == self._watch.begun:
            return
        self._is_interrupted = self._watch.stop.is_set()
        until = time.monotonic() + _GRACE_SECONDS
        pause, asked = threading.Event(), set[int]()
        while self._watch.ended < self._watch.begun and time.monotonic() < until:
            for call in self._calls:
                loop = call.loop  # None before its task has begun, and after its end
                if loop is not None and call.number not in asked:
                    asked.add(call.number)
                    with suppress(RuntimeError):  # the loop has ended meanwhile
                        loop.call_soon_threadsafe(_hang_up, call)
            pause.wait(_STEP_SECONDS)

    def _note_cpu(self) -> None:
        """Note each second how much of a core this process has used."""
        now = time.monotonic()
        if not self._cpu or now - self._cpu[-1][0] >= 1.0:
            self._cpu.append((now, time.process_time()))
            if (busy := measure_machine()) is not None:
                self._machine.append((now, busy))

    def _find_busy(self) -> float:
        """Return the share of a core that was used while all calls were under way (median)."""
        marks = [mark for mark in self._cpu if mark[0] >= self._find_full() - 1.0] or self._cpu
        used = [(cpu - before) / (at - then) for (then, before), (at, cpu) in pairwise(marks)]
        return statistics.median(used or [0.0])

    def _find_machine_busy(self) -> float | None:
        """Return the share of all cores that was used meanwhile (median); None if not known."""
        used = [busy for at, busy in self._machine[1:] if at >= self._find_full() - 1.0]
        return statistics.median(used) if used else None

    def _find_full(self) -> float:
        """Return when all calls had begun, by the monotonic clock."""
        return self._began + max(self._order.starts.values(), default=0.0)

    async def _make_call(self, call: _BegunCall, shared: SharedLoop) -> None:
        try:
            call.task, call.loop = asyncio.current_task(), asyncio.get_running_loop()
            lateness = self._watch.lateness
            if call.plan.is_recorded:  # its report says how late its own frames were
                lateness = _PartOf(lateness)
            call.run = CallRun(call.plan, shared, lateness)
            call.make_report = await call.run.run()
        except asyncio.CancelledError:
            if not call.is_cut_short:
                raise
        except CallRefused as error:
            call.failure = error.problem
            call.repair = join_sentences(error.consequence, error.fix)
            self._watch.refused += 1
            self._refusal = self._refusal or CallRefusal(error.code or 0, error.problem, error.fix)
        except BaseException as error:  # noqa: BLE001 - it is the result of the call
            call.failure = f"{type(error).__name__}: {error}"
        finally:
            self._end(call)

    def _give_up(self, call: _BegunCall) -> None:
        call.failure = call.failure or "the loop of all simulated calls has ended"
        self._end(call)

    def _end(self, call: _BegunCall) -> None:
        if call.ends is None:
            call.ends = time.monotonic() - self._began
            call.task = call.loop = None
            self._watch.ended += 1
            if self._link is None:  # otherwise the one who asks looks at all shares
                self._watch.look_for_server()

    async def _measure_echo(self, _shared: SharedLoop) -> None:
        """Measure how long a byte takes over the loopback and back, on the loop of the calls."""

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(64):
                writer.write(data)
            writer.close()

        self._calls_thread = threading.get_native_id()
        try:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while not self._is_echo_over.is_set():
                sent = time.monotonic()
                writer.write(b".")
                await reader.readexactly(1)
                histogram = self._loaded if self._has_begun else self._idle
                histogram.record(1000 * (time.monotonic() - sent))
                gap = _LOADED_GAP_SECONDS if self._has_begun else _IDLE_GAP_SECONDS
                await asyncio.sleep(gap)
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        except OSError:  # without a loopback there is nothing to compare with
            pass

    def _build(self, seconds: float, late: float, jump: float, busy: float) -> ShareResult:
        # A call that was ended before it was connected is none.
        self._calls = [call for call in self._calls if not call.is_cut_short or call.is_connected]
        own_late_ms = self._watch.lateness.make_histogram()
        share = LoadShare(
            self._order.number,
            self._host,
            os.getpid(),
            len(self._calls),
            late,
            busy,
            own_late_ms.find(0.99) if len(own_late_ms) else 0.0,
            self._find_machine_busy(),
            self._waited,
        )
        is_compared = self._order.begin_at is None or self._host in self._order.offsets
        reports = {call.number: _make_report(call) for call in self._calls}
        return ShareResult(
            share,
            tuple(_measure_call(call, self._order, reports[call.number]) for call in self._calls),
            tuple(object_to(share, jump, is_compared=is_compared)),
            own_late_ms,
            self._idle,
            self._loaded,
            {
                number: report
                for number, report in reports.items()
                if report is not None and number in self._order.recorded
            },
            seconds,
            self._is_interrupted,
            tuple(note_link(share, self._link_fault)),
            self._watch.refused,
            self._refusal,
        )


def _hang_up(call: _BegunCall) -> None:
    """End a call before its time; nothing that it lacks then is the server's fault."""
    call.is_cut_short = True
    if call.run is not None and call.is_connected:
        call.run.hang_up()
    elif call.task is not None:
        call.task.cancel()


def _make_report(call: _BegunCall) -> CallReport | None:
    if call.make_report is None:
        return None
    try:
        return call.make_report()
    except Exception as error:  # noqa: BLE001 - of an expect= of the user's script
        call.failure = f"{type(error).__name__}: {error}"
        return None


def _measure_call(call: _BegunCall, order: ShareOrder, report: CallReport | None) -> LoadCall:
    """Return what one call has shown."""
    gaps: list[float] = []
    heard_frames = 0
    if call.run is not None:
        heard_frames = call.run.played_frames
        for frames, times in sorted(call.run.gaps.items()):
            gaps += [float(frames * PTIME_MS)] * times
    failure, repair = call.failure, call.repair
    is_cut_short = call.is_cut_short and report is not None and report.ending == "stopped"
    if report is not None and not report.ok and not is_cut_short:
        failure, repair = _explain(report)
    elif report is None and not failure:
        failure = "it did not end in time"
    has_turns = report is not None and bool(report.acts)
    turns = report.turns if report is not None and has_turns else None
    return LoadCall(
        number=call.number,
        share=order.number,
        begins=call.begins,
        ends=call.ends if call.ends is not None else call.begins + order.seconds,
        beside=call.beside,
        ok=not failure,
        failure=failure,
        first_sound_ms=None if report is None else report.first_sound_ms,
        response_ms=() if turns is None else turns.response_ms.values,
        barge_in_ms=() if turns is None else turns.barge_in_ms.values,
        gaps_ms=tuple(gaps),
        heard_frames=heard_frames,
        is_recorded=call.plan.is_recorded,
        repair=repair,
    )


def _explain(report: CallReport) -> tuple[str, str]:
    """Return the first reason for which a call is not `ok`, and what to do about it."""
    reasons = [each for each in report.objections if each.severity != "note"]
    if reasons:
        first = sort_by_severity(reasons)[0]
        return first.statement, join_sentences(first.consequence, first.fix)
    logged = [entry for entry in report.debugger if entry.level != "note"]
    if logged:
        known = TWILIO_CODES.get(logged[0].code)
        return f"{logged[0].code} {logged[0].name}", "" if known is None else known.remedy
    return report.headline, ""
