"""Calls of the simulator: `SimulatedCall`, from the request to the hang-up (PROTOCOL.md §6.3).

`Calls` holds all calls of one simulator, oldest first; `Progress` sends the status callbacks of a
call (§6.6).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, overload

from twistream_kit.listing import Listing
from twistream_kit.protocol.ending import Cause, EndCause
from twistream_kit.simulator.call._detection_run import DetectionRun
from twistream_kit.simulator.call._interpreter import TwimlInterpreter
from twistream_kit.simulator.call._speech import VerbAudio, make_key_tones
from twistream_kit.simulator.call._trial import TrialPrompt, limit_time, make_web_client
from twistream_kit.simulator.call.context import CallContext, CallPlan, Source
from twistream_kit.simulator.call.endpoint import Endpoint
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.machine_detection import AnsweredBy
from twistream_kit.simulator.call.streams import CallStreams
from twistream_kit.simulator.call.web import (
    Callbacks,
    format_rfc2822,
    make_terminal_params,
    make_voice_params,
)

Status = Literal[
    "queued", "ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled"
]
"""The states of a call resource (§6.3)."""

TERMINAL = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""The final states."""

_UNANSWERED: dict[str, tuple[Status, int]] = {
    "busy": ("busy", 486),
    "no-answer": ("no-answer", 487),
    # The SIP code of a declined call is not known (§6.6 names 404, 486 and 487 only).
    "rejected": ("no-answer", 603),
}

_BY_A_TELEPHONE: tuple[Cause, ...] = ("callee-hung-up", "caller-hung-up")
"""The ends of a call after which its telephone hears nothing more."""

UNREACHABLE = 21214
"""The number cannot be reached (§5.3); Twilio's console may show it elsewhere or not at all."""

REPORT_SECONDS = 1.0
"""How long a stream waits for the delivery of the answered callback before it connects."""

KEPT_CALLS = 500
"""The number of ended calls that are kept, some two kilobytes each without their sound."""

KEPT_SOUNDS = 10
"""Of so many ended calls the sound is kept; 20 calls at a time bring 10 MB of it a minute."""

CLOSE_SECONDS = 8.0
"""How long calls may take to end in order, including callbacks and WebSocket Close frames."""


STOPPED = "the simulator was stopped"
"""Why the calls end that are open when their simulator stops."""


