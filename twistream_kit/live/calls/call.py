"""A call that was placed: how far it is, and hanging it up.

The SDK blocks, so each request has a worker thread and returns a `Pending`.  What Twilio reports
by status callbacks (PROTOCOL.md §6.6) arrives by way of the stream server and needs no request.

Status callbacks need the same public address as the stream.  When it is lost in the middle of a
call, the end of the call would never be known here; the REST API still tells it (§6.2), and is
polled for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twistream_kit.errors import CallRefused, ServerStopped, TwistreamError
from twistream_kit.live.calls.sdk import answered_within, ask, home_of
from twistream_kit.live.calls.status import FINAL_STATUSES, Listener, StatusEvent
from twistream_kit.live.stream.stream import GOODBYE_SECONDS, Playing
from twistream_kit.pending import (
    Guard,
    Pending,
    drop_callback,
    fail,
    format_error,
    fulfil,
    on_worker,
)

if TYPE_CHECKING:
    from twilio.rest import Client

ALREADY_OVER = (20404, 21220)
"""What Twilio answers when a call to be completed has ended already (§6.4)."""

_STEPS = ("queued", "ringing", "in-progress")
"""The life of a call that has not ended (§6.3); ``initiated`` is the name of a callback only."""

FIRST_PAUSE_SECONDS = 0.5
"""Before the first request of a poll; Twilio ends a call soon after its stream broke (§2.3)."""

LONGEST_PAUSE_SECONDS = 15.0
"""Between two requests of a poll; each pause is twice as long as the one before."""

MAX_REFUSALS = 5
"""After how many refusals in a row a poll ends."""


class Call:
    """A call that was placed.

    All of it may be used from any thread.

    Args:
        client: Whose call it is.
        sid: CA and 32 hex digits.
        to: The number called, E.164.
        from_: The number that calls, E.164.
        status: What is known of it.
        server: Whose status callbacks of this call it is to take in, past and to come.

    Attributes:
        sid: As given.
        to: As given.
        from_: As given.
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
    ) -> None:
        self._client = client
        self.sid = sid
        self.to = to
        self.from_ = from_
        self._status = status
        self._lock = threading.Lock()
        self._arrived: list[StatusEvent] = []
        self._when_over: list[Callable[[], object]] = []
        self._ended: Pending[str] = Pending(home_of(client) if server is None else server.loop)
        if self.is_over:
            fulfil(self._ended, status)
        if server is not None:
            self._follow(server)

    @property
    def status(self) -> str:
        """The last known status (§6.3), which never goes back; no request is made.

        It follows the status callbacks, where they are wired (see `place_call`), and the answers
        to `refresh` and `hang_up`.
        """
        return self._status

    @property
    def is_over(self) -> bool:
        """Whether the last known status is a final one."""
        return self._status in FINAL_STATUSES

    @property
    def events(self) -> list[StatusEvent]:
        """The status callbacks of the call and its streams so far.

        Those that Twilio numbers stand in the order of their numbers, because they are not sure to
        arrive in it (§6.6); the others where they arrived.
        """
        with self._lock:
            arrived = list(self._arrived)
        numbered = sorted(
            (event for event in arrived if event.sequence is not None),
            key=lambda event: event.sequence or 0,
        )
        in_order = iter(numbered)
        return [event if event.sequence is None else next(in_order) for event in arrived]

    @property
    def answered_by(self) -> str:
        """The verdict of machine detection, such as ``human``; empty while there is none."""
        verdicts = [event.parameters.get("AnsweredBy") for event in self.events]
        return next((each for each in reversed(verdicts) if isinstance(each, str)), "")

    @property
    def ended(self) -> Pending[str]:
        """The end of the call: a `Pending` with the final status.

        A status callback brings it, or the answer to `hang_up` or `refresh`; without callbacks
        (see `place_call`) only those do, so that nobody learns by itself that the other side hung
        up.  When the public address is lost, Twilio is asked from time to time instead.  It gets a
        `ServerStopped` when the server that the callbacks go to stops first.
        """
        return self._ended

    def __repr__(self) -> str:
        return f"<Call {self.sid}: {self.from_} to {self.to}, {self._status}>"

    def refresh(self) -> Pending[str]:
        """Ask Twilio for the status; returns a `Pending` with it.  Callable from any thread."""
        return self._request("asking for a call", self._fetch)

    def hang_up(self, *, after: Playing | None = None) -> Pending[str]:
        """End the call; callable from any thread, any number of times.

        Args:
            after: A playback to be heard first, waited for at most five seconds longer than its
                sound lasts (§9 item 13: hanging up cuts a goodbye).

        Returns:
            A `Pending` with the status.  A call that is over already is no error.
        """

        def complete() -> str:
            if after is not None:
                _wait_until_heard(after)
            if not self._complete():
                self._look_how_it_ended()
            return self._status

        return self._request("hanging up", complete)

    def hang_up_now(self, seconds: float) -> None:
        """End the call on this very thread, which is blocked meanwhile; for the exit of a program.

        Args:
            seconds: How long Twilio has to answer, in place of the client's own limit.

        Raises:
            CallRefused: If Twilio would not.
        """
        with answered_within(self._client, seconds):
            self._complete()

    def when_over(self, act: Callable[[], object]) -> None:
        """Have ``act()`` called once the call is known to be over, or at once if it is."""
        with self._lock:
            if not self.is_over:
                self._when_over.append(act)
                return
        self._say_over([act])

    def _follow(self, server: StatusSource) -> None:
        # The server keeps its listeners until it stops, and should not keep all calls alive.
        myself = weakref.ref(self)

        def listen(event: StatusEvent) -> None:
            if (call := myself()) is not None:
                call._take(event)  # noqa: SLF001 - this very class

        def stop(_: Future[None]) -> None:
            if (call := myself()) is not None:
                fail(call._ended, ServerStopped.before(f"call {call.sid} was over"))  # noqa: SLF001

        def check_poll(poll: Future[None]) -> None:
            error = poll.exception(0)  # of a kind that no asking again can help
            if error is not None and (call := myself()) is not None:
                broken = TwistreamError(
                    f"asking how call {call.sid} ended broke: {format_error(error)}",
                    consequence="Its end cannot be reported, as the public address is lost",
                    fix="call.refresh() asks for its status",
                )
                broken.__cause__ = error  # not itself, which may be a SystemExit
                fail(call._ended, broken)  # noqa: SLF001

        def start_poll() -> None:
            if (call := myself()) is not None and not call._ended.done():  # noqa: SLF001
                poll = on_worker(f"asking for the end of {call.sid}", _end_poll(call))
                poll.add_done_callback(check_poll)

        stopped = server.stopped  # of the run in which it is followed, hence taken first
        stopped.add_done_callback(stop)
        # A server that runs for weeks should not keep a callback for each call of them.
        self._ended.add_done_callback(lambda _: drop_callback(stopped, stop))
        with contextlib.suppress(ServerStopped):  # `stopped` is done then
            server.follow_call(self.sid, listen, start_poll)

    def _take(self, event: StatusEvent) -> None:
        with self._lock:
            self._arrived.append(event)
        if not event.stream_sid:
            self._learn(event.name)

    def _learn(self, status: str) -> None:
        """Take in a status, unless it is an earlier one than is known."""
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
        return on_worker(f"{name} {self.sid}", work, home=home_of(self._client))

    def _fetch(self) -> str:
        call = ask(lambda: self._client.calls(self.sid).fetch(), f"about call {self.sid}")
        self._learn(str(call.status))
        return self._status

    def _complete(self) -> bool:
        """Ask for the end; return False if it was over, and how it ended is not known."""

        def complete() -> Any:
            return self._client.calls(self.sid).update(status="completed")

        if self.is_over:
            return True
        try:
            call = ask(complete, f"to hang up call {self.sid}")
        except CallRefused as refused:
            if refused.code not in ALREADY_OVER:
                raise
            return self.is_over
        self._learn(str(call.status))
        return True

    def _look_how_it_ended(self) -> None:
        try:
            self._fetch()
        except CallRefused:
            # That it is over is known, and all that was asked for.
            self._learn("completed")


class StatusSource(Protocol):
    """Where the status callbacks of calls arrive: a stream server."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it runs on, else None."""

    @property
    def stopped(self) -> Pending[None]:
        """Done once its present run is over, or while it does not run."""

    def follow_call(
        self,
        call_sid: str,
        listener: Listener,
        on_loss: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Have `listener` told of the status callbacks of a call; see `StreamServer`."""


def poll_until(
    known: threading.Event, look: Callable[[], bool], give_up: Callable[[TwistreamError], object]
) -> None:
    """Call `look` again and again, until `known` is set or it returns False; blocks.

    Args:
        known: Set when the answer is known from elsewhere, or is not wanted any more.
        look: Asks once, and returns False when there is no use in asking again.
        give_up: Called with the error, if the answer cannot be found out.
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


def _end_poll(call: Call) -> Callable[[], None]:
    """Return what polls Twilio for the end of `call`; it does not keep the call alive."""
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
        playing.result(remaining + GOODBYE_SECONDS)
    except TimeoutError:
        return  # the wait is bounded: the call is hung up all the same
