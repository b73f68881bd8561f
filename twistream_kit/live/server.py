"""Your server: one port for the streams of calls, the webhooks of Twilio, and a proof of health."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Sequence
from http import HTTPStatus
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from twistream_kit.errors import ServerStopped, SettingsError
from twistream_kit.live.session import Handler, StreamSession
from twistream_kit.live.stream import MediaStream
from twistream_kit.live.web_request import RequestConnection
from twistream_kit.live.webhooks import STATUS_PATH, TWIML_PATH, Answer, StatusEvent, Webhooks
from twistream_kit.pending import HomeLoop, Pending, fail, fulfil
from twistream_kit.protocol.conversation import LEAD_SECONDS, check_lead
from twistream_kit.protocol.twiml import stream_url as stream_url_of

logger = logging.getLogger("twistream_kit.live")

DEAD_AFTER_SECONDS = 30.0
"""Twilio sends a frame every 20 ms, in silence too; people give up after 30 to 60 s (§2.3)."""

KEPT_ENDED_STREAMS = 10
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
        SettingsError: If `path` or `public_url` cannot be used.
        ValueError: If a number is out of range.
        OSError: On entering, if the port is in use.
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
        if dead_after <= 0:
            raise ValueError(f"dead_after is {dead_after}; it is a number of seconds above 0")
        _check_path(path)
        self.public_url = public_url
        self._handler, self._host, self._wanted_port, self._path = handler, host, port, path
        self._has_token = auth_token is not None
        self._lead_seconds, self._dead_after = lead_seconds, dead_after
        self._home = HomeLoop("the stream server")
        self._webhooks = Webhooks(auth_token)
        self._port: int | None = None
        self._server: Server | None = None
        self._sessions: dict[StreamSession, MediaStream | None] = {}
        self._streams: list[MediaStream] = []
        self._not_handed_out: list[MediaStream] = []
        self._waiting: list[tuple[str | None, Pending[MediaStream]]] = []

    @property
    def public_url(self) -> str | None:
        """The address at which Twilio reaches this server, without the path; None if unknown."""
        return self._public_url

    @public_url.setter
    def public_url(self, url: str | None) -> None:
        if url is not None:
            _check_public_url(url)
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
        return tuple(self._streams)

    def __repr__(self) -> str:
        if self._port is None:
            return "<StreamServer: not running>"
        n_open = sum(stream.is_open for stream in self._streams)
        return f"<StreamServer {self.stream_url}: {n_open} open of {len(self._streams)} streams>"

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
            self._home.call(self._wait_for, call_sid, wait)
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
                create_connection=RequestConnection,
                # Twilio offers no compression (§2.1) and answers pings only as far as we know
                # (§2.3): silence is what tells a dead call, see `dead_after`.
                compression=None,
                ping_interval=None,
                close_timeout=2,
                max_size=MAX_MESSAGE_BYTES,
            )
        except OSError as error:
            await self._home.leave()
            raise _port_error(error, self._host, self._wanted_port) from error
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
            await server.wait_closed()
        await self._home.leave()
        self._port = None
        waiting, self._waiting = self._waiting, []
        for _, wait in waiting:
            fail(wait, ServerStopped.before("a stream started"))
        self._not_handed_out.clear()

    def _wait_for(self, call_sid: str | None, wait: Pending[MediaStream]) -> None:
        if call_sid is None:
            self._not_handed_out = [s for s in self._not_handed_out if s.is_open]
            if self._not_handed_out:
                fulfil(wait, self._not_handed_out.pop(0))
                return
        else:
            for stream in self._streams:
                if stream.call_sid == call_sid:
                    self._hand_out(stream, wait)
                    return
        self._waiting.append((call_sid, wait))

    def _hand_out(self, stream: MediaStream, wait: Pending[MediaStream]) -> None:
        if stream in self._not_handed_out:
            self._not_handed_out.remove(stream)
        fulfil(wait, stream)

    def _announce(self, stream: MediaStream) -> None:
        self._streams.append(stream)
        answered = [w for sid, w in self._waiting if sid in (None, stream.call_sid)]
        self._waiting = [(s, w) for s, w in self._waiting if s not in (None, stream.call_sid)]
        for wait in answered:
            fulfil(wait, stream)
        if not answered:
            self._not_handed_out.append(stream)

    def _forget_old(self) -> None:
        ended = [stream for stream in self._streams if stream.closed.done()]
        for stream in ended[:-KEPT_ENDED_STREAMS]:
            self._streams.remove(stream)
        self._not_handed_out = [s for s in self._not_handed_out if s.is_open]

    async def _serve_socket(self, socket: ServerConnection) -> None:
        session = StreamSession(
            socket, self._home, lead_seconds=self._lead_seconds, dead_after=self._dead_after
        )
        self._sessions[session] = None
        try:
            stream = await session.opening()
            if stream is None:
                return
            self._announce(stream)
            with self._home.in_a_hurry():
                await session.run(stream, self._handler)
        finally:
            del self._sessions[session]
            self._forget_old()

    def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        web = socket.web if isinstance(socket, RequestConnection) else None
        if web is None:
            raise TypeError("the stream server makes its own connections")
        if web.refusal:
            return _response(socket, Answer(HTTPStatus(web.refusal)))
        header = request.headers.get("X-Twilio-Signature")
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


def _check_path(path: str) -> None:
    if not path.startswith("/") or "?" in path or "#" in path or path in (TWIML_PATH, STATUS_PATH):
        raise SettingsError(
            f"the path {path!r} cannot be used for streams",
            consequence="It has to begin with a slash, hold no query (Twilio drops one), and not "
            f"be {TWIML_PATH} or {STATUS_PATH}",
            fix="Leave it out, or say path='/media'",
        )


def _check_public_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname or parts.query:
        raise SettingsError(
            f"the public address {url!r} cannot be used",
            consequence="It needs a scheme and a host, and no query",
            fix="Give it as https://example.com, without the path of the stream",
        )


def _port_error(error: OSError, host: str, port: int) -> OSError:
    text = (
        f"the stream server cannot listen on {host}, port {port}: {error.strerror or error}. "
        "Another program has it, or the earlier server still runs. Say port=0 for a free one, or "
        "stop the other"
    )
    return OSError(error.errno, text)


def is_loopback(host: str | None) -> bool:
    """Whether `host` is this machine's own loopback, by name or by number."""
    if not host:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
