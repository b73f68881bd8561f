"""`StreamServer`: one port for Media Streams, Twilio's webhooks, and a health check.

`find_server` returns the running server of this process that has a given address.  `http` answers
HTTP requests, and `live.stream` handles streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve

from twistream_kit.errors import ServerStopped, TunnelError
from twistream_kit.listing import Listing, Series
from twistream_kit.live.calls.call import Call, call_when_over
from twistream_kit.live.calls.ending import CallEndings
from twistream_kit.live.calls.status import (
    Listener,
    StatusEvent,
    StatusLog,
    build_ended_error,
)
from twistream_kit.live.server.addresses import (
    ServerAddresses,
    check_handler,
    check_path,
)
from twistream_kit.live.server.http import RequestAdmission, RequestConnection, Webhooks
from twistream_kit.live.server.stream_list import HasCallSid, StreamList
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.stream.handler import Handler
from twistream_kit.live.stream.session import StreamSession, WebSocketsSocket
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.pending import Pending, fail
from twistream_kit.protocol import signature
from twistream_kit.protocol.playout import SEND_AHEAD_SECONDS, check_send_ahead

logger = logging.getLogger("twistream_kit.live")

DEAD_AFTER_SECONDS = 30.0
"""Twilio sends a frame every 20 ms, in silence too; people give up after 30 to 60 s (§2.3)."""

MAX_MESSAGE_BYTES = 1_048_576
"""A longer message closes the connection; Twilio's have some hundred bytes."""

_running: weakref.WeakSet[StreamServer] = weakref.WeakSet()
"""The running servers of this process."""


