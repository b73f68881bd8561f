"""The inspector: a proxy between Twilio and a Media Streams server in any language.

Every byte is relayed unchanged; a copy is parsed, captured and reviewed.  The headers of the
handshake are relayed with its signature, except that ``Host`` becomes the server's own and an offer
of compression is removed, which Twilio does not make (PROTOCOL.md §2.1).
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from twistream_kit.connections import stop_listening
from twistream_kit.errors import ServerStopped, TunnelError
from twistream_kit.listing import Series
from twistream_kit.live.inspector._connection import (
    ProxyAdmission,
    ProxyConnection,
    ProxyContext,
    Upstream,
)
from twistream_kit.live.inspector._http import READ_AHEAD_BYTES
from twistream_kit.live.inspector._relay import Peer
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.server.addresses import ServerAddresses
from twistream_kit.live.server.stream_list import (
    KEPT_ENDED_STREAMS,
    HasCallSid,
    StreamList,
    build_stream_subject,
)
from twistream_kit.live.settings.secret import Secret
from twistream_kit.pending import Pending, fail
from twistream_kit.protocol import signature
from twistream_kit.protocol.twiml import build_stream_url

logger = logging.getLogger("twistream_kit.live")


class Inspector(ServerAddresses):
    """A proxy between Twilio, or the simulator, and a server, that shows what both send.

    An async context manager: enter it with ``async with`` on any loop, or with
    ``kit.start(inspector)`` in a notebook.  Let Twilio connect to `stream_url` in place of your
    server's address.  The constructor touches no loop; all methods may be called from any thread.
    Other requests to its port, such as webhooks, pass through as well.

    Your server receives its own ``Host``, with the original in ``X-Forwarded-Host``.  So it cannot
    check the original host, and the inspector refuses requests for other hosts (see
    `allowed_hosts`), except ``/health`` and signed handshakes.  It also refuses handshakes of web
    pages, and requests with the ``Origin`` of another site; the ``Origin`` of your server's own
    pages is relayed unchanged.

    Stopping it closes the connections through it without a Close frame.

    Args:
        upstream_url: The stream URL of your server: ``ws://localhost:8080/media``, or wss.
        host: The address to listen on.
        port: The port to listen on; 0 takes a free one.
        public_url: The address at which Twilio reaches this inspector, such as
            ``https://example.com``; a tunnel sets it.
        auth_token: With it, the inspector refuses handshakes that Twilio did not sign (PROTOCOL.md
            §2.2).  Without it, your server decides.
        allowed_hosts: Names or addresses of hosts, without ports, for which requests are accepted,
            besides loopback, `host` and the host of `public_url`.  ``host="0.0.0.0"`` accepts any
            IP address, but no name.
        ssl_context: For TLS to your server; the default uses the certificate authorities of this
            machine.

    Raises:
        SettingsError: If `upstream_url`, `host`, `public_url`, `auth_token` or `allowed_hosts`
            cannot be used.
        ValueError: If `port` is out of range.
        OSError: On entering, if the port is in use or cannot be opened.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> inspector = kit.start(kit.Inspector(server.url))
        >>> report = kit.simulate_call(inspector.stream_url, seconds=0.1).result(10)
        >>> stream = inspector.streams[0]
        >>> stream.objections
        nothing to object to
        >>> stream.capture
        Capture(MZ..., ... s, ... messages)
    """

    _called = ("the inspector", "inspector")

    def __init__(
        self,
        upstream_url: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str | None = None,
        auth_token: str | Secret | None = None,
        allowed_hosts: Sequence[str] = (),
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._upstream = Upstream.parse(upstream_url)
        super().__init__(host, port, self._upstream.path, public_url, auth_token, allowed_hosts)
        self._admission = ProxyAdmission(auth_token, self._build_stream_url, self._is_own_host)
        self._context = ProxyContext(
            self._home,
            self._admission,
            self._upstream,
            ssl_context,
            self._get_scheme,
            self._note_opened,
            self._note_started,
            self._note_ended,
        )
        self._listener: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._list: StreamList[InspectedStream] = StreamList()
        self._not_started: list[InspectedStream] = []

    @property
    def upstream_url(self) -> str:
        """The address of the server behind it."""
        return self._upstream.url

    @property
    def checks_signatures(self) -> bool:
        """Whether an auth token was given, so that only handshakes signed by Twilio are relayed."""
        return self._admission.checks_signatures

    @property
    def nonce(self) -> str:
        """The response to a ``/health`` request of a tunnel that probes for this inspector."""
        return self._admission.nonce

    @property
    def streams(self) -> Series[InspectedStream]:
        """The open streams and the last ten that ended, oldest first."""
        streams = [*self._list.streams, *self._not_started]
        in_order = sorted(streams, key=lambda stream: stream.capture.started)
        return Series.of(in_order, "streams")

    def __repr__(self) -> str:
        if self._port is None:
            return f"<Inspector of {self.upstream_url}: not running>"
        streams = self.streams
        n_open = sum(stream.is_open for stream in streams)
        way = f"{signature.remove_user(self.stream_url)} -> {self.upstream_url}"
        return f"<Inspector {way}: {n_open} open of {len(streams)} streams>"

    def next_stream(self, call: HasCallSid | str | None = None) -> Pending[InspectedStream]:
        """Wait for a stream: the oldest open one not returned yet, else the next to start.

        Callable from any thread; it works like `StreamServer.next_stream`.

        Args:
            call: A `Call` or its SID, to wait for the stream of that call only.

        Returns:
            A `Pending`.  It fails with a `ServerStopped` if the inspector stops first, and with a
            `TunnelError` if the public address is lost.
        """
        wait: Pending[InspectedStream] = Pending(
            self._home.loop,
            build_stream_subject(self, InspectedStream, call),
        )
        call_sid = call if call is None or isinstance(call, str) else call.sid
        try:
            self._home.call(self._list.wait_for, call_sid, wait)
        except ServerStopped as error:
            fail(wait, error)
        return wait

    async def __aenter__(self) -> Self:
        async with self._start_run():
            self._listener = await self._listen(
                lambda port: asyncio.start_server(
                    self._accept, self._host, port, limit=READ_AHEAD_BYTES
                )
            )
        self._port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        listener, self._listener = self._listener, None
        await stop_listening(listener, self._connections)
        await self._home.leave()
        self._port = None
        self._list.stop()
        self._end_run()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if self._listener is None or task is None:
            writer.close()
            return
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            await ProxyConnection(self._context, Peer(reader, writer)).run()
        except asyncio.CancelledError:
            if self._listener is not None:
                raise
            # The inspector stops; asyncio would log the cancellation as an error.

    def _build_stream_url(self, path: str) -> str:
        if self.public_url is None:
            return f"ws://{self._authority}{path}"
        return build_stream_url(self.public_url, path)

    def _get_scheme(self) -> str:
        secure = re.match("https|wss", self.public_url or "", re.IGNORECASE)
        return "https" if secure else "http"

    def _note_opened(self, stream: InspectedStream) -> None:
        self._not_started.append(stream)

    def _note_started(self, stream: InspectedStream) -> None:
        self._not_started = [each for each in self._not_started if each is not stream]
        logger.info("stream %s passes, call %s", stream.stream_sid, stream.call_sid)
        self._list.announce(stream)

    def _note_ended(self, stream: InspectedStream) -> None:
        end = stream.closed.result(0)
        if stream.start is None:
            logger.warning("a stream ended before its start: %s", end.detail)
        else:
            logger.info("stream %s ended: %s", stream.stream_sid, end.detail)
        self._list.forget_old()
        ended = [each for each in self._not_started if not each.is_open]
        for each in ended[:-KEPT_ENDED_STREAMS]:
            self._not_started.remove(each)

    def _lose_public_url(self, why: str) -> TunnelError:
        error = super()._lose_public_url(why)
        for stream in self.streams:
            if stream.is_open:
                stream.disconnect_reason = why
        self._list.give_up(error)
        return error
