"""Who ended a call: what a server knows of it, and what follows from that.

Twilio reports that a stream was stopped (PROTOCOL.md §3) and that a call has ended (§6.6), but not
who ended either.  `CallEndings` collects what else is known of each call: its direction, requests
of this process to hang it up, its time limit, its status by callback or by REST, and its streams.
`CallRecord` draws the conclusion; what was concluded and not seen is marked as a guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from twistream_kit.errors import TwistreamError
from twistream_kit.live.calls.status import FINAL_STATUSES, StatusEvent
from twistream_kit.pending import Pending, fulfil
from twistream_kit.protocol.ending import STOPPED_IN_WORDS, EndCause

KNOWN_CALLS = 1000
"""The number of calls of which something is kept."""

STATUS_SECONDS = 1.0
"""How long a stopped stream waits for the report of the call's end; it comes within moments."""

ASK_SECONDS = 2.0
"""How long it then waits for the answer of the REST API."""

TOGETHER_SECONDS = 5.0
"""A call that ended within this time of its stream ended with it; later, for another reason."""

DEFAULT_TIME_LIMIT = 4 * 3600
"""After this many seconds Twilio ends a call for which no limit was set (§11)."""


@dataclass(slots=True)
class CallRecord:
    """What is known of one call.  Times are seconds of the monotonic clock.

    Attributes:
        direction: ``inbound`` or ``outbound-api`` (§6.5); empty if it is not known.
        time_limit: The limit in seconds after which Twilio ends the call.
        asked_at: When this process requested the end of the call, or None.
        status: The final status, or empty.
        status_at: When it arrived.
        seconds: The duration of the call by Twilio's count, or None.
        alive_at: When Twilio's REST API said last that the call is in progress, or None.
        streams: When each stream of the call started, with its end once it has one.
        is_reported: Whether a report of the call's end can be expected here.
        ask: Makes a request for the status of the call, or None.
        find_stop_reason: Returns why Twilio's side as a whole is about to stop, or empty.
        stop_reason: What that was when the final status arrived.
    """

    direction: str = ""
    time_limit: int = DEFAULT_TIME_LIMIT
    asked_at: float | None = None
    status: str = ""
    status_at: float = 0.0
    seconds: int | None = None
    alive_at: float | None = None
    streams: list[StreamRecord] = field(default_factory=list)
    is_reported: bool = False
    ask: Callable[[], object] | None = None
    find_stop_reason: Callable[[], str] | None = None
    stop_reason: str = ""
    waits: list[Pending[None]] = field(default_factory=list)

    def explain_stop(self, at: float) -> EndCause:
        """Return why Twilio stopped a stream at `at`, by what is known now."""
        if self.asked_at is not None and self.asked_at <= at:
            return EndCause("hung-up-by-request")
        if any(stream.started_at > at for stream in self.streams):
            return _REPLACED
        if self.status and self.status_at - at <= TOGETHER_SECONDS:
            return self._explain_status()
        # Right after a stop, the status of a call that ends may still be the earlier one.
        if self.alive_at is not None and self.alive_at - at >= STATUS_SECONDS:
            return _REPLACED
        return EndCause("twilio-stopped", detail=STOPPED_IN_WORDS)

    def explain_end(self) -> EndCause | None:
        """Return who ended the call, and why; None while it goes on, or if nothing is known."""
        if not self.status:
            return None
        if self.asked_at is not None and self.asked_at <= self.status_at:
            return EndCause("hung-up-by-request")
        if self.status != "completed" or not self.streams:
            return None
        last = self.streams[-1]
        if last.ended_at is None:
            return self._explain_status()
        if abs(self.status_at - last.ended_at) > TOGETHER_SECONDS:
            return None  # its TwiML went on after the stream, in a way that is not known here
        if last.end is None:
            return self.explain_stop(last.ended_at)
        # The stream ended first, and no verb followed it.
        return replace(last.end, is_guess=True)

    def _explain_status(self) -> EndCause:
        if self.status != "completed":
            return EndCause("twilio-stopped", detail=f"the call ended as {self.status}")
        if self.stop_reason:
            return EndCause("twilio-hung-up", detail=self.stop_reason)
        if self.seconds is not None and self.seconds >= self.time_limit:
            return EndCause("time-limit", detail=f"{self.seconds} s", is_guess=True)
        if not self.direction:
            return EndCause("twilio-stopped", detail="the call ended")
        inbound = self.direction == "inbound"
        return EndCause("caller-hung-up" if inbound else "callee-hung-up", is_guess=True)


@dataclass(slots=True)
class StreamRecord:
    """The start and the end of one stream of a call.

    Attributes:
        started_at: When its start message arrived.
        ended_at: When it ended, or None.
        end: Why, if Twilio did not stop it.
    """

    started_at: float
    ended_at: float | None = None
    end: EndCause | None = None


_REPLACED = EndCause("twiml-replaced", is_guess=True)
"""While a call goes on, only new TwiML makes Twilio stop a stream of <Connect> (§1.1)."""


