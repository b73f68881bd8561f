"""HTTP requests on the port of the WebSocket.

`websockets` reads a request only as far as its head, and closes a POST that has a body without a
word.  Twilio's webhooks are such POSTs.  So this connection collects the head and the body first,
keeps what is worth knowing, and hands over a GET without a body, which every version understands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection

from twistream_kit.live.inspector.http import END_OF_HEAD, MAX_HEAD_BYTES, MAX_HEADERS
from twistream_kit.protocol import signature as webhook_parameters
from twistream_kit.protocol.signature import Parameters, vouches_for_body

MAX_LINE_BYTES = 8192
"""Of a request line or a header, its end included; `websockets` takes no more."""

MAX_QUERY_FIELDS = 256
"""Twilio sends some forty.  Taking apart thousands of them, unsigned, would take milliseconds."""

URL_TOO_LONG = (
    f"The URL of this request is too long: at most {MAX_LINE_BYTES} bytes and {MAX_QUERY_FIELDS} "
    "fields in its query are read.  Send such data in the body of a POST.\n"
)
"""What is answered with 414."""

MAX_BODY_BYTES = 65_536
"""A webhook of Twilio's is a form of some hundred bytes; 64 kB is generous."""

_REQUEST_LINE = re.compile(rb"[^\s]+ [^\s]+ HTTP/1\.[01]")
_BODY_HEADERS = {b"content-length", b"transfer-encoding", b"expect"}


@dataclass(slots=True)
class WebRequest:
    """What came before the handover.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        target: The path with its query, as requested.
        body: The raw body.
        refusal: The HTTP status with which it must be refused, or 0.
        is_upgrade: Whether it asks for a WebSocket.
    """

    method: str = "GET"
    target: str = "/"
    body: bytes = field(default=b"", repr=False)
    refusal: int = 0
    is_upgrade: bool = False

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def has_form(self) -> bool:
        """Whether the body is a form: a POST whose query does not vouch for it as a whole (§7)."""
        return self.method == "POST" and not vouches_for_body(self.target)

    def parameters(self) -> Parameters:
        """What it says, wherever that stands: query, form, or a JSON object in the body."""
        if self.method != "POST":
            return self.query()
        return self.form() if self.has_form else webhook_parameters.from_json(self.body)

    def form(self) -> Parameters:
        """The parameters of a POST's form; a name given several times has a list."""
        return webhook_parameters.from_form(self.body)

    def query(self) -> Parameters:
        """The parameters of the query."""
        return webhook_parameters.from_query(self.target.partition("?")[2])


class RequestReader:
    """Collects one request, however it is cut; touches no connection.

    Nobody has signed what comes in here, so the work is linear in the bytes that come, and no more
    than `MAX_HEAD_BYTES` and `MAX_BODY_BYTES` of them are looked at.

    Attributes:
        request: What is known of it so far.
    """

    def __init__(self) -> None:
        self.request = WebRequest()
        self._received = bytearray()
        self._get = b""
        self._head_size = self._body_size = 0

    def take(self, data: bytes) -> bytes | None:
        """Take what has come; return what to hand over, once the request is whole or refused."""
        searched = len(self._received)
        self._received += data
        if not self._head_size:
            # Only in what is new: searching all of it again with each byte would be quadratic.
            start = max(0, searched - len(END_OF_HEAD) + 1)
            found = self._received.find(END_OF_HEAD, start, MAX_HEAD_BYTES)
            if found < 0:
                return self._refuse(431) if len(self._received) >= MAX_HEAD_BYTES else None
            self._head_size = found + len(END_OF_HEAD)
            head = bytes(self._received[:found])
            if not _REQUEST_LINE.fullmatch(head.partition(b"\r\n")[0]):
                return bytes(self._received)  # no request: `websockets` closes the connection
            if refusal := self._read(head):
                return self._refuse(refusal)
        whole = self._head_size + self._body_size
        if len(self._received) < whole:
            return None
        self.request.body = bytes(self._received[self._head_size : whole])
        return self._get + (self._received[whole:] if self.request.is_upgrade else b"")

    def _read(self, head: bytes) -> int:
        """Note what the head says; return the status with which to refuse it, or 0."""
        if head.count(b"\r\n") > MAX_HEADERS:
            return 431
        first, *lines = head.split(b"\r\n")
        if len(first) + 2 > MAX_LINE_BYTES or first.count(b"&") >= MAX_QUERY_FIELDS:
            return 414
        if max(map(len, lines), default=0) + 2 > MAX_LINE_BYTES:
            return 431
        parts = [line.partition(b":") for line in lines]
        headers = [(name.lower(), value.strip(b" \t")) for name, _, value in parts]
        method, _, remains = first.partition(b" ")
        self.request.method = method.decode("latin-1")
        self.request.target = remains.partition(b" ")[0].decode("latin-1")
        self.request.is_upgrade = any(
            name == b"upgrade" and value.lower() == b"websocket" for name, value in headers
        )
        pairs = zip(lines, headers, strict=True)
        kept = [line for line, (name, _) in pairs if name not in _BODY_HEADERS]
        self._get = b"\r\n".join([b"GET " + remains, *kept, b"", b""])
        return self._read_size(headers)

    def _read_size(self, headers: list[tuple[bytes, bytes]]) -> int:
        """Note the size of the body; return the status with which to refuse it, or 0."""
        method = self.request.method
        lengths = {value for name, value in headers if name == b"content-length"} or {b"0"}
        length = lengths.pop()
        if method not in ("GET", "POST") or (self.request.is_upgrade and method != "GET"):
            return 405
        if any(name == b"transfer-encoding" for name, _ in headers):
            return 411
        if lengths or not length.isdigit():
            return 400
        if len(length) >= 10 or int(length) > MAX_BODY_BYTES:
            return 413
        self._body_size = int(length)
        return 0

    def _refuse(self, status: int) -> bytes:
        self.request.refusal = status
        self.request.is_upgrade = False
        # Nothing of a request that is refused reaches `websockets`, which has limits of its own.
        return b"GET / HTTP/1.1\r\n\r\n"


class RequestConnection(ServerConnection):
    """A server connection that accepts HTTP requests with a body; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reader = RequestReader()
        self._is_handed_over = False

    @property
    def web(self) -> WebRequest:
        """The request, once its head and body are there."""
        return self._reader.request

    def give_up(self) -> None:
        """Break the connection if its request is still not whole; for a server that stops."""
        if not self._is_handed_over and hasattr(self, "transport"):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect until the request is whole, then pass everything on."""
        if self._is_handed_over:
            if self.web.is_upgrade:
                super().data_received(data)
            return  # one request for each connection: what follows it is nobody's
        request = self._reader.take(data)
        if request is not None:
            self._is_handed_over = True
            super().data_received(request)
