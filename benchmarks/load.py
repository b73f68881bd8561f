"""What a call of `simulate_calls` costs, and the load at which a run becomes invalid.

A plain server on the other core answers each media message with one.  The CPU time for each frame
of a call is measured while all calls are under way: with and without a recording, in rounds that
alternate.  Then `simulate_calls` makes more and more of them.

python benchmarks/run.py load
"""

from __future__ import annotations

import asyncio
import statistics
import time

from measuring import Companion, Figure, kept_off_the_first_core, spread

from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator.load import simulate_calls
from twistream_kit.simulator.simulate_call import CallRun, make_plan

AIM_MICROSECONDS = 80.0
"""Two hundred calls of fifty frames a second on a core, with a fifth of it to spare."""

AIM_CALLS = 200


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure the cost of a frame, then runs of more and more calls."""
    calls, seconds, rounds = (2, 0.3, 1) if tiny else (50, 3.0, 5)
    levels, length = ([2], 1.0) if tiny else ([100, 200, 250], 12.0)
    costs: dict[bool, list[float]] = {False: [], True: []}
    with kept_off_the_first_core(), Companion("streams_on_a_core.py", "answers") as server:
        url = server.hello["url"]
        for count in range(rounds):
            for is_recorded in (False, True) if count % 2 else (True, False):
                cost = asyncio.run(_measure_frame(url, calls, seconds, is_recorded=is_recorded))
                costs[is_recorded].append(cost)
        figures = [_measure_run(url, level, length) for level in levels]
    least = statistics.median(costs[False])
    return [
        Figure(
            f"{calls} simulated calls: CPU a frame, without a recording",
            spread(costs[False], " µs", 0),
            f"≤ {AIM_MICROSECONDS:.0f} µs",
            least <= AIM_MICROSECONDS,
        ),
        Figure(f"{calls} simulated calls: CPU a frame, recorded", spread(costs[True], " µs", 0)),
        *figures,
    ]


async def _measure_frame(url: str, calls: int, seconds: float, *, is_recorded: bool) -> float:
    """Return the CPU time of this thread for each frame, in microseconds."""
    shared = SharedLoop()
    plans = [make_plan(url, seconds=seconds + 2, is_recorded=is_recorded) for _ in range(calls)]
    async with shared.pacer:
        under_way = [asyncio.create_task(CallRun(plan, shared).run()) for plan in plans]
        await asyncio.sleep(1.0)
        frames, cpu = shared.pacer.lateness.report().frames, time.thread_time()
        await asyncio.sleep(seconds)
        used = time.thread_time() - cpu
        frames = shared.pacer.lateness.report().frames - frames
        await asyncio.gather(*under_way)
    return used / frames * 1e6


def _measure_run(url: str, calls: int, seconds: float) -> Figure:
    """Make calls as a user does, and say what the report says of them."""
    run = simulate_calls(
        url, calls, seconds=seconds, ramp_seconds=min(3.0, seconds / 2), sample=0, progress=False
    )
    report = run.result(seconds + 120)
    own = report.own_late_ms
    said = "valid" if report.valid else "INVALID"
    return Figure(
        f"simulate_calls, {calls} calls for {seconds:.0f} s from one process",
        f"{said}; own frames late {own.find(0.5):.1f} ms median, {own.find(0.99):.1f} ms p99; "
        f"{report.shares[0].busy:.0%} of a core; {report.failed} failed; loopback "
        f"{report.echo_idle_ms.find(0.5):.1f} ms idle, {report.echo_loaded_ms.find(0.5):.1f} under "
        "the calls",
        "valid" if calls == AIM_CALLS else "",
        report.valid if calls == AIM_CALLS else None,
    )