class StreamServer(ServerAddresses):
    """A server for Twilio's bidirectional Media Streams; an async context manager.

    Enter it with ``async with`` on any loop, or with ``kit.start(server)`` in a notebook.  The
    constructor uses no loop; all methods may be called from any thread.

    Requests from web pages are refused: those with ``Origin``, which Twilio does not send
    (PROTOCOL.md §2.1), or with a ``Sec-Fetch-Site`` other than ``none``.

    Args:
        handler: ``async def (stream)``, or an ordinary function, which runs on a thread of its own.
            When it returns, the stream continues; when it raises an exception, the stream ends.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        path: The path at which streams connect.
        public_url: The address at which Twilio reaches this server, such as
            ``https://example.com``; a tunnel sets it.
        auth_token: The account's auth token.  With it, handshakes and webhooks must be signed by
            Twilio (PROTOCOL.md §2.2, §7).  Without it no signature is checked, but ``Host`` is:
            see `allowed_hosts`.  The environment is never read.
        allowed_hosts: Names or addresses of hosts, without ports, for which requests are accepted
            without a token, besides loopback, `host` and the host of `public_url`.  All other
            requests except ``/health`` are refused.  ``host="0.0.0.0"`` accepts any IP address,
            but no name.
        send_ahead_seconds: How much sound is sent ahead of its playout, 0.2 to 590 s.
        dead_after: Seconds without a message after which a stream is taken as lost.

    Raises:
        SettingsError: If `host`, `path`, `public_url`, `auth_token` or `allowed_hosts` cannot be
            used.
        TypeError: If `handler` is not callable.
        ValueError: If a number is out of range.
        OSError: On entering, if the server cannot listen on the port.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_call(server.url).result(10)
        >>> report.sound_seconds
        0.2
        >>> server
        <StreamServer ws://127.0.0.1:.../media: ... of 1 streams>
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/media",
        public_url: str | None = None,
        auth_token: str | Secret | None = None,
        allowed_hosts: Sequence[str] = (),
        send_ahead_seconds: float = SEND_AHEAD_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
    ) -> None:
        check_send_ahead(send_ahead_seconds)
        if not dead_after > 0:  # NaN is neither
            raise ValueError(f"dead_after is {dead_after}; it is a number of seconds above 0")
        check_handler(handler)
        check_path(path)
        super().__init__(host, port, path, public_url, auth_token, allowed_hosts)
        self._handler = handler
        self._send_ahead_seconds, self._dead_after = send_ahead_seconds, dead_after
        self._webhooks = Webhooks(auth_token, self._note_status, self._note_incoming)
        self._admission = RequestAdmission(self._webhooks, self, path, self._is_own_host)
        self._status = StatusLog()
        self._endings = CallEndings()
        self._endings.on_change = self._correct_later
        self._server: Server | None = None
        self._sessions: set[StreamSession] = set()
        self._connections: weakref.WeakSet[RequestConnection] = weakref.WeakSet()
        self._list: StreamList[MediaStream] = StreamList()

    @property
    def checks_signatures(self) -> bool:
        """Whether an auth token was given, so that requests must be signed by Twilio."""
        return self._webhooks.checks_signatures

    @property
    def nonce(self) -> str:
        """The random string that ``/health`` returns; it identifies this process."""
        return self._webhooks.nonce

    @property
    def status_events(self) -> Listing[StatusEvent]:
        """The status callbacks that have arrived, oldest first."""
        return self._status.events

    @property
    def streams(self) -> Series[MediaStream]:
        """The open streams and the last ten that ended, oldest first."""
        return self._list.streams

    def __repr__(self) -> str:
        if self._port is None:
            return "<StreamServer: not running>"
        n_open = sum(stream.is_open for stream in self.streams)
        url = signature.remove_user(self.stream_url)  # it may contain a password
        return f"<StreamServer {url}: {n_open} open of {len(self.streams)} streams>"

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
        wait: Pending[MediaStream] = Pending(self._home.loop)
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

    async def __aenter__(self) -> Self:
        async with self._start_run():
            # Nothing is there, unless the loop ended before this could be left.
            self._sessions.clear()
            self._connections.clear()
            self._list.stop()
            self._status.stop()
            self._server = await self._listen(self._start_listener)
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        _running.add(self)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _running.discard(self)
        server, self._server = self._server, None
        self._endings.stop()
        for session in list(self._sessions):
            session.stop()
        if server is not None:
            await _stop_accepting(server)
            server.close()
            for connection in list(self._connections):
                connection.give_up()  # an incomplete request must not delay the stop
            await server.wait_closed()
        await self._home.leave()
        self._port = None
        self._list.stop()
        self._status.stop()
        self._end_run()

    async def _start_listener(self, port: int) -> Server:
        return await serve(
            self._serve_socket,
            self._host,
            port,
            process_request=self._admission.answer,
            create_connection=self._create_connection,  # type: ignore[arg-type]  # any factory will do
            # Twilio offers no compression (§2.1), and whether it answers pings is not documented
            # (§2.3): `dead_after` detects a dead call by silence.
            compression=None,
            ping_interval=None,
            close_timeout=2,
            max_size=MAX_MESSAGE_BYTES,
        )

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

    def _create_connection(self, *args: Any, **kwargs: Any) -> RequestConnection:
        connection = RequestConnection(*args, **kwargs)
        self._connections.add(connection)
        return connection

    async def _serve_socket(self, socket: ServerConnection) -> None:
        session = StreamSession(
            WebSocketsSocket(cast("RequestConnection", socket)),  # as `_create_connection` made it
            self._home,
            send_ahead_seconds=self._send_ahead_seconds,
            dead_after=self._dead_after,
            explain_stop=self._endings.wait_explained,
        )
        self._sessions.add(session)
        try:
            stream = await session.await_start()
            if stream is None:
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


def find_server(stream_url: str) -> StreamServer | None:
    """Return the running server of this process whose streams connect at `stream_url`, or None."""
    for server in tuple(_running):
        try:
            if server.stream_url == stream_url:
                return server
        except ServerStopped:
            continue
    return None


def get_endings(server: StreamServer) -> CallEndings:
    """Return what a server knows of how its calls end; for this package only."""
    return server._endings  # noqa: SLF001 - the same module


async def _stop_accepting(server: Server) -> None:
    # asyncio of Python 3.11 leaks a socket that it accepts in the same iteration of the loop in
    # which the server is closed; Twilio's last callback often arrives just then.
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # the loop of Windows has no readers
        for each in server.sockets:
            loop.remove_reader(each.fileno())
        await asyncio.sleep(0)
