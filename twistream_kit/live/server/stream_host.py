"""What hosts the streams: the same for a server that listens itself and for an ASGI application.

A `StreamHost` has the streams, the waits for them, the status callbacks, and what is known of how
calls end.  `server` and `stream_app` bring it WebSockets and requests.  `find_server` returns the
running host of this process that has a given address.
"""

from __future__ import annotations

import contextlib
import logging
import time
import weakref
from collections.abc import Callable
from typing import Any

from twistream_kit.errors import ServerStopped, TunnelError, WrongValue, require_type
from twistream_kit.listing import Listing, Series
from twistream_kit.live.calls.call import Call, call_when_over
from twistream_kit.live.calls.ending import CallEndings
from twistream_kit.live.calls.status import (
    Listener,
    StatusEvent,
    StatusLog,
    build_ended_error,
)
from twistream_kit.live.server.addresses import PublicAddress, check_path
from twistream_kit.live.server.stream_list import HasCallSid, StreamList, build_stream_subject
from twistream_kit.live.server.webhooks import RequestAdmission, Webhooks
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.stream.handler import Handler, check_handler
from twistream_kit.live.stream.session import StreamSession, StreamSocket
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.pending import Pending, fail
from twistream_kit.protocol.playout import check_send_ahead

logger = logging.getLogger("twistream_kit.live")

DEAD_AFTER_SECONDS = 30.0
"""Twilio sends a frame every 20 ms, in silence too; people give up after 30 to 60 s (§2.3)."""

MAX_MESSAGE_BYTES = 1_048_576
"""A longer message closes the connection; Twilio's have some hundred bytes."""

_running: weakref.WeakSet[StreamHost] = weakref.WeakSet()
"""The running hosts of this process."""


