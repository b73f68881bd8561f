"""What one fault has at hand: streams to its server, ordinary calls, and waits with a limit.

A machine that is busy must not make a sound server look broken.  So a wait counts only time in
which this process ran, and where it was late itself, it goes on for `PATIENCE` times as long before
it is given up.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Self

from twistream_kit.simulator._calls_loop import SharedLoop
from twistream_kit.simulator._fault_stream import FaultyLeg, FaultyStream, Opening
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.stream.ending import StreamEnding
from twistream_kit.simulator.stream.pacer import Lateness
from twistream_kit.simulator.stream.refusal import StreamFailed

NEXT_CALL_SECONDS = 2.0
"""After a fault, an ordinary call has to work within this time."""

PATIENCE = 5.0
"""How many times as long a wait lasts while this process is late itself."""

WORST_MS = 200.0
"""A process that was late by this much cannot say how fast a server is."""

_STEP_SECONDS = 0.01

MOST_SECONDS_A_LOOK = 0.05
"""What lies between two looks counts as no more: a machine that stood still did nothing else."""

MEANT_CODES = frozenset({1000, 1001, 1005})
"""Codes of a Close frame by which a server ends a stream because it wants to."""


class NotSurvived(Exception):
    """The server does not survive the fault; the text is what was seen."""


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


@dataclass(frozen=True, slots=True)
class OrdinaryCall:
    """What a call without a fault is like.

    Attributes:
        seconds: How long it lasted.
        first_sound: The seconds to the first sound of the server, or None if none came.
        sends_marks: Whether the server sent a mark.
        ended: How the server ended it, before the caller hung up; None if it did not.
        answers_close: Whether the server answered the Close frame.
        has_other_sid: Whether messages of the server had another streamSid.
    """

    seconds: float
    first_sound: float | None
    sends_marks: bool
    ended: StreamEnding | None
    answers_close: bool
    has_other_sid: bool = False

    @property
    def problem(self) -> str:
        """Why no fault can be tried, since an ordinary call does not work; or empty."""
        if self.has_other_sid:
            return "messages of the server have a streamSid that is not the one of start"
        if self.ended is not None and self.ended.close_code not in MEANT_CODES:
            return _say_ended(self.ended, self.seconds)
        return ""

    def __str__(self) -> str:
        said = (
            "the server said nothing, so only that it keeps the connection can be seen"
            if self.first_sound is None
            else f"the first sound after {self.first_sound * 1000:.0f} ms"
        )
        if self.ended is not None:
            said += f"; {_say_ended(self.ended, self.seconds)}"
        elif not self.answers_close:
            said += "; the Close frame at its end was not answered"
        return said


UNKNOWN = OrdinaryCall(0.0, None, sends_marks=False, ended=None, answers_close=True)
"""Before it is measured."""


class FaultScene:
    """The streams of one fault, or of one ordinary call.

    Args:
        target: The server.
        shared: The loop of all simulated calls, with its timer.
        lateness: Counts how late frames are, over the whole run.
        scale: What the times that a fault lasts are multiplied with.
        ordinary: What an ordinary call is like; `UNKNOWN` while that is measured.
    """

    def __init__(
        self,
        target: FaultTarget,
        shared: SharedLoop,
        lateness: Lateness,
        scale: float,
        ordinary: OrdinaryCall,
    ) -> None:
        self.target = target
        self.scale = scale
        self.talk_seconds = max(0.4, min(1.0, scale))
        self.next_call_ms: float | None = None
        self.ordinary = ordinary
        self._shared = shared
        self._whole = lateness
        self._lateness = Lateness()
        self._meter: asyncio.Task[None] | None = None
        self._lost_seconds = 0.0
        self._begun_at = time.monotonic()
        self._streams: list[FaultyStream] = []

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

    async def require_open(self, stream: FaultyStream, seconds: float, doing: str) -> bool:
        """Let a stream go on; return whether it has not ended in the way an ordinary one does.

        Raises:
            NotSurvived: If the server ends it otherwise.
        """
        if await self.wait_open(stream, seconds):
            return True
        self.require_no_end(stream, doing)
        return False

    def require_no_end(
        self, stream: FaultyStream, doing: str, *, is_meant: bool | None = None
    ) -> None:
        """Accept the end of a stream only if the server has meant it.

        Args:
            stream: The stream.
            doing: What happened meanwhile.
            is_meant: Whether a close with 1000 is fine; None asks whether an ordinary call was open
                for longer.

        Raises:
            NotSurvived: If it has ended otherwise.
        """
        ending = stream.ending
        if ending is None:
            return
        if is_meant is None:
            # A call that was longer than this, and still open, would not have ended here.
            margin = 0.0 if self.ordinary.ended is None else 1.0
            is_meant = self.ordinary.seconds <= stream.seconds + margin
        if is_meant and ending.reason == "server-closed" and ending.close_code in MEANT_CODES:
            return
        raise NotSurvived(f"{doing}, {_say_ended(ending, stream.seconds)}.")

    async def require_answer(self, stream: FaultyStream, doing: str) -> None:
        """Wait for sound on a stream, if an ordinary call has some.

        Raises:
            NotSurvived: If none comes.
        """
        if self.ordinary.first_sound is None:
            return
        limit = self.ordinary.first_sound + NEXT_CALL_SECONDS
        await self.wait_until(
            lambda: stream.first_sound_at is not None or stream.ending is not None, limit
        )
        if stream.first_sound_at is None:
            self.require_no_end(stream, doing)
            raise NotSurvived(
                f"{doing}, no sound came within {limit:.1f} s; in an ordinary call it came after "
                f"{self.ordinary.first_sound:.1f} s."
            )

    async def hang_up(self, stream: FaultyStream, doing: str = "") -> str:
        """End a stream as Twilio does; return how the server took it.

        Raises:
            NotSurvived: If it does not answer the Close frame, or ends with an error.
        """
        doing = doing or "after stop and Close"
        if stream.ending is not None:
            self.require_no_end(stream, doing, is_meant=True)
            return f"the server had closed with {stream.ending.close_code}"
        stream.stop_beat()
        begun = time.monotonic()
        await stream.client.stop()
        ending = await stream.client.wait_closed()
        if stream.client.is_close_unanswered:
            raise NotSurvived(
                f"{doing}, the Close frame was not answered within "
                f"{time.monotonic() - begun:.0f} s: the server no longer reads the stream."
            )
        if ending.close_code not in MEANT_CODES | {1006}:
            raise NotSurvived(f"{doing}, the server closed with {_name_code(ending.close_code)}.")
        return f"the stream ended within {(time.monotonic() - begun) * 1000:.0f} ms"

    async def require_other_call(self, doing: str) -> None:
        """Make an ordinary call beside the fault.

        Raises:
            NotSurvived: If it does not work in time.
        """
        problem = await self.find_problem_of_next_call()
        if problem:
            raise NotSurvived(f"{doing}, another call did not work: {problem}.")

    async def find_problem_of_next_call(self) -> str:
        """Make ordinary calls until one works; return why none has in time, or empty."""
        begun = time.monotonic()
        problems: list[str] = []

        async def try_until_one_works() -> None:
            while True:
                if not (problem := await self._try_call()):
                    return
                problems.append(problem)
                await asyncio.sleep(0.05)

        usual = self.ordinary.first_sound or 0.0
        limit = NEXT_CALL_SECONDS + usual
        trying = asyncio.create_task(try_until_one_works())
        try:
            if await self.wait_until(trying.done, limit):
                trying.result()
                self.next_call_ms = (time.monotonic() - begun) * 1000
                return ""
        finally:
            trying.cancel()
            await asyncio.wait([trying])
        return problems[-1] if problems else self._say_what_is_missing(limit)

    def _say_what_is_missing(self, limit: float) -> str:
        stream = self._streams[-1]
        if not stream.begun_at:
            return f"the server did not accept it within {limit:.1f} s"
        if stream.first_sound_at is None and self.ordinary.first_sound is not None:
            return f"no sound came within {limit:.1f} s"
        return f"it could not be ended within {limit:.1f} s"

    async def measure_ordinary_call(self) -> OrdinaryCall:
        """Make a call without a fault, and note what it is like.

        Raises:
            StreamFailed: If the server cannot be reached or refuses.
        """
        stream = await self.open()
        most = max(0.5, min(1.0, self.scale) * 2.5)
        await self.wait_open(stream, most)
        if stream.first_sound_at is None:
            await self.wait_until(
                lambda: stream.first_sound_at is not None or stream.ending is not None, most
            )
        first, ended = stream.first_sound_at, stream.ending
        seconds = stream.seconds
        stream.stop_beat()
        await stream.client.stop()
        return OrdinaryCall(
            seconds,
            None if first is None else max(0.0, first - stream.begun_at),
            stream.marks > 0,
            ended,
            answers_close=not stream.client.is_close_unanswered,
            has_other_sid=bool(stream.strangers),
        )

    async def _try_call(self) -> str:
        """Make one ordinary call; return what is wrong with it, or empty."""
        try:
            stream = await self.open()
        except StreamFailed as error:
            return f"{error.problem} (Twilio would log {error.code})"
        has_sound = self.ordinary.first_sound is not None
        await self.wait_until(
            lambda: (has_sound and stream.first_sound_at is not None) or stream.ending is not None,
            NEXT_CALL_SECONDS * 2 + (self.ordinary.first_sound or 0) if has_sound else 0.2,
        )
        if stream.strangers:
            return "messages of the server had the streamSid of another stream"
        if has_sound and stream.first_sound_at is None:
            if stream.ending is not None:
                return _say_ended(stream.ending, stream.seconds)
            return "no sound came"
        try:
            self.require_no_end(stream, "at once")
            if self.ordinary.answers_close:
                await self.hang_up(stream, "at its end")
        except NotSurvived as error:
            return str(error).rstrip(".")
        return ""

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


def _say_ended(ending: StreamEnding, seconds: float) -> str:
    if ending.reason == "broken":
        how = "the connection broke without a Close frame (1006)"
    elif ending.reason == "protocol-error":
        how = f"the WebSocket protocol was violated ({ending.ended.in_words})"
    else:
        how = f"the server closed with {_name_code(ending.close_code)}"
    return f"{how} {seconds:.1f} s after the start"


def _name_code(code: int) -> str:
    names = {
        1000: "1000 (normal)",
        1001: "1001 (going away)",
        1002: "1002 (protocol error)",
        1005: "no code (1005)",
        1006: "no Close frame (1006)",
        1007: "1007 (invalid data)",
        1011: "1011 (internal error)",
    }
    return names.get(code, str(code))
