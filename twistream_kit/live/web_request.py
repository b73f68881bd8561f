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

from twistream_kit.protocol import webhook_parameters
from twistream_kit.protocol.signature import vouches_for_body
from twistream_kit.protocol.webhook_parameters import Parameters

MAX_HEAD_BYTES = 32_768
"""What is longer, and what is no request at all, is left to `websockets` to refuse."""

MAX_BODY_BYTES = 65_536
"""A webhook of Twilio's is a form of some hundred bytes; 64 kB is generous."""

_REQUEST_LINE = re.compile(rb"[^\s]+ [^\s]+ HTTP/1\.[01]\r\n")
_LENGTH = re.compile(rb"^content-length:[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_BODY_HEADERS = re.compile(
    rb"^(?:content-length|transfer-encoding|expect):.*\r\n", re.IGNORECASE | re.MULTILINE
)
_CHUNKED = re.compile(rb"^transfer-encoding:", re.IGNORECASE | re.MULTILINE)
_UPGRADE = re.compile(rb"^upgrade:[ \t]*websocket[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


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


class RequestConnection(ServerConnection):
    """A server connection that accepts HTTP requests with a body; see the module.

    Attributes:
        web: The request, once its head and body are there.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.web = WebRequest()
        self._received: bytearray | None = bytearray()

    def give_up(self) -> None:
        """Break the connection if its request is still not whole; for a server that stops."""
        if self._received is not None and hasattr(self, "transport"):
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect until the request is whole, then pass everything on."""
        if self._received is None:
            if self.web.is_upgrade:
                super().data_received(data)
            return  # one request for each connection: what follows it is nobody's
        self._received += data
        head_end = self._received.find(b"\r\n\r\n")
        if head_end < 0:
            if len(self._received) > MAX_HEAD_BYTES:
                self._hand_over(bytes(self._received))
            return
        if not _REQUEST_LINE.match(self._received):
            self._hand_over(bytes(self._received))
            return
        head = bytes(self._received[: head_end + 4])
        rest = bytes(self._received[head_end + 4 :])
        size = self._read_head(head)
        if not self.web.refusal and len(rest) < size:
            return
        self.web.body = rest[:size]
        self._hand_over(_as_get(head) + (rest[size:] if self.web.is_upgrade else b""))

    def _read_head(self, head: bytes) -> int:
        """Note what the head says; return the size of the body in bytes."""
        method, _, remains = head.partition(b" ")
        self.web.method = method.decode("latin-1")
        self.web.target = remains.partition(b" ")[0].decode("latin-1")
        self.web.is_upgrade = _UPGRADE.search(head) is not None
        lengths = set(_LENGTH.findall(head)) or {b"0"}
        length = lengths.pop()
        if self.web.method not in ("GET", "POST") or (self.web.is_upgrade and method != b"GET"):
            self.web.refusal = 405
        elif _CHUNKED.search(head):
            self.web.refusal = 411
        elif lengths or not (length.isdigit() and len(length) < 10):
            self.web.refusal = 400 if lengths or not length.isdigit() else 413
        elif int(length) > MAX_BODY_BYTES:
            self.web.refusal = 413
        if self.web.refusal:
            self.web.is_upgrade = False
            return 0
        return int(length)

    def _hand_over(self, request: bytes) -> None:
        self._received = None
        super().data_received(request)


def _as_get(head: bytes) -> bytes:
    _, _, remains = head.partition(b" ")
    return b"GET " + _BODY_HEADERS.sub(b"", remains)
