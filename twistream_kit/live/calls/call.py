"""A call that was placed: its status, and hanging it up.

The SDK blocks, so each request runs on a worker thread and returns a `Pending`.  Twilio's status
callbacks (PROTOCOL.md §6.6) arrive at the stream server and need no request.

Status callbacks use the same public address as the stream.  If it is lost during a call, the end of
the call is not reported; then the REST API (§6.2) is polled for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twistream_kit.errors import CallRefused, ServerStopped, TwistreamError
from twistream_kit.guard import Guard, format_error
from twistream_kit.listing import Listing
from twistream_kit.live.calls.ending import CallEndings
from twistream_kit.live.calls.sdk import ask, find_loop, find_stop_reason, limit_timeout
from twistream_kit.live.calls.status import FINAL_STATUSES, Listener, StatusEvent
from twistream_kit.live.stream.state import CLOSE_MARGIN_SECONDS, Playing
from twistream_kit.pending import Pending, Subject, drop_callback, fail, fulfil, on_worker
from twistream_kit.protocol.ending import EndCause

if TYPE_CHECKING:
    from twilio.rest import Client

ALREADY_OVER = (20404, 21220)
"""Twilio's errors for completing a call that has ended already (§6.4)."""

_STEPS = ("queued", "ringing", "in-progress")
"""The statuses of a call that has not ended (§6.3); ``initiated`` exists in callbacks only."""

FIRST_PAUSE_SECONDS = 0.5
"""The pause before the first poll; Twilio ends a call soon after its stream was lost (§2.3)."""

LONGEST_PAUSE_SECONDS = 15.0
"""The longest pause between two polls; each pause is twice as long as the one before."""

MAX_REFUSALS = 5
"""The number of consecutive refusals after which polling ends."""


