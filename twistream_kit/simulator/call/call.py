"""Calls of the simulator: `SimulatedCall`, from the request to the hang-up (PROTOCOL.md §6.3).

`Calls` holds all of one simulator, oldest first; `Progress` tells the status callback of a call how
far it is (§6.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, overload

from twistream_kit.simulator.call._interpreter import TwimlInterpreter
from twistream_kit.simulator.call._speech import Speech
from twistream_kit.simulator.call._trial import TrialPrompt, time_limit, web_client
from twistream_kit.simulator.call.context import CallContext, CallPlan, Source
from twistream_kit.simulator.call.endpoint import Endpoint
from twistream_kit.simulator.call.handset import Handset
from twistream_kit.simulator.call.streams import CallStreams
from twistream_kit.simulator.call.web import Callbacks, rfc2822, terminal_params, voice_params

Status = Literal[
    "queued", "ringing", "in-progress", "completed", "busy", "no-answer", "failed", "canceled"
]
"""The states of a call resource (§6.3)."""

TERMINAL = frozenset({"completed", "busy", "no-answer", "failed", "canceled"})
"""The states that nothing follows."""

_UNANSWERED: dict[str, tuple[Status, int]] = {
    "busy": ("busy", 486),
    "no-answer": ("no-answer", 487),
    # Which SIP code a declined call has is not known (§6.6 names 404, 486 and 487 only).
    "rejected": ("no-answer", 603),
}

UNREACHABLE = 21214
"""The number cannot be reached (§5.3); Twilio's console may show it elsewhere or not at all."""

REPORT_SECONDS = 1.0
"""How long a stream waits for the answered callback to be delivered before it connects."""

CLOSE_SECONDS = 8.0
"""How long calls may take to end in order, callbacks and Close frames included."""


class SimulatedCall:
    """One call: who, how far, and everything that happens in it.

    What it says of itself may be read from any thread; its methods belong to the simulator's loop.

    Attributes:
        sid: CA and 32 hex digits.
        plan: What was asked for.
        status: One of `Status`.
        handset: The caller's mouth and ear.
        streams: Its Media Streams.
        on_decided: Called once, when the call is answered or ends without an answer.
        created, started, ended: Moments in UTC; `started` is the answer, None without one.
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
        self.updated = self.created
        self.on_decided: Callable[[], object] | None = None
        self._context = context
        self._endpoint = endpoint
        self._web = web_client(context)
        self._stream_callbacks = Callbacks(self._web, context.debugger, self.sid)
        self.streams = CallStreams(context, self.sid, self._stream_callbacks)
        self.progress = Progress(plan, Callbacks(self._web, context.debugger, self.sid))
        self._speech = Speech()
        self._trial_prompt = TrialPrompt(self._speech)
        self._interpreter = TwimlInterpreter(self, context, self._web, self._speech, self.streams)
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
    def over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in TERMINAL

    @property
    def seconds(self) -> int | None:
        """How long it lasted, in whole seconds as Twilio counts, or None while it goes on."""
        if self.ended is None:
            return None
        return 0 if self.started is None else round((self.ended - self.started).total_seconds())

    @property
    def told(self) -> tuple[str, ...]:
        """What was read to the caller, in words: what is heard of it is beeps."""
        return tuple(self._speech.texts)

    def __repr__(self) -> str:
        return f"<SimulatedCall {self.sid}: {self.from_} to {self.to}, {self.status}>"

    async def live(self) -> None:
        """Run until the call ends; returns when nothing of it is left.

        Cancelling it abandons the call; `end` is the way to have it end in order.
        """
        async with self._web:
            if not self.over:
                work = self._inbound() if self.direction == "inbound" else self._outbound()
                self._work = asyncio.create_task(work)
                try:
                    await asyncio.wait({self._work})
                    if not self._work.cancelled() and (error := self._work.exception()):
                        self._context.debugger.log(12400, f"the simulator broke: {error!r}")
                        raise error
                finally:
                    self._work.cancel()
                    self.end("failed")
                    await self._wind_up()

    def end(self, status: Status = "completed", *, sip_code: int = 200) -> None:
        """Have the call end with `status`; nothing happens when it has ended."""
        if self.over:
            return
        self._sip_code = sip_code
        self.ended = datetime.now(UTC)
        self._become(status)
        self._context.pacer.remove(self._tick)
        if self._endpoint is not None:
            self._endpoint.release(self)
        self.handset.mouth.stop()
        if self._limit is not None:
            self._limit.cancel()
        if self._work is not None:
            self._work.cancel()

    def redirect(self, source: Source) -> None:
        """Have the running verb end and the TwiML of `source` take its place (§6.4)."""
        self._replacement = source
        if self._script is not None:
            self._script.cancel()

    def params(self) -> dict[str, str]:
        """Return the parameters of a voice request, with the status as it is now (§6.5)."""
        return voice_params(
            self.plan, call_sid=self.sid, account_sid=self.account_sid, status=self.status
        )

    def pick_up(self) -> None:
        """Answer, if it is not answered yet: sound flows from now on."""
        if self.started is not None or self.over:
            return
        self.started = datetime.now(UTC)
        self._become("in-progress")
        self._context.pacer.add(self._tick)
        if self._endpoint is not None:
            self._endpoint.connected(self)
        self.progress.tell("answered", self.params())
        self._limit = time_limit(self._context, self.plan, self.sid, self.end)

    def reject(self, reason: str) -> bool:
        """Refuse the call if it is not answered yet; busy, or else no-answer (§6.3)."""
        if self.started is not None:
            return False
        self.end("busy" if reason == "busy" else "no-answer")
        return True

    async def reported(self) -> None:
        """Wait until the progress so far has been told, a second at most (§6.6)."""
        await self.progress.delivered(REPORT_SECONDS)

    def press(self, digit: str) -> None:
        """Take a key of the caller's."""
        if not self._trial_prompt.press():
            self.streams.press(digit)

    async def _outbound(self) -> None:
        self.progress.tell("initiated", self.params() | {"CallStatus": "initiated"})
        if self._endpoint is None:
            text = f"no telephone has the number {self.to}: put one there with twilio.phone(number)"
            self._context.debugger.log(UNREACHABLE, text, call_sid=self.sid)
            self.end("failed", sip_code=404)
            return
        self._become("ringing")
        self.progress.tell("ringing", self.params())
        answer = await self._endpoint.ring(self, self._context.ring_seconds, self.plan.ring_limit)
        if answer in _UNANSWERED:
            status, sip_code = _UNANSWERED[answer]
            self.end(status, sip_code=sip_code)
            return
        self.pick_up()
        await self._converse()

    async def _inbound(self) -> None:
        self._become("ringing")
        self.progress.tell("ringing", self.params())
        await self._converse()

    async def _converse(self) -> None:
        """Carry out the TwiML, and whatever replaces it, until it is done."""
        if self._context.behaviour.trial == "announcement":
            self.pick_up()
            if not await self._trial_prompt.wait_for_key():
                self.end("completed")
                return
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
        self.end("completed")

    def _tick(self, now: float) -> None:
        inbound = self.handset.mouth.next_frame()
        outbound = self.streams.tick(now, inbound, self._speech.next_frame)
        self.handset.ear.hear(outbound, now)

    async def _wind_up(self) -> None:
        await self.streams.close()
        last = self.params() | terminal_params(self.seconds or 0, self._sip_code)
        self.progress.tell("completed", last)
        await self.progress.delivered()
        await self._stream_callbacks.delivered()
        self.progress.drop()
        self._stream_callbacks.drop()

    def _become(self, status: Status) -> None:
        self.status = status
        self.updated = datetime.now(UTC)
        if status not in {"queued", "ringing"} and self.on_decided is not None:
            decided, self.on_decided = self.on_decided, None
            decided()


