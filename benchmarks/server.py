"""The CPU time per media message in the server, compared with a plain `websockets` echo.

Callers at the rate of real ones (50 messages a second each) speak to each server in turn.  The
server has a core of its own; its CPU time is divided by the messages that came.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from dataclasses import dataclass, field

from measuring import Companion, Figure, kept_off_the_first_core
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import broadcast
from websockets.protocol import State

from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

AIM = 1.6
FRAME = bytes(range(40, 200))[:FRAME_BYTES]


@dataclass(slots=True)
class Caller:
    """One stream, with only the behaviour of Twilio that the measurement needs.

    Attributes:
        answers: How many media messages came back.
    """

    socket: ClientConnection
    sid: str
    sequence: int = 1
    chunk: int = 0
    answers: int = 0
    marks: int = 0
    reader: asyncio.Task[None] | None = field(default=None, repr=False)

    async def begin(self) -> None:
        await self.socket.send(from_twilio.Connected().to_json())
        await self.socket.send(from_twilio.Start(self.sid, "AC", "CA" + self.sid[2:]).to_json())
        self.reader = asyncio.create_task(self._read())

    async def speak(self) -> None:
        self.sequence += 1
        self.chunk += 1
        timestamp = self.chunk * PTIME_MS
        message = from_twilio.Media(
            self.sid, FRAME, self.sequence, "inbound", self.chunk, timestamp
        )
        await self.socket.send(message.to_json())

    async def end(self) -> None:
        self.reader.cancel()
        await asyncio.wait([self.reader])
        await self.socket.close()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        async for text in self.socket:
            if '"event":"media"' in text:
                self.answers += 1
            elif '"event":"mark"' in text:
                # Twilio plays a frame before it sends its mark back.
                name = json.loads(text)["mark"]["name"]
                loop.call_later(PTIME_MS / 1000, self._return, name)

    def _return(self, name: str) -> None:
        self.sequence += 1
        self.marks += 1
        text = from_twilio.Mark(self.sid, name, self.sequence).to_json()
        if self.socket.state is State.OPEN:
            broadcast([self.socket], text)


@dataclass(frozen=True, slots=True)
class Cost:
    """The results of one round.

    Attributes:
        microseconds: CPU for each media message that came.
        answers: Media messages sent for each that came.
    """

    microseconds: float
    answers: float


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure a plain echo, the kit playing, and the kit echoing, in alternating rounds."""
    n_calls, settle, seconds, rounds = (3, 0.3, 0.3, 1) if tiny else (40, 1.2, 2.0, 5)
    kinds = ["bare", "plays", "echoes", "answers with marks"]
    costs: dict[str, list[Cost]] = {kind: [] for kind in kinds}
    with kept_off_the_first_core():
        for count in range(rounds):
            for kind in kinds[:: -1 if count % 2 else 1]:
                with Companion("streams_on_a_core.py", kind) as server:
                    costs[kind].append(asyncio.run(_round(server, n_calls, settle, seconds)))
    return _figures(costs)


def _figures(costs: dict[str, list[Cost]]) -> list[Figure]:
    cpu = {kind: statistics.median(c.microseconds for c in each) for kind, each in costs.items()}
    media = {kind: statistics.median(c.answers for c in each) for kind, each in costs.items()}

    def beside_bare(kind: str, what: str) -> Figure:
        ratio = cpu[kind] / cpu["bare"]
        figure = f"{ratio:.2f} × bare ({cpu[kind]:.0f} µs, {media[kind]:.2f} media out)"
        return Figure(f"server CPU, {what}", figure, f"≤ {AIM} ×", ratio <= AIM)

    plain = cpu["answers with marks"]
    return [
        Figure("server CPU, bare websockets echo", f"{cpu['bare']:.0f} µs for each media in"),
        beside_bare("plays", "media in, media out: a clip plays, a reader listens"),
        beside_bare("echoes", "each frame played back: media and mark out, mark back"),
        Figure(
            "server CPU, the same beside plain websockets with as many messages",
            f"{cpu['echoes'] / plain:.2f} × plain ({plain:.0f} µs)",
        ),
    ]


async def _round(server: Companion, n_calls: int, settle: float, seconds: float) -> Cost:
    callers = []
    for number in range(n_calls):
        socket = await connect(server.hello["url"], compression=None, ping_interval=None)
        callers.append(Caller(socket, f"MZ{number:032x}"))
        await callers[-1].begin()
    await _speak(callers, settle)
    before = [sum(c.answers for c in callers), server.ask("cpu")["cpu"]]
    spoken = await _speak(callers, seconds)
    after = [sum(c.answers for c in callers), server.ask("cpu")["cpu"]]
    for caller in callers:
        await caller.end()
    cpu = after[1] - before[1]
    return Cost(cpu * 1e6 / spoken, (after[0] - before[0]) / spoken)


async def _speak(callers: list[Caller], seconds: float) -> int:
    """Send the frames of all streams, spread over the 20 ms; return the number of messages."""
    began, count = time.monotonic(), 0
    while count * PTIME_MS / 1000 / len(callers) < seconds:
        due = began + count * PTIME_MS / 1000 / len(callers)
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await callers[count % len(callers)].speak()
        count += 1
    return count
