"""An HTTP request to a server, whatever received it, and the answer to it.

`StreamServer` collects requests itself (`http`), and `StreamApp` gets them from the ASGI server
that runs it.  Both refuse and answer them by these values, so that neither has rules of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from twistream_kit.protocol import signature

MAX_LINE_BYTES = 8192
"""The limit of `websockets` for a request line or a header, including its end."""

MAX_QUERY_FIELDS = 256
"""Twilio sends some forty.  Parsing thousands in an unsigned request would take milliseconds."""

URL_TOO_LONG = (
    f"The URL of this request is too long: at most {MAX_LINE_BYTES} bytes and {MAX_QUERY_FIELDS} "
    "fields in its query are read.  Send such data in the body of a POST.\n"
)
"""The body of a 414."""

MAX_BODY_BYTES = 65_536
"""The limit of a body.  A webhook of Twilio is a form of some hundred bytes."""


@dataclass(slots=True)
class WebRequest:
    """An HTTP request, as far as it has been read.

    Attributes:
        method: ``GET``, ``POST`` and so on.
        target: The path with its query, as requested.
        body: The raw body.
        refusal: The HTTP status with which to refuse it, or 0.
        is_upgrade: Whether it asks for a WebSocket.
        headers: The names and values, as they were received.
    """

    method: str = "GET"
    target: str = "/"
    body: bytes = field(default=b"", repr=False)
    refusal: int = 0
    is_upgrade: bool = False
    headers: Sequence[tuple[bytes, bytes]] = field(default=(), repr=False)

    def get_all(self, name: str) -> list[str]:
        """Return all values of a header."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def check_head(self, first_line_bytes: int, body_bytes: int) -> int:
        """Return the status with which to refuse the request for its head, or 0.

        Args:
            first_line_bytes: The size of its first line, without the end.
            body_bytes: The size of its body, as its head gives it.
        """
        if first_line_bytes + 2 > MAX_LINE_BYTES or self.target.count("&") >= MAX_QUERY_FIELDS:
            return 414
        if any(len(name) + len(value) + 4 > MAX_LINE_BYTES for name, value in self.headers):
            return 431
        if self.method not in ("GET", "POST") or (self.is_upgrade and self.method != "GET"):
            return 405
        if self.is_upgrade and body_bytes:
            return 400  # the body would be read as the first WebSocket frames
        return 413 if body_bytes > MAX_BODY_BYTES else 0

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def has_form(self) -> bool:
        """Whether the body is a form: a POST without ``bodySHA256`` in its query (§7)."""
        return self.method == "POST" and not signature.has_body_hash(self.target)

    def parse_parameters(self) -> signature.Parameters:
        """Parse the parameters from the query, the form, or a JSON object in the body."""
        if self.method != "POST":
            return self.parse_query()
        return self.parse_form() if self.has_form else signature.parse_json(self.body)

    def parse_form(self) -> signature.Parameters:
        """Parse the form of a POST; a name that was sent several times has a list of values."""
        return signature.parse_form(self.body)

    def parse_query(self) -> signature.Parameters:
        """Parse the query."""
        return signature.parse_query(self.target.partition("?")[2])


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        text: The body.
        content_type: Of the body.
    """

    status: HTTPStatus
    text: str = ""
    content_type: str = "text/plain; charset=utf-8"

    @property
    def headers(self) -> dict[str, str]:
        """The headers that depend on the answer, without its length."""
        headers = {"Content-Type": self.content_type}
        if self.status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = "GET, POST"
        return headers
