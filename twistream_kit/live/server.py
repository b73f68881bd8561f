"""Your server: one port for the streams of calls, the webhooks of Twilio, and a proof of health."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from twistream_kit.errors import ServerStopped
from twistream_kit.live.server_options import (
    check_handler,
    check_path,
    check_public_url,
    check_token,
    port_error,
)
from twistream_kit.live.session import Handler, StreamSession
from twistream_kit.live.stream import MediaStream
from twistream_kit.live.stream_list import StreamList
from twistream_kit.live.web_request import RequestConnection
from twistream_kit.live.webhooks import (
    STATUS_PATH,
    TWIML_PATH,
    Answer,
    StatusEvent,
    Webhooks,
)
from twistream_kit.pending import HomeLoop, Pending, fail
from twistream_kit.protocol.lead import LEAD_SECONDS, check_lead
from twistream_kit.protocol.twiml import stream_url as stream_url_of

logger = logging.getLogger("twistream_kit.live")

DEAD_AFTER_SECONDS = 30.0
"""Twilio sends a frame every 20 ms, in silence too; people give up after 30 to 60 s (§2.3)."""

MAX_MESSAGE_BYTES = 1_048_576


class HasCallSid(Protocol):
    """Anything that knows its call, such as a `dialling.Call`."""

    @property
    def sid(self) -> str:
        """CA and 32 hex digits."""


class StreamServer:
    """A server for Twilio's bidirectional Media Streams; an async context manager.

    Enter it with ``async with`` on any loop, or with ``kit.start(server)`` in a notebook.  The
    constructor touches no loop; all methods may be called from any thread.

    Args:
        handler: ``async def (stream)``, or an ordinary function, which gets a thread of its own.
            Its return does not end the stream; its exception does.
        host: The address to listen on.
        port: 0 takes a free one.
        path: Where streams connect.
        public_url: The address at which Twilio reaches this server, such as
            ``https://example.com``; a tunnel sets it.
        auth_token: With it, only Twilio gets in: handshakes and webhooks must be signed
            (PROTOCOL.md §2.2, §7).  None checks nothing.  The environment is never read.
        lead_seconds: How much sound is sent ahead of its playing, 0.2 to 590 s.
        dead_after: Seconds without a message after which a stream is given up.

    Raises:
        SettingsError: If `path`, `public_url` or `auth_token` cannot be used.
        TypeError: If `handler` is no function.
        ValueError: If a number is out of range.
        OSError: On entering, if the port is in use or cannot be had.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/media",
        public_url: str | None = None,
        auth_token: str | None = None,
        lead_seconds: float = LEAD_SECONDS,
        dead_after: float = DEAD_AFTER_SECONDS,
    ) -> None:
        check_lead(lead_seconds)
        if not dead_after > 0:  # NaN is neither
            raise ValueError(f"dead_after is {dead_after}; it is a number of seconds above 0")
        if not 0 <= port <= 65535:
            raise ValueError(f"port is {port}; it is from 1 to 65535, or 0 for a free one")
        check_handler(handler)
        check_path(path)
        check_token(auth_token)
        self.public_url = public_url
        self._handler, self._host, self._wanted_port, self._path = handler, host, port, path
        self._has_token = auth_token is not None
        self._lead_seconds, self._dead_after = lead_seconds, dead_after
        self._home = HomeLoop("the stream server")
        self._webhooks = Webhooks(auth_token)
        self._port: int | None = None
        self._server: Server | None = None
        self._sessions: set[StreamSession] = set()
        self._connections: weakref.WeakSet[RequestConnection] = weakref.WeakSet()
        self._list = StreamList()

    @property
    def public_url(self) -> str | None:
        """The address at which Twilio reaches this server, without the path; None if unknown."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str | None) -> None:
        if url is not None:
            check_public_url(url)
        self._public_url = url

    @property
    def checks_signatures(self) -> bool:
        """Whether an auth token was given, so that only Twilio gets in."""
        return self._has_token

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            ServerStopped: If it does not run.
        """
        if self._port is None:
            raise ServerStopped(
                "the stream server is not running, so it has no port",
                fix="Start it with kit.start(server) or `async with server`",
            )
        return self._port

    @property
    def base_url(self) -> str:
        """The public address, or the local one where there is none."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def url(self) -> str:
        """The local address of the WebSocket."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"ws://{host}:{self.port}{self._path}"

    @property
    def stream_url(self) -> str:
        """What ``<Stream url>`` needs: the wss form of `public_url`, else `url`."""
        return self.url if self.public_url is None else stream_url_of(self.public_url, self._path)

    @property
    def twiml_url(self) -> str:
        """What a number's ``voice_url`` needs, for incoming calls."""
        return self.base_url + TWIML_PATH

    @property
    def status_url(self) -> str:
        """Where status callbacks of calls and streams may be sent; see `status_events`."""
        return self.base_url + STATUS_PATH

    @property
    def nonce(self) -> str:
        """What ``/health`` answers: unlike that of any other process."""
        return self._webhooks.nonce

    @property
    def status_events(self) -> list[StatusEvent]:
        """The status callbacks that have arrived, oldest first."""
        return list(self._webhooks.events)

    @property
    def streams(self) -> Sequence[MediaStream]:
        """The open streams and the last ten that ended, oldest first."""
        return self._list.streams

    def __repr__(self) -> str:
        if self._port is None:
            return "<StreamServer: not running>"
        n_open = sum(stream.is_open for stream in self.streams)
        return f"<StreamServer {self.stream_url}: {n_open} open of {len(self.streams)} streams>"

    def next_stream(self, call: HasCallSid | str | None = None) -> Pending[MediaStream]:
        """Wait for a stream: the oldest open one not handed out yet, else the next to start.

        All waits without `call` that are under way are answered by the same stream, so that an
        abandoned one takes nothing away.  Callable from any thread.

        Args:
            call: A `Call` or its SID, for that call's stream and no other.

        Returns:
            A `Pending`; it gets a `ServerStopped` when the server stops first.
        """
        wait: Pending[MediaStream] = Pending(self._home.loop)
        call_sid = call if call is None or isinstance(call, str) else call.sid
        try:
            self._home.call(self._list.wait_for, call_sid, wait)
        except ServerStopped as error:
            fail(wait, error)
        return wait

    async def __aenter__(self) -> Self:
        self._home.enter()
        try:
            self._server = await serve(
                self._serve_socket,
                self._host,
                self._wanted_port,
                process_request=self._process_request,
                create_connection=self._connection,  # type: ignore[arg-type]  # any factory will do
                # Twilio offers no compression (§2.1) and answers pings only as far as we know
                # (§2.3): silence is what tells a dead call, see `dead_after`.
                compression=None,
                ping_interval=None,
                close_timeout=2,
                max_size=MAX_MESSAGE_BYTES,
            )
        except BaseException as error:
            await self._home.leave()
            if isinstance(error, OSError):
                raise port_error(error, self._host, self._wanted_port) from error
            raise
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        for session in list(self._sessions):
            session.stop()
        if server is not None:
            server.close()
            for connection in list(self._connections):
                connection.give_up()  # who never finishes asking must not hold up the stop
            await server.wait_closed()
        await self._home.leave()
        self._port = None
        self._list.stop()

    def _connection(self, *args: Any, **kwargs: Any) -> RequestConnection:
        connection = RequestConnection(*args, **kwargs)
        self._connections.add(connection)
        return connection

    async def _serve_socket(self, socket: ServerConnection) -> None:
        session = StreamSession(
            socket, self._home, lead_seconds=self._lead_seconds, dead_after=self._dead_after
        )
        self._sessions.add(session)
        try:
            stream = await session.opening()
            if stream is None:
                return
            self._list.announce(stream)
            with self._home.in_a_hurry():
                await session.run(stream, self._handler)
        finally:
            self._sessions.discard(session)
            self._list.forget_old()

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        web = socket.web if isinstance(socket, RequestConnection) else None
        if web is None:
            raise TypeError("the stream server makes its own connections")
        if web.refusal:
            return _response(socket, Answer(HTTPStatus(web.refusal)))
        headers = request.headers.get_all("X-Twilio-Signature")
        header = headers[0] if len(headers) == 1 else None
        if web.path != self._path:
            answer = self._webhooks.answer(web, header, self.base_url, self.stream_url)
            return _response(socket, answer)
        if not web.is_upgrade:
            text = "This is the address of a WebSocket; Twilio's <Stream> connects here.\n"
            return _response(socket, Answer(HTTPStatus.UPGRADE_REQUIRED, text))
        if self._webhooks.admits(self.stream_url, header):
            return None
        logger.warning(
            "a stream without a valid signature was refused; is the public address right? "
            "It is %s here",
            self.stream_url,
        )
        text = "The signature is missing or does not fit.\n"
        return _response(socket, Answer(HTTPStatus.FORBIDDEN, text))


def _response(socket: ServerConnection, answer: Answer) -> Response:
    response = socket.respond(answer.status, answer.text)
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = answer.content_type
    if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET, POST"
    return response
