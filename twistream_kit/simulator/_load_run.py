"""A run of many calls as its user holds it, and the shares that an executor runs.

An executor says neither when it begins a function nor where.  So each machine's clock is compared
first, by tasks that keep every worker busy for a moment; then all shares get one time to begin.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.errors import (
    Objection,
    TwistreamError,
    WrongState,
    hide_user,
)
from twistream_kit.listing import Series
from twistream_kit.pending import Subject
from twistream_kit.simulator._load_link import Counts, ShareListener
from twistream_kit.simulator._load_machine import WorkerClock, measure_clock
from twistream_kit.simulator._load_share import (
    ShareOrder,
    ShareResult,
    Watch,
    run_share,
)
from twistream_kit.simulator._load_validity import (
    note_early_answers,
    note_silent_callers,
    object_to_lost,
)
from twistream_kit.simulator._own_thread import on_own_thread
from twistream_kit.simulator._stoppable_run import (
    ShowProgress,
    StoppableRun,
    open_bar,
    write_line,
)
from twistream_kit.simulator.model.assumptions import Behaviour, find_lines
from twistream_kit.simulator.report import describe_lines

_Result = TypeVar("_Result")

_CLOCK_SECONDS = 0.2
"""How long the comparison of clocks keeps each worker busy."""

_CLOCK_LIMIT_SECONDS = 60.0
"""How long an executor may take to start its workers."""

_AHEAD_SECONDS = 0.75
"""How long before its beginning a share is given to its worker, besides twice the way and back."""

_STOP_SECONDS = 40.0
"""How long an interrupted run may take to end."""

_STEP_SECONDS = 0.25

_LISTENER_LIMIT_SECONDS = 60.0
"""So long that only a fault reaches it: the report would be lost for the sake of its listener."""

_STOP_LIMIT_SECONDS = 35.0
"""How long shares may take to end after a stop; each has limits of its own."""

_UNBEGUN_SECONDS = 30.0
"""How long an executor may take to begin a share while none of the others runs."""

_LATE_SECONDS = 90.0
"""How much longer than its calls a share may be silent: it evaluates what they have said."""

_LINK_SECONDS = 2.0
"""How long after a stop a share that begins just then may take to connect."""


class LoadRun(StoppableRun[LoadReport]):
    """A `LoadReport` that is on its way: `result` shows the progress, `stop` ends the run early.

    Args:
        subject: What it stands for, in words.
        watch: The run, as it is seen from here.
        calls: How many calls are to be made.
        progress: Whether `result` shows how far it is.
        seconds: How long the run takes if no call ends early, from its first call on.

    Attributes:
        watch: The run, as it is seen from here.
    """

    def __init__(
        self,
        subject: Subject,
        watch: Watch,
        calls: int,
        *,
        progress: bool,
        seconds: float = math.inf,
    ) -> None:
        super().__init__(subject, watch.stop, stop_seconds=_STOP_SECONDS, progress=progress)
        self.watch = watch
        self._calls = calls
        self._seconds = seconds

    def stop(self) -> None:
        """Let all callers hang up; the report then says what was measured until now.

        Shares in other processes and on other machines end, too, within seconds.  One that cannot
        connect to this process goes on to its end; `LoadReport.notes` says so.
        """
        super().stop()

    def _choose_progress(self) -> ShowProgress:
        """Return a bar, or a line each second where there is no terminal."""
        watch, calls = self.watch, self._calls
        bar = open_bar(1.0, "calls")
        if bar is None:
            return _Lines(watch, calls).show
        done = _RunProgress(watch, calls, self._seconds)

        def show(is_over: bool) -> None:
            ended = f"{watch.ended} of {calls} ended, {_describe(watch)}"
            bar.set_postfix_str(ended, refresh=False)
            bar.update(done.measure(time.monotonic()) - bar.n)
            bar.refresh()
            if is_over:
                bar.close()

        return show


class _RunProgress:
    """How much of a run is done: by the calls that have ended, or else by its time."""

    def __init__(self, watch: Watch, calls: int, seconds: float) -> None:
        self._watch, self._calls, self._seconds = watch, calls, seconds
        self._began: float | None = None

    def measure(self, now: float) -> float:
        """Return the share that is done, 0 to 1; 1 only if all calls have ended."""
        if self._began is None and self._watch.begun:
            self._began = now
        passed = 0.0 if self._began is None else (now - self._began) / max(self._seconds, 0.001)
        return max(self._watch.ended / self._calls, min(passed, 0.99))


class _Lines:
    """Writes a line each second."""

    def __init__(self, watch: Watch, calls: int) -> None:
        self._watch, self._calls = watch, calls
        self._began = self._shown = time.monotonic()

    def show(self, is_over: bool) -> None:
        now = time.monotonic()
        if now - self._shown < 1.0 and not is_over:
            return
        self._shown = now
        said = f"{now - self._began:4.0f} s: {self._watch.ended} of {self._calls} calls ended"
        write_line(f"{said}, {_describe(self._watch)}")


def _describe(watch: Watch) -> str:
    under_way = watch.begun - watch.ended
    late = watch.lateness.report()
    refused = f", {watch.refused} refused" if watch.refused else ""
    own = f", own frames late by {late.p99_ms:.1f} ms (99 %)" if late.frames else ""
    return f"{under_way} under way{refused}{own}"


def run_shares(
    executor: Executor, orders: Sequence[ShareOrder], watch: Watch
) -> tuple[list[ShareResult], list[Objection]]:
    """Let an executor run shares that all begin at one time.

    Returns:
        What they have measured, and an objection for each share that has not come back.

    Raises:
        TwistreamError: If the executor does not begin its work, or a share fails.
    """
    with on_own_thread(ShareListener(), limit=_LISTENER_LIMIT_SECONDS) as listener:
        clocks = compare_clocks(executor, len(orders), listener, watch)
        if watch.stop.is_set():
            return [], []
        begin_at = time.time() + _AHEAD_SECONDS + 2 * clocks.way
        link = listener.address
        given = [
            replace(order, begin_at=begin_at, offsets=clocks.offsets, link=link) for order in orders
        ]
        shares = _Collection(watch, listener, clocks)
        for order in given:
            try:
                shares.add(_submit(executor, run_share, order), order)
            except TwistreamError as error:
                shares.fail(error)
                break
        return shares.collect()


def _submit(executor: Executor, work: Callable[..., _Result], *args: Any) -> Future[_Result]:
    """Give work to an executor.

    Raises:
        TwistreamError: If it does not take it.
    """
    try:
        future = executor.submit(work, *args)
    except Exception as error:
        raise TwistreamError(
            f"the executor takes no work: {type(error).__name__}: {error}",
            fix="See whether it was shut down, and whether its workers run",
        ) from error
    if not callable(getattr(future, "done", None)):
        raise TwistreamError(
            f"the executor's submit() returned an object of type {type(future).__name__}, which is "
            "no Future",
            fix="Give an Executor of concurrent.futures, such as ProcessPoolExecutor(2)",
        )
    return future


@dataclass(frozen=True, slots=True)
class Clocks:
    """What was found out about the workers of an executor.

    Attributes:
        offsets: By how much the wall clock of each machine is fast, in seconds.
        way: The longest way there and back, in seconds.
        are_linked: Whether all of them could connect to this process.
    """

    offsets: dict[str, float]
    way: float
    are_linked: bool


def compare_clocks(
    executor: Executor, workers: int, listener: ShareListener, watch: Watch
) -> Clocks:
    """Return by how much the clock of each machine is fast, and how it is reached.

    A machine's offset is that of the task with the shortest way, and right to half of that.  A stop
    ends the comparison.

    Raises:
        TwistreamError: If the executor does not begin its work.
    """
    best: dict[str, tuple[float, float]] = {socket.gethostname(): (0.0, 0.0)}
    addresses: dict[str, tuple[str, ...]] = {}
    longest, are_linked = 0.0, False
    for count in range(2):  # the first one also starts the workers
        if count:
            listener.open_to(addresses)
        sent = time.time()
        waiting: list[Future[WorkerClock]] = [
            _submit(executor, measure_clock, number, _CLOCK_SECONDS, listener.address)
            for number in range(workers)
        ]
        until, ways, are_linked = time.monotonic() + _CLOCK_LIMIT_SECONDS, [], True
        for future in waiting:
            clock = _wait_for_clock(future, until, watch)
            if clock is None:
                return Clocks({}, 0.0, are_linked=False)
            way = max(0.0, time.time() - sent - clock.took)
            ways.append(way)
            are_linked = are_linked and clock.is_linked
            addresses[clock.host] = clock.addresses
            if clock.host not in best or way < best[clock.host][0]:
                best[clock.host] = (way, clock.at - (sent + way / 2))
        longest = max(ways)
    return Clocks({host: offset for host, (_, offset) in best.items()}, longest, are_linked)


def _wait_for_clock(future: Future[WorkerClock], until: float, watch: Watch) -> WorkerClock | None:
    """Wait for one worker; return None after a stop.

    Raises:
        TwistreamError: If it does not come in time.
    """
    while not watch.stop.is_set():
        left = until - time.monotonic()
        try:
            return future.result(max(0.0, min(left, _STEP_SECONDS)))
        except TimeoutError as error:
            if left > 0 and not future.done():
                continue
            raise TwistreamError(
                f"the executor has not begun its work within {_CLOCK_LIMIT_SECONDS:g} s",
                fix="See whether its workers run, and whether they can import twistream_kit",
            ) from error
        except Exception as error:  # whatever a worker or the way to it raises
            raise TwistreamError(
                f"a worker of the executor failed: {type(error).__name__}: {error}",
                fix="See whether its workers run, and whether each has this version of "
                "twistream_kit",
            ) from error
    return None


class _Collection:
    """The shares that an executor runs, until each has ended or is taken for lost.

    Args:
        watch: Gets how far they are, and has the event that stops them.
        listener: What they are connected to.
        clocks: How their workers are reached.
    """

    def __init__(self, watch: Watch, listener: ShareListener, clocks: Clocks) -> None:
        self._waiting: dict[int, tuple[Future[ShareResult], ShareOrder]] = {}
        self._results: list[ShareResult] = []
        self._lost: list[Objection] = []
        self._error: TwistreamError | None = None
        self._watch = watch
        self._listener = listener
        self._are_linked = clocks.are_linked
        self._patience = 0.0
        self._seen: object = None
        self._seen_at = time.monotonic()

    def add(self, future: Future[ShareResult], order: ShareOrder) -> None:
        """Collect one more share, which was to do this."""
        self._waiting[order.number] = (future, order)
        longest = max(order.starts.values(), default=0.0) + order.seconds
        self._patience = max(self._patience, longest + _LATE_SECONDS)

    def fail(self, error: TwistreamError) -> None:
        """Let all shares end; `collect` then raises the error, the first if there are several."""
        self._error = self._error or error
        self._watch.stop.set()

    def collect(self) -> tuple[list[ShareResult], list[Objection]]:
        """Wait for all, or after a stop for those that have begun; return what they measured.

        A share of which nothing is heard for longer than its calls may last is not waited for.

        Raises:
            TwistreamError: If one fails, or none comes back.
        """
        pause, stopped_at = threading.Event(), None
        self._seen_at = time.monotonic()
        while self._waiting:
            if stopped_at is not None:
                pause.wait(_STEP_SECONDS / 5)
            elif self._watch.stop.wait(_STEP_SECONDS):
                stopped_at = time.monotonic()
                self._listener.stop()
            stopped = 0.0 if stopped_at is None else time.monotonic() - stopped_at
            if stopped > _LINK_SECONDS:
                self._cancel_what_waits()
            self._take_what_is_done()
            self._count()
            self._give_up_lost(is_overdue=stopped > _STOP_LIMIT_SECONDS)
        if self._lost and not self._results and not self._watch.stop.is_set():
            self.fail(
                TwistreamError(
                    f"the executor has lost all shares of the calls: {self._lost[0].statement}",
                    fix=self._lost[0].fix,
                )
            )
        if self._error is not None:
            raise self._error
        return self._results, self._lost

    def _cancel_what_waits(self) -> None:
        """Cancel shares that have not begun.

        Futures of Dask and ipyparallel let themselves be cancelled as well while their function
        runs, and its result is lost.  One that has begun is connected; where that is not sure, it
        is waited for.
        """
        for number, (future, _) in list(self._waiting.items()):
            if self._are_linked and number not in self._listener.counts and future.cancel():
                del self._waiting[number]

    def _take_what_is_done(self) -> None:
        for number, (future, _) in list(self._waiting.items()):
            if not future.done():
                continue
            del self._waiting[number]
            if future.cancelled():
                if not self._watch.stop.is_set():
                    self._lost.append(object_to_lost(number, "was cancelled by its executor"))
                continue
            if (error := future.exception()) is not None:
                failed = TwistreamError(
                    f"a share of the calls failed: {type(error).__name__}: {error}"
                )
                failed.__cause__ = error
                self.fail(error if isinstance(error, TwistreamError) else failed)
                continue
            self._results.append(future.result())

    def _give_up_lost(self, *, is_overdue: bool) -> None:
        """Wait no longer for shares of which nothing has been heard for too long."""
        now = time.monotonic()
        seen = (len(self._waiting), self._watch.begun, self._watch.ended)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        unheard = now - self._seen_at
        has_begun = any(number in self._listener.counts for number in self._waiting)
        limit = self._patience if has_begun or not self._are_linked else _UNBEGUN_SECONDS
        if unheard <= limit and not is_overdue:
            return
        for number in list(self._waiting):
            del self._waiting[number]
            self._lost.append(
                object_to_lost(number, f"has not come back: nothing was heard for {unheard:.0f} s")
            )

    def _count(self) -> None:
        """Say how far all shares are; one that cannot say it is taken to begin as planned."""
        now, counts = time.time(), []
        for number, (_, order) in self._waiting.items():
            planned = ((order.begin_at or now) + start <= now for start in order.starts.values())
            begun = 0 if self._are_linked else sum(planned)
            counts.append(self._listener.counts.get(number, Counts(begun, 0, 0)))
        for result in self._results:
            calls = len(result.calls)
            known = self._listener.counts.get(result.share.number, Counts(0, 0, 0))
            counts.append(Counts(calls, calls, known.refused))
        self._watch.begun = sum(each.begun for each in counts)
        self._watch.ended = sum(each.ended for each in counts)
        self._watch.refused = sum(each.refused for each in counts)
        self._watch.look_for_server()


def require_server(results: Sequence[ShareResult]) -> None:
    """Refuse to make a report of calls of which none has found a server that takes it.

    Raises:
        CallRefused: Why the first one was refused.
    """
    refused = sum(result.refused for result in results)
    refusals = [result.refusal for result in results if result.refusal is not None]
    if refusals and refused == sum(len(result.calls) for result in results):
        raise refusals[0].build_error()


def build_report(
    order: ShareOrder,
    calls: int,
    limits: dict[str, float],
    results: Sequence[ShareResult],
    lost: Sequence[Objection] = (),
    *,
    is_stopped: bool = False,
) -> LoadReport:
    """Merge what the shares have measured, of which one had this order.

    Args:
        order: That of one share.
        calls: How many calls all were to make.
        limits: What the figures are held against.
        results: What came back.
        lost: An objection for each share that did not.
        is_stopped: Whether the run was stopped.
    """
    results = sorted(results, key=lambda result: result.share.number)
    own, idle, loaded = Histogram(), Histogram(), Histogram()
    for result in results:
        own.merge(result.own_late_ms)
        idle.merge(result.echo_idle_ms)
        loaded.merge(result.echo_loaded_ms)
    made = sorted(
        (call for result in results for call in result.calls), key=lambda call: call.number
    )
    invalid = [each for result in results for each in result.invalid]
    notes = [each for result in results for each in result.notes]
    notes += [*note_silent_callers(made), *note_early_answers(made)]
    return LoadReport(
        url=hide_user(order.url),
        asked=calls,
        seconds=max((result.seconds for result in results), default=0.0),
        calls=Series.of(made, "calls"),
        shares=Series.of([result.share for result in results], "shares"),
        limits=limits,
        invalid=Series.of([*invalid, *_find_duplicates(results), *lost], "objections"),
        own_late_ms=own,
        echo_idle_ms=idle,
        echo_loaded_ms=loaded,
        is_interrupted=any(result.is_interrupted for result in results)
        or (is_stopped and len(made) < calls),
        recorded={number: each for result in results for number, each in result.recorded.items()},
        line=_describe_lines(order.behaviour),
        notes=Series.of(notes, "notes"),
    )


def _describe_lines(behaviour: Behaviour) -> str:
    said = describe_lines(*find_lines(behaviour))
    return f"{said}; the number of a call is added to the seed" if said else ""


def _find_duplicates(results: Sequence[ShareResult]) -> list[Objection]:
    counts = Counter(result.share.number for result in results)
    return [
        Objection(
            None,
            f"share {number}",
            f"came back {times} times, from "
            + ", ".join(
                f"{result.share.host} ({result.share.pid})"
                for result in results
                if result.share.number == number
            ),
            "Its calls were made more than once, or those of another share were not made",
            "With Dask, give client.get_executor(pure=False): it runs what is equal only once",
        )
        for number, times in counts.items()
        if times > 1
    ]


def require_workers(executor: Executor | None, workers: int | None) -> int:
    """Return the number of shares.

    Raises:
        WrongState: If there are shares, and nothing to run them.
    """
    if executor is None and workers not in (None, 1):
        raise WrongState(
            f"workers is {workers}, and there is no executor; give executor=, such as "
            "concurrent.futures.ProcessPoolExecutor(2)"
        )
    if workers is not None:
        return workers
    return 1 if executor is None else max(1, int(getattr(executor, "_max_workers", 2)))
