"""Fifty calls in real time on a server with one core, the simulator in another process.

The server plays each frame of the caller back.  A frame is late when its answer reaches the
simulator more than 5 ms after it was sent: the server's time, the loopback twice, and whatever
the simulator took to notice, all charged to the server.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from measuring import Companion, Figure, kept_off_the_first_core, percentile

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.stream.client import StreamClient
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.stream.pacer import LatenessReport, Pacer

FRAME = bytes(range(40, 200))[: from_twilio.FRAME_BYTES]
LATE_SECONDS = 0.005
AIM = 0.01


@dataclass(slots=True)
class EchoedCall:
    """One simulated call, with the send time of every frame that has not been answered.

    Attributes:
        client: Its socket and Twilio's half of the stream.
        delays: From sending a frame to the arrival of its answer, in seconds.
    """

    client: StreamClient
    delays: list[float] = field(default_factory=list)
    _under_way: deque[float] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.client.on_sent = self._sent
        self.client.leg.on_message = self._received

    def tick(self, now: float) -> None:
        self.client.tick(now, FRAME)

    def _sent(self, message: from_twilio.Message, now: float) -> None:
        if isinstance(message, from_twilio.Media):
            self._under_way.append(now)

    def _received(self, message: to_twilio.Message, now: float) -> None:
        if isinstance(message, to_twilio.Media):
            self.delays.append(now - self._under_way.popleft())


def measure(*, tiny: bool = False) -> list[Figure]:
    """Hold fifty calls for a while, three times, and count the late frames."""
    n_calls, seconds, rounds = (3, 0.5, 1) if tiny else (50, 6.0, 3)
    shares, delays, lateness, cpu = [], [], None, 0.0
    with kept_off_the_first_core():
        for _ in range(rounds):
            with Companion("streams_on_a_core.py", "echoes") as server:
                before = server.ask("cpu")["cpu"]
                found, lateness = asyncio.run(_hold(server.hello["url"], n_calls, seconds))
                cpu = (server.ask("cpu")["cpu"] - before) / seconds
            shares.append(sum(delay > LATE_SECONDS for delay in found) / len(found))
            delays += found
    share = sorted(shares)[rounds // 2]
    figure = (
        f"{share:.2%} late over 5 ms (median {percentile(delays, 0.5) * 1000:.1f} ms, "
        f"p99 {percentile(delays, 0.99) * 1000:.1f} ms)"
    )
    what = f"{n_calls} calls on one core, each frame echoed"
    return [
        Figure(what, figure, "< 1 % late", share < AIM),
        Figure(f"{what}: load", f"{cpu:.0%} of the core; simulator itself {_beat(lateness)}"),
    ]


def _beat(lateness: LatenessReport) -> str:
    return f"late by {lateness.p50_ms:.1f} ms (median), {lateness.p99_ms:.1f} ms (p99)"


async def _hold(url: str, n_calls: int, seconds: float) -> tuple[list[float], LatenessReport]:
    calls = []
    for number in range(1, n_calls + 1):
        leg = StreamLeg(
            stream_sid=f"MZ{number:032x}", call_sid=f"CA{number:032x}", account_sid=f"AC{1:032x}"
        )
        client = StreamClient(leg, url=url, auth_token=None, debugger=Debugger())
        calls.append(EchoedCall(client))
        await client.connect()
    async with Pacer() as pacer:
        for call in calls:
            pacer.add(call.tick)
        await asyncio.sleep(seconds)
        lateness = pacer.lateness.report()
    for call in calls:
        await call.client.stop()
    return [delay for call in calls for delay in call.delays], lateness
