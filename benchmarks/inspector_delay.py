"""The delay that an inspector adds between Twilio and a server, for one call and for fifty.

A plain server answers each frame with a frame.  The time from a frame to its answer is taken
directly and through an inspector, in alternating rounds; half of the difference is one way's.
Callers, inspector and server are three processes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import threading
import time

from measuring import Companion, Figure, percentile, stay_on_the_first_core
from websockets.asyncio.client import connect

from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

AIM_MS = 2.0
FRAME = bytes(range(40, 200))[:FRAME_BYTES]


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure a server directly and through an inspector."""
    calls, seconds, rounds = ((1, 2), 0.3, 1) if tiny else ((1, 50), 3.0, 3)
    figures = []
    with (
        Companion("streams_on_a_core.py", "answers") as server,
        Companion("inspector_delay.py", server.hello["url"]) as inspector,
    ):
        urls = {"directly": server.hello["url"], "through": inspector.hello["url"]}
        for n_calls in calls:
            found: dict[str, list[float]] = {way: [] for way in urls}
            for count in range(rounds):
                for way in list(urls)[:: -1 if count % 2 else 1]:
                    found[way] += asyncio.run(_round(urls[way], n_calls, seconds))
            figures += _figures(n_calls, found)
    return figures


def _figures(n_calls: int, found: dict[str, list[float]]) -> list[Figure]:
    what = f"inspector, added delay one way, {n_calls} call{'s' if n_calls > 1 else ''}"

    def added(share: float) -> float:
        return (percentile(found["through"], share) - percentile(found["directly"], share)) / 2

    median = added(0.5)
    plain = statistics.median(found["directly"])
    figure = f"{median:.2f} ms (there and back without it {plain:.2f} ms)"
    # Fifty calls share the inspector's core with the server, which is not a recommended set-up.
    aim = (f"< {AIM_MS:g} ms", median < AIM_MS) if n_calls == 1 else ()
    return [
        Figure(f"{what}: median", figure, *aim),
        Figure(f"{what}: p95", f"{added(0.95):.2f} ms"),
    ]


async def _round(url: str, n_calls: int, seconds: float) -> list[float]:
    async with asyncio.TaskGroup() as calls:
        tasks = [
            calls.create_task(_call(url, number, n_calls, seconds)) for number in range(n_calls)
        ]
    return [each for task in tasks for each in task.result()]


async def _call(url: str, number: int, n_calls: int, seconds: float) -> list[float]:
    """Return the milliseconds from each frame to its response."""
    sid, found = f"MZ{number:032x}", []
    async with connect(url, compression=None, ping_interval=None, proxy=None) as socket:
        await socket.send(from_twilio.Connected().to_json())
        await socket.send(from_twilio.Start(sid, "AC", "CA" + sid[2:]).to_json())
        began = time.monotonic() + 0.2 + number * PTIME_MS / 1000 / n_calls
        for chunk in range(1, int(seconds * 1000 / PTIME_MS) + 1):
            due = began + chunk * PTIME_MS / 1000
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            media = from_twilio.Media(sid, FRAME, chunk + 1, "inbound", chunk, chunk * PTIME_MS)
            text = media.to_json()
            sent = time.perf_counter()
            await socket.send(text)
            await socket.recv()
            found.append((time.perf_counter() - sent) * 1000)
    return found


async def _inspect(upstream: str) -> None:
    loop, asked_to_end = asyncio.get_running_loop(), asyncio.Event()
    async with Inspector(upstream) as inspector:
        print(json.dumps({"url": inspector.url}), flush=True)

        def wait() -> None:
            sys.stdin.read()
            loop.call_soon_threadsafe(asked_to_end.set)

        threading.Thread(target=wait, daemon=True).start()
        await asked_to_end.wait()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    stay_on_the_first_core()
    asyncio.run(_inspect(sys.argv[1]))
