"""The streams of one fault, or of one ordinary call: opened, waited for with a limit, and ended.

A machine that is busy must not make a sound server look broken.  So a wait counts only time in
which this process ran, and where it was late itself, it goes on for `PATIENCE` times as long before
it is given up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator._fault_ordinary import (
    BROKEN_CODE,
    UNKNOWN,
    OrdinaryCall,
    is_meant,
    name_code,
    say_ended,
)
from twistream_kit.simulator._fault_stream import FaultyLeg, FaultyStream, Opening
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.stream.pacer import Lateness

PATIENCE = 5.0
"""How many times as long a wait lasts while this process is late itself."""

WORST_MS = 200.0
"""A process that was late by this much cannot say how fast a server is."""

_EARLIER_SECONDS = 1.0
"""A server that ends calls by itself may do so by this much sooner than in the first one."""

_STEP_SECONDS = 0.01

MOST_SECONDS_A_LOOK = 0.05
"""What lies between two looks counts as no more: a machine that stood still did nothing else."""


class NotSurvived(Exception):
    """The server does not survive the fault; the text is what was seen."""


class EndedByItself(NotSurvived):
    """The server has closed the stream as one does that means it; the text is when."""


class BrokeAtItsEnd(EndedByItself):
    """The connection broke when the caller hung up.

    A server that closes the socket while it has not read all, as some do, may lose its own Close
    frame by that, now and then.
    """


class CannotTry(Exception):
    """The fault cannot be tried on this server; the text is why."""


@dataclass(frozen=True, slots=True)
class FaultTarget:
    """The server, and how it is called.

    Attributes:
        url: Its address.
        auth_token: Signs the handshakes; None signs none.
        parameters: The custom parameters.
        behaviour: The switches for behaviour of Twilio that is not known.
    """

    url: str
    auth_token: str | None
    parameters: Mapping[str, str]
    behaviour: Behaviour


@dataclass
class KnownServer:
    """What a run has found out about its server.

    Attributes:
        ordinary: What an ordinary call is like; `UNKNOWN` while that is measured.
        ends_calls: Whether it was seen to end an ordinary call by itself; None if that was not
            looked at.
        quiet_after: From so many seconds on after the start, an ordinary call was seen to be
            silent.
        opened: How many streams were opened to it.
    """

    ordinary: OrdinaryCall = UNKNOWN
    ends_calls: bool | None = None
    quiet_after: float = math.inf
    opened: int = 0


class EndedBefore(CannotTry):
    """The server has ended the stream before the fault; the text is how."""


class FaultStreams:
    """The streams of one fault, or of one ordinary call: opened, waited for and ended.

    Args:
        target: The server.
        shared: The loop of all simulated calls, with its timer.
        lateness: Counts how late frames are, over the whole run.
        scale: What the times that a fault lasts are multiplied with.
        known: What is known of the server.
    """

    def __init__(
        self,
        target: FaultTarget,
        shared: SharedLoop,
        lateness: Lateness,
        scale: float,
        known: KnownServer,
    ) -> None:
        self.target = target
        self.scale = scale
        self.talk_seconds = max(0.4, min(1.0, scale))
        self.next_call_ms: float | None = None
        self.known = known
        self._shared = shared
        self._whole = lateness
        self._lateness = Lateness()
        self._meter: asyncio.Task[None] | None = None
        self._lost_seconds = 0.0
        self._begun_at = time.monotonic()
        self._streams: list[FaultyStream] = []

    @property
    def ordinary(self) -> OrdinaryCall:
        """What an ordinary call is like."""
        return self.known.ordinary

    @property
    def is_late(self) -> bool:
        """Whether this process did not run when it should have, so that waits are longer."""
        elapsed = time.monotonic() - self._begun_at
        return self.worst_ms >= WORST_MS or self._lost_seconds > elapsed / 10

    @property
    def worst_ms(self) -> float:
        """How late the worst frame was since the scene began, in milliseconds."""
        return self._lateness.report().max_ms

    async def __aenter__(self) -> Self:
        self._meter = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self._streams:
            await stream.release()
        if self._meter is not None:
            self._meter.cancel()
            await asyncio.wait([self._meter])

    async def open(
        self,
        *,
        call_sid: str | None = None,
        opening: Opening = "start",
        keeps_marks: bool = False,
        prepare: Callable[[FaultyStream], None] | None = None,
    ) -> FaultyStream:
        """Connect a stream whose caller speaks.

        Args:
            call_sid: The call that it belongs to; None for one of its own.
            opening: The last message that is sent by itself.
            keeps_marks: Whether no mark comes back.
            prepare: Called with it before it connects.

        Raises:
            StreamFailed: If the server cannot be reached or refuses.
        """
        leg = FaultyLeg(
            call_sid=call_sid,
            opening=opening,
            keeps_marks=keeps_marks,
            parameters=self.target.parameters,
            behaviour=self.target.behaviour,
        )
        target = self.target
        stream = FaultyStream.make(target.url, target.auth_token, leg, self._shared, self._lateness)
        self._streams.append(stream)
        if prepare is not None:
            prepare(stream)
        self.known.opened += 1
        await stream.open()
        return stream

    async def wait_until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` holds; return whether it does so in time."""
        waited, looked = 0.0, time.monotonic()
        while not condition():
            limit = seconds * PATIENCE if self.is_late else seconds
            if waited >= limit:
                return False
            await asyncio.sleep(_STEP_SECONDS)
            now = time.monotonic()
            waited += min(now - looked, MOST_SECONDS_A_LOOK)
            looked = now
        return True

    async def finish(self, work: Awaitable[str], seconds: float) -> str:
        """Return what `work` returns.

        Raises:
            TimeoutError: If it is not done in time; it is cancelled then.
        """
        task = asyncio.ensure_future(work)
        try:
            if not await self.wait_until(task.done, seconds):
                raise TimeoutError
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def wait_open(self, stream: FaultyStream, seconds: float) -> bool:
        """Let a stream go on for a time; return whether it has not ended."""
        await stream.wait_for_end(seconds)
        return stream.ending is None

    async def require_open(self, stream: FaultyStream, seconds: float, doing: str) -> None:
        """Let a stream go on, which the server must not end.

        Raises:
            NotSurvived: If it does.
        """
        if not await self.wait_open(stream, seconds):
            self.require_no_end(stream, doing)

    def require_no_end(self, stream: FaultyStream, doing: str, *, may_close: bool = False) -> None:
        """Object to the end of a stream, if it has ended.

        Args:
            stream: The stream.
            doing: What happened meanwhile.
            may_close: Whether the server may close it because it wants to.

        Raises:
            EndedByItself: If the server has closed it as one does that wants to, and sooner than an
                ordinary call.
            NotSurvived: If it has ended otherwise.
        """
        ending = stream.ending
        if ending is None:
            return
        text = f"{doing}, {say_ended(ending, stream.seconds)}."
        if ending.reason != "server-closed" or not is_meant(ending.close_code):
            raise NotSurvived(text)
        usual = self.ordinary
        if usual.ended is not None and usual.seconds <= stream.seconds + _EARLIER_SECONDS:
            return
        if not may_close:
            raise EndedByItself(text)

    async def hang_up(self, stream: FaultyStream, doing: str, *, is_strict: bool = False) -> str:
        """End a stream as Twilio does; return how the server took it.

        Args:
            stream: The stream.
            doing: What happened to it before.
            is_strict: Whether an end is objected to also where an ordinary call ends so.

        Raises:
            NotSurvived: If it does not answer the Close frame, or ends with an error.
        """
        if stream.ending is not None:
            self.require_no_end(stream, doing, may_close=True)
            return f"the server had closed with {stream.ending.close_code}"
        stream.stop_beat()
        begun = time.monotonic()
        await stream.client.stop()
        ending = await stream.client.wait_closed()
        milliseconds = (time.monotonic() - begun) * 1000
        if stream.client.is_close_unanswered:
            if self.ordinary.answers_close or is_strict:
                raise NotSurvived(
                    f"{doing}, the Close frame was not answered within "
                    f"{milliseconds / 1000:.0f} s: the server no longer reads the stream."
                )
            return "the Close frame was not answered, as in an ordinary call"
        code = ending.close_code
        if is_meant(code) or (code == BROKEN_CODE and self._leaves_close_out):
            if stream.client.is_tcp_left_open:
                return "the Close frame was answered, and TCP was still open 0.1 s later"
            return f"the stream ended within {milliseconds:.0f} ms"
        if code == self.ordinary.hang_up_code and not is_strict:
            return f"the stream ended with {name_code(code)}, as in an ordinary call"
        if code == BROKEN_CODE:
            raise BrokeAtItsEnd(
                f"{doing}, the connection broke: the server did not answer the Close frame (1006)."
            )
        raise NotSurvived(f"{doing}, the server closed with {name_code(code)}.")

    @property
    def _leaves_close_out(self) -> bool:
        return self.target.behaviour.close_at_end == "nothing"

    def breaks_at_end(self, stream: FaultyStream) -> bool:
        """Whether a stream broke as one of an ordinary call does when the caller hangs up."""
        ending = stream.ending
        return (
            ending is not None
            and ending.reason == "broken"
            and self.ordinary.hang_up_code == BROKEN_CODE
        )

    def require_own_sids(self) -> None:
        """Object to messages of the server that had the streamSid of another stream.

        Raises:
            NotSurvived: If there were any, on whatever stream of this scene.
        """
        mine = {stream.stream_sid: stream for stream in self._streams}
        for stream in self._streams:
            for sid in sorted(stream.strangers):
                whose = "an earlier stream"
                if sid in mine:
                    is_of_call = mine[sid].leg.call_sid == stream.leg.call_sid
                    whose = "the other stream of the call" if is_of_call else "another call"
                raise NotSurvived(
                    f"messages on one stream had the streamSid of {whose}; Twilio drops them."
                )

    async def leave(self, stream: FaultyStream) -> None:
        """End an ordinary call, however the server takes it."""
        stream.stop_beat()
        await stream.client.stop()

    async def _measure(self) -> None:
        """Count the time in which this process did not run."""
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.02)
            late = time.monotonic() - begun - 0.02
            self._lateness.record(late)
            self._whole.record(late)
            if late > 0.02:
                self._lost_seconds += late
