"""A run of many calls as its user holds it, and the shares that an executor runs.

An executor says neither when it begins a function nor where.  So each machine's clock is compared
first, by tasks that keep every worker busy for a moment; then all shares get one time to begin.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.errors import NoResultYet, Objection, TwistreamError, WrongState
from twistream_kit.listing import Series
from twistream_kit.pending import Pending, ReentrantLoop, Subject, get_running_loop
from twistream_kit.simulator._load_link import Counts, ShareListener
from twistream_kit.simulator._load_machine import WorkerClock, measure_clock
from twistream_kit.simulator._load_share import (
    ShareOrder,
    ShareResult,
    Watch,
    run_share,
)
from twistream_kit.simulator._load_validity import note_early_answers, note_silent_callers
from twistream_kit.simulator._own_thread import on_own_thread
from twistream_kit.simulator.model.assumptions import Behaviour, find_lines
from twistream_kit.simulator.report import describe_lines

_CLOCK_SECONDS = 0.2
"""How long the comparison of clocks keeps each worker busy."""

_CLOCK_LIMIT_SECONDS = 60.0
"""How long an executor may take to start its workers."""

_AHEAD_SECONDS = 0.75
"""How long before its beginning a share is given to its worker, besides twice the way and back."""

_STOP_SECONDS = 40.0
"""How long an interrupted run may take to end."""

_STEP_SECONDS = 0.25

_LINK_SECONDS = 2.0
"""How long after a stop a share that begins just then may take to connect."""


class LoadRun(Pending[LoadReport]):
    """A `LoadReport` that is on its way: `result` shows the progress, `stop` ends the run early.

    Args:
        subject: What it stands for, in words.
        watch: The run, as it is seen from here.
        calls: How many calls are to be made.
        progress: Whether `result` shows how far it is.

    Attributes:
        watch: The run, as it is seen from here.
    """

    def __init__(self, subject: Subject, watch: Watch, calls: int, *, progress: bool) -> None:
        super().__init__(None, subject)
        self.watch = watch
        self._calls = calls
        self._progress = progress

    def stop(self) -> None:
        """Let all callers hang up; the report then says what was measured until now.

        Shares in other processes and on other machines end, too, within seconds.  One that cannot
        connect to this process goes on to its end; `LoadReport.notes` says so.
        """
        self.watch.stop.set()

    def result(self, timeout: float | None = None) -> LoadReport:
        """Wait for the report, and show meanwhile how many calls have begun and ended.

        An interrupt (Ctrl-C, the stop button of a notebook) ends the run: the report of what it has
        is returned, and says so.  A second one ends the wait.

        Args:
            timeout: In seconds; None waits without limit.  The run goes on after it.

        Raises:
            NoResultYet: If there is no report within `timeout`; it is a TimeoutError.
        """
        try:
            if not self.done() and self._progress and not _is_nested() and timeout != 0:
                self._show_progress(timeout)
                timeout = 0 if timeout is not None else None
            return super().result(timeout)
        except KeyboardInterrupt:
            if self.watch.stop.is_set():
                raise
            self.stop()
            return super().result(_STOP_SECONDS)

    def _show_progress(self, timeout: float | None) -> None:
        show = _choose_progress(self.watch, self._calls)
        until = None if timeout is None else time.monotonic() + timeout
        try:
            while not self.done() and (until is None or time.monotonic() < until):
                left = _STEP_SECONDS if until is None else until - time.monotonic()
                try:
                    super().result(max(0.0, min(_STEP_SECONDS, left)))
                except NoResultYet:
                    show(False)
                except Exception:  # noqa: BLE001 - `result` raises it
                    return
        finally:
            show(True)


def _is_nested() -> bool:
    return isinstance(get_running_loop(), ReentrantLoop)


def _choose_progress(watch: Watch, calls: int) -> Callable[[bool], None]:
    """Return what shows how far a run is: a bar, or a line each second where there is no terminal.

    It is given whether the run has ended.
    """
    from tqdm.auto import tqdm

    is_notebook = any(kind.__module__ == "tqdm.notebook" for kind in tqdm.__mro__)
    if not (sys.stderr.isatty() or is_notebook):
        return _Lines(watch, calls).show
    bar = tqdm(
        total=calls, desc="calls", unit="call", bar_format="{l_bar}{bar}| {elapsed}{postfix}"
    )

    def show(is_over: bool) -> None:
        bar.set_postfix_str(_describe(watch), refresh=False)
        bar.update(watch.ended - bar.n)
        bar.refresh()
        if is_over:
            bar.close()

    return show


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
        sys.stderr.write(f"{said}, {_describe(self._watch)}\n")
        sys.stderr.flush()


def _describe(watch: Watch) -> str:
    under_way = watch.begun - watch.ended
    late = watch.lateness.report()
    refused = f", {watch.refused} refused" if watch.refused else ""
    own = f", own frames late by {late.p99_ms:.1f} ms (99 %)" if late.frames else ""
    return f"{under_way} under way{refused}{own}"


def run_shares(executor: Executor, orders: Sequence[ShareOrder], watch: Watch) -> list[ShareResult]:
    """Let an executor run shares that all begin at one time; return what they have measured.

    Raises:
        TwistreamError: If the executor does not begin its work, or a share fails.
    """
    with on_own_thread(ShareListener()) as listener:
        clocks = compare_clocks(executor, len(orders), listener, watch)
        if watch.stop.is_set():
            return []
        begin_at = time.time() + _AHEAD_SECONDS + 2 * clocks.way
        link = listener.address
        given = [
            replace(order, begin_at=begin_at, offsets=clocks.offsets, link=link) for order in orders
        ]
        futures = [executor.submit(run_share, order) for order in given]
        return _Collection(futures, given, watch, listener, clocks).collect()


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
            executor.submit(measure_clock, number, _CLOCK_SECONDS, listener.address)
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
    """The shares that an executor runs, until each has ended.

    Args:
        futures: The shares, as the executor gave them.
        orders: What each of them was to do.
        watch: Gets how far they are, and has the event that stops them.
        listener: What they are connected to.
        clocks: How their workers are reached.
    """

    def __init__(
        self,
        futures: Sequence[Future[ShareResult]],
        orders: Sequence[ShareOrder],
        watch: Watch,
        listener: ShareListener,
        clocks: Clocks,
    ) -> None:
        self._waiting = {
            order.number: (future, order) for future, order in zip(futures, orders, strict=True)
        }
        self._results: list[ShareResult] = []
        self._watch = watch
        self._listener = listener
        self._are_linked = clocks.are_linked

    def collect(self) -> list[ShareResult]:
        """Wait for all, or after a stop for those that have begun; return what they measured.

        Raises:
            TwistreamError: If one fails.
        """
        pause, stopped_at = threading.Event(), None
        while self._waiting:
            if stopped_at is not None:
                pause.wait(_STEP_SECONDS / 5)
            elif self._watch.stop.wait(_STEP_SECONDS):
                stopped_at = time.monotonic()
                self._listener.stop()
            if stopped_at is not None and time.monotonic() - stopped_at > _LINK_SECONDS:
                self._cancel_what_waits()
            self._take_what_is_done()
            self._count()
        return self._results

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
                continue
            if (error := future.exception()) is not None:
                raise TwistreamError(f"a share of the calls failed: {error}") from error
            self._results.append(future.result())

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
    order: ShareOrder, calls: int, limits: dict[str, float], results: Sequence[ShareResult]
) -> LoadReport:
    """Merge what the shares have measured, of which one had this order."""
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
        url=order.url,
        asked=calls,
        seconds=max((result.seconds for result in results), default=0.0),
        calls=Series.of(made, "calls"),
        shares=Series.of([result.share for result in results], "shares"),
        limits=limits,
        invalid=Series.of([*invalid, *_find_duplicates(results)], "objections"),
        own_late_ms=own,
        echo_idle_ms=idle,
        echo_loaded_ms=loaded,
        is_interrupted=any(result.is_interrupted for result in results) or len(made) < calls,
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
