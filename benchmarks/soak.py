"""Many calls at once, one after another, for minutes: does the memory stop growing?

python benchmarks/soak.py                     10 minutes × 20 calls at once
python benchmarks/soak.py --minutes 1 --calls 5

A stream server plays and listens in one process; the simulator places calls in another, each for
some seconds, and a new one follows.  After two minutes, the sound that is kept of ended calls has
its full size; the short records of 500 calls are complete after four.  From the end of the second
minute on, a straight line through the samples of each process may rise by 0.5 MB a minute.
Exits with 1 if it rises more, or if a call fails.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import statistics
import sys
import time
from pathlib import Path

from measuring import Companion

from twistream_kit.audio.clip import Clip
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.simulator.twilio import SimulatedTwilio

MOST_GROWTH = 0.5
"""In MB a minute."""

WARM_SHARE = 0.2
"""The share of the time that is not judged: two of ten minutes."""

SAMPLE_SECONDS = 2.0
TALK_SECONDS = (4.0, 12.0)


def main() -> None:
    """Run the two programs, sample their memory, and judge it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--calls", type=int, default=20, help="how many at once")
    parser.add_argument("--part", choices=["server", "calls"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if wanted.part == "server":
        asyncio.run(_serve())
    elif wanted.part == "calls":
        asyncio.run(_place_calls(wanted.url, wanted.calls, random.Random(1)))
    else:
        sys.exit(soak(wanted.minutes, wanted.calls))


def soak(minutes: float, n_calls: int) -> int:
    """Return the exit code."""
    with (
        Companion("soak.py", "--part", "server") as server,
        Companion(
            "soak.py", "--part", "calls", "--url", server.hello["url"], "--calls", str(n_calls)
        ) as caller,
    ):
        pids = {"server": server.hello["pid"], "simulator": caller.hello["pid"]}
        samples = _sample(pids, minutes * 60)
        counts = caller.ask("count")
    print(f"{n_calls} calls at once for {minutes:g} min: {counts['done']} calls ended well")
    print(f"{counts['failed']} failed{': ' + counts['error'] if counts['error'] else ''}")
    steady = True
    for name, series in samples.items():
        slope = find_slope([row for row in series if row[0] >= WARM_SHARE * minutes])
        steady &= slope <= MOST_GROWTH
        whole = " ".join(f"{size:.0f}" for _, size in series[:: max(1, len(series) // 20)])
        print(f"{name}: {slope:+.2f} MB a minute (aim <= {MOST_GROWTH}); MB: {whole}")
    return 0 if steady and counts["done"] and not counts["failed"] else 1


def find_slope(series: list[tuple[float, float]]) -> float:
    """Return the MB a minute of the straight line through samples of minutes and MB."""
    if len(series) < 2:
        return 0.0
    times, sizes = zip(*series, strict=True)
    return float(statistics.linear_regression(times, sizes).slope)


def _sample(pids: dict[str, int], seconds: float) -> dict[str, list[tuple[float, float]]]:
    series: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        for name, pid in pids.items():
            series[name].append((passed / 60, read_memory(pid)))
        time.sleep(min(SAMPLE_SECONDS, seconds / 10))
    return series


def read_memory(pid: int) -> float:
    """Return the memory of a process that no other shares, in MB; Linux tells it."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not say Pss")


async def _serve() -> None:
    clip = Clip.tone(440, 1.5)

    async def answer(stream: MediaStream) -> None:
        stream.play(clip, mark="greeting")
        heard = 0
        async for samples in stream.audio():
            heard += len(samples)
            if heard >= 16_000:  # every two seconds
                heard = 0
                stream.clear()
                stream.play(clip)
                stream.mark("again")

    async with StreamServer(answer) as server:
        await _answer_questions({"url": server.stream_url}, dict)


async def _place_calls(url: str, n_calls: int, rng: random.Random) -> None:
    counts = {"done": 0, "failed": 0, "error": ""}

    async def call_again_and_again(twilio: SimulatedTwilio, number: str) -> None:
        phone = twilio.phone(number)
        await asyncio.sleep(rng.uniform(0, TALK_SECONDS[0]))
        while True:
            try:
                call = await place_call(
                    twilio.client, to=number, from_=twilio.numbers[0], stream_url=url
                )
                await phone.until("in-call")
                for _ in range(3):
                    await asyncio.sleep(rng.uniform(*TALK_SECONDS) / 3)
                    phone.press(rng.choice("0123456789*#"))
                phone.hang_up()
                await phone.until("idle")
                await asyncio.to_thread(call.hang_up)
                counts["done"] += 1
            except Exception as error:  # noqa: BLE001 - counted, and the soak fails
                counts["failed"] += 1
                counts["error"] = f"{type(error).__name__}: {error}"[:300]
                await asyncio.sleep(1)

    async with SimulatedTwilio(ring_seconds=0) as twilio, asyncio.TaskGroup() as tasks:
        calling = [
            tasks.create_task(call_again_and_again(twilio, f"+1555010{number:04d}"))
            for number in range(1, n_calls + 1)
        ]
        await _answer_questions({}, lambda: counts)
        for task in calling:
            task.cancel()


async def _answer_questions(hello: dict, answer) -> None:
    print(json.dumps({"pid": os.getpid(), **hello}), flush=True)
    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.CancelledError):
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(answer()), flush=True)


if __name__ == "__main__":
    main()
