"""How late the simulator's own frames are, at 1, 20 and 100 calls in one process.

The calls are whole ones, placed through the REST API.  A plain server in another process answers
each frame with one, so that the simulator has all of its work to do: it sends 50 messages a second
for each call, and reads and checks as many.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

from measuring import Companion, Figure, kept_off_the_first_core

from twistream_kit.protocol.twiml import connect_stream
from twistream_kit.simulator.stream.pacer import Lateness, LatenessReport
from twistream_kit.simulator.twilio import SimulatedTwilio


def measure(*, tiny: bool = False) -> list[Figure]:
    """Add calls to one simulator, and measure each time for some seconds."""
    levels, seconds = ([1, 2], 0.3) if tiny else ([1, 20, 100], 6.0)
    with kept_off_the_first_core(), Companion("streams_on_a_core.py", "answers") as server:
        reports = asyncio.run(_reports(server.hello["url"], levels, seconds))
    return [
        Figure(
            f"simulator, {level} call{'s' * (level > 1)}: lateness of {report.frames} frames",
            f"{report.p50_ms:.1f} ms median, {report.p95_ms:.1f} p95, {report.p99_ms:.1f} p99, "
            f"{report.max_ms:.1f} worst",
        )
        for level, report in zip(levels, reports, strict=True)
    ]


async def _reports(url: str, levels: list[int], seconds: float) -> list[LatenessReport]:
    reports = []
    async with SimulatedTwilio(ring_seconds=0) as twilio:
        for before, level in pairwise([0, *levels]):
            for number in range(before, level):
                await _place(twilio, f"+1555010{number:04d}", url)
            await asyncio.sleep(0.5)
            twilio.pacer.lateness = Lateness()
            await asyncio.sleep(seconds)
            reports.append(twilio.pacer.lateness.report())
    return reports


async def _place(twilio: SimulatedTwilio, number: str, url: str) -> None:
    talking = twilio.phone(number).until("in-call")
    await asyncio.to_thread(
        twilio.client.calls.create, to=number, from_=twilio.numbers[0], twiml=connect_stream(url)
    )
    await talking
