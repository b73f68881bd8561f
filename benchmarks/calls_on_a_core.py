"""Fifty and a hundred calls in real time on a server with one core, each frame echoed by `speak`.

A frame is late when its answer reaches the caller more than 5 ms after it was sent: the server's
time, the loopback twice, and whatever the callers' process took to notice, all charged to the
server.  So is what other programs of this machine take, and that is why a bare echo of `websockets`
has the same calls in the same rounds: what counts is the difference of the two shares.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from callers import speak
from measuring import Companion, Figure, kept_off_the_first_core, percentile, spread
from server import check_answers, hold_calls, make_callers

LATE_SECONDS = 0.005
AIM_POINTS = 0.5
AIM_CALLS = 100
KINDS = ("bare", "speak")


@dataclass(frozen=True, slots=True)
class Held:
    """The results of one round.

    Attributes:
        delays: From sending a frame to the arrival of its answer, in seconds.
        core: The share of the core that the server used.
    """

    delays: list[float]
    core: float

    @property
    def late(self) -> float:
        """The late frames, in percent."""
        return 100 * sum(delay > LATE_SECONDS for delay in self.delays) / len(self.delays)


def measure(*, tiny: bool = False) -> list[Figure]:
    """Hold the calls on both servers, in alternating rounds."""
    sizes, settle, seconds, rounds = ([3], 0.1, 0.4, 1) if tiny else ([50, 100], 1.0, 4.0, 5)
    held: dict[tuple[int, str], list[Held]] = {(n, kind): [] for n in sizes for kind in KINDS}
    with kept_off_the_first_core():
        for count in range(rounds):
            for n_calls, kind in list(held)[:: -1 if count % 2 else 1]:
                with Companion("streams_on_a_core.py", kind) as server:
                    found = asyncio.run(_hold(server, kind, n_calls, settle, seconds))
                held[n_calls, kind].append(found)
    return [figure for n in sizes for figure in _make_figures(n, held[n, "bare"], held[n, "speak"])]


def _make_figures(n_calls: int, bare: list[Held], echo: list[Held]) -> list[Figure]:
    points = [one.late - other.late for one, other in zip(echo, bare, strict=True)]
    what = f"{n_calls} calls on one core, echo by speak"
    has_aim = n_calls == AIM_CALLS
    beyond = Figure(
        f"{what}: late over 5 ms, beyond the bare echo",
        f"{spread(points)} points",
        f"≤ {AIM_POINTS} points" if has_aim else "",
        statistics.median(points) <= AIM_POINTS if has_aim else None,
    )
    return [
        beyond,
        Figure(f"{what}: itself", _describe(echo)),
        Figure(f"{n_calls} calls on one core, bare echo: itself", _describe(bare)),
    ]


def _describe(held: list[Held]) -> str:
    delays = [delay * 1000 for one in held for delay in one.delays]
    return (
        f"late {spread([one.late for one in held])} %; "
        f"median {percentile(delays, 0.5):.1f} ms, p99 {percentile(delays, 0.99):.1f} ms; "
        f"{statistics.median(one.core for one in held):.0%} of the core"
    )


async def _hold(server: Companion, kind: str, n_calls: int, settle: float, seconds: float) -> Held:
    callers = make_callers(kind, n_calls)
    async with AsyncExitStack() as stack:
        await hold_calls(stack, callers, server.hello["url"])
        await speak(callers, settle)
        settled = [caller.frames for caller in callers]
        cpu, began = server.ask("cpu")["cpu"], time.monotonic()
        await speak(callers, seconds)
        core = (server.ask("cpu")["cpu"] - cpu) / (time.monotonic() - began)
        await check_answers(server, kind, callers)
    pairs = zip(callers, settled, strict=True)
    delays = [delay for caller, count in pairs for delay in caller.delays[count:]]
    return Held(delays, core)
