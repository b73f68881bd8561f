"""`StreamServer`: one port for Media Streams, Twilio's webhooks, and a health check.

`stream_host` has the streams, `http` receives HTTP requests, `webhooks` answers them, and
`live.stream` handles streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

from twistream_kit.live.server.addresses import ServerAddresses
from twistream_kit.live.server.http import RequestConnection, build_response
from twistream_kit.live.server.stream_host import (
    DEAD_AFTER_SECONDS,
    MAX_MESSAGE_BYTES,
    StreamHost,
)
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.stream.handler import Handler
from twistream_kit.live.stream.session import WebSocketsSocket
from twistream_kit.protocol import signature
from twistream_kit.protocol.playout import SEND_AHEAD_SECONDS


class StreamServer(StreamHost, ServerAddresses):
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
        TypeError: If `handler` is no function of one stream, or is a generator function.
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
        super().__init__(
            handler,
            host=host,
            port=port,
            path=path,
            public_url=public_url,
            auth_token=auth_token,
            allowed_hosts=allowed_hosts,
            send_ahead_seconds=send_ahead_seconds,
            dead_after=dead_after,
        )
        self._server: Server | None = None
        self._connections: weakref.WeakSet[RequestConnection] = weakref.WeakSet()

    def __repr__(self) -> str:
        if self._port is None:
            return "<StreamServer: not running>"
        n_open = sum(stream.is_open for stream in self.streams)
        url = signature.remove_user(self.stream_url)  # it may contain a password
        return f"<StreamServer {url}: {n_open} open of {len(self.streams)} streams>"

    async def __aenter__(self) -> Self:
        async with self._start_run():
            self._connections.clear()  # of a run whose loop ended before it could be left
            self._server = await self._listen(self._start_listener)
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        self._end_streams()
        if server is not None:
            await _stop_accepting(server)
            server.close()
            for connection in list(self._connections):
                connection.give_up()  # an incomplete request must not delay the stop
            await server.wait_closed()
        await self._home.leave()
        self._port = None
        self._end_run()

    async def _start_listener(self, port: int) -> Server:
        return await serve(
            self._serve_socket,
            self._host,
            port,
            process_request=self._answer,
            create_connection=self._create_connection,  # type: ignore[arg-type]  # any factory will do
            # Twilio offers no compression (§2.1), and whether it answers pings is not documented
            # (§2.3): `dead_after` detects a dead call by silence.
            compression=None,
            ping_interval=None,
            close_timeout=2,
            max_size=MAX_MESSAGE_BYTES,
        )

    def _create_connection(self, *args: Any, **kwargs: Any) -> RequestConnection:
        connection = RequestConnection(*args, **kwargs)
        self._connections.add(connection)
        return connection

    def _answer(self, socket: ServerConnection, _: Request) -> Response | None:
        """Answer a request, or return None to admit a stream."""
        if not isinstance(socket, RequestConnection):
            raise TypeError("the stream server makes its own connections")
        answer = self._admission.answer(socket.web)
        return None if answer is None else build_response(socket, answer)

    async def _serve_socket(self, socket: ServerConnection) -> None:
        # As `_create_connection` made it.
        await self._serve_stream(WebSocketsSocket(cast("RequestConnection", socket)))


async def _stop_accepting(server: Server) -> None:
    # asyncio of Python 3.11 leaks a socket that it accepts in the same iteration of the loop in
    # which the server is closed; Twilio's last callback often arrives just then.
    loop = asyncio.get_running_loop()
    with contextlib.suppress(NotImplementedError):  # the loop of Windows has no readers
        for each in server.sockets:
            loop.remove_reader(each.fileno())
        await asyncio.sleep(0)
