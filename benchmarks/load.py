"""What a call of `simulate_calls` costs, and the load at which a run becomes invalid.

A plain server on the other core answers each media message with one.  The CPU time for each frame
of a call is measured while all calls are under way: without a recording, the same over a line, and
recorded, in rounds that alternate.  Then `simulate_calls` makes two hundred of them for a minute;
and at last more and more, until two runs in a row are invalid.

Each run says for how much of its time its thread waited for a core: on a machine that others use,
too, an invalid run says little of the callers.

python benchmarks/run.py load
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Iterable
from itertools import count

from measuring import Companion, Figure, kept_off_the_first_core, spread

from twistream_kit.diagnosis.load import LoadReport
from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator._short_collections import shorten_collections
from twistream_kit.simulator.load import simulate_calls
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.simulate_call import CallRun, make_plan

AIM_MICROSECONDS = 80.0
"""Two hundred calls of fifty frames a second on a core, with a fifth of it to spare."""

AIM_CALLS = 200

FIRST_LEVEL, STEP, MOST_CALLS = 100, 50, 800

KINDS = {
    "without a recording": {"is_recorded": False},
    "without a recording, over the line mobile": {
        "is_recorded": False,
        "behaviour": Behaviour(line="mobile"),
    },
    "recorded": {"is_recorded": True},
}
"""What is made of a call, and the arguments of its plan."""


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure the cost of a frame, then runs of more and more calls."""
    calls, settle, seconds, rounds = (2, 0.2, 0.3, 1) if tiny else (50, 1.0, 3.0, 5)
    aim, minute = (2, 0.4) if tiny else (AIM_CALLS, 60.0)
    levels, length = ((2, 3), 0.4) if tiny else (count(FIRST_LEVEL, STEP), 12.0)
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with kept_off_the_first_core(), Companion("streams_on_a_core.py", "answers") as server:
        url = server.hello["url"]
        for number in range(rounds):
            for kind in list(KINDS)[:: -1 if number % 2 else 1]:
                costs[kind].append(asyncio.run(_measure_frame(url, calls, settle, seconds, kind)))
        held = run_calls(url, aim, minute)
        valid, invalid = find_limit(levels, lambda level: run_calls(url, level, length))
    aims = {next(iter(KINDS)): AIM_MICROSECONDS}
    return [
        *(_make_cost_figure(calls, kind, values, aims.get(kind)) for kind, values in costs.items()),
        Figure(_name(aim, minute), describe(held), "valid", held.valid),
        *_make_limit_figures(valid, invalid, length),
    ]


def _make_cost_figure(calls: int, kind: str, costs: list[float], aim: float | None) -> Figure:
    what = f"{calls} simulated calls: CPU a frame, {kind}"
    if aim is None:
        return Figure(what, spread(costs, " µs", 0))
    return Figure(what, spread(costs, " µs", 0), f"≤ {aim:.0f} µs", statistics.median(costs) <= aim)


def _make_limit_figures(
    valid: LoadReport | None, invalid: list[LoadReport], length: float
) -> list[Figure]:
    """Say which was the greatest valid run, and which was the first one that was invalid."""
    figures = []
    if valid is not None:
        what = f"greatest valid run: {_name(valid.asked, length)}"
        figures.append(Figure(what, describe(valid)))
    if invalid:
        what = f"first invalid one above it: {_name(invalid[0].asked, length)}"
        figures.append(Figure(what, describe(invalid[0])))
    return figures


async def _measure_frame(url: str, calls: int, settle: float, seconds: float, kind: str) -> float:
    """Return the CPU time of this thread for each frame, in microseconds."""
    shared = SharedLoop()
    whole = seconds + 2 * settle
    plans = [make_plan(url, seconds=whole, **KINDS[kind]) for _ in range(calls)]
    with shorten_collections():
        async with shared.pacer:
            under_way = [asyncio.create_task(CallRun(plan, shared).run()) for plan in plans]
            await asyncio.sleep(settle)
            frames, cpu = shared.pacer.lateness.report().frames, time.thread_time()
            await asyncio.sleep(seconds)
            used = time.thread_time() - cpu
            frames = shared.pacer.lateness.report().frames - frames
            await asyncio.gather(*under_way)
    return used / frames * 1e6


def run_calls(url: str, calls: int, seconds: float) -> LoadReport:
    """Make calls as a user does."""
    run = simulate_calls(
        url, calls, seconds=seconds, ramp_seconds=min(3.0, seconds / 2), sample=0, progress=False
    )
    return run.result(seconds + 120)


def find_limit(
    levels: Iterable[int], run: Callable[[int], LoadReport]
) -> tuple[LoadReport | None, list[LoadReport]]:
    """Go up until two runs in a row are invalid.

    A single one may be so because of something else on the machine, and does not end it.

    Returns:
        The greatest valid run, or None; and the invalid ones above it.
    """
    valid: LoadReport | None = None
    invalid: list[LoadReport] = []
    for level in levels:
        if level > MOST_CALLS or len(invalid) == 2:
            break
        report = run(level)
        if report.valid:
            valid, invalid = report, []
        else:
            invalid.append(report)
    return valid, invalid


def describe(report: LoadReport) -> str:
    """Say in words what a report says of the callers' side."""
    own, [share, *_] = report.own_late_ms, report.shares
    waited = "" if share.waited is None else f", waited for it {share.waited:.0%} of the time"
    reasons = "; ".join(f"{each.field} {each.problem}" for each in report.invalid)
    return (
        f"{'valid' if report.valid else f'INVALID ({reasons})'}; own frames late "
        f"{own.find(0.5):.1f} ms median, {own.find(0.99):.1f} ms p99; {share.busy:.0%} of a core"
        f"{waited}; {report.failed} failed; loopback {report.echo_idle_ms.find(0.5):.1f} ms idle, "
        f"{report.echo_loaded_ms.find(0.5):.1f} under the calls"
    )


def _name(calls: int, seconds: float) -> str:
    return f"simulate_calls, {calls} calls for {seconds:.0f} s from one process"