class CallEndings:
    """What a server knows of the ends of its calls, by their SIDs; callable from any thread.

    >>> endings = CallEndings()
    >>> endings.follow("CA1", direction="outbound-api")
    >>> stream = endings.note_stream("CA1", 1.0)
    >>> endings.note_end(stream, 9.0)
    >>> endings.note_status("CA1", "completed", 9.1, seconds=8)
    >>> endings.explain_end("CA1").in_words
    'the callee hung up (probably)'

    Attributes:
        on_change: Called with the SID of a call of which more has become known.
    """

    def __init__(self) -> None:
        self._calls: dict[str, CallRecord] = {}
        self.on_change: Callable[[str], object] = lambda _: None

    def follow(
        self,
        call_sid: str,
        *,
        direction: str = "",
        time_limit: int | None = None,
        is_reported: bool = False,
        ask: Callable[[], object] | None = None,
        find_stop_reason: Callable[[], str] | None = None,
    ) -> None:
        """Note what is known of a call from its beginning; see `CallRecord`."""
        record = self._get(call_sid)
        record.direction = direction or record.direction
        record.time_limit = time_limit or record.time_limit
        record.is_reported = record.is_reported or is_reported
        record.ask = ask or record.ask
        record.find_stop_reason = find_stop_reason or record.find_stop_reason

    def note_request(self, call_sid: str, at: float | None) -> None:
        """Note that this process requests the end of a call; None takes that back."""
        self._get(call_sid).asked_at = at
        self._note_change(call_sid)

    def note_event(self, event: StatusEvent) -> None:
        """Note a status callback."""
        if not event.call_sid:
            return
        direction = event.parameters.get("Direction")
        self.follow(event.call_sid, direction=direction if isinstance(direction, str) else "")
        if not event.stream_sid:
            self.follow(event.call_sid, is_reported=True)
            seconds = event.parameters.get("CallDuration")
            self.note_status(event.call_sid, event.name, event.at, seconds=seconds)

    def note_status(self, call_sid: str, status: str, at: float, *, seconds: object = None) -> None:
        """Note the status of a call that arrived at `at`, and the duration of the call."""
        record = self._get(call_sid)
        if status in FINAL_STATUSES and not record.status:
            if isinstance(seconds, int | str) and str(seconds).isdecimal():
                record.seconds = int(seconds)
            if record.find_stop_reason is not None:  # now, for it stops after other ends, too
                record.stop_reason = record.find_stop_reason()
                record.find_stop_reason = None  # which knows the client
            record.status, record.status_at = status, at
            self._note_change(call_sid)

    def note_alive(self, call_sid: str, at: float) -> None:
        """Note that the REST API said at `at` that a call is in progress."""
        self._get(call_sid).alive_at = at
        self._note_change(call_sid)

    def note_stream(self, call_sid: str, at: float) -> StreamRecord:
        """Note that a stream of a call has started; return its record."""
        record, stream = self._get(call_sid), StreamRecord(at)
        record.streams.append(stream)
        self._note_change(call_sid)
        return stream

    def note_end(self, stream: StreamRecord, at: float, end: EndCause | None = None) -> None:
        """Note that a stream ended at `at`, and why, if Twilio did not stop it."""
        if stream.ended_at is None:
            stream.ended_at, stream.end = at, end

    def correct_end(self, call_sid: str, end: EndCause) -> None:
        """Note that it became known later why the last stream of a call ended."""
        for stream in self._get(call_sid).streams[-1:]:
            stream.end = end

    def explain_stop(self, call_sid: str, at: float) -> EndCause:
        """Return why Twilio stopped a stream of a call at `at`, by what is known now."""
        return self._calls.get(call_sid, CallRecord()).explain_stop(at)

    def explain_end(self, call_sid: str) -> EndCause | None:
        """Return who ended a call, and why; None while it goes on, or if nothing is known."""
        return self._calls.get(call_sid, CallRecord()).explain_end()

    async def wait_explained(self, call_sid: str, at: float) -> EndCause:
        """Wait until it is known why a stream was stopped at `at`; return what is known then.

        It takes `STATUS_SECONDS` and `ASK_SECONDS` at most, and no time if nothing can arrive.
        """
        record = self._get(call_sid)
        if not self._is_explained(record, at) and (record.is_reported or record.ask is not None):
            await self._wait(record, at, STATUS_SECONDS)
            if not self._is_explained(record, at) and record.ask is not None:
                with contextlib.suppress(TwistreamError):
                    record.ask()
                    await self._wait(record, at, ASK_SECONDS)
        return record.explain_stop(at)

    def stop(self) -> None:
        """End all waits, and forget how to ask for the calls, because the server stops."""
        for record in list(self._calls.values()):
            record.is_reported, record.ask, record.find_stop_reason = False, None, None
            _wake(record)

    def _get(self, call_sid: str) -> CallRecord:
        record = self._calls.get(call_sid)
        if record is None:
            record = self._calls.setdefault(call_sid, CallRecord())
            for oldest in list(self._calls)[:-KNOWN_CALLS]:
                self._calls.pop(oldest, None)
        return record

    def _is_explained(self, record: CallRecord, at: float) -> bool:
        return record.explain_stop(at).cause != "twilio-stopped" or bool(record.status)

    async def _wait(self, record: CallRecord, at: float, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_explained(record, at) and (record.is_reported or record.ask is not None):
            changed: Pending[None] = Pending()
            record.waits.append(changed)
            if self._is_explained(record, at):  # meanwhile, by another thread
                return
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(changed), remaining)

    def _note_change(self, call_sid: str) -> None:
        record = self._calls.get(call_sid)
        if record is not None:
            _wake(record)
        self.on_change(call_sid)


def _wake(record: CallRecord) -> None:
    waits: Sequence[Pending[None]]
    waits, record.waits = record.waits, []
    for each in waits:
        fulfil(each, None)
