"""A run of many calls as its user holds it, and the shares that an executor runs.

An executor says neither when it begins a function nor where.  So each machine's clock is compared
first, by tasks that keep every worker busy for a moment; then all shares get one time to begin.
"""

from __future__ import annotations

import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import replace
from typing import Any

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.errors import NoResultYet, Objection, TwistreamError, WrongState
from twistream_kit.listing import Series
from twistream_kit.pending import Pending, ReentrantLoop, Subject, get_running_loop
from twistream_kit.simulator._load_share import (
    ShareOrder,
    ShareResult,
    Watch,
    measure_clock,
    run_share,
)
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

        Shares that an executor runs already go on to their end, unless their processes are
        interrupted as well, as all those of a terminal are by Ctrl-C.
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
    offsets, way = compare_clocks(executor, len(orders))
    begin_at = time.time() + _AHEAD_SECONDS + 2 * way
    given = [replace(order, begin_at=begin_at, offsets=offsets) for order in orders]
    futures = [executor.submit(run_share, order) for order in given]
    return _collect(futures, given, watch)


def compare_clocks(executor: Executor, workers: int) -> tuple[dict[str, float], float]:
    """Return by how much the clock of each machine is fast, and the longest way there and back.

    A machine's offset is that of the task with the shortest way, and right to half of that.

    Raises:
        TwistreamError: If the executor does not begin its work.
    """
    best: dict[str, tuple[float, float]] = {socket.gethostname(): (0.0, 0.0)}
    longest = 0.0
    for _ in range(2):  # the first one also starts the workers
        sent = time.time()
        waiting: list[Future[Any]] = [
            executor.submit(measure_clock, number, _CLOCK_SECONDS) for number in range(workers)
        ]
        until, ways = time.monotonic() + _CLOCK_LIMIT_SECONDS, []
        for future in waiting:
            try:
                host, _, clock = future.result(max(0.0, until - time.monotonic()))
            except TimeoutError as error:
                raise TwistreamError(
                    f"the executor has not begun its work within {_CLOCK_LIMIT_SECONDS:g} s",
                    fix="See whether its workers run, and whether they can import twistream_kit",
                ) from error
            way = max(0.0, time.time() - sent - _CLOCK_SECONDS)
            ways.append(way)
            if host not in best or way < best[host][0]:
                best[host] = (way, clock - (sent + way / 2))
        longest = max(ways)
    return {host: offset for host, (_, offset) in best.items()}, longest


def _collect(
    futures: Sequence[Future[ShareResult]], orders: Sequence[ShareOrder], watch: Watch
) -> list[ShareResult]:
    """Wait for all shares; after a stop only for those that run, which end by themselves."""
    results = []
    counted: set[int] = set()
    while len(counted) < len(futures):
        if watch.stop.wait(_STEP_SECONDS):
            for place, future in enumerate(futures):
                if future.cancel():
                    counted.add(place)
        now = time.time()
        watch.begun = sum(
            (order.begin_at or now) + start <= now
            for order in orders
            for start in order.starts.values()
        )
        for place, future in enumerate(futures):
            if place not in counted and future.done():
                counted.add(place)
                if future.cancelled():
                    continue
                if (error := future.exception()) is not None:
                    raise TwistreamError(f"a share of the calls failed: {error}") from error
                results.append(future.result())
                watch.ended += len(results[-1].calls)
    return results


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