class Calls(Sequence[SimulatedCall]):
    """The calls so far.  Reading is for any thread, placing and ending for the simulator's loop.

    Args:
        endpoints: The telephones by number; a number without one cannot be reached.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint[SimulatedCall]]) -> None:
        self._endpoints = endpoints
        self._calls: list[SimulatedCall] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def place(self, context: CallContext, plan: CallPlan) -> SimulatedCall:
        """Begin a call to a telephone, as a REST request does."""
        return self._begin(SimulatedCall(context, plan, self._endpoints.get(plan.to)))

    def receive(
        self, context: CallContext, plan: CallPlan, endpoint: Endpoint[SimulatedCall]
    ) -> SimulatedCall:
        """Begin a call from a telephone to a number of the account."""
        call = SimulatedCall(context, plan, endpoint)
        endpoint.dial(call)
        return self._begin(call)

    @property
    def running(self) -> int:
        """How many of them are not over."""
        return sum(not call.over for call in self)

    def find(self, sid: str) -> SimulatedCall | None:
        """Return the call of that SID."""
        return next((call for call in self._calls if call.sid == sid), None)

    def forget(self, call: SimulatedCall) -> None:
        """Take a call that is over from the list."""
        self._calls.remove(call)
        call.streams.drop()

    async def close(self) -> None:
        """End all calls in order, and wait until nothing of them is left."""
        for call in self._calls:
            # A call that was never answered has been cancelled, not completed (§6.3).
            call.end("completed" if call.started else "canceled")
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
        task = asyncio.create_task(call.live(), name=f"simulated call {call.sid}")
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return call

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"{task.get_name()} broke", "exception": error}
            task.get_loop().call_exception_handler(context)

    @overload
    def __getitem__(self, index: int) -> SimulatedCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[SimulatedCall]: ...
    def __getitem__(self, index: int | slice) -> SimulatedCall | list[SimulatedCall]:
        return self._calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[SimulatedCall]:
        return iter(list(self._calls))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "no calls yet"


class Progress:
    """Sends the progress events of one call that were subscribed to.

    Args:
        plan: Says where to and which events.
        callbacks: Sends them.
    """

    def __init__(self, plan: CallPlan, callbacks: Callbacks) -> None:
        self._plan = plan
        self._callbacks = callbacks
        self._sent = 0

    def tell(self, event: str, params: Mapping[str, str]) -> None:
        """Tell `event`, one of ``initiated``, ``ringing``, ``answered``, ``completed``.

        Busy, no-answer, failed and canceled calls end with ``completed`` too; their `CallStatus`
        says which it was.
        """
        if event not in self._plan.events:
            return
        extra = {
            "CallbackSource": "call-progress-events",
            "Timestamp": rfc2822(datetime.now(UTC)),
            # Counts what is sent, so a lone completed event has number 0; an assumption.
            "SequenceNumber": str(self._sent),
        }
        self._sent += 1
        self._callbacks.send(self._plan.callback, {**params, **extra})

    async def delivered(self, limit: float = 2.0) -> None:
        """Wait until all was answered, at most `limit` seconds."""
        await self._callbacks.delivered(limit)

    def drop(self) -> None:
        """Give up what is still on its way."""
        self._callbacks.drop()
