"""What one fault requires of its streams, and the ordinary calls to compare with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise

from twistream_kit.simulator._fault_ordinary import OrdinaryCall, find_pause, say_ended
from twistream_kit.simulator._fault_stream import UTTERANCE_SECONDS, FaultyStream
from twistream_kit.simulator._fault_streams import BrokeAtItsEnd, FaultStreams, NotSurvived
from twistream_kit.simulator.stream.refusal import StreamFailed

NEXT_CALL_SECONDS = 2.0
"""After a fault, an ordinary call has to work within this time."""

FIRST_SOUND_SECONDS = 4.0
"""So long the first ordinary call waits for a first sound."""

LONG_CALL_SECONDS = 3.5
"""So long an ordinary call lasts that is to show whether the server ends calls by itself."""

_SOUNDING_SECONDS = 0.5
"""A server that has sounded for so long without a pause goes on sounding."""

_SHORT_PAUSE = 0.1

_LONGEST_PAUSE = 1.5 * UTTERANCE_SECONDS
"""A server that answers each utterance has no longer pause."""

SETTLE_SECONDS = 0.2
"""Sound that comes sooner after a fault may have been sent before it."""


class FaultScene(FaultStreams):
    """The streams of one fault, and what is required of them."""

    async def require_answer(self, stream: FaultyStream, doing: str) -> None:
        """Wait for the first sound on a stream, if an ordinary call has some.

        Raises:
            NotSurvived: If none comes.
        """
        if self.ordinary.first_sound is None:
            return
        limit = self.ordinary.first_sound + NEXT_CALL_SECONDS
        await self.wait_until(lambda: bool(stream.sounds) or stream.ending is not None, limit)
        if not stream.sounds:
            self.require_no_end(stream, doing)
            raise NotSurvived(
                f"{doing}, no sound came within {limit:.1f} s; in an ordinary call it came after "
                f"{self.ordinary.first_sound:.1f} s."
            )

    async def require_sound_now(
        self,
        stream: FaultyStream,
        doing: str,
        *,
        patience: float = NEXT_CALL_SECONDS,
        act: Callable[[FaultyStream], Awaitable[None]] | None = None,
    ) -> None:
        """Wait for sound that the server sends from now on, if an ordinary call has some by then.

        What came before a fault says nothing of what the server does after it.  Where no sound
        comes, an ordinary call shows whether the server has anything to say at that time.

        Args:
            stream: The stream.
            doing: What happened to it.
            patience: How long it may take, besides the pauses of an ordinary call, in seconds.
            act: What is done to the ordinary call that this one is compared with, before.

        Raises:
            NotSurvived: If none comes.
        """
        since = time.monotonic() + SETTLE_SECONDS
        begin = since - stream.begun_at
        if self.ordinary.pause is None or begin >= self.known.quiet_after:
            await self.require_open(stream, SETTLE_SECONDS, doing)
            return
        limit = self.ordinary.pause + patience
        await self.wait_until(
            lambda: stream.has_sound_after(since) or stream.ending is not None,
            SETTLE_SECONDS + limit,
        )
        if stream.has_sound_after(since):
            return
        self.require_own_sids()  # which says more than that it is silent
        self.require_no_end(stream, doing)
        if await self._has_sound_in_ordinary_call(begin, limit, act):
            raise NotSurvived(
                f"{doing}, no sound came for {limit:.1f} s; in an ordinary call it does by then."
            )
        if act is None:
            self.known.quiet_after = min(self.known.quiet_after, begin)

    async def _has_sound_in_ordinary_call(
        self,
        begin: float,
        seconds: float,
        act: Callable[[FaultyStream], Awaitable[None]] | None,
    ) -> bool:
        """Make an ordinary call; return whether it has sound so late after its start."""
        stream = await self.open()
        await self.wait_open(stream, max(0.0, begin - SETTLE_SECONDS))
        if act is not None:
            await act(stream)
        since = stream.begun_at + begin
        await self.wait_until(
            lambda: stream.has_sound_after(since) or stream.ending is not None,
            SETTLE_SECONDS + seconds,
        )
        has_sound = stream.has_sound_after(since)
        await self.leave(stream)
        return has_sound

    async def find_sound_to_silence(self) -> float | None:
        """Return how long a server takes to speak to a caller who says nothing, or None.

        An echo of silence is no sound here.
        """
        if self.ordinary.first_sound is None:
            return None
        stream = await self.open(prepare=lambda each: each.set_silent())
        await self.wait_until(
            lambda: stream.first_audible_at is not None or stream.ending is not None,
            (self.ordinary.first_sound or 0.0) + SETTLE_SECONDS,
        )
        audible = stream.first_audible_at
        await self.leave(stream)
        return None if audible is None else max(0.0, audible - stream.begun_at)

    async def find_whether_calls_end(self) -> bool:
        """Return whether the server ends ordinary calls by itself, which takes some seconds."""
        if self.known.ends_calls is None:
            stream = await self.open()
            self.known.ends_calls = not await self.wait_open(stream, LONG_CALL_SECONDS)
            await self.leave(stream)
        return self.known.ends_calls

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

        usual = (self.ordinary.first_sound or 0.0) + self._short_pause
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

    @property
    def _short_pause(self) -> float:
        """The pauses of a server that sounds all the time; 0 of one that answers now and then.

        That one would have to be listened to for seconds in every ordinary call.
        """
        pause = self.ordinary.pause
        return pause if pause is not None and pause <= 0.5 else 0.0

    def _say_what_is_missing(self, limit: float) -> str:
        stream = self._streams[-1]
        if not stream.begun_at:
            return f"the server did not accept it within {limit:.1f} s"
        if not stream.sounds and self.ordinary.first_sound is not None:
            return f"no sound came within {limit:.1f} s"
        if not self._has_sounded_on(stream):
            return (
                "it fell silent after its first sound, within "
                f"{stream.sounds[-1] - stream.begun_at:.1f} s"
            )
        return f"it could not be ended within {limit:.1f} s"

    def _has_sounded_on(self, stream: FaultyStream) -> bool:
        """Whether a server that sounds all the time has done so behind its first sound."""
        if not self._short_pause:
            return True
        return bool(stream.sounds) and stream.has_sound_after(stream.sounds[0] + SETTLE_SECONDS)

    async def measure_ordinary_call(self) -> OrdinaryCall:
        """Make a call without a fault, and note what it is like.

        Raises:
            StreamFailed: If the server cannot be reached or refuses.
        """
        stream = await self.open()
        await self.wait_until(
            lambda: bool(stream.sounds) or stream.ending is not None, FIRST_SOUND_SECONDS
        )
        if stream.sounds:
            until = time.monotonic() + 2 * UTTERANCE_SECONDS
            await self.wait_until(
                lambda: (
                    stream.ending is not None
                    or _has_sounded_all_the_time(stream)
                    or time.monotonic() > until
                ),
                3 * UTTERANCE_SECONDS,
            )
        now, ended, seconds = time.monotonic(), stream.ending, stream.seconds
        await self.leave(stream)
        ending = await stream.client.wait_closed()
        sounds = [each for each in stream.sounds if each <= now]
        first = stream.first_sound_at
        return OrdinaryCall(
            seconds,
            None if first is None else max(0.0, first - stream.begun_at),
            stream.marks > 0,
            ended,
            answers_close=not stream.client.is_close_unanswered,
            has_other_sid=bool(stream.strangers),
            pause=None if ended is not None else find_pause(sounds, now, _LONGEST_PAUSE),
            hang_up_code=None if ended is not None else ending.close_code,
        )

    async def _try_call(self) -> str:
        """Make one ordinary call; return what is wrong with it, or empty."""
        try:
            stream = await self.open()
        except StreamFailed as error:
            return f"{error.problem} (Twilio would log {error.code})"
        has_sound = self.ordinary.first_sound is not None
        await self.wait_until(
            lambda: (has_sound and bool(stream.sounds)) or stream.ending is not None,
            NEXT_CALL_SECONDS * 2 + (self.ordinary.first_sound or 0) if has_sound else 0.2,
        )
        if has_sound and not stream.sounds:
            if stream.ending is not None:
                return say_ended(stream.ending, stream.seconds)
            return "no sound came"
        await self.wait_open(stream, SETTLE_SECONDS / 2 if has_sound else 0.0)
        await self.wait_until(
            lambda: self._has_sounded_on(stream) or stream.ending is not None,
            NEXT_CALL_SECONDS * 2,
        )
        try:
            self.require_no_end(
                stream, "at once", may_close=has_sound or self.ordinary.ended is not None
            )
            if stream.ending is None and not self._has_sounded_on(stream):
                return "it fell silent after its first sound"
            if self.ordinary.answers_close:
                await self.hang_up(stream, "at its end")
        except BrokeAtItsEnd:
            pass  # it has served its caller
        except NotSurvived as error:
            return str(error).rstrip(".")
        if stream.strangers:
            return "messages of the server had the streamSid of another stream"
        return ""


def _has_sounded_all_the_time(stream: FaultyStream) -> bool:
    """Whether sound has come for a while without a pause, so that more need not be waited for."""
    now = time.monotonic()
    begin = now - _SOUNDING_SECONDS
    if stream.sounds[0] > begin - _SHORT_PAUSE:
        return False
    lately = [begin - _SHORT_PAUSE, *(each for each in stream.sounds if each >= begin), now]
    return all(later - sooner <= 2 * _SHORT_PAUSE for sooner, later in pairwise(lately))
