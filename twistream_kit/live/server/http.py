"""HTTP requests on the port of the WebSocket, on connections of `websockets`.

`websockets` reads only the head of a request, and closes the connection on a POST with a body.
Twilio's webhooks are such POSTs.  Therefore `RequestConnection` collects the head and the body
first, keeps both, and passes a GET without a body to `websockets`.  h11 parses the head
(`request_head`), and the GET is serialized from its result, so that two parsers cannot interpret
the same bytes differently.  `webhooks` then admits the request as a stream or answers it.

Nothing here reads or writes a WebSocket frame.
"""

from __future__ import annotations

import re
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.http11 import Response
from websockets.protocol import State

from twistream_kit.connections import LosesTransport
from twistream_kit.live.server.request_head import (
    MAX_HEAD_BYTES,
    BadRequest,
    RequestHead,
    is_malformed_start,
)
from twistream_kit.live.server.web_request import Answer, WebRequest
from twistream_kit.live.stream.delivery import DeliveringConnection

_EMPTY_LINE = re.compile(rb"\n\r?\n")
"""The end of a head.  Other programs end it without CR; waiting for more would be useless."""

_BODY_HEADERS = ("Content-Length", "Expect")

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class RequestConnection(LosesTransport, DeliveringConnection):
    """A server connection that accepts one HTTP request, with a body or without."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = RequestReader()
        self._is_handed_over = False
        # Of a WebSocket, until its handshake is answered; then None.
        self._early: bytearray | None = bytearray()

    @property
    def web(self) -> WebRequest:
        """The request, when its head and body are complete."""
        return self._reader.request

    def give_up(self) -> None:
        """Abort the connection if its request is not complete; for a server that stops."""
        if not self._is_handed_over and hasattr(self, "transport"):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect data until the request is complete, then pass it to `websockets`."""
        if self._is_handed_over:
            if self.web.is_upgrade:
                self._receive_frames(data)
            return  # one request for each connection: what follows it is ignored
        request = self._reader.take(data)
        if request is not None:
            self._is_handed_over = True
            self._receive_frames(self._reader.rest)
            super().data_received(request)
        elif self._reader.must_continue():
            self.transport.write(_CONTINUE)

    async def handshake(self, *args: Any, **kwargs: Any) -> None:
        """Answer the request; then pass on the data after it, if it became a WebSocket.

        `websockets` parses frames as soon as they arrive.  Before the answer, an invalid frame or a
        Close frame would replace the answer, and be logged as an internal error.
        """
        await super().handshake(*args, **kwargs)
        early, self._early = self._early, None
        if self.state is not State.OPEN:
            return
        # There is nothing more to collect.  asyncio looks this method up for each piece of data;
        # uvloop does not, and gets there by `_receive_frames`.
        self.data_received = self.receive_frames  # type: ignore[method-assign]
        if early:
            self.data_received(bytes(early))

    def _receive_frames(self, data: bytes) -> None:
        if self._early is None:
            self.receive_frames(data)
        elif self.response is None or self.state is State.OPEN:
            self._early += data  # for an iteration or two: `RequestAdmission` never waits
        # Otherwise the request is refused, and further data of the client is discarded.


class RequestReader:
    """Collects a request from pieces of any size; it does no I/O.

    The request is not authenticated yet, so the work is linear in its size, and at most
    `MAX_HEAD_BYTES` and `MAX_BODY_BYTES` are read.

    Attributes:
        request: The request, as far as it has been read.
        rest: The data after the head of a handshake: the first frames, if it is accepted.
    """

    def __init__(self) -> None:
        self.request = WebRequest()
        self.rest = b""
        self._received = bytearray()
        self._get = b""
        self._head_size = self._body_size = 0
        self._client_waits = False

    def take(self, data: bytes) -> bytes | None:
        """Add data; return the bytes for `websockets` when the request is complete or refused."""
        searched = len(self._received)
        self._received += data
        if not self._head_size:
            if is_malformed_start(self._received):
                return self._refuse(400)
            # Search the new data only: searching all of it each time would be quadratic.
            found = _EMPTY_LINE.search(self._received, max(0, searched - 2), MAX_HEAD_BYTES)
            if found is None:
                return self._refuse(431) if len(self._received) >= MAX_HEAD_BYTES else None
            self._head_size = found.end()
            try:
                head = RequestHead.parse(bytes(self._received[: self._head_size]))
            except BadRequest as error:
                return self._refuse(error.status)
            if refusal := self._read(head):
                return self._refuse(refusal)
        whole = self._head_size + self._body_size
        if len(self._received) < whole:
            return None
        self.request.body = bytes(self._received[self._head_size : whole])
        if self.request.is_upgrade:
            self.rest = bytes(self._received[whole:])
        return self._get

    def must_continue(self) -> bool:
        """Whether to send ``100 Continue`` now: the client expects it and has sent no body yet."""
        is_due = self._client_waits and len(self._received) == self._head_size
        self._client_waits = False
        return is_due

    def _read(self, head: RequestHead) -> int:
        """Read the head into `request`; return the status with which to refuse it, or 0."""
        request = self.request
        request.method, request.target, request.headers = head.method, head.target, head.headers
        request.is_upgrade = any(value.lower() == "websocket" for value in head.get_all("Upgrade"))
        if refusal := request.check_head(len(head.build_first_line("GET")), head.body_bytes):
            return refusal
        self._body_size = head.body_bytes
        self._client_waits = head.expects_continue and head.body_bytes > 0
        self._get = head.serialize(head.drop_headers(_BODY_HEADERS), method="GET")
        return 0

    def _refuse(self, status: int) -> bytes:
        self.request.refusal = status
        self.request.is_upgrade = False
        self._received.clear()
        # No part of a refused request is passed to `websockets`, which has limits of its own.
        return b"GET / HTTP/1.1\r\n\r\n"


def build_response(socket: ServerConnection, answer: Answer) -> Response:
    """Build the response of `websockets` for an answer."""
    response = socket.respond(answer.status, answer.text)
    del response.headers["Content-Type"]
    for name, value in answer.headers.items():
        response.headers[name] = value
    return response