class SimulatedCall:
    """One simulated call: its parties, its status, its TwiML and its streams.

    Any thread may read its attributes; its methods belong to the simulator's loop.

    Attributes:
        sid: CA and 32 hex digits.
        plan: The requested call.
        status: One of `Status`.
        handset: The mouth and the ear of the telephone.
        streams: The Media Streams of the call.
        on_decided: Called once, when the call is answered or ends without an answer.
        created, started, ended: Times in UTC; `started` is the answer, None without one.
        ended_by: Who ended the call, and why; None while it runs, and if nobody answered it.
    """

    def __init__(
        self, context: CallContext, plan: CallPlan, endpoint: Endpoint[SimulatedCall] | None
    ) -> None:
        self.sid = context.sids.make("CA")
        self.plan = plan
        self.status: Status = "queued"
        self.account_sid = context.account_sid
        self.handset = Handset(context.behaviour)
        self.created = datetime.now(UTC)
        self.started: datetime | None = None
        self.ended: datetime | None = None
        self.ended_by: EndCause | None = None
        self.updated = self.created
        self.on_decided: Callable[[], object] | None = None
        self._context = context
        self._endpoint = endpoint
        self._web = make_web_client(context)
        self._stream_callbacks = Callbacks(self._web, context.debugger, self.sid)
        self.streams = CallStreams(context, self.sid, self._stream_callbacks)
        self.progress = Progress(plan, Callbacks(self._web, context.debugger, self.sid))
        self._speech = VerbAudio()
        self._trial_prompt = TrialPrompt(self._speech)
        self._interpreter = TwimlInterpreter(self, context, self._web, self._speech, self.streams)
        self._detection = self._make_detection()
        self._work: asyncio.Task[None] | None = None
        self._script: asyncio.Task[None] | None = None
        self._limit: asyncio.TimerHandle | None = None
        self._replacement: Source | None = None
        self._sip_code = 200

    @property
    def to(self) -> str:
        """The number called."""
        return self.plan.to

    @property
    def from_(self) -> str:
        """The number calling."""
        return self.plan.from_

    @property
    def direction(self) -> str:
        """``outbound-api`` or ``inbound``."""
        return self.plan.direction

    @property
    def answered_by(self) -> AnsweredBy | None:
        """The verdict of machine detection; None without one (§6.8)."""
        verdict = None if self._detection is None else self._detection.verdict
        return None if verdict is None else verdict.answered_by

    @property
    def over(self) -> bool:
        """Whether the call has ended."""
        return self.status in TERMINAL

    @property
    def seconds(self) -> int | None:
        """Its duration in whole seconds, as Twilio counts them; None while it runs."""
        if self.ended is None:
            return None
        return 0 if self.started is None else round((self.ended - self.started).total_seconds())

    @property
    def transcript(self) -> tuple[str, ...]:
        """The spoken texts, in order; the sound of them is beeps."""
        return tuple(self._speech.texts)

    @property
    def stream_ended_by(self) -> EndCause | None:
        """Who ended its newest stream, and why; None without one, and while it is open."""
        return self.streams.all[-1].ended if self.streams.all else None

    def describe_end(self) -> str:
        """Return who ended the call, or else its newest stream, and why; or an empty string."""
        if self.ended_by is not None:
            return self.ended_by.in_words
        ended = self.stream_ended_by
        return "" if ended is None else f"its stream ended: {ended.in_words}"

    def __repr__(self) -> str:
        state = ", ".join(filter(None, [self.status, self.describe_end()]))
        return f"<SimulatedCall {self.sid}: {self.from_} to {self.to}, {state}>"

    def drop_sound(self) -> None:
        """Forget what was heard, and how, because enough calls have ended since.

        What remains is the record of the call, some two kilobytes.
        """
        self.handset.drop()
        self.streams.release()
        self._work = self._script = self._limit = None
        del self._interpreter, self._trial_prompt, self._stream_callbacks, self._web, self.progress

    async def run(self) -> None:
        """Run until the call ends and everything of it is closed.

        Cancelling it abandons the call; `end` ends it in order.
        """
        async with self._web:
            if not self.over:
                work = self._run_inbound() if self.direction == "inbound" else self._run_outbound()
                self._work = asyncio.create_task(work)
                try:
                    await asyncio.wait({self._work})
                    if not self._work.cancelled() and (error := self._work.exception()):
                        self._context.debugger.log(12400, f"error in the simulator: {error!r}")
                        raise error
                finally:
                    self._work.cancel()
                    self.end("failed", EndCause("twilio-hung-up"))
                    await self._wind_up()

    def end(self, status: Status, ended_by: EndCause | None = None, *, sip_code: int = 200) -> None:
        """End the call with `status`; nothing happens if it has ended.

        Args:
            status: One of `TERMINAL`.
            ended_by: Who ends it, and why; None if nobody answered.
            sip_code: The code of the last status callback.
        """
        if self.over:
            return
        self.ended_by = ended_by
        if ended_by is not None:
            self.streams.stopped_by = ended_by
        self._sip_code = sip_code
        self.ended = datetime.now(UTC)
        self._become(status)
        self._context.pacer.remove(self._tick)
        self._pass_rest_on()
        if self._endpoint is not None:
            self._endpoint.release(self)
        self.handset.mouth.stop()
        if self._limit is not None:
            self._limit.cancel()
        if self._work is not None:
            self._work.cancel()

    def redirect(self, source: Source) -> None:
        """End the running verb and continue with the TwiML of `source` (§6.4)."""
        self._replacement = source
        if self._detection is not None:
            self._detection.give_up()
        self.streams.stopped_by = EndCause("twiml-replaced")
        if self._script is not None:
            self._script.cancel()

    def make_params(self) -> dict[str, str]:
        """Return the parameters of a voice request, with the present status (§6.5)."""
        params = make_voice_params(
            self.plan, call_sid=self.sid, account_sid=self.account_sid, status=self.status
        )
        return params if self._detection is None else params | self._detection.make_params()

    def pick_up(self) -> None:
        """Answer the call if it is not answered yet: sound flows from now on."""
        if self.started is not None or self.over:
            return
        self.started = datetime.now(UTC)
        self._become("in-progress")
        self._context.pacer.add(self._tick)
        if self._endpoint is not None:
            self._endpoint.note_answered(self)
        self.progress.tell("answered", self.make_params())
        self._limit = limit_time(self._context, self.plan, self.sid, self._end_in_time)

    def reject(self, reason: str) -> bool:
        """Refuse the call if it is not answered yet; busy, or else no-answer (§6.3)."""
        if self.started is not None:
            return False
        ended_by = EndCause("twiml-ended", detail="<Reject>")
        self.end("busy" if reason == "busy" else "no-answer", ended_by)
        return True

    async def wait_reported(self) -> None:
        """Wait until the status callbacks so far were delivered, at most one second (§6.6)."""
        await self.progress.wait_delivered(REPORT_SECONDS)

    def press(self, digit: str) -> None:
        """Handle a key that the person at the telephone pressed."""
        if self.over:
            return
        if not self._trial_prompt.press():
            self.streams.press(digit)

    async def _run_outbound(self) -> None:
        self.progress.tell("initiated", self.make_params() | {"CallStatus": "initiated"})
        if self._endpoint is None:
            text = f"no telephone has the number {self.to}: add one with twilio.phone(number)"
            self._context.debugger.log(UNREACHABLE, text, call_sid=self.sid)
            self.end("failed", sip_code=404)
            return
        self._become("ringing")
        self.progress.tell("ringing", self.make_params())
        answer = await self._endpoint.ring(self, self._context.ring_seconds, self.plan.ring_limit)
        if answer in _UNANSWERED:
            status, sip_code = _UNANSWERED[answer]
            self.end(status, sip_code=sip_code)
            return
        self.pick_up()
        await self._converse()

    async def _run_inbound(self) -> None:
        self._become("ringing")
        self.progress.tell("ringing", self.make_params())
        await self._converse()

    async def _converse(self) -> None:
        """Execute the TwiML, and all TwiML that replaces it, until it is finished."""
        if self._context.behaviour.trial == "announcement":
            self.pick_up()
            if not await self._trial_prompt.wait_for_key():
                self.end("completed", EndCause("twilio-hung-up", detail="no key was pressed"))
                return
        # The sound of the keys is over before a stream can begin, so that none carries it (§10.46).
        await self._speech.say(make_key_tones(self.plan.digits))
        if self._detection is not None:
            await self._detection.wait()
        source: Source | None = self._replacement or self.plan.source
        while source is not None:
            self._replacement = None
            self._script = asyncio.create_task(self._interpreter.run(source))
            try:
                await asyncio.wait({self._script})
            finally:
                self._script.cancel()
            if not self._script.cancelled() and (error := self._script.exception()):
                raise error
            source = self._replacement
        self.end("completed", self._describe_last_verb())

    def _make_detection(self) -> DetectionRun | None:
        plan, context = self.plan.detection, self._context
        if plan is None:
            return None
        callbacks = Callbacks(self._web, context.debugger, self.sid)
        return DetectionRun(plan, callbacks, call_sid=self.sid, account_sid=self.account_sid)

    def _describe_last_verb(self) -> EndCause:
        """Return that no verb is left, and what ended the stream before, if there was one."""
        ended = self.stream_ended_by
        return EndCause("twiml-ended", detail="" if ended is None else ended.in_words)

    def _end_in_time(self) -> None:
        self.end("completed", EndCause("time-limit"))

    def _pass_rest_on(self) -> None:
        """Let arrive what is on its way; a telephone that hung up itself hears nothing more."""
        if self.started is None or self.ended_by is None:
            return
        if self.ended_by.cause in _BY_A_TELEPHONE:
            self.streams.pass_rest_on(self.handset.mouth.take_rest())
        else:
            self.handset.ear.drain(time.monotonic())

    def _tick(self, now: float) -> None:
        inbound = self.handset.mouth.take_frame()
        if self.over:  # a script has hung up before this frame
            return
        if self._detection is not None:
            self._detection.feed(inbound)
        outbound = self.streams.tick(now, inbound, self._speech.take_frame)
        self.handset.ear.hear(outbound, now)

    async def _wind_up(self) -> None:
        await self.streams.close()
        self.streams.drop_unheard()
        last = self.make_params() | make_terminal_params(self.seconds or 0, self._sip_code)
        self.progress.tell("completed", last)
        await self.progress.wait_delivered()
        await self._stream_callbacks.wait_delivered()
        if self._detection is not None:
            await self._detection.wait_delivered()
            self._detection.drop()
        self.progress.drop()
        self._stream_callbacks.drop()

    def _become(self, status: Status) -> None:
        self.status = status
        self.updated = datetime.now(UTC)
        if status not in {"queued", "ringing"} and self.on_decided is not None:
            decided, self.on_decided = self.on_decided, None
            decided()


