"""From *start* to the first sound, of 1, 10 and 40 calls that begin together.

The handler plays a clip at once; beside it a plain server of `websockets` sends one media message
on *start*.  The handshakes are over before; the *start* of all calls are sent in one turn of the
callers' loop, and what the first calls are sent ahead is in the way of the last ones.
"""

from __future__ import annotations

import asyncio
import statistics

from callers import LIMIT_SECONDS, Caller
from measuring import Companion, Figure, kept_off_the_first_core, spread
from server import make_callers

KINDS = {"first sound": "bare", "clip": "a clip plays"}


def measure(*, tiny: bool = False) -> list[Figure]:
    """Begin calls together on both servers, in alternating rounds."""
    trials, rounds = ({1: 1, 3: 1}, 1) if tiny else ({1: 20, 10: 5, 40: 3}, 5)
    found: dict[tuple[int, str], list[list[float]]] = {(n, k): [] for n in trials for k in KINDS}
    with kept_off_the_first_core():
        for count in range(rounds):
            for n_calls, kind in list(found)[:: -1 if count % 2 else 1]:
                with Companion("streams_on_a_core.py", kind) as server:
                    delays = asyncio.run(
                        _begin(server.hello["url"], kind, n_calls, trials[n_calls])
                    )
                found[n_calls, kind].append(delays)
    return [
        Figure(f"start → first sound, {n} call{'s' * (n > 1)}, {KINDS[kind]}", _describe(each))
        for (n, kind), each in found.items()
    ]


def _describe(rounds: list[list[float]]) -> str:
    medians = [statistics.median(delays) * 1000 for delays in rounds]
    most = max(max(delays) for delays in rounds) * 1000
    return f"median {spread(medians, ' ms', 1)}, max {most:.1f} ms of {sum(map(len, rounds))}"


async def _begin(url: str, kind: str, n_calls: int, trials: int) -> list[float]:
    delays = []
    for _ in range(trials):
        callers = make_callers(kind, n_calls)
        for caller in callers:
            await caller.connect(url, url)
        for caller in callers:
            caller.begin()
        await asyncio.gather(*(caller.wait_received(1) for caller in callers))
        delays += [_measure_delay(caller) for caller in callers]
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*(caller.end() for caller in callers))
    return delays


def _measure_delay(caller: Caller) -> float:
    return caller.first_sound_at - caller.started_at
