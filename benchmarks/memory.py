"""The memory of an open stream beyond its bare connection, one second after *start*.

Streams are opened on a server in a process of its own, each speaks for one second and stays open.
The memory that no other process shares is read before and after, and divided by their number; of
that, what the same connections take on a bare echo of `websockets` is subtracted.  It is the memory
as the kernel counts it, and not that of `tracemalloc`: the latter leaves out what C libraries take,
and the places between objects that cannot be used again.

The streams begin in groups, since a core cannot serve all of them at once.  A stream that has
spoken for its second is silent until the last has, which adds nothing to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack

from callers import Caller, speak
from measuring import Companion, Figure, kept_off_the_first_core, spread
from server import check_answers, hold_calls, make_callers, wait_answers

AIM_KIB = 64
WHAT = {
    "speak": "echo by speak",
    "no handler": "no handler, nothing played",
    "clip": "a clip plays, 10 s of it sent",
}
HAS_AIM = ("speak", "no handler")
AT_ONCE = 40


def measure(*, tiny: bool = False) -> list[Figure]:
    """Open the streams on each kind of server, in alternating rounds."""
    n_calls, seconds, rounds = (4, 0.1, 1) if tiny else (200, 1.0, 5)
    kinds = ["bare", *WHAT]
    sizes: dict[str, list[float]] = {kind: [] for kind in kinds}
    with kept_off_the_first_core():
        for count in range(rounds):
            for kind in kinds[:: -1 if count % 2 else 1]:
                with Companion("streams_on_a_core.py", kind) as server:
                    if server.ask("memory") is None:
                        what = "memory of an open stream"
                        return [Figure(what, "left out: this system does not say a process's own")]
                    # What is sent ahead goes on, so the streams of a clip are one group.
                    n_streams = min(n_calls, AT_ONCE) if kind == "clip" else n_calls
                    sizes[kind].append(asyncio.run(_open(server, kind, n_streams, seconds)))
    figures = [Figure("memory of a bare connection", spread(sizes["bare"], " KiB", 1))]
    return figures + [_make_figure(kind, sizes) for kind in WHAT]


def _make_figure(kind: str, sizes: dict[str, list[float]]) -> Figure:
    beyond = [size - bare for size, bare in zip(sizes[kind], sizes["bare"], strict=True)]
    what = f"memory of an open stream beyond it, {WHAT[kind]}"
    figure = spread(beyond, " KiB", 1)
    if kind not in HAS_AIM:
        return Figure(what, figure)
    median = sorted(beyond)[len(beyond) // 2]
    return Figure(what, figure, f"≤ {AIM_KIB} KiB", median <= AIM_KIB)


async def _open(server: Companion, kind: str, n_calls: int, seconds: float) -> float:
    """Return the KiB of each stream."""
    async with AsyncExitStack() as stack:  # what the first streams import and build stays
        await _open_group(stack, server.hello["url"], kind, make_callers(kind, 4), seconds)
    before = server.ask("memory")
    callers = make_callers(kind, n_calls)
    async with AsyncExitStack() as stack:
        for first in range(0, n_calls, AT_ONCE):
            group = callers[first : first + AT_ONCE]
            await _open_group(stack, server.hello["url"], kind, group, seconds)
        after = server.ask("memory")
        await check_answers(server, kind, callers)
    return (after - before) / n_calls


async def _open_group(
    stack: AsyncExitStack,
    url: str,
    kind: str,
    callers: Sequence[Caller],
    seconds: float,
) -> None:
    await hold_calls(stack, callers, url)
    await speak(callers, seconds)
    await wait_answers(kind, callers)