class Call:
    """A call that was placed.

    All of its methods may be called from any thread.

    Args:
        client: The client that placed it.
        sid: CA and 32 hex digits.
        to: The number of the callee, E.164.
        from_: The number of the caller, E.164.
        status: The last known status.
        server: The server that receives its status callbacks, or None.
        endings: Of the server that its stream connects to, if that is in this process.
        time_limit: The limit in seconds after which Twilio ends it, or None for Twilio's own.

    Attributes:
        sid: The SID of the call.
        to: The number of the callee.
        from_: The number of the caller.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> phone = twilio.phone("+15550100001", answer="busy")
        >>> call = kit.place_call(
        ...     twilio.client, to="+15550100001", from_=twilio.numbers[0],
        ...     stream_url=server.stream_url,
        ... ).result(10)
        >>> call.ended.result(10)
        'busy'
        >>> call
        <Call CA...: +15005550006 to +15550100001, busy>
    """

    def __init__(
        self,
        client: Client,
        sid: str,
        *,
        to: str,
        from_: str,
        status: str,
        server: StatusSource | None = None,
        endings: CallEndings | None = None,
        time_limit: int | None = None,
    ) -> None:
        self._client = client
        self.sid = sid
        self.to = to
        self.from_ = from_
        self._status = status
        self._lock = threading.Lock()
        self._arrived: list[StatusEvent] = []
        self._when_over: list[Callable[[], object]] = []
        self._ended: Pending[str] = Pending(
            find_loop(client) if server is None else server.loop, _build_end_subject(self)
        )
        self._endings = CallEndings() if endings is None else endings
        self._endings.follow(
            sid,
            direction="outbound-api",
            time_limit=time_limit,
            is_reported=server is not None,
            ask=_build_question(self),
            find_stop_reason=partial(find_stop_reason, client),
        )
        if self.is_over:
            fulfil(self._ended, status)
        if server is not None:
            self._follow(server)

    @property
    def status(self) -> str:
        """The last known status (§6.3), which never returns to an earlier one; no request is made.

        It is updated by status callbacks (see `place_call`), `refresh` and `hang_up`.
        """
        return self._status

    @property
    def is_over(self) -> bool:
        """Whether the last known status is a final one."""
        return self._status in FINAL_STATUSES

    @property
    def events(self) -> Listing[StatusEvent]:
        """The status callbacks of the call and its streams so far.

        Those with a sequence number are in that order, because they may arrive in another (§6.6);
        the others are where they arrived.
        """
        with self._lock:
            arrived = list(self._arrived)
        numbered = sorted(
            (event for event in arrived if event.sequence is not None),
            key=lambda event: event.sequence or 0,
        )
        in_order = iter(numbered)
        events = (event if event.sequence is None else next(in_order) for event in arrived)
        return Listing.of(events, "status callbacks")

    @property
    def answered_by(self) -> str:
        """The result of answering machine detection, such as ``human``; empty until it is known."""
        verdicts = [event.parameters.get("AnsweredBy") for event in self.events]
        return next((each for each in reversed(verdicts) if isinstance(each, str)), "")

    @property
    def cause(self) -> EndCause | None:
        """Who ended the call, and why, as far as it is known; None while it goes on.

        Twilio reports that a call has ended, not who ended it.  So the cause is concluded from the
        end of its stream, from requests of this process and from its length, and is marked as a
        guess where another explanation is possible.  It is None where nothing is known, as for a
        call that was not answered; see `status`.
        """
        return self._endings.explain_end(self.sid) if self.is_over else None

    @property
    def ended(self) -> Pending[str]:
        """A `Pending` with the final status, done when the call has ended; see also `cause`.

        The end is known from a status callback, `hang_up` or `refresh`.  Without status callbacks
        (see `place_call`) a hang-up by the callee is therefore only noticed by `refresh`.  If the
        public address is lost, Twilio is polled instead.  It gets a `ServerStopped` when the server
        that receives the callbacks stops first.
        """
        return self._ended

    def __repr__(self) -> str:
        cause = self.cause
        why = "" if cause is None else f": {cause.in_words}"
        return f"<Call {self.sid}: {self.from_} to {self.to}, {self._status}{why}>"

    def refresh(self) -> Pending[str]:
        """Request the status from Twilio; return a `Pending` with it.  Callable from any thread."""
        return self._request("asking for a call", self._fetch)

    def hang_up(self, *, after: Playing | None = None) -> Pending[str]:
        """End the call; callable from any thread, any number of times.

        Args:
            after: A playback to wait for first, at most five seconds longer than its sound lasts
                (§9 item 13: hanging up cuts off the last words).

        Returns:
            A `Pending` with the status.  It is no error if the call is over already.
        """

        def complete() -> str:
            if after is not None:
                _wait_until_heard(after)
            if not self._complete():
                self._look_how_it_ended()
            return self._status

        return self._request("hanging up", complete)

    def _hang_up_now(self, seconds: float) -> None:
        with limit_timeout(self._client, seconds):
            self._complete()

    def _call_when_over(self, act: Callable[[], object]) -> None:
        with self._lock:
            if not self.is_over:
                self._when_over.append(act)
                return
        self._say_over([act])

    def _follow(self, server: StatusSource) -> None:
        # The server keeps its listeners until it stops; a weak reference does not keep the call.
        myself = weakref.ref(self)

        def listen(event: StatusEvent) -> None:
            if (call := myself()) is not None:
                call._take(event)  # noqa: SLF001 - this very class

        def stop(_: Future[None]) -> None:
            if (call := myself()) is not None:
                fail(call._ended, ServerStopped.before(f"call {call.sid} was over"))  # noqa: SLF001

        def check_poll(poll: Future[None]) -> None:
            error = poll.exception(0)  # an error that polling again cannot help
            if error is not None and (call := myself()) is not None:
                broken = TwistreamError(
                    f"asking how call {call.sid} ended broke: {format_error(error)}",
                    consequence="Its end cannot be reported, as the public address is lost",
                    fix="call.refresh() asks for its status",
                )
                broken.__cause__ = error  # not raised itself, because it may be a SystemExit
                fail(call._ended, broken)  # noqa: SLF001

        def start_poll() -> None:
            if (call := myself()) is not None and not call._ended.done():  # noqa: SLF001
                poll = on_worker(f"asking for the end of {call.sid}", _build_end_poll(call))
                poll.add_done_callback(check_poll)

        stopped = server.stopped  # read first, so that it is that of the run that is followed
        stopped.add_done_callback(stop)
        # A server that runs for weeks must not keep a callback for each call.
        self._ended.add_done_callback(lambda _: drop_callback(stopped, stop))
        with contextlib.suppress(ServerStopped):  # `stopped` is done then
            server.follow_call(self.sid, listen, start_poll)

    def _take(self, event: StatusEvent) -> None:
        with self._lock:
            self._arrived.append(event)
        self._endings.note_event(event)  # the same again, where the server has noted it
        if not event.stream_sid:
            self._learn(event.name)

    def _learn(self, status: str) -> None:
        """Update the status, unless the new one is earlier than the known one."""
        with self._lock:
            if _step(status) <= _step(self._status):
                return
            self._status = status
            acts: list[Callable[[], object]] = []
            if self.is_over:
                acts, self._when_over = self._when_over, acts
        if self.is_over:
            fulfil(self._ended, status)
        self._say_over(acts)

    def _say_over(self, acts: list[Callable[[], object]]) -> None:
        for act in acts:
            with Guard(f"a listener to the end of call {self.sid} failed"):
                act()

    def _request(self, name: str, work: Callable[[], str]) -> Pending[str]:
        subject = Subject(f"{name} {self.sid}", "status", kind=str)
        return on_worker(subject.name, work, home=find_loop(self._client), subject=subject)

    def _fetch(self) -> str:
        call = ask(lambda: self._client.calls(self.sid).fetch(), f"about call {self.sid}")
        self._note_resource(call)
        return self._status

    def _note_resource(self, call: Any) -> None:
        """Note the call as the REST API describes it."""
        status, now = str(call.status), time.monotonic()
        if status == "in-progress":
            self._endings.note_alive(self.sid, now)
        else:
            self._endings.note_status(
                self.sid, status, now, seconds=getattr(call, "duration", None)
            )
        self._learn(status)

    def _complete(self) -> bool:
        """Request the end of the call; return False if it was over and its status is not known."""

        def complete() -> Any:
            return self._client.calls(self.sid).update(status="completed")

        if self.is_over:
            return True
        # Before the request, because the stream may be stopped before it is answered (§6.4).
        self._endings.note_request(self.sid, time.monotonic())
        try:
            call = ask(complete, f"to hang up call {self.sid}")
        except TwistreamError as refused:
            self._endings.note_request(self.sid, None)
            if not isinstance(refused, CallRefused) or refused.code not in ALREADY_OVER:
                raise
            return self.is_over
        status = str(call.status)
        self._endings.note_status(self.sid, status, time.monotonic())
        self._learn(status)
        return True

    def _look_how_it_ended(self) -> None:
        try:
            self._fetch()
        except CallRefused:
            # The call is known to be over, which is enough.
            self._endings.note_status(self.sid, "completed", time.monotonic())
            self._learn("completed")