class Calls(Sequence[SimulatedCall]):
    """The running calls and the last 500 that ended, oldest first.

    Any thread may read them; only the simulator's loop places and ends them.

    Args:
        endpoints: The telephones by number; a number without one cannot be reached.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint[SimulatedCall]]) -> None:
        self._endpoints = endpoints
        self._calls: list[SimulatedCall] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_ended: deque[SimulatedCall] = deque()

    def place(self, context: CallContext, plan: CallPlan) -> SimulatedCall:
        """Begin a call to a telephone, as a REST request does."""
        call = SimulatedCall(context, plan, self._endpoints.get(plan.to))
        for note in plan.notes:
            context.debugger.note(note, call_sid=call.sid)
        for remark in plan.remarks:
            context.debugger.log(remark.code, remark.text, call_sid=call.sid)
        return self._begin(call)

    def receive(
        self, context: CallContext, plan: CallPlan, endpoint: Endpoint[SimulatedCall]
    ) -> SimulatedCall:
        """Begin a call from a telephone to a number of the account."""
        call = SimulatedCall(context, plan, endpoint)
        endpoint.dial(call)
        return self._begin(call)

    @property
    def running(self) -> int:
        """The number of calls that have not ended."""
        return sum(not call.over for call in self)

    def find(self, sid: str) -> SimulatedCall | None:
        """Return the call with that SID, or None."""
        return next((call for call in self._calls if call.sid == sid), None)

    def forget(self, call: SimulatedCall) -> None:
        """Remove a call that has ended from the list."""
        self._calls.remove(call)
        call.streams.drop()

    async def close(self) -> None:
        """End all calls in order, and wait until everything of them is closed."""
        for call in self._calls:
            # A call that was never answered is canceled, not completed (§6.3).
            ended_by = EndCause("twilio-hung-up", detail=STOPPED)
            call.end("completed" if call.started else "canceled", ended_by)
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for call in self._calls:
            call.streams.drop()

    def _begin(self, call: SimulatedCall) -> SimulatedCall:
        self._calls.append(call)
        task = asyncio.create_task(call.run(), name=f"simulated call {call.sid}")
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._handle_end(call, task))
        return call

    def _handle_end(self, call: SimulatedCall, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._last_ended.append(call)
        if len(self._last_ended) > KEPT_SOUNDS:
            self._last_ended.popleft().drop_sound()
        if len(self._calls) - len(self._tasks) > KEPT_CALLS:
            self.forget(next(each for each in self._calls if each.over))
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"{task.get_name()} failed", "exception": error}
            task.get_loop().call_exception_handler(context)

    @overload
    def __getitem__(self, index: int) -> SimulatedCall: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[SimulatedCall]: ...
    def __getitem__(self, index: int | slice) -> SimulatedCall | Listing[SimulatedCall]:
        found = self._calls[index]
        return found if isinstance(found, SimulatedCall) else Listing.of(found, "calls")

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[SimulatedCall]:
        return iter(list(self._calls))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "no calls yet"


class Progress:
    """Sends the status callbacks of one call for the subscribed events.

    Args:
        plan: Holds the callback and the events.
        callbacks: Sends them.
    """

    def __init__(self, plan: CallPlan, callbacks: Callbacks) -> None:
        self._plan = plan
        self._callbacks = callbacks
        self._sent = 0

    def tell(self, event: str, params: Mapping[str, str]) -> None:
        """Send `event`, one of ``initiated``, ``ringing``, ``answered``, ``completed``.

        Busy, no-answer, failed and canceled calls end with ``completed`` too; their `CallStatus`
        says which it is.
        """
        if event not in self._plan.events:
            return
        extra = {
            "CallbackSource": "call-progress-events",
            "Timestamp": format_rfc2822(datetime.now(UTC)),
            # Counts the sent events, so a single completed event has number 0; an assumption.
            "SequenceNumber": str(self._sent),
        }
        self._sent += 1
        self._callbacks.send(self._plan.callback, {**params, **extra})

    async def wait_delivered(self, limit: float = 2.0) -> None:
        """Wait until all callbacks were answered, at most `limit` seconds."""
        await self._callbacks.wait_delivered(limit)

    def drop(self) -> None:
        """Cancel the callbacks that were not answered yet."""
        self._callbacks.drop()