class StreamHost(PublicAddress):
    """The streams of a server, and what is known of their calls.

    Args:
        handler: As of `StreamServer`.
        path: The path at which streams connect.
        auth_token: The account's auth token, or None.
        send_ahead_seconds: How much sound is sent ahead of its playout.
        dead_after: Seconds without a message after which a stream is taken as lost.
        nonce: What ``/health`` returns; None takes a random string.
        address: The further arguments of the class of the addresses.

    Raises:
        SettingsError: If `path` or something of `address` cannot be used.
        TypeError: If `handler` is no function of one stream, or is a generator function.
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        handler: Handler | None,
        *,
        path: str,
        auth_token: str | Secret | None,
        send_ahead_seconds: float,
        dead_after: float,
        nonce: str | None = None,
        **address: Any,
    ) -> None:
        check_send_ahead(send_ahead_seconds)
        require_type("a number", dead_after=dead_after)
        if not dead_after > 0:  # NaN is neither
            raise WrongValue(f"dead_after is {dead_after}; it is a number of seconds above 0")
        check_handler(handler)
        check_path(path)
        super().__init__(path=path, auth_token=auth_token, **address)
        self._handler = handler
        self._send_ahead_seconds, self._dead_after = send_ahead_seconds, dead_after
        self._webhooks = Webhooks(auth_token, self._note_status, self._note_incoming, nonce)
        self._admission = RequestAdmission(self._webhooks, self, path, self._is_own_host)
        self._status = StatusLog()
        self._endings = CallEndings()
        self._endings.on_change = self._correct_later
        self._sessions: set[StreamSession] = set()
        self._is_draining = False
        self._list: StreamList[MediaStream] = StreamList()

    @property
    def checks_signatures(self) -> bool:
        """Whether an auth token was given, so that requests must be signed by Twilio."""
        return self._webhooks.checks_signatures

    @property
    def nonce(self) -> str:
        """What ``/health`` returns: it identifies this server."""
        return self._webhooks.nonce

    @property
    def status_events(self) -> Listing[StatusEvent]:
        """The status callbacks that have arrived, oldest first."""
        return self._status.events

    @property
    def streams(self) -> Series[MediaStream]:
        """The open streams and the last ten that ended, oldest first."""
        return self._list.streams

    def next_stream(self, call: HasCallSid | str | None = None) -> Pending[MediaStream]:
        """Wait for a stream: the oldest open one not returned yet, else the next to start.

        All pending waits without `call` get the same stream, so an abandoned wait does not consume
        one.  Callable from any thread.

        Args:
            call: A `Call` or its SID, to wait for the stream of that call only.

        Returns:
            A `Pending`.  It gets a `ServerStopped` when the server stops first, a `TunnelError`
            when the public address is lost, and a `CallRefused` when Twilio reports that the call
            has ended or that its stream could not be opened.  If `call` is a `Call`, its end may
            also be known from `hang_up` or `refresh`.
        """
        wait: Pending[MediaStream] = Pending(
            self._home.loop, build_stream_subject(self, MediaStream, call)
        )
        call_sid = call if call is None or isinstance(call, str) else call.sid
        try:
            self._home.call(self._wait_for_stream, call_sid, wait)
        except ServerStopped as error:
            fail(wait, error)
        if isinstance(call, Call):
            self._give_up_with(call)
        return wait

    def follow_call(
        self,
        call_sid: str,
        listener: Listener,
        on_loss: Callable[[], object] | None = None,
    ) -> Callable[[], None]:
        """Call `listener` with each status callback of a call, beginning with the past ones.

        Callable from any thread; the functions are called on the server's loop.  They are removed
        when the server stops; see `stopped`.

        Args:
            call_sid: CA and 32 hex digits.
            listener: A function of one `StatusEvent`.
            on_loss: A function that is called when the public address is lost, after which no
                status callbacks can arrive.

        Returns:
            A function that removes the listener; it may be called more than once.

        Raises:
            ServerStopped: If the server is not running.
        """
        self._home.call(self._status.follow, call_sid, listener, on_loss)

        def end() -> None:
            with contextlib.suppress(ServerStopped):
                self._home.call(self._status.unfollow, call_sid, listener)

        return end

    def signature_for_handshake(self) -> str | None:
        """Return the signature of a handshake from Twilio, or None if none is checked."""
        return self._webhooks.sign_handshake(self.stream_url)

    def _begin_run(self) -> None:
        super()._begin_run()
        # Nothing is there, unless the loop ended before this could be left.
        self._sessions.clear()
        self._list.stop()
        self._status.stop()
        _running.add(self)

    def _end_streams(self) -> None:
        """End all streams, because the server stops."""
        _running.discard(self)
        self._endings.stop()
        for session in list(self._sessions):
            session.stop()

    def _end_run(self) -> None:
        _running.discard(self)
        self._list.stop()
        self._status.stop()
        super()._end_run()

    def _wait_for_stream(self, call_sid: str | None, wait: Pending[MediaStream]) -> None:
        self._list.wait_for(call_sid, wait)
        self._give_up_what_cannot_come(call_sid)

    def _give_up_with(self, call: Call) -> None:
        # Twilio sends no report, for example, if a call was cancelled while it was queued (§6.3).
        def give_up() -> None:
            with contextlib.suppress(ServerStopped):
                self._home.call(self._list.give_up, build_ended_error(call.status), call.sid)

        call_when_over(call, give_up)

    def _give_up_what_cannot_come(self, call_sid: str | None) -> None:
        error = None if call_sid is None else self._status.explain_missing_stream(call_sid)
        if error is not None:
            self._list.give_up(error, call_sid)

    def _note_stream(self, stream: MediaStream) -> None:
        record, state = (
            self._endings.note_stream(stream.call_sid, time.monotonic()),
            get_state(stream),
        )

        def note_end(_: object) -> None:
            is_stopped, at = state.stopped_at is not None, state.stopped_at or time.monotonic()
            self._endings.note_end(record, at, None if is_stopped else state.cause)

        stream.closed.add_done_callback(note_end)

    def _note_incoming(self, call_sid: str, direction: str) -> None:
        self._endings.follow(call_sid, direction=direction, is_reported=direction == "inbound")

    def _correct_later(self, call_sid: str) -> None:
        with contextlib.suppress(ServerStopped):
            self._home.call(self._correct, call_sid)

    def _correct(self, call_sid: str) -> None:
        """Correct why Twilio stopped the streams of a call, of which more has become known."""
        for stream in self.streams:
            state = get_state(stream)
            if stream.call_sid == call_sid and state.stopped_at is not None:
                cause = self._endings.explain_stop(call_sid, state.stopped_at)
                if cause.cause != "twilio-stopped":
                    state.correct(cause)

    def _note_status(self, event: StatusEvent) -> None:
        self._endings.note_event(event)
        self._status.note(event)
        for stream in self.streams:
            if stream.call_sid == event.call_sid:
                stream.capture.note_status(event.at, event.name)
        self._give_up_what_cannot_come(event.call_sid)

    def _lose_public_url(self, why: str) -> TunnelError:
        error = super()._lose_public_url(why)
        for stream in self.streams:
            state = get_state(stream)
            state.lose_address(why)
            if state.cause is not None and state.cause.cause == "tunnel-lost":
                self._endings.correct_end(stream.call_sid, state.cause)
        self._list.give_up(error)
        self._status.lose_address()
        return error

    async def _serve_stream(self, socket: StreamSocket) -> None:
        """Serve a WebSocket from its handshake to its end."""
        session = StreamSession(
            socket,
            self._home,
            send_ahead_seconds=self._send_ahead_seconds,
            dead_after=self._dead_after,
            explain_stop=self._endings.wait_explained,
        )
        self._sessions.add(session)
        try:
            stream = await session.await_start()
            if stream is None or self._is_draining:
                return
            self._note_stream(stream)
            for event in self._status.find(stream.call_sid):
                stream.capture.note_status(event.at, event.name)
            self._list.announce(stream)
            with self._home.hurry_loop():
                await session.run(stream, self._handler)
        finally:
            self._sessions.discard(session)
            self._list.forget_old()


def find_server(stream_url: str) -> StreamHost | None:
    """Return the running host of this process whose streams connect at `stream_url`, or None."""
    for server in tuple(_running):
        try:
            if server.stream_url == stream_url:
                return server
        except ServerStopped:
            continue
    return None


def sign_own_probe(server: StreamHost) -> str:
    """Return what a probe of a server bears, so that it is recognised; for this package only."""
    return server._webhooks.sign_probe()  # noqa: SLF001 - the same module


def get_endings(server: StreamHost) -> CallEndings:
    """Return what a server knows of how its calls end; for this package only."""
    return server._endings  # noqa: SLF001 - the same module
