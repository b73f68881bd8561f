"""The CPU time per media message of `kit.StreamApp`, beside a plain echo of Starlette.

Both run under uvicorn with the same options, in a process with a core of its own.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
from contextlib import AsyncExitStack

from callers import speak
from measuring import Companion, Figure, kept_off_the_first_core, spread
from server import TINY, Load, check_answers, hold_calls, make_callers

import twistream_kit

AIM = 2.0
WHAT = "server CPU, StreamApp under uvicorn, echo by speak"
NEEDED = ("uvicorn", "starlette")
FULL = Load(40, 1.2, 2.0, 5)
KINDS = {"starlette": "bare", "stream app": "speak"}
"""The kinds of `apps_on_a_core`, and those of `server.make_callers` that hear the same."""


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure both, in alternating rounds."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return [Figure(WHAT, f"left out: {' and '.join(missing)} not installed")]
    if not hasattr(twistream_kit, "StreamApp"):
        return [Figure(WHAT, "left out: this version has no StreamApp")]
    load = TINY if tiny else FULL
    costs: dict[str, list[float]] = {kind: [] for kind in KINDS}
    hello = {}
    with kept_off_the_first_core():
        for count in range(load.rounds):
            for kind in list(KINDS)[:: -1 if count % 2 else 1]:
                with Companion("apps_on_a_core.py", kind) as server:
                    hello = server.hello
                    costs[kind].append(asyncio.run(_round(server, kind, load)))
    pairs = zip(costs["stream app"], costs["starlette"], strict=True)
    ratios = [app / plain for app, plain in pairs]
    ratio = statistics.median(ratios)
    cpu = statistics.median(costs["stream app"])
    return [
        Figure(
            f"server CPU, plain Starlette echo under uvicorn ({hello['ws']})",
            f"{spread(costs['starlette'], ' µs', 0)} a media in",
        ),
        Figure(WHAT, f"{spread(ratios)} × Starlette; {cpu:.0f} µs", f"≤ {AIM} ×", ratio <= AIM),
    ]


async def _round(server: Companion, kind: str, load: Load) -> float:
    """Return the microseconds of CPU for each media message that came."""
    callers = make_callers(KINDS[kind], load.n_calls)
    async with AsyncExitStack() as stack:
        await hold_calls(stack, callers, server.hello["url"])
        await speak(callers, load.settle)
        cpu = server.ask("cpu")["cpu"]
        spoken = await speak(callers, load.seconds)
        cpu = server.ask("cpu")["cpu"] - cpu
        await check_answers(server, KINDS[kind], callers)
    return cpu * 1e6 / spoken