def _build_end_subject(call: Call) -> Subject:
    myself = weakref.ref(call)  # the server keeps the Pending, which must not keep the call

    def say_status() -> str:
        return "" if (known := myself()) is None else known.status

    return Subject(f"end of call {call.sid}", "status", say_status, kind=str)


def hang_up_now(call: Call, seconds: float) -> None:
    """End a call and block until Twilio has answered; for the exit of the interpreter.

    Args:
        call: The call.
        seconds: The timeout of the request, instead of the client's own.

    Raises:
        CallRefused: If the request fails.
    """
    call._hang_up_now(seconds)  # noqa: SLF001 - the owner's side of the same class


def call_when_over(call: Call, act: Callable[[], object]) -> None:
    """Call ``act()`` when a call is known to be over, or at once if it is."""
    call._call_when_over(act)  # noqa: SLF001 - the owner's side of the same class


class StatusSource(Protocol):
    """A receiver of status callbacks: a stream server."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it runs on, or None."""

    @property
    def stopped(self) -> Pending[None]:
        """A `Pending` that is done when its current run has stopped, or if there is none."""

    def follow_call(
        self,
        call_sid: str,
        listener: Listener,
        on_loss: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Call `listener` with each status callback of a call; see `StreamServer`."""


def poll_until(
    known: threading.Event, look: Callable[[], bool], give_up: Callable[[TwistreamError], object]
) -> None:
    """Call `look` repeatedly, until `known` is set or it returns False; blocks.

    Args:
        known: An event that is set when the answer is known otherwise, or no longer needed.
        look: Makes one request; returns False if another one is of no use.
        give_up: A function that is called with the error if polling fails.
    """
    pause, refusals = FIRST_PAUSE_SECONDS, 0
    while not known.wait(pause):
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        try:
            if not look():
                return
            refusals = 0
        except ServerStopped as stopped:
            give_up(stopped)
            return
        except CallRefused as refused:
            refusals += 1
            if refusals == MAX_REFUSALS:
                give_up(refused)
                return


def _build_question(call: Call) -> Callable[[], None]:
    """Return a function that asks Twilio for the status of `call`, without a reference to it."""
    myself = weakref.ref(call)

    def ask_status() -> None:
        if (still := myself()) is not None:
            still.refresh()  # a refusal leaves open what was asked

    return ask_status


def _build_end_poll(call: Call) -> Callable[[], None]:
    """Return a function that polls Twilio for the end of `call`, without a reference to it."""
    known, myself = threading.Event(), weakref.ref(call)
    call.ended.add_done_callback(lambda _: known.set())

    def look() -> bool:
        if (still := myself()) is None:
            return False
        still._fetch()  # noqa: SLF001 - on behalf of this call
        return True

    def give_up(error: TwistreamError) -> None:
        if (still := myself()) is not None:
            fail(still.ended, error)

    return partial(poll_until, known, look, give_up)


def _step(status: str) -> int:
    if status in FINAL_STATUSES:
        return len(_STEPS)
    return _STEPS.index(status) if status in _STEPS else -1


def _wait_until_heard(playing: Playing) -> None:
    remaining = (1 - playing.progress) * playing.total_ms / 1000
    try:
        playing.result(remaining + CLOSE_MARGIN_SECONDS)
    except TimeoutError:
        return  # the call is hung up after the timeout, too
